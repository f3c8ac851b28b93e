//! Writing on: characters drawn one after the other from what a model expects.

use super::Characters;
use crate::classifier::{cooled_softmax, key};
use crate::{Error, Result};
use percept_engine::{Input, Network, Settings};
use percept_graph::onnx::Model;
use percept_graph::{DType, Dim, Graph, Params};
use percept_learn::random::mixed;
use std::path::Path;

/// What is to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What comes before it.
    pub prompt: String,
    /// What logits are divided by: below 1 for the probable, above for the odd; 0 for the most probable character each time.
    pub temperature: f64,
    /// Characters.
    pub length: usize,
    /// The seed of what is drawn: the same, the same text.
    pub seed: u64,
}

impl Default for Request {
    fn default() -> Self {
        Self { prompt: String::new(), temperature: 0.8, length: 500, seed: 0 }
    }
}

/// A character model that writes.
pub struct Sampler {
    network: Network,
    characters: Characters,
    /// The shape of each state, for one text.
    shapes: Vec<[usize; 3]>,
}

impl Sampler {
    /// Opens a model of [`train`](super::train).
    ///
    /// # Errors
    /// A file that is none; it is named.
    pub fn open(path: &Path, settings: &Settings) -> Result<Self> {
        let Model { graph, params, metadata } = Model::read(path)?;
        let labels = metadata.get(key::LABELS).and_then(|labels| serde_json::from_str::<Vec<String>>(labels).ok());
        let characters = labels.and_then(|labels| Characters::from_labels(&labels));
        let first = graph.inputs().first().map(|&id| &graph.value(id).ty);
        let fits = first.is_some_and(|ty| ty.dtype == DType::I64 && ty.rank() == 2);
        match characters.filter(|_| fits && graph.inputs().len() == graph.outputs().len()) {
            Some(characters) => Self::new(&graph, &params, characters, settings),
            None => Err(Error::model(path, "it is no character model: make one with `percept text train`")),
        }
    }

    pub(super) fn new(graph: &Graph, params: &Params, characters: Characters, settings: &Settings) -> Result<Self> {
        let shape = |&id: &_| {
            let size = graph.value(id).ty.shape.last().and_then(Dim::as_const);
            [1, 1, size.map_or(0, |size| size as usize)]
        };
        let shapes = graph.inputs()[1..].iter().map(shape).collect();
        Ok(Self { network: Network::new(graph, params, settings.clone())?, characters, shapes })
    }

    /// Writes, character by character, to `say`, which answers whether to go on. The prompt is not said again.
    ///
    /// # Errors
    /// A temperature without sense, a character in the prompt that the model never saw.
    pub fn sample(&mut self, request: &Request, say: &mut dyn FnMut(char) -> bool) -> Result<()> {
        let Request { prompt, temperature, length, seed } = request;
        if !(temperature.is_finite() && *temperature >= 0.0) {
            return Err(Error::Setting(format!("the temperature is {temperature}: give 0 or more, such as 0.8")));
        }
        let unknown =
            |c: char| Error::Setting(format!("the prompt has {c:?}, which the model never saw: leave it out"));
        let mut given = self.characters.encode(prompt).map_err(unknown)?;
        let count = self.characters.as_slice().len();
        if given.is_empty() {
            // A text begins as a line does.
            given.push(self.characters.encode("\n").map_or(0, |codes| codes[0]));
        }
        let mut states = self.begin();
        for place in 0..*length as u64 {
            let logits = self.read(&given, &mut states)?;
            let uniform = (mixed(*seed, place) >> 11) as f64 / (1u64 << 53) as f64;
            let next = draw(&logits[logits.len() - count..], *temperature, uniform);
            if !say(self.characters.as_slice()[next]) {
                break;
            }
            given = vec![next as i64];
        }
        Ok(())
    }

    /// What [`Sampler::sample`] writes, as a whole.
    pub(super) fn text(&mut self, request: &Request) -> Result<String> {
        let mut text = String::new();
        self.sample(request, &mut |c| {
            text.push(c);
            true
        })?;
        Ok(text)
    }

    /// The probability of each character to be the next after a text of characters that the model knows.
    pub(super) fn expects(&mut self, text: &str) -> Result<Vec<f32>> {
        let count = self.characters.as_slice().len();
        let given = self.characters.encode(text).unwrap_or_default();
        let mut states = self.begin();
        let logits = self.read(&given, &mut states)?;
        let mut last = logits[logits.len() - count..].to_vec();
        cooled_softmax(&mut last, count, 1.0);
        Ok(last)
    }

    /// The states before anything is read.
    fn begin(&self) -> Vec<Vec<f32>> {
        self.shapes.iter().map(|shape| vec![0.0; shape.iter().product()]).collect()
    }

    /// Reads characters, and moves the states; gives back the logits of what follows each of them.
    fn read(&mut self, given: &[i64], states: &mut [Vec<f32>]) -> Result<&[f32]> {
        let shape = [given.len(), 1];
        let mut inputs: Vec<(&[usize], Input<'_>)> = vec![(&shape, Input::I64(given))];
        inputs.extend(states.iter().zip(&self.shapes).map(|(values, shape)| (&shape[..], Input::F32(values))));
        let plan = self.network.run(&inputs)?;
        states.iter_mut().enumerate().for_each(|(i, values)| values.copy_from_slice(plan.output(1 + i).1));
        Ok(plan.output(0).1)
    }
}

/// The class at `uniform`, 0 to 1, of the distribution that logits are at this temperature.
fn draw(logits: &[f32], temperature: f64, uniform: f64) -> usize {
    let most = (0..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best });
    if temperature == 0.0 {
        return most;
    }
    let weight = |&x: &f32| ((f64::from(x) - f64::from(logits[most])) / temperature).exp();
    let mut left = uniform * logits.iter().map(weight).sum::<f64>();
    let passed = |x: &f32| {
        left -= weight(x);
        left < 0.0
    };
    logits.iter().position(passed).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::draw;

    #[test]
    fn classes_are_drawn_as_often_as_they_are_probable() {
        let logits = [1.0f32, 2.0, 0.0];
        for temperature in [0.5, 1.0, 2.0] {
            let mut counts = [0.0; 3];
            (0..10_000).for_each(|i| counts[draw(&logits, temperature, (f64::from(i) + 0.5) / 1e4)] += 1e-4);
            let weights = logits.map(|x| (f64::from(x) / temperature).exp());
            let sum: f64 = weights.iter().sum();
            assert!(
                counts.iter().zip(weights).all(|(count, weight)| (count - weight / sum).abs() < 1e-3),
                "{counts:?}"
            );
        }
        assert_eq!(draw(&logits, 0.0, 0.99), 1);
        assert_eq!(draw(&logits, 1e-300, 0.99), 1);
    }
}
