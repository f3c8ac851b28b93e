//! What can be learned from text: to go on writing it, character by character, and to label sentences.

mod characters;
mod config;
mod fit;
mod folds;
pub mod language;
mod lesson;
mod measure;
pub mod predict;
pub mod sample;
pub mod sentences;
mod streams;
mod told;
mod words;

pub use characters::Characters;
pub use config::{Config, Plan};
pub use sample::{Request, Sampler};

use crate::event::Events;
use crate::folder::RunFolder;
use crate::{Error, Result};
use percept_engine::Settings;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longer texts are refused: a character takes several times as much memory while it is learned from.
const MAX_BYTES: u64 = 256 << 20;
/// What a run is called on the command line.
const VERB: &str = "text train";

/// A text and where it comes from.
pub struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// Reads a file: UTF-8, or else Latin-1, where every byte is a character.
    ///
    /// # Errors
    /// What is no file, is too long, or cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        // A pipe or a device might never end.
        let length = std::fs::metadata(path).map_err(Error::io("read", path))?;
        if !length.is_file() || length.len() > MAX_BYTES {
            let reason = if length.is_file() { "is over 256 MB: give a part of it" } else { "is not a file" };
            return Err(Error::Setting(format!("{} {reason}", path.display())));
        }
        let mut bytes = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
        read.map_err(Error::io("read", path))?;
        let latin = |e: std::string::FromUtf8Error| e.as_bytes().iter().map(|&byte| char::from(byte)).collect();
        Ok(Self { path: path.into(), text: String::from_utf8(bytes).unwrap_or_else(latin) })
    }

    /// Whether the lines look as if each began with its label: two labels or more, each of them often.
    pub fn is_labelled(&self) -> bool {
        words::is_labelled(&self.text)
    }

    /// What a report is called.
    fn title(&self) -> String {
        self.path.file_stem().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }
}

/// A finished run.
#[derive(Debug)]
pub enum Trained {
    /// A model that writes.
    Characters(language::Trained),
    /// A model that labels sentences.
    Sentences(sentences::Trained),
}

/// Trains a model as planned, on the plan's text, which was read before, and makes the folder `out` with model, metrics, report, model card
/// and configuration. `command` is what the report says it was made with.
///
/// # Errors
/// A text that cannot be learned from, an output that is there already or cannot be written, settings without sense.
pub fn train(
    plan: Plan,
    source: &Source,
    out: &Path,
    command: &str,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Trained> {
    run(plan, source, RunFolder::create(out, VERB)?, command, settings, events)
}

/// Goes on with the run that was to make `out`, which was interrupted: the same model comes of it.
///
/// # Errors
/// No such run, a text that has changed since, and as [`train`].
pub fn resume(out: &Path, settings: &Settings, events: Events<'_>) -> Result<Trained> {
    let (folder, plan, command) = RunFolder::resume(out, Plan::read)?;
    let source = Source::open(plan.text())?;
    run(plan, &source, folder, &command, settings, events)
}

fn run(
    plan: Plan,
    source: &Source,
    folder: RunFolder,
    command: &str,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Trained> {
    match plan {
        Plan::Characters(config) => {
            language::run(config, source, folder, command, settings, events).map(Trained::Characters)
        }
        Plan::Sentences(config) => {
            sentences::run(config, source, folder, command, settings, events).map(Trained::Sentences)
        }
    }
}
