//! What `percept sound` takes.

use super::Output;
use super::train::{Limit, limit};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Learn to name sounds and spoken words from recordings
#[derive(Subcommand)]
pub(crate) enum Sound {
    Train(Train),
    Predict(Predict),
}

/// Make a recogniser of sounds
///
/// RECORDINGS is a folder with a sub-folder for each class, or one of files that are named LABEL_SPEAKER_N.wav; or a tar of such a
/// folder. WAV and FLAC are read, at any rate. A sixth of every speaker's recordings are held apart, and measure the model.
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept sound train words -o run                     words/<class>/*.wav becomes run/model.onnx
  percept sound train digits.tar.gz -o digits          files named 7_jackson_12.wav and so on
  percept sound train digits.tar.gz -o jackson --leave-out jackson     how good is it on a voice it never heard?
  percept sound train --resume digits                      go on after an interruption
  percept sound train --config run/config.toml -o again    the same model again, to the bit")]
pub(crate) struct Train {
    /// The recordings: a folder, or a tar of one
    #[arg(required_unless_present_any = ["config", "resume"])]
    pub(crate) recordings: Option<PathBuf>,
    /// The folder to make, with the model, the report and all else
    #[arg(long, short, default_value = "run", value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// Time for everything, such as 90s, 5m or 1h; none for as many steps as are worth it
    #[arg(long, default_value = "5m", value_parser = limit, value_name = "TIME")]
    pub(crate) time_limit: Limit,
    /// Learn from all others, and measure on this speaker
    #[arg(long, value_name = "SPEAKER")]
    pub(crate) leave_out: Option<String>,
    /// Find the learning rate first, by a step at each of many
    #[arg(long)]
    pub(crate) find_rate: bool,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    /// Go on with a run that was interrupted: the folder that it was to make
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recordings", "out", "config", "time_limit", "leave_out", "find_rate", "seed"])]
    pub(crate) resume: Option<PathBuf>,
    /// Repeat a run exactly: the config.toml that it left
    #[arg(long, value_name = "FILE", conflicts_with_all = ["recordings", "time_limit", "leave_out", "find_rate", "seed"])]
    pub(crate) config: Option<PathBuf>,
    /// Write the learning curves to this folder while training, for TensorBoard
    #[arg(long, value_name = "FOLDER")]
    pub(crate) tensorboard: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Name what is heard in recordings
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept sound predict run/model.onnx word.wav
  percept sound predict run/model.onnx *.flac --format json | jq -r '.[].label'")]
pub(crate) struct Predict {
    /// The model: run/model.onnx of `percept sound train`
    pub(crate) model: PathBuf,
    /// Recordings: WAV or FLAC
    #[arg(required = true)]
    pub(crate) recordings: Vec<PathBuf>,
    /// How many classes to name for each
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) top: usize,
    #[command(flatten)]
    pub(crate) output: Output,
}
