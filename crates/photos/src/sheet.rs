//! Augmented pictures to look at and to keep: contact sheets, and the files of an augmented data set.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage, imageops};

use crate::Error;

/// Pixels between the tiles of a contact sheet and around it.
const GAP: u32 = 4;

/// JPEG quality of the files of an augmented data set: high enough that saving adds no marks that a view was not meant to have.
const QUALITY: u8 = 95;

/// Lays `tiles` out in rows of `columns`, on white, each in the middle of a cell as large as the largest tile.
///
/// ```
/// use image::RgbImage;
/// use percept_photos::sheet::contact_sheet;
/// let sheet = contact_sheet(&[RgbImage::new(20, 10), RgbImage::new(20, 10), RgbImage::new(10, 10)], 2);
/// assert_eq!(sheet.dimensions(), (4 + 20 + 4 + 20 + 4, 4 + 10 + 4 + 10 + 4));
/// ```
pub fn contact_sheet(tiles: &[RgbImage], columns: usize) -> RgbImage {
    let columns = columns.clamp(1, tiles.len().max(1)) as u32;
    let rows = (tiles.len() as u32).div_ceil(columns);
    let width = tiles.iter().map(RgbImage::width).max().unwrap_or(0);
    let height = tiles.iter().map(RgbImage::height).max().unwrap_or(0);
    let length = |count: u32, cell: u32| GAP + count * (cell + GAP);
    let white = image::Rgb([255; 3]);
    let mut sheet = RgbImage::from_pixel(length(columns, width), length(rows, height), white);
    for (tile, at) in tiles.iter().zip(0..) {
        let x = length(at % columns, width) + (width - tile.width()) / 2;
        let y = length(at / columns, height) + (height - tile.height()) / 2;
        imageops::replace(&mut sheet, tile, i64::from(x), i64::from(y));
    }
    sheet
}

/// Returns where view number `view` of a picture goes in an augmented data set: under `out` as the picture lies under its data set's
/// root, its class folder included, as `<stem>_vNN.jpg`. The extension of what is not a `.jpg` becomes part of the stem, so that
/// `a.jpg` and `a.png` do not meet.
///
/// ```
/// use std::path::Path;
/// use percept_photos::sheet::view_path;
/// let path = |picture| view_path(Path::new("out"), Path::new(picture), 3);
/// assert_eq!(path("apple/one.jpg"), Path::new("out/apple/one_v03.jpg"));
/// assert_eq!(path("apple/one.png"), Path::new("out/apple/one_png_v03.jpg"));
/// ```
pub fn view_path(out: &Path, picture: &Path, view: u32) -> PathBuf {
    let mut name = picture.file_stem().unwrap_or_default().to_owned();
    if let Some(extension) = picture.extension().filter(|&extension| extension != "jpg") {
        name.push("_");
        name.push(extension);
    }
    name.push(format!("_v{view:02}.jpg"));
    out.join(picture).with_file_name(name)
}

/// Writes a picture as PNG, replacing the file if it exists.
///
/// # Errors
/// [`Error::Io`] names the file if it cannot be written.
pub fn save_png(picture: &RgbImage, path: &Path) -> Result<(), Error> {
    let mut file = Cursor::new(Vec::new());
    let encoded = picture.write_to(&mut file, ImageFormat::Png);
    save(encoded, file.get_ref(), path)
}

/// Writes a picture as JPEG, replacing the file if it exists; folders that are missing are made.
///
/// # Errors
/// [`Error::Io`] names the file if it cannot be written.
pub fn save_jpeg(picture: &RgbImage, path: &Path) -> Result<(), Error> {
    let mut file = Vec::new();
    let encoded = picture.write_with_encoder(JpegEncoder::new_with_quality(&mut file, QUALITY));
    save(encoded, &file, path)
}

/// Writes a file whole or not at all.
fn save(encoded: image::ImageResult<()>, bytes: &[u8], path: &Path) -> Result<(), Error> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    encoded
        .map_err(std::io::Error::other)
        .and_then(|()| fs::create_dir_all(path.parent().unwrap_or(Path::new(""))))
        .and_then(|()| fs::write(&part, bytes))
        .and_then(|()| fs::rename(&part, path))
        .map_err(|error| {
            let _ = fs::remove_file(&part);
            Error::io("write", path)(error)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn tiles_lie_in_reading_order() {
        let colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255]].map(Rgb);
        let tiles = colours.map(|colour| RgbImage::from_pixel(6, 6, colour));
        let sheet = contact_sheet(&tiles, 2);
        assert_eq!([(7, 7), (17, 7), (7, 17)].map(|(x, y)| *sheet.get_pixel(x, y)), colours);
        assert_eq!(*sheet.get_pixel(17, 17), Rgb([255; 3]), "an empty cell");
        assert_eq!(*sheet.get_pixel(12, 7), Rgb([255; 3]), "the gap");
    }

    #[test]
    fn no_tiles_and_no_columns_are_a_sheet_too() {
        assert_eq!(contact_sheet(&[], 0).dimensions(), (8, 4));
    }

    #[test]
    fn files_are_written_whole_and_leave_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let picture = RgbImage::from_fn(16, 16, |x, y| Rgb([10 * x as u8, 10 * y as u8, 99]));
        let jpeg = folder.path().join("apple/one_v00.jpg");
        save_jpeg(&picture, &jpeg).unwrap();
        assert_eq!(crate::decode::open(&jpeg).unwrap().dimensions(), (16, 16));
        let png = folder.path().join("apple/sheet.png");
        save_png(&picture, &png).unwrap();
        assert_eq!(crate::decode::open(&png).unwrap(), picture);
        assert_eq!(fs::read_dir(folder.path().join("apple")).unwrap().count(), 2);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = save_png(&RgbImage::new(1, 1), &file.join("sheet.png")).unwrap_err();
        assert!(error.to_string().contains("sheet.png"), "{error}");
    }
}
