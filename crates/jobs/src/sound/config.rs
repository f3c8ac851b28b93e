//! `config.toml`: what a run depends on, with what it decided, so that it can be repeated to the bit.

use crate::{Result, config};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The highest learning rate unless another is given or found.
pub(super) const LEARNING_RATE: f64 = 3e-3;

/// The settings of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The recordings: a folder or a tar archive.
    pub recordings: PathBuf,
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// A speaker whose recordings are the test; absent for a sixth of every speaker's.
    pub leave_out: Option<String>,
    /// Seconds within which all is to be done; absent for as many steps as are worth it.
    pub time_limit: Option<u64>,
    /// Steps of the optimiser; absent until decided.
    pub steps: Option<u64>,
    /// Recordings in a step.
    pub batch: usize,
    /// The highest learning rate of AdamW, under a one-cycle schedule; absent until it is found.
    pub learning_rate: Option<f64>,
    /// Weight decay of weights; biases and normalisations have none.
    pub weight_decay: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            recordings: PathBuf::new(),
            seed: 0,
            leave_out: None,
            time_limit: Some(300),
            steps: None,
            batch: 32,
            learning_rate: Some(LEARNING_RATE),
            weight_decay: 1e-2,
        }
    }
}

impl Config {
    /// Reads a configuration.
    ///
    /// ```
    /// use percept_jobs::sound::Config;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("config.toml");
    /// std::fs::write(&path, Config::default().to_toml()?)?;
    /// assert_eq!(Config::read(&path)?, Config::default());
    /// std::fs::write(&path, Config { batch: 0, ..Config::default() }.to_toml()?)?;
    /// assert!(Config::read(&path).unwrap_err().to_string().contains("batch must be"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A file that is none, or a setting that makes no sense; the error names both.
    pub fn read(path: &Path) -> Result<Self> {
        let config: Self = config::read(path)?;
        let checks = [
            (config.steps != Some(0), "steps must be at least 1"),
            ((1..=4096).contains(&config.batch), "batch must be at least 1 and at most 4096"),
            (config.learning_rate.is_none_or(|rate| rate > 0.0 && rate.is_finite()), "learning_rate must be positive"),
            (config.weight_decay >= 0.0 && config.weight_decay.is_finite(), "weight_decay must not be negative"),
        ];
        config::check(path, &checks)?;
        Ok(config)
    }

    /// The configuration as TOML.
    ///
    /// # Errors
    /// None that a configuration in memory can have.
    pub fn to_toml(&self) -> Result<String> {
        config::to_toml(self)
    }
}
