//! `percept predict`: what is on pictures.

use crate::classifier::{BATCH, Classifier};
use crate::{Result, parallel, photos};
use image::RgbImage;
use percept_engine::Settings;
use percept_photos::decode;
use percept_photos::resize::Preprocess;
use percept_photos::scan::Skipped;
use serde::Serialize;
use std::path::PathBuf;

/// The answer to one picture.
#[derive(Debug, Serialize)]
pub struct Prediction {
    /// The picture.
    pub picture: String,
    /// The most probable classes, most probable first.
    pub classes: Vec<Answer>,
}

/// A class and its probability.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// The name of the class.
    pub label: String,
    /// Its probability, calibrated if the model is.
    pub probability: f32,
}

/// Names what is on pictures; folders and archives stand for all pictures in them. Gives each prediction to `found` as soon as it is there,
/// and gives back what could not be read.
pub fn predict(
    classifier: &mut Classifier,
    paths: &[PathBuf],
    top: usize,
    settings: &Settings,
    found: &mut dyn FnMut(Prediction),
) -> Result<Vec<Skipped>> {
    let preprocess = classifier.preprocess;
    each_batch(paths, &preprocess, settings, &mut |names, pictures| {
        let probabilities = classifier.probabilities(pictures)?;
        for (name, row) in names.iter().zip(probabilities.chunks_exact(classifier.labels.len().max(1))) {
            found(Prediction { picture: name.clone(), classes: best(row, &classifier.labels, top) });
        }
        Ok(())
    })
}

/// What is done with the names of some pictures and these as the network takes them.
pub(crate) type OfBatch<'a> = &'a mut dyn FnMut(&[String], &[RgbImage]) -> Result<()>;

/// Reads the pictures that paths stand for, prepares them and hands them on a batch at a time, with their names; gives back what could not
/// be read.
pub(crate) fn each_batch(
    paths: &[PathBuf],
    preprocess: &Preprocess,
    settings: &Settings,
    run: OfBatch<'_>,
) -> Result<Vec<Skipped>> {
    let (mut files, mut skipped) = (Vec::new(), Vec::new());
    for path in paths {
        match photos::pictures(path) {
            Ok((listing, names)) => {
                files.extend(listing.pictures.into_iter().zip(names));
                skipped.extend(listing.skipped);
            }
            Err(error) => skipped.push(Skipped { path: path.clone(), reason: error.to_string() }),
        }
    }
    for chunk in files.chunks(BATCH) {
        let prepared = parallel::map(&settings.pool, chunk, |(path, _), _| {
            decode::open(path).map(|picture| preprocess.apply(&picture))
        });
        let (mut names, mut batch) = (Vec::new(), Vec::new());
        for ((_, name), result) in chunk.iter().zip(prepared) {
            match result {
                Ok(picture) => {
                    names.push(name.clone());
                    batch.push(picture);
                }
                Err(error) => skipped.push(Skipped { path: name.into(), reason: error.to_string() }),
            }
        }
        run(&names, &batch)?;
    }
    Ok(skipped)
}

/// The most probable classes, most probable first.
pub(crate) fn best(row: &[f32], labels: &[String], top: usize) -> Vec<Answer> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    let answer = |&i: &usize| Answer { label: labels[i].clone(), probability: row[i] };
    order.iter().take(top).map(answer).collect()
}
