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
/// Leaves generator.onnx, samples.png, film.png with a row of samples from the same noise for each of ten times, report.html, a model card, metrics.json
/// and config.toml. If the pictures come in classes, as for `percept train`, the generator draws the class that it is asked for.
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept gan train mnist --size 28                 ten minutes, results in gan/
  percept gan train faces.tar -o faces --size 64 --time-limit 2h
  percept gan train flowers --steps 2000 --seed 3   the same steps on any machine
  percept gan train holidays --no-classes           its sub-folders are no kinds of pictures
  percept gan train --resume faces                  go on after an interruption
  percept gan train --config faces/config.toml -o again   the same generator again, to the bit")]
pub(crate) struct GanTrain {
    /// The pictures: a folder, a tar or an IDX file, or a CSV file of image,label; they need no classes
    #[arg(required_unless_present_any = ["config", "resume"])]
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
    /// Learn all pictures as one kind, whatever folders they lie in
    #[arg(long)]
    pub(crate) no_classes: bool,
    /// Pictures of a step
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub(crate) batch: u16,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    /// Go on with a run that was interrupted: the folder that it was to make
    #[arg(long, value_name = "RUN", conflicts_with_all = ["photos", "out", "config", "time_limit", "steps", "size", "no_classes", "batch", "seed"])]
    pub(crate) resume: Option<PathBuf>,
    /// Repeat a run exactly: the config.toml that it left
    #[arg(long, value_name = "FILE", conflicts_with_all = ["photos", "time_limit", "steps", "size", "no_classes", "batch", "seed"])]
    pub(crate) config: Option<PathBuf>,
    /// Write the losses to this folder while training, for TensorBoard
    #[arg(long, value_name = "FOLDER")]
    pub(crate) tensorboard: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Draw pictures with a generator
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept gan sample gan                               a sheet of pictures, samples.png
  percept gan sample gan -n 100 --seed 7 -o hundred.png
  percept gan sample digits --class 7 -n 9 -o sevens.png
  percept gan sample digits -n 2000 -o drawn           single pictures, a folder for each class")]
pub(crate) struct GanSample {
    /// The generator: a run, or its generator.onnx
    pub(crate) model: PathBuf,
    /// How many pictures; as many as samples.png of a run unless it is said
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) n: Option<u16>,
    /// Draw this class, in place of all in turn
    #[arg(long, value_name = "NAME")]
    pub(crate) class: Option<String>,
    /// Seed of the noise that they are drawn from
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    /// What to make: a sheet if its name ends with .png, else a folder of single pictures
    #[arg(long, short, default_value = "samples.png", value_name = "FILE.png|FOLDER")]
    pub(crate) out: PathBuf,
}
