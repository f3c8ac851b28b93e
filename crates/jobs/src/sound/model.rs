//! The model file: a network over spectrograms, with how they are made in its metadata.

use super::mel::{self, Mel, Spectrogram};
use super::{Clip, network};
use crate::classifier::key;
use crate::{Error, Result};
use percept_engine::{Input, Network, Settings};
use percept_graph::{Params, onnx};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The key of the metadata under which [`Sound`] stands, as JSON.
pub const KEY: &str = "percept.sound";
/// Windows that are looked at together.
const BATCH: usize = 64;

/// How a recording becomes what the network takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sound {
    /// How a spectrogram is made.
    #[serde(flatten)]
    pub mel: mel::Settings,
    /// Frames that the network takes: shorter recordings stand in the middle of silence (−1), longer ones are looked at in windows that
    /// overlap by half, and the probabilities are the mean.
    pub frames: usize,
}

/// The model of a trained network.
pub(super) fn package(sound: &Sound, params: &Params, labels: &[String]) -> Result<onnx::Model> {
    let graph = network::inference(sound.mel.bands, sound.frames, labels.len())?;
    let params = params.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
    let json = |e: serde_json::Error| Error::Setting(format!("metadata cannot be written: {e}"));
    let metadata = [
        (key::LABELS, serde_json::to_string(labels).map_err(json)?),
        (KEY, serde_json::to_string(sound).map_err(json)?),
    ];
    Ok(onnx::Model { graph, params, metadata: metadata.map(|(key, value)| (key.to_string(), value)).into() })
}

/// A model that names what is heard.
pub struct Model {
    network: Network,
    mel: Mel,
    frames: usize,
    /// The names of the classes.
    pub labels: Vec<String>,
}

impl Model {
    /// The model of a network under training.
    pub(super) fn new(sound: &Sound, params: &Params, labels: &[String], settings: &Settings) -> Result<Self> {
        let graph = network::inference(sound.mel.bands, sound.frames, labels.len())?;
        let network = Network::new(&graph, params, settings.clone())?;
        Ok(Self { network, mel: Mel::new(&sound.mel), frames: sound.frames, labels: labels.to_vec() })
    }

    /// Opens a model file.
    ///
    /// # Errors
    /// A file that is no model of sounds, or is damaged.
    pub fn open(path: &Path, settings: &Settings) -> Result<Self> {
        let onnx::Model { graph, params, metadata } = onnx::Model::read(path)?;
        let other = || Error::model(path, "no model of sounds: make one with `percept sound train`");
        let damaged = |e: serde_json::Error| Error::model(path, format!("its metadata is damaged: {e}"));
        let sound: Sound = serde_json::from_str(metadata.get(KEY).ok_or_else(other)?).map_err(damaged)?;
        let labels = metadata.get(key::LABELS).map_or("", String::as_str);
        let labels: Vec<String> = serde_json::from_str(labels).map_err(damaged)?;
        let sizes = |ids: &[percept_graph::ValueId]| {
            let [id] = ids else { return None };
            let shape = &graph.value(*id).ty.shape;
            shape.iter().skip(1).map(|dim| dim.as_const().and_then(|size| usize::try_from(size).ok())).collect()
        };
        let (input, output) = (sizes(graph.inputs()), sizes(graph.outputs()));
        if !sound.mel.is_sound()
            || input != Some(vec![1, sound.mel.bands, sound.frames])
            || output != Some(vec![labels.len()])
            || labels.is_empty()
        {
            return Err(Error::model(path, "its metadata describes another network: train it anew"));
        }
        let network = Network::new(&graph, &params, settings.clone())?;
        Ok(Self { network, mel: Mel::new(&sound.mel), frames: sound.frames, labels })
    }

    /// What the network makes of a recording, at any rate.
    pub fn spectrogram(&self, clip: Clip) -> Spectrogram {
        self.mel.spectrogram(&clip.at_rate(self.mel.settings().rate).samples)
    }

    /// The probabilities of each recording, a row each.
    ///
    /// # Errors
    /// Recordings that do not fit into memory.
    pub fn probabilities(&mut self, spectrograms: &[Spectrogram]) -> Result<Vec<f32>> {
        let classes = self.labels.len();
        let mut rows = vec![0.0; spectrograms.len() * classes];
        let windows: Vec<_> = spectrograms.iter().map(|one| windows(one.frames, self.frames)).collect();
        let all: Vec<_> =
            windows.iter().enumerate().flat_map(|(i, starts)| starts.iter().map(move |&s| (i, s))).collect();
        for chunk in all.chunks(BATCH) {
            let values: Vec<f32> =
                chunk.iter().flat_map(|&(i, start)| spectrograms[i].cut(start, self.frames)).collect();
            let shape = [chunk.len(), 1, self.mel.settings().bands, self.frames];
            let plan = self.network.run(&[(&shape, Input::F32(&values))])?;
            for (&(i, _), said) in chunk.iter().zip(plan.output(0).1.chunks_exact(classes)) {
                let share = 1.0 / windows[i].len() as f32;
                rows[i * classes..][..classes].iter_mut().zip(said).for_each(|(sum, p)| *sum += p * share);
            }
        }
        Ok(rows)
    }
}

/// Where the windows begin that cover a recording: one in its middle, or several that overlap by about a half.
fn windows(frames: usize, window: usize) -> Vec<isize> {
    if frames <= window {
        return vec![-((window - frames) / 2).cast_signed()];
    }
    let (last, half) = (frames - window, (window / 2).max(1));
    let count = last.div_ceil(half);
    (0..=count).map(|i| (last * i / count).cast_signed()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_all_and_no_more() {
        assert_eq!(windows(10, 16), [-3]);
        assert_eq!(windows(16, 16), [0]);
        assert_eq!(windows(17, 16), [0, 1]);
        assert_eq!(windows(40, 16), [0, 8, 16, 24]);
    }
}
