//! Sounds: a folder of recordings becomes a network that names what is heard.
//!
//! A recording becomes a log-mel spectrogram ([`mel`]), a picture of what frequencies sound when, and a small convolutional network names
//! that. What makes the spectrogram stands in the model file's metadata, because the network takes the spectrogram: an ONNX operator for it
//! exists only since opset 17, and few runtimes have it.

mod augment;
mod config;
mod examples;
pub mod mel;
mod model;
mod network;
mod order;
mod predict;
mod read;
mod resample;
mod results;
mod scan;
mod told;
mod train;

pub use config::Config;
pub use model::{KEY, Model, Sound};
pub use predict::{Prediction, predict};
pub use read::Clip;
pub use results::{Evaluation, Share};
pub use train::{Trained, resume, train};
