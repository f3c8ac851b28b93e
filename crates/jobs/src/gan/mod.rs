//! `percept gan`: two networks that learn from pictures how to draw such pictures.
//!
//! The networks are `percept_models::gan`'s. A run works in `OUT.part`, which gets its name when all is there; its `config.toml` and its
//! checkpoint are enough to go on from, with the same bits.

mod pictures;
mod players;
mod run;
mod sample;

pub use sample::{Generator, sample};

use crate::event::Events;
use crate::output::absent;
use crate::{Error, Result};
use percept_engine::Settings;
use percept_graph::write_file;
use percept_models::gan::Dcgan;
use pictures::Pictures;
use players::Players;
use run::{CHECKPOINT, Run};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The largest side of a picture.
const LARGEST: usize = 256;

/// What a run is to learn from, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The pictures: a folder, a tar or an IDX file.
    pub photos: PathBuf,
    /// Height and width of the pictures.
    pub size: usize,
    /// Pictures of a step.
    pub batch: usize,
    /// Seconds for everything, if `steps` does not decide.
    pub time_limit: u64,
    /// Steps of each player, in place of as many as there is time for.
    pub steps: Option<u64>,
    /// Seed of everything that is drawn.
    pub seed: u64,
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

/// Trains both networks and leaves the generator, samples, a film of them and metrics in the folder `out`.
///
/// # Errors
/// Pictures that cannot be read, a size that does not fit, an output that is there already.
pub fn train(mut options: Options, out: &Path, settings: &Settings, events: Events<'_>) -> Result<Metrics> {
    let began = Instant::now();
    absent(out)?;
    let part = part_of(out)?;
    if part.symlink_metadata().is_ok() {
        let (part, out) = (part.display(), out.display());
        let text = format!("{part} is an unfinished run: go on with `percept gan train --resume {out}`, or remove it");
        return Err(Error::Setting(text));
    }
    check(&options)?;
    options.photos = std::path::absolute(&options.photos).map_err(Error::io("find", &options.photos))?;
    let pictures = Pictures::read(&options.photos, options.size, settings, &mut *events)?;
    let config = toml::to_string(&options).map_err(|e| Error::Setting(format!("the settings: {e}")))?;
    std::fs::create_dir_all(&part).map_err(Error::io("create", &part))?;
    let path = part.join("config.toml");
    write_file(&path, config.as_bytes()).map_err(Error::io("write", &path))?;
    go_on(&options, pictures, out, began, settings, events)
}

/// Goes on with a run that was interrupted, which was to make the folder `out`.
///
/// # Errors
/// No such run, pictures that have changed, a damaged checkpoint.
pub fn resume(out: &Path, settings: &Settings, events: Events<'_>) -> Result<Metrics> {
    let began = Instant::now();
    let path = part_of(out)?.join("config.toml");
    let text = std::fs::read_to_string(&path)
        .map_err(|e| Error::Setting(format!("there is no unfinished run {}: {e}", out.display())))?;
    let options: Options = toml::from_str(&text).map_err(|e| Error::Setting(format!("{}: {e}", path.display())))?;
    check(&options)?;
    let pictures = Pictures::read(&options.photos, options.size, settings, &mut *events)?;
    go_on(&options, pictures, out, began, settings, events)
}

fn go_on(
    options: &Options,
    pictures: Pictures,
    out: &Path,
    began: Instant,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Metrics> {
    let folder = part_of(out)?;
    let players = Players::new(Dcgan::new(options.size, pictures.channels), options.batch, options.seed, settings)?;
    let metrics = Run { options, folder: &folder, pictures, players, settings, began }.train(events)?;
    absent(out)?;
    std::fs::rename(&folder, out).map_err(Error::io("create", out))?;
    let checkpoint = out.join(CHECKPOINT);
    std::fs::remove_file(&checkpoint).map_err(Error::io("remove", &checkpoint))?;
    Ok(metrics)
}

/// Fails before anything is read if the networks do not fit the settings.
fn check(options: &Options) -> Result<()> {
    if options.size > LARGEST {
        return Err(Error::Setting(format!("pictures of {} pixels are too large: at most {LARGEST}", options.size)));
    }
    if options.batch < 2 || options.steps == Some(0) {
        return Err(Error::Setting("a run has at least one step of two pictures".into()));
    }
    Dcgan::new(options.size, 1).generator()?;
    Ok(())
}

fn part_of(out: &Path) -> Result<PathBuf> {
    let name = out.file_name().ok_or_else(|| Error::Setting(format!("{} is no name for a folder", out.display())))?;
    let mut name = name.to_os_string();
    name.push(".part");
    Ok(out.with_file_name(name))
}
