//! `percept augment`: the views that training looks at, to look at oneself or to keep.

use crate::event::{Events, Phase};
use crate::features::identity;
use crate::{Error, Result, format, output, parallel, photos};
use image::RgbImage;
use percept_engine::Settings;
use percept_photos::augment::{Augment, Source};
use percept_photos::scan::{DataSet, Part, Picture, Skipped};
use percept_photos::{decode, sheet};
use std::path::{Path, PathBuf};

/// Photos on a contact sheet.
const PHOTOS: usize = 6;
/// Tiles in a row of a contact sheet.
const COLUMNS: usize = 7;

/// Which views to make.
#[derive(Clone, Debug)]
pub struct Views {
    /// How they are drawn.
    pub augment: Augment,
    /// How many of each photo.
    pub count: u32,
    /// The seed that they are drawn with.
    pub seed: u64,
}

impl Views {
    pub(crate) fn of(
        &self,
        data: &DataSet,
        picture: &Picture,
        decoded: &RgbImage,
    ) -> impl Iterator<Item = (u32, RgbImage)> {
        let identity = identity(data, picture);
        let source = Source::new(decoded, self.augment.size);
        let size = self.augment.size;
        (1..=self.count).map(move |view| {
            let mut out = RgbImage::new(size, size);
            self.augment.apply_into(
                &source,
                &self.augment.draw(self.seed, identity, view),
                &mut Default::default(),
                &mut out,
            );
            (view, out)
        })
    }
}

/// Writes a contact sheet: a few photos from all over the data set, each followed by its views.
pub fn preview(root: &Path, out: &Path, views: &Views, events: Events<'_>) -> Result<()> {
    views.augment.check()?;
    output::absent(out)?;
    let (data, _) = photos::scan(root, &mut *events)?;
    let step = data.pictures.len().div_ceil(PHOTOS);
    let mut phase = Phase::start(events, "Drawing views", Some(PHOTOS.min(data.pictures.len()) as u64), "photos");
    let mut tiles = Vec::new();
    for (i, picture) in data.pictures.iter().step_by(step).enumerate() {
        let decoded = match decode::open(&picture.path) {
            Ok(decoded) => decoded,
            Err(error) => {
                phase.warning(error.to_string());
                continue;
            }
        };
        tiles.push(fit(&decoded, views.augment.size));
        tiles.extend(views.of(&data, picture, &decoded).map(|(_, view)| view));
        phase.progress(i as u64 + 1);
    }
    if tiles.is_empty() {
        return Err(Error::Setting(format!("none of the photos looked at in {} can be read", root.display())));
    }
    let columns = COLUMNS.min(1 + views.count as usize);
    sheet::save_png(&sheet::contact_sheet(&tiles, columns), out)?;
    phase.finish(format!("{} tiles, each photo before its views", tiles.len()));
    Ok(())
}

/// The whole picture, as large as fits into a square.
fn fit(picture: &RgbImage, size: u32) -> RgbImage {
    let longer = picture.width().max(picture.height()).max(1);
    let side = |length: u32| (u64::from(length) * u64::from(size) / u64::from(longer)).max(1) as u32;
    image::imageops::thumbnail(picture, side(picture.width()), side(picture.height()))
}

/// Writes a new data set: each photo as it is, beside its views. Photos to check or test with get no views.
///
/// Gives back what was left out, and why.
pub fn write(root: &Path, out: &Path, views: &Views, settings: &Settings, events: Events<'_>) -> Result<Vec<Skipped>> {
    views.augment.check()?;
    let folder = output::Folder::create(out)?;
    let (data, _) = photos::scan(root, &mut *events)?;
    let table = root.is_file() && root.parent() == Some(&data.root);
    let total = data.pictures.len() as u64;
    let mut phase = Phase::start(events, "Writing views", Some(total), "photos");
    let mut skipped = data.skipped.clone();
    let mut done = 0;
    for chunk in data.pictures.chunks(64) {
        let written =
            parallel::map(&settings.pool, chunk, |picture, _| one(&data, picture, table, folder.path(), views));
        for (picture, result) in chunk.iter().zip(written) {
            match result {
                Err(Error::Photos(
                    error @ (percept_photos::Error::Decode { .. } | percept_photos::Error::TooLarge { .. }),
                )) => {
                    skipped.push(Skipped { path: picture.path.clone(), reason: error.reason() });
                }
                result => result?,
            }
        }
        done += chunk.len() as u64;
        phase.progress(done);
    }
    folder.finish()?;
    phase.finish(format!("{} photos, {} views of each", format::count(total), views.count));
    Ok(skipped)
}

fn one(data: &DataSet, picture: &Picture, table: bool, out: &Path, views: &Views) -> Result<()> {
    let relative = place(data, picture, table)?;
    let decoded = decode::open(&picture.path)?;
    let original = out.join(&relative);
    output::absent(&original)?;
    let folder = original.parent().unwrap_or(out);
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    std::fs::copy(&picture.path, &original).map_err(Error::io("write", &original))?;
    if picture.part.is_none_or(|part| part == Part::Train) {
        for (number, view) in views.of(data, picture, &decoded) {
            let path = sheet::view_path(out, &relative, number);
            output::absent(&path)?;
            sheet::save_jpeg(&view, &path)?;
        }
    }
    Ok(())
}

/// Where a picture lies in the new data set: as in a folder, or in a folder named like its class if a table lists it.
fn place(data: &DataSet, picture: &Picture, table: bool) -> Result<PathBuf> {
    if !table {
        return Ok(picture.path.strip_prefix(&data.root).unwrap_or(&picture.path).into());
    }
    let class = output::folder_name(&data.classes[picture.class])?;
    Ok(class.join(picture.path.file_name().unwrap_or_default()))
}
