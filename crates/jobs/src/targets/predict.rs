//! The answers to all questions about pictures.

use super::{Model, Target};
use crate::Result;
use crate::predict::each_batch;
use percept_engine::Settings;
use percept_photos::scan::Skipped;
use percept_photos::table::Kind;
use serde::{Serialize, Serializer};
use std::path::PathBuf;

/// The answers to one picture.
#[derive(Debug, Serialize)]
pub struct Prediction {
    /// The picture.
    pub picture: String,
    /// For each question its answer, by name.
    #[serde(serialize_with = "as_map")]
    pub targets: Vec<(String, Answer)>,
}

/// An answer.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Answer {
    /// One of several labels.
    Class {
        /// The most probable one.
        label: String,
        /// Its probability.
        probability: f32,
        /// The most probable ones, most probable first.
        classes: Vec<crate::predict::Answer>,
    },
    /// Yes or no.
    YesNo {
        /// The more probable of the two.
        label: String,
        /// Which of the two the probability is of.
        yes: String,
        /// The probability of yes.
        probability: f32,
    },
    /// A number.
    Number {
        /// The number.
        value: f32,
        /// How far from the truth nine of ten predictions were at most, on photos held out.
        #[serde(skip_serializing_if = "Option::is_none")]
        within90: Option<f64>,
    },
}

fn as_map<S: Serializer>(answers: &[(String, Answer)], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(answers.iter().map(|(name, answer)| (name, answer)))
}

impl Target {
    /// What its output means.
    pub fn answer(&self, row: &[f32], top: usize) -> Answer {
        match &self.kind {
            Kind::Class { labels } => {
                let classes = crate::predict::best(row, labels, top.max(1));
                let first = classes.first().map(|best| (best.label.clone(), best.probability));
                let (label, probability) = first.unwrap_or_default();
                Answer::Class { label, probability, classes }
            }
            Kind::YesNo { labels: [no, yes] } => {
                let label = if row[0] >= 0.5 { yes } else { no };
                Answer::YesNo { label: label.clone(), yes: yes.clone(), probability: row[0] }
            }
            Kind::Number => Answer::Number { value: row[0], within90: self.within90 },
        }
    }
}

/// Answers all questions about pictures; folders and archives stand for all pictures in them. Gives each prediction to `found` as soon as it
/// is there, and gives back what could not be read.
///
/// # Errors
/// A network that cannot be run.
pub fn predict(
    model: &mut Model,
    paths: &[PathBuf],
    top: usize,
    settings: &Settings,
    found: &mut dyn FnMut(Prediction),
) -> Result<Vec<Skipped>> {
    let preprocess = model.preprocess;
    each_batch(paths, &preprocess, settings, &mut |names, pictures| {
        let rows = model.answers(pictures)?;
        for (name, mut row) in names.iter().zip(rows.chunks_exact(model.width().max(1))) {
            let mut targets = Vec::with_capacity(model.targets.len());
            for target in &model.targets {
                let (own, rest) = row.split_at(target.width());
                targets.push((target.name.clone(), target.answer(own, top)));
                row = rest;
            }
            found(Prediction { picture: name.clone(), targets });
        }
        Ok(())
    })
}
