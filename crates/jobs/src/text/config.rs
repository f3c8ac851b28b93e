//! `config.toml` of a character model: everything that a run depends on.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The settings of a character model.
///
/// ```
/// let config = percept_jobs::text::Config { seed: 7, ..Default::default() };
/// assert!(config.to_toml()?.contains("hidden = 256"));
/// # Ok::<(), percept_jobs::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The text.
    pub text: PathBuf,
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// Seconds for everything; absent for as many steps as are worth it.
    pub time_limit: Option<u64>,
    /// Features of a character.
    pub embedding: usize,
    /// Units of a layer.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Share of what goes from layer to layer that is dropped.
    pub dropout: f32,
    /// Places of the text that a step learns from at once.
    pub batch: usize,
    /// Characters of each place that a step reads, and goes back through.
    pub unroll: usize,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// Weight decay of AdamW.
    pub weight_decay: f32,
    /// The longest gradient, as a Euclidean norm.
    pub clip: f64,
    /// Steps; absent until the time limit has decided.
    pub steps: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            text: PathBuf::new(),
            seed: 0,
            time_limit: Some(900),
            embedding: 64,
            hidden: 256,
            layers: 2,
            dropout: 0.1,
            batch: 32,
            unroll: 64,
            learning_rate: 4e-3,
            weight_decay: 0.01,
            clip: 1.0,
            steps: None,
        }
    }
}

impl Config {
    /// The configuration as TOML.
    ///
    /// # Errors
    /// A path that is no Unicode.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::Setting(format!("the configuration cannot be written: {e}")))
    }

    /// Settings for a text of so many characters to learn from: fewer places and shorter pieces if it is short.
    pub(super) fn fit(&mut self, characters: usize) {
        let steps = characters.saturating_sub(1);
        self.unroll = self.unroll.min(steps / 2).max(1);
        self.batch = self.batch.min(steps / (2 * self.unroll)).max(1);
    }
}
