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
    /// Whether it shows one of the classes at all; absent if the model cannot tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
    /// How known it is: the higher, the more like the classes; absent likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_score: Option<f32>,
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
        let said = classifier.say(pictures)?;
        let threshold = classifier.known().map(|known| known.threshold);
        let rows = said.probabilities.chunks_exact(classifier.labels.len().max(1));
        for (i, (name, row)) in names.iter().zip(rows).enumerate() {
            let known_score = said.known_scores.get(i).copied();
            let known = known_score.zip(threshold).map(|(score, threshold)| f64::from(score) >= threshold);
            let classes = best(row, &classifier.labels, top);
            found(Prediction { picture: name.clone(), classes, known, known_score });
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
            Err(error) => skipped.push(Skipped { path: path.clone(), reason: error.reason() }),
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
                Err(error) => skipped.push(Skipped { path: name.into(), reason: error.reason() }),
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
