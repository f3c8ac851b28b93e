//! `percept demo`: the main job on photos that it draws itself.

use crate::event::{Events, Phase};
use crate::output::{Folder, free};
use crate::train::{self, Trained};
use crate::{Config, Result, format, parallel};
use percept_engine::Settings;
use percept_photos::sheet::save_jpeg;
use percept_photos::synthesise::{Product, draw, products};
use std::path::Path;

/// Photos of each product to train with, and to test with.
const PHOTOS: [(&str, u64); 2] = [("train", 40), ("test", 20)];
/// Side of a photo in pixels.
const SIZE: u32 = 256;
/// Time for training.
const LIMIT: u64 = 90;

/// Draws photos of made-up products into `out/photos` and trains on them; without `out` the folder gets the next free name.
pub fn demo(out: Option<&Path>, settings: &Settings, events: Events<'_>) -> Result<Trained> {
    let out = out.map_or_else(|| free("percept-demo"), Path::to_path_buf);
    let folder = Folder::create(&out)?;
    let shots: Vec<(&Product, &str, u64)> = products()
        .iter()
        .flat_map(|product| {
            PHOTOS.into_iter().flat_map(move |(part, count)| (0..count).map(move |i| (product, part, i)))
        })
        .collect();
    let mut phase = Phase::start(&mut *events, "Taking photos of made-up products", Some(shots.len() as u64), "photos");
    for (chunk, done) in shots.chunks(48).zip(1..) {
        let taken = parallel::map(&settings.pool, chunk, |&(product, part, i), _| {
            // The parts have seeds of their own: no test photo is one that was trained with.
            let seed = i + if part == "test" { 1 << 32 } else { 0 };
            let path = folder.path().join("photos").join(part).join(product.name).join(format!("{i:03}.jpg"));
            save_jpeg(&draw(product, SIZE, seed), &path)
        });
        taken.into_iter().collect::<std::result::Result<(), _>>()?;
        phase.progress((done * 48).min(shots.len() as u64));
    }
    folder.finish()?;
    let photos = out.join("photos");
    phase.finish(format!("{} in {}", format::count(shots.len() as u64), photos.display()));
    let mut config = Config { photos, time_limit: Some(LIMIT), ..Config::default() };
    // The products are lettered.
    config.augment.flip = false;
    train::train(config, &out.join("run"), "percept demo", settings, events)
}
