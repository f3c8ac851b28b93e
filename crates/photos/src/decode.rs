//! From a file to RGB pixels in one way, so that every part of Percept sees the same picture.
//!
//! JPEG (grey, CMYK, YCCK, progressive), PNG (palette, 16-bit, alpha) and WebP become 8-bit RGB, turned upright by
//! their EXIF orientation and laid over white where they are transparent. The size that the header states is checked
//! before any pixel is allocated: a file of 100 kB can claim gigabytes. A file that ends early is an error, because a
//! picture that is half grey would be learned as if it were the product.

use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use image::codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, Limits, RgbImage};

use crate::Error;

/// The most pixels a picture may have: 100 million, the largest sensors on sale.
pub const MAX_PIXELS: u64 = 100_000_000;

/// The most bytes a picture's decoded form may take before it is reduced to 8-bit RGB: 800 MB, which is
/// [`MAX_PIXELS`] of 16-bit RGBA.
pub const MAX_DECODED_BYTES: u64 = 8 * MAX_PIXELS;

/// The largest picture file that is read: 512 MB.
pub const MAX_FILE_BYTES: u64 = 512_000_000;

/// The picture formats that are read, recognised by a file's first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JPEG (ISO/IEC 10918-1), baseline and progressive.
    Jpeg,
    /// PNG (ISO/IEC 15948).
    Png,
    /// WebP (RFC 9649), lossy and lossless.
    WebP,
}

impl Format {
    /// How many of a file's first bytes [`Format::of`] looks at.
    pub const MAGIC_BYTES: usize = 12;

    /// Recognises a format by its first bytes, whatever the file is called.
    ///
    /// ```
    /// # use percept_photos::decode::Format;
    /// assert_eq!(Format::of(b"\x89PNG\r\n\x1a\n"), Some(Format::Png));
    /// assert_eq!(Format::of(b"%PDF-1.7"), None);
    /// ```
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            _ => None,
        }
    }
}

/// Reads a picture file as upright 8-bit RGB.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::TooLarge`] or [`Error::Decode`] (both name the file) otherwise.
pub fn open(path: &Path) -> Result<RgbImage, Error> {
    let metadata = fs::metadata(path).map_err(Error::io("read", path))?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        let reason = if metadata.is_file() { "it is over 512 MB" } else { "it is not a file" };
        return Err(Error::Decode { path: path.to_owned(), reason: reason.to_owned() });
    }
    let file = fs::File::open(path).map_err(Error::io("read", path))?;
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    decode_bytes(&bytes, path)
}

/// Decodes the bytes of a picture file as upright 8-bit RGB; `name` is what errors call it.
///
/// ```
/// # use percept_photos::decode::decode_bytes;
/// let error = decode_bytes(b"GIF89a", "upload.gif".as_ref()).unwrap_err();
/// assert_eq!(error.to_string(), "cannot read the picture upload.gif: it is not a JPEG, PNG or WebP");
/// ```
///
/// # Errors
/// [`Error::TooLarge`] over [`MAX_PIXELS`], [`Error::Decode`] for anything that is not a whole picture.
pub fn decode_bytes(bytes: &[u8], name: &Path) -> Result<RgbImage, Error> {
    let failed = |reason: String| Error::Decode { path: name.to_owned(), reason };
    let format = Format::of(bytes).ok_or_else(|| failed("it is not a JPEG, PNG or WebP".to_owned()))?;
    if format == Format::Jpeg && !jpeg_is_complete(bytes) {
        return Err(failed("it ends early".to_owned()));
    }
    let decode = || -> Result<RgbImage, Failure> {
        match format {
            Format::Jpeg => upright_rgb(JpegDecoder::new(Cursor::new(bytes))?),
            Format::Png => upright_rgb(PngDecoder::with_limits(Cursor::new(bytes), limits())?),
            Format::WebP => upright_rgb(WebPDecoder::new(Cursor::new(bytes))?),
        }
    };
    decode().map_err(|failure| match failure {
        Failure::TooLarge(width, height) => Error::TooLarge { path: name.to_owned(), width, height },
        Failure::Image(error) => failed(error.to_string()),
    })
}

enum Failure {
    TooLarge(u32, u32),
    Image(ImageError),
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    limits
}

fn upright_rgb(mut decoder: impl ImageDecoder) -> Result<RgbImage, Failure> {
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Failure::TooLarge(width, height));
    }
    decoder.set_limits(limits())?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::ImageRgb8(over_white(DynamicImage::from_decoder(decoder)?));
    picture.apply_orientation(orientation);
    Ok(picture.into_rgb8())
}

/// Reduces to 8-bit RGB, with transparent pixels laid over white.
fn over_white(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let rgba = picture.into_rgba8();
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (target, source) in rgb.pixels_mut().zip(rgba.pixels()) {
        let [r, g, b, alpha] = source.0.map(u32::from);
        target.0 = [r, g, b].map(|c| ((c * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
    }
    rgb
}

/// Whether the end marker comes after the last scan; the decoder itself fills what is missing with grey.
///
/// Walks the segments (ITU-T T.81, B.1.1) so that the end marker of an embedded thumbnail does not count.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[first, marker]) = bytes.get(at..at + 2) {
        match (first, marker) {
            (0xff, 0xd9) => return true,
            // Entropy-coded data, stuffed zeros, fill bytes and restart markers.
            (0xff, 0xff) => at += 1,
            (0xff, 0x00 | 0x01 | 0xd0..=0xd7) => at += 2,
            (0xff, _) => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else {
                    return false;
                };
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
            }
            _ => at += 1,
        }
    }
    false
}
