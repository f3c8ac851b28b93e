//! A model file as a classifier of pictures: ours, which says everything about itself, or somebody else's.

mod signature;

use crate::known::Known;
use crate::{Error, Result};
use image::RgbImage;
use percept_engine::{Input, Network, Settings};
use percept_graph::Graph;
use percept_graph::onnx::Model;
use percept_photos::resize::{Filter, Preprocess};
use signature::{Taking, classes_of, input_of, is_softmax, known_of, size_is_fixed};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Keys of the metadata in a model file.
pub mod key {
    /// The names of the classes, as a JSON list of text.
    pub const LABELS: &str = "percept.labels";
    /// How a picture is resized, as JSON: see [`Preprocess`](percept_photos::resize::Preprocess).
    pub const PREPROCESS: &str = "percept.preprocess";
    /// The licence of the weights that the model was made from.
    pub const LICENCE: &str = "licence";
    /// The network that the model was made from.
    pub const BACKBONE: &str = "percept.backbone";
    /// The temperature that is part of the graph.
    pub const TEMPERATURE: &str = "percept.temperature";
    /// How the output `known_score` is to be read, as JSON: see [`Known`](crate::known::Known).
    pub const KNOWN: &str = "percept.known";
}

/// What a model file does not say itself.
#[derive(Clone, Debug)]
pub struct Options {
    /// A text file with the name of a class on each line, in the order of the outputs.
    pub labels: Option<PathBuf>,
    /// Mean of red, green and blue, between 0 and 1, for models that take floats.
    pub mean: [f32; 3],
    /// Standard deviation of red, green and blue, between 0 and 1.
    pub std: [f32; 3],
}

impl Default for Options {
    fn default() -> Self {
        Self { labels: None, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
    }
}

/// A classifier of pictures.
pub struct Classifier {
    network: Network,
    /// The names of the classes, in the order of the outputs.
    pub labels: Vec<String>,
    /// How a picture is resized for it.
    pub preprocess: Preprocess,
    /// What the file says about itself.
    pub metadata: BTreeMap<String, String>,
    taking: Taking,
    /// Whether the network gives probabilities and not logits.
    probabilities: bool,
    classes: usize,
    /// The batch size, if the file fixes it.
    batch: Option<usize>,
    /// How its score of known is read, and which output that is; absent if it has none.
    known: Option<(Known, usize)>,
    options: Options,
}

/// What a classifier says to pictures.
#[derive(Debug, Default)]
pub struct Said {
    /// Pictures × classes, row-major.
    pub probabilities: Vec<f32>,
    /// How known each picture is; empty if the model has no such score.
    pub known_scores: Vec<f32>,
}

/// Pictures that run at once.
pub const BATCH: usize = 16;

impl Classifier {
    /// Opens a model file; an error if it is no classifier of pictures, or its labels are not known.
    pub fn open(path: &Path, options: &Options, settings: &Settings) -> Result<Self> {
        let Model { graph, params, metadata } = Model::read(path)?;
        let wrong = |reason: String| Error::model(path, reason);
        if metadata.contains_key(crate::targets::KEY) {
            return Err(wrong(
                "answers several questions: `percept predict` and `evaluate` take it, this does not".into(),
            ));
        }
        let (taking, size) = input_of(&graph).map_err(wrong)?;
        let preprocess = match metadata.get(key::PREPROCESS) {
            Some(json) => {
                serde_json::from_str(json).map_err(|e| wrong(format!("its {} is damaged: {e}", key::PREPROCESS)))?
            }
            // Pretrained networks are evaluated on 87.5 % of the resized picture.
            None => Preprocess::new((f64::from(size) / 0.875).round() as u32, size, Filter::Bicubic)?,
        };
        if size_is_fixed(&graph) && preprocess.crop() != size {
            let crop = preprocess.crop();
            return Err(wrong(format!("takes pictures of {size} pixels, but its {} says {crop}", key::PREPROCESS)));
        }
        let first_input = &graph.value(graph.inputs()[0]).ty;
        let batch = first_input.shape[0].as_const().and_then(|n| usize::try_from(n).ok());
        let output = graph.outputs()[0];
        let probabilities = is_softmax(&graph, output);
        let known = known_of(&graph, metadata.get(key::KNOWN)).map_err(wrong)?;
        let mut classifier = Self {
            classes: classes_of(&graph, preprocess.crop()).map_err(wrong)?,
            network: Network::new(&graph, &params, settings.clone())?,
            labels: Vec::new(),
            preprocess,
            metadata,
            taking,
            probabilities,
            batch,
            known,
            options: options.clone(),
        };
        classifier.labels = classifier.read_labels(path)?;
        Ok(classifier)
    }

    fn read_labels(&self, path: &Path) -> Result<Vec<String>> {
        let labels: Vec<String> = match (&self.options.labels, self.metadata.get(key::LABELS)) {
            (Some(file), _) => {
                let text = std::fs::read_to_string(file).map_err(Error::io("read", file))?;
                text.lines().map(|line| line.trim_end_matches('\r').to_string()).collect()
            }
            (None, Some(json)) => serde_json::from_str(json)
                .map_err(|e| Error::model(path, format!("its {} is damaged: {e}", key::LABELS)))?,
            // A model without names still answers: by number.
            (None, None) => (0..self.classes).map(|i| i.to_string()).collect(),
        };
        if labels.len() != self.classes {
            let from = self.options.labels.as_deref().unwrap_or(path).display();
            let reason = format!(
                "has {} outputs, but {from} names {} classes: give --labels with a name a line",
                self.classes,
                labels.len()
            );
            return Err(Error::model(path, reason));
        }
        Ok(labels)
    }

    /// A picture as the network takes it.
    pub fn prepare(&self, picture: &RgbImage) -> RgbImage {
        self.preprocess.apply(picture)
    }

    /// The probabilities (pictures × classes, row-major) of prepared pictures.
    pub fn probabilities(&mut self, pictures: &[RgbImage]) -> Result<Vec<f32>> {
        Ok(self.say(pictures)?.probabilities)
    }

    /// The probabilities of prepared pictures, and how known they are.
    pub fn say(&mut self, pictures: &[RgbImage]) -> Result<Said> {
        let mut all = Said::default();
        for chunk in pictures.chunks(self.batch.unwrap_or(BATCH).max(1)) {
            self.run(chunk, &mut all)?;
        }
        Ok(all)
    }

    /// How the score of known is read; absent if the model has none.
    pub fn known(&self) -> Option<&Known> {
        self.known.as_ref().map(|(known, _)| known)
    }

    fn run(&mut self, pictures: &[RgbImage], to: &mut Said) -> Result<()> {
        let batch = self.input(pictures);
        let plan = self.network.run(&[(&batch.shape, batch.data())])?;
        let scores = &plan.output(0).1[..pictures.len() * self.classes];
        let start = to.probabilities.len();
        to.probabilities.extend_from_slice(scores);
        if let Some((_, output)) = self.known {
            to.known_scores.extend_from_slice(&plan.output(output).1[..pictures.len()]);
        }
        if !self.probabilities {
            to.probabilities[start..].chunks_exact_mut(self.classes.max(1)).for_each(softmax);
        }
        Ok(())
    }

    /// Prepared pictures as the network takes them, filled up with black ones if the file fixes the batch size.
    pub(crate) fn input(&self, pictures: &[RgbImage]) -> Batch {
        let rows = self.batch.unwrap_or(pictures.len().max(1));
        let size = self.preprocess.crop() as usize;
        let mut bytes: Vec<u8> = pictures.iter().flat_map(|picture| picture.as_raw()).copied().collect();
        bytes.resize(rows * size * size * 3, 0);
        let (last, first) = ([rows, size, size, 3], [rows, 3, size, size]);
        let plane = size * size;
        let (shape, elements) = match self.taking {
            Taking::Bytes => (last, Elements::Bytes(bytes)),
            Taking::ChannelsLast => (last, Elements::Floats(self.normalized(&bytes, |i| i))),
            Taking::ChannelsFirst => {
                let from = |i: usize| i / (3 * plane) * 3 * plane + i % plane * 3 + i / plane % 3;
                (first, Elements::Floats(self.normalized(&bytes, from)))
            }
        };
        Batch { shape, elements }
    }

    /// The bytes as normalised floats; the `i`th comes from byte `from(i)`.
    fn normalized(&self, bytes: &[u8], from: impl Fn(usize) -> usize) -> Vec<f32> {
        let value = |i: usize| {
            let at = from(i);
            (f32::from(bytes[at]) / 255.0 - self.options.mean[at % 3]) / self.options.std[at % 3]
        };
        (0..bytes.len()).map(value).collect()
    }

    /// The network's graph, as it runs.
    pub fn graph(&self) -> &Graph {
        self.network.graph()
    }

    /// The network, as it runs.
    pub fn network(&self) -> &Network {
        &self.network
    }
}

/// Pictures as a network takes them.
pub(crate) struct Batch {
    pub(crate) shape: [usize; 4],
    elements: Elements,
}

enum Elements {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

impl Batch {
    pub(crate) fn data(&self) -> Input<'_> {
        match &self.elements {
            Elements::Bytes(bytes) => Input::U8(bytes),
            Elements::Floats(floats) => Input::F32(floats),
        }
    }
}

/// Turns rows of logits into probabilities at a temperature.
pub(crate) fn cooled_softmax(logits: &mut [f32], classes: usize, temperature: f64) {
    logits.iter_mut().for_each(|logit| *logit = (f64::from(*logit) / temperature) as f32);
    logits.chunks_exact_mut(classes).for_each(softmax);
}

pub(crate) fn softmax(row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x = (*x - largest).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|x| *x /= sum);
}
