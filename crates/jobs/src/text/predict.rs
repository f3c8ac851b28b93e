//! Labelling sentences with a model.

use super::fit::filled;
use super::sentences::WORDS;
use super::words::{Words, words};
use crate::classifier::key;
use crate::predict::Answer;
use crate::{Error, Result};
use percept_engine::{Input, Network, Settings};
use percept_graph::onnx::Model;
use serde::Serialize;
use std::path::Path;

/// What a model says of a sentence.
#[derive(Debug, Serialize)]
pub struct Prediction {
    /// The sentence.
    pub sentence: String,
    /// Its words that the model does not know, which say nothing to it.
    pub unknown: Vec<String>,
    /// The classes, the most probable first.
    pub classes: Vec<Answer>,
}

/// Labels sentences with a model of [`train`](super::train).
///
/// # Errors
/// A file that is no such model; it is named.
pub fn predict(path: &Path, sentences: &[String], settings: &Settings) -> Result<Vec<Prediction>> {
    let Model { graph, params, metadata } = Model::read(path)?;
    let list = |key| metadata.get(key).and_then(|list| serde_json::from_str::<Vec<String>>(list).ok());
    let (Some(labels), Some(known)) = (list(key::LABELS), list(WORDS)) else {
        let reason =
            "it is no classifier of sentences: make one with `percept text train` from lines that begin with a label";
        return Err(Error::model(path, reason));
    };
    let known = Words::from_list(known);
    let mut network = Network::new(&graph, &params, settings.clone())?;
    let label = |text: &String| {
        let found = words(text);
        let (row, length) = filled(&[known.encode(&found, |_| false)]);
        let (shape, probabilities) = network.run(&[(&[1, length], Input::I64(&row))])?.output(0);
        if shape != [1, labels.len()] {
            return Err(Error::model(path, format!("it gives {shape:?}, not a probability for each label")));
        }
        let answer = |(label, &probability): (&String, &f32)| Answer { label: label.clone(), probability };
        let mut classes: Vec<Answer> = labels.iter().zip(probabilities).map(answer).collect();
        classes.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        let unknown = found.into_iter().filter(|word| !known.has(word)).collect();
        Ok(Prediction { sentence: text.clone(), unknown, classes })
    };
    sentences.iter().map(label).collect()
}
