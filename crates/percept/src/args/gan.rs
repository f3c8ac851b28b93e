//! What `percept gan` takes.

use super::{Output, duration};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Learn from pictures how to draw such pictures
#[derive(Subcommand)]
pub(crate) enum Gan {
    Train(GanTrain),
    Sample(GanSample),
}

/// Train a generator and a discriminator against each other
///
/// Leaves generator.onnx, samples.png, film.png with a row of samples from the same noise for each of ten times, and metrics.json.
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept gan train mnist --size 28                 ten minutes, results in gan/
  percept gan train faces.tar -o faces --size 64 --time-limit 2h
  percept gan train flowers --steps 2000 --seed 3   the same steps on any machine
  percept gan train --resume faces                  go on after an interruption")]
pub(crate) struct GanTrain {
    /// The pictures: a folder, a tar or an IDX file; they need no labels
    #[arg(required_unless_present = "resume")]
    pub(crate) photos: Option<PathBuf>,
    /// The folder to make
    #[arg(long, short, default_value = "gan", value_name = "RUN")]
    pub(crate) out: PathBuf,
    /// Time for everything, such as 90s, 10m or 1h
    #[arg(long, default_value = "10m", value_parser = duration, value_name = "TIME")]
    pub(crate) time_limit: Duration,
    /// Steps of each player, in place of as many as there is time for
    #[arg(long, value_name = "N", conflicts_with = "time_limit", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: Option<u64>,
    /// Height and width of the pictures: 4 to 7 doubled, such as 28, 32, 48 or 64
    #[arg(long, default_value_t = 32, value_name = "PIXELS")]
    pub(crate) size: usize,
    /// Pictures of a step
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub(crate) batch: u16,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    /// Go on with a run that was interrupted: the folder that it was to make
    #[arg(long, value_name = "RUN", conflicts_with_all = ["photos", "out", "time_limit", "steps", "size", "batch", "seed"])]
    pub(crate) resume: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Draw pictures with a generator
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept gan sample gan/generator.onnx
  percept gan sample gan/generator.onnx -n 100 --seed 7 -o hundred.png")]
pub(crate) struct GanSample {
    /// The generator: the generator.onnx of a run
    pub(crate) model: PathBuf,
    /// How many pictures
    #[arg(short, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) n: u16,
    /// Seed of the noise that they are drawn from
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    /// The sheet to make
    #[arg(long, short, default_value = "samples.png", value_name = "FILE.png")]
    pub(crate) out: PathBuf,
}
