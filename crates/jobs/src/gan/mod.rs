//! `percept gan`: two networks that learn from pictures how to draw such pictures.
//!
//! The networks are `percept_models::gan`'s. Where pictures come in classes, as for `percept train`, a class can be asked for. A run works in
//! `OUT.part`, which gets its name when all is there; its `config.toml`, with the number of steps as decided, and its checkpoint are enough to
//! go on from, with the same bits.

mod pictures;
mod players;
mod run;
mod sample;

pub use sample::{Generator, Request, sample};

use crate::event::Events;
use crate::folder::RunFolder;
use crate::{Error, Result, config};
use percept_engine::Settings;
use percept_models::gan::Gan;
use pictures::Pictures;
use players::Players;
use run::Run;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The largest side of a picture.
const LARGEST: usize = 256;

/// What a run is to learn from, and how: its `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The pictures: a folder, a tar, an IDX file, or a CSV file of `image,label`.
    pub photos: PathBuf,
    /// Whether the classes of the pictures are learned, if they have any.
    pub classes: bool,
    /// Height and width of the pictures.
    pub size: usize,
    /// Pictures of a step.
    pub batch: usize,
    /// Seconds for everything, if `steps` does not decide.
    pub time_limit: u64,
    /// Steps of each player; absent until decided.
    pub steps: Option<u64>,
    /// Seed of everything that is drawn.
    pub seed: u64,
}

impl Options {
    /// Reads a configuration.
    ///
    /// # Errors
    /// A file that cannot be read; a field that is missing or makes no sense.
    pub fn read(path: &Path) -> Result<Self> {
        let options: Self = config::read(path)?;
        let checks =
            [(options.batch > 1, "batch must be at least 2"), (options.steps != Some(0), "steps must be at least 1")];
        config::check(path, &checks)?;
        options.check()?;
        Ok(options)
    }

    /// Fails before anything is read if the networks do not fit the settings.
    fn check(&self) -> Result<()> {
        if self.size > LARGEST {
            return Err(Error::Setting(format!("pictures of {} pixels are too large: at most {LARGEST}", self.size)));
        }
        Gan::new(self.size, 1, 0).generator()?;
        Ok(())
    }
}

/// The losses of both players, as means since the point before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Steps so far.
    pub step: u64,
    /// Of the discriminator: 2 ln 2 ≈ 1.386 if it can only guess.
    pub discriminator: f64,
    /// Of the generator: ln 2 ≈ 0.693 if the discriminator can only guess.
    pub generator: f64,
}

/// What came of a run: its `metrics.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metrics {
    /// How many it learned from.
    pub pictures: usize,
    /// The classes that can be asked for, and how many pictures of each it learned from.
    pub classes: Vec<(String, usize)>,
    /// Height and width of what is drawn.
    pub size: usize,
    /// 1 for grey, 3 for colours.
    pub channels: usize,
    /// Numbers that the discriminator learned.
    pub discriminator_parameters: usize,
    /// Numbers that the generator learned.
    pub generator_parameters: usize,
    /// Steps of each player.
    pub steps: u64,
    /// Pictures of a step.
    pub batch: usize,
    /// Time for the steps, samples and checkpoints.
    pub seconds: f64,
    /// The losses over time.
    pub losses: Vec<Point>,
}

/// What a run made.
#[derive(Debug)]
pub struct Trained {
    /// The folder with the generator and all else.
    pub out: PathBuf,
    /// How it went.
    pub metrics: Metrics,
}

/// Trains both networks and leaves the generator, samples, a film of them, a report and metrics in the folder `out`.
///
/// `command` is what the report says it was made with.
///
/// # Errors
/// Pictures that cannot be read, a size that does not fit, an output that is there already.
pub fn train(
    mut options: Options,
    out: &Path,
    command: &str,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Trained> {
    options.check()?;
    options.photos = std::path::absolute(&options.photos).map_err(Error::io("find", &options.photos))?;
    go_on(options, RunFolder::create(out, "gan train")?, command, settings, events)
}

/// Goes on with a run that was interrupted, which was to make the folder `out`.
///
/// # Errors
/// No such run, pictures that have changed, a damaged checkpoint.
pub fn resume(out: &Path, settings: &Settings, events: Events<'_>) -> Result<Trained> {
    let (folder, options, command) = RunFolder::resume(out, Options::read)?;
    go_on(options, folder, &command, settings, events)
}

fn go_on(
    options: Options,
    folder: RunFolder,
    command: &str,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Trained> {
    let began = Instant::now();
    let pictures = Pictures::read(&options, settings, &mut *events)?;
    folder.check_data("the pictures have", &pictures.fingerprint())?;
    let gan = Gan::new(options.size, pictures.channels, pictures.classes.len());
    let players = Players::new(gan, options.batch, options.seed, settings)?;
    let out = folder.out().to_path_buf();
    let metrics = Run { options, folder: &folder, command, pictures, players, settings, began }.train(events)?;
    folder.finish()?;
    Ok(Trained { out, metrics })
}
