//! `config.toml` of a run: everything that it depends on.

use super::sentences;
use crate::{Result, config};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The highest learning rate unless another is given or found.
pub(super) const LEARNING_RATE: f64 = 4e-3;

/// The settings of a character model.
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
    /// The highest learning rate; absent until it is found.
    pub learning_rate: Option<f64>,
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
            learning_rate: Some(LEARNING_RATE),
            weight_decay: 0.01,
            clip: 1.0,
            steps: None,
        }
    }
}

impl Config {
    /// Settings for a text of so many characters to learn from: fewer places and shorter pieces if it is short.
    pub(super) fn fit(&mut self, characters: usize) {
        let steps = characters.saturating_sub(1);
        self.unroll = self.unroll.min(steps / 2).max(1);
        self.batch = self.batch.min(steps / (2 * self.unroll)).max(1);
    }

    /// What has to be so, and what to say if it is not.
    fn checks(&self) -> Vec<(bool, &'static str)> {
        let size = |n: usize| (1..=4096).contains(&n);
        vec![
            (size(self.embedding), "embedding must be at least 1 and at most 4096"),
            (size(self.hidden), "hidden must be at least 1 and at most 4096"),
            ((1..=16).contains(&self.layers), "layers must be at least 1 and at most 16"),
            (size(self.batch), "batch must be at least 1 and at most 4096"),
            (size(self.unroll), "unroll must be at least 1 and at most 4096"),
            ((0.0..1.0).contains(&self.dropout), "dropout must be at least 0 and below 1"),
            (self.learning_rate.is_none_or(|rate| rate > 0.0 && rate.is_finite()), "learning_rate must be positive"),
            (self.weight_decay >= 0.0 && self.weight_decay.is_finite(), "weight_decay must not be negative"),
            (self.clip > 0.0 && self.clip.is_finite(), "clip must be positive"),
            (self.steps != Some(0), "steps must be at least 1"),
        ]
    }
}

/// What is to be learned from a text, and how: `config.toml`.
///
/// ```
/// use percept_jobs::text::{Config, Plan, sentences};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("config.toml");
/// for plan in [Plan::Characters(Config::default()), Plan::Sentences(sentences::Config::default())] {
///     std::fs::write(&path, plan.to_toml()?)?;
///     assert_eq!(Plan::read(&path)?, plan);
/// }
/// std::fs::write(&path, Plan::Characters(Config { hidden: 0, ..Config::default() }).to_toml()?)?;
/// assert!(Plan::read(&path).unwrap_err().to_string().contains("hidden must be"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "lowercase")]
pub enum Plan {
    /// To write on.
    Characters(Config),
    /// To label sentences.
    Sentences(sentences::Config),
}

impl Plan {
    /// Reads a configuration.
    ///
    /// # Errors
    /// A file that is none, or a setting that makes no sense; the error names both.
    pub fn read(path: &Path) -> Result<Self> {
        let plan: Self = config::read(path)?;
        let checks = match &plan {
            Self::Characters(config) => config.checks(),
            Self::Sentences(config) => config.checks(),
        };
        config::check(path, &checks)?;
        Ok(plan)
    }

    /// The configuration as TOML.
    ///
    /// # Errors
    /// A path that is no Unicode.
    pub fn to_toml(&self) -> Result<String> {
        config::to_toml(self)
    }

    /// The text to learn from.
    pub fn text(&self) -> &Path {
        match self {
            Self::Characters(config) => &config.text,
            Self::Sentences(config) => &config.text,
        }
    }
}
