//! `config.toml`: everything that a run depends on, so that it can be repeated to the bit.
//!
//! What is absent is decided by the run, which writes it down: how many views, how long the classifier is fitted. Decisions that
//! depend on time are therefore in the file as decided, and repeating it needs no clock.

use crate::finetune::Recipe;
use crate::{Error, Result};
use percept_learn::logistic::Options;
use percept_photos::augment::Augment;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The settings of a training run.
///
/// ```
/// let config = percept_jobs::Config { seed: 7, ..Default::default() };
/// assert!(config.to_toml()?.contains("seed = 7"));
/// # Ok::<(), percept_jobs::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The photos: a folder or a CSV file.
    pub photos: PathBuf,
    /// A table of questions about the photos, in place of their classes.
    pub targets: Option<PathBuf>,
    /// The backbone's name, or an ONNX file.
    pub backbone: String,
    /// Pictures of anything else, which set the threshold of "none of these".
    pub unknown: Option<PathBuf>,
    /// A network to be trained from zero in place of the backbone: a name that `--network` takes.
    pub network: Option<String>,
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// Share of the photos that is held out to choose settings with, unless the photos come with a validation part.
    pub validation: f64,
    /// Seconds within which what is not decided is to be done; absent for as long as it gets better.
    pub time_limit: Option<u64>,
    /// Augmented views of each photo, beside the plain one; absent until decided.
    pub views: Option<u32>,
    /// How views are drawn; their size is the backbone's.
    pub augment: Augment,
    /// How the classifier is fitted; absent until decided.
    pub head: Option<Head>,
    /// The trainings of the network that follow, each kept if it helps; absent until decided.
    pub stages: Option<Vec<Recipe>>,
    /// Whether the last stage, if it was kept, is repeated on all photos, those held out among them, once they are measured on.
    #[serde(default)]
    pub refit: bool,
}

/// How the classifier on top is fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The fit on the training photos whose answers to the validation photos are reported.
    pub check: Options,
    /// The fit on all photos, for the model; absent if the photos came with a validation part, which stays unseen.
    pub last: Option<Options>,
    /// The fits among which the validation photos chose.
    pub search: Vec<Options>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            photos: PathBuf::new(),
            targets: None,
            backbone: "efficientnet-lite0".into(),
            seed: 0,
            validation: 0.2,
            network: None,
            unknown: None,
            time_limit: Some(300),
            views: None,
            augment: Augment::default(),
            head: None,
            stages: None,
            refit: false,
        }
    }
}

impl Config {
    /// Reads a configuration; the error names the file and the field.
    pub fn read(path: &Path) -> Result<Self> {
        let config: Self = read(path)?;
        let wrong = |reason| wrong(path, reason);
        config.augment.check()?;
        if !(config.validation > 0.0 && config.validation < 1.0) {
            return Err(wrong("validation must be between 0 and 1".into()));
        }
        config.stages.iter().flatten().try_for_each(|recipe| recipe.check().map_err(|e| wrong(e.to_string())))?;
        Ok(config)
    }

    /// The configuration as TOML.
    pub fn to_toml(&self) -> Result<String> {
        to_toml(self)
    }
}

/// Reads a configuration of any verb; the error names the file and the field.
pub(crate) fn read<C: DeserializeOwned>(path: &Path) -> Result<C> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    toml::from_str(&text).map_err(|e| wrong(path, e.to_string()))
}

/// Fails with the first of these that is not so.
pub(crate) fn check(path: &Path, checks: &[(bool, &str)]) -> Result<()> {
    match checks.iter().find(|(good, _)| !good) {
        Some((_, reason)) => Err(wrong(path, (*reason).into())),
        None => Ok(()),
    }
}

/// What is wrong with a configuration.
fn wrong(path: &Path, reason: String) -> Error {
    Error::Setting(format!("{}: {}", path.display(), reason.trim_end()))
}

/// A configuration of any verb as TOML.
pub(crate) fn to_toml(config: &impl Serialize) -> Result<String> {
    toml::to_string(config).map_err(|e| Error::Setting(format!("the configuration cannot be written: {e}")))
}
