//! The page about a class that was added.

use super::Added;
use crate::report::{Picture, render};
use crate::{Result, parallel};
use minijinja::context;
use minijinja::value::Serde;
use percept_engine::Settings;
use percept_photos::decode;
use percept_photos::scan::DataSet;
use std::path::PathBuf;

/// Pictures that the page shows: of the new class, and of those whose answer changed.
const SHOWN: (usize, usize) = (24, 60);
/// Side of a picture in pixels.
const SIDE: u32 = 200;

/// The page as one HTML file.
pub(super) fn html(added: &Added, new: &DataSet, settings: &Settings) -> Result<String> {
    let new: Vec<PathBuf> = new.pictures.iter().take(SHOWN.0).map(|picture| picture.path.clone()).collect();
    let changed: Vec<PathBuf> = added.changed.iter().take(SHOWN.1).map(|change| change.picture.clone()).collect();
    let small = |path: &PathBuf, _: usize| {
        decode::open(path).map_or_else(|_| Picture::default(), |picture| Picture::small(&picture, SIDE))
    };
    let pictures = parallel::map(&settings.pool, &new, small);
    let changed_pictures = parallel::map(&settings.pool, &changed, small);
    let context = context! {
        added => Serde(added),
        pictures => Serde(pictures),
        changed => Serde(added.changed.iter().zip(changed_pictures).collect::<Vec<_>>()),
        share => added.changed.len() as f64 / added.old_photos.max(1) as f64,
    };
    render("add.html", include_str!("add.html"), context)
}
