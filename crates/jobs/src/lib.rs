//! What a user wants done, a file for each: train, check, evaluate, predict, explain, augment, bench, sound.
//!
//! A job takes typed settings, sends what it is doing as a stream of [events](event), and gives back what came of it. It prints
//! nothing: the command line draws bars from the events, tests read them.

pub mod add;
pub mod augment;
pub mod backbone;
pub mod bench;
mod budget;
pub mod calibration;
pub mod check;
pub mod classifier;
pub mod config;
pub mod demo;
mod error;
pub mod evaluate;
pub mod event;
pub mod explain;
mod features;
pub mod finetune;
mod folder;
pub mod format;
mod frozen;
pub mod gan;
pub mod known;
mod layer;
mod learner;
mod near;
mod output;
mod package;
mod parallel;
mod photos;
pub mod predict;
pub mod report;
mod score;
pub mod sound;
pub mod targets;
pub mod tensorboard;
pub mod text;
pub mod train;

pub use classifier::Classifier;
pub use config::Config;
pub use error::{Error, Result};
pub use learner::Point;
pub use percept_engine::Settings;
