//! `percept text` on the command line.

use super::Output;
use super::train::{Limit, limit};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Learn from text: to write on, or to label sentences
#[derive(Subcommand)]
pub(crate) enum Text {
    Train(TextTrain),
    Sample(TextSample),
    Predict(TextPredict),
}

/// Learn to write as a text is written, or to label sentences
///
/// A text is learned character by character. Its last tenth is not learned from; how well the model expects it is its measure, in nats for
/// a character.
///
/// A file whose lines begin with a label, such as "1 a fine film", becomes a classifier of sentences, measured on those that it did not learn
/// from.
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept text train shakespeare.txt                        a quarter of an hour, results in run/
  percept text train logs.txt -o logs --time-limit 3m
  percept text train shakespeare.txt --steps 2000 --seed 1  the same model each time, to the bit
  percept text train reviews.txt --folds 10                 lines such as: 1 a fine film
  percept text train questions.txt --test others.txt --find-rate
  percept text train --resume logs                          go on after an interruption
  percept text train --config logs/config.toml -o again     the same model again, to the bit")]
pub(crate) struct TextTrain {
    /// The text: UTF-8, or else Latin-1
    #[arg(required_unless_present_any = ["config", "resume"])]
    pub(crate) file: Option<PathBuf>,
    /// The folder to make, with the model, the report and all else
    #[arg(long, short, default_value = "run", value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// Whether lines begin with a label
    #[arg(long, default_value = "auto", value_name = "WHERE")]
    pub(crate) labels: Labels,
    /// Measure a classifier in so many folds, each of which is held out once [default: a tenth is held out]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub(crate) folds: Option<u32>,
    /// Measure a classifier on this file of labelled lines
    #[arg(long, value_name = "FILE", conflicts_with = "folds")]
    pub(crate) test: Option<PathBuf>,
    /// Time for everything, such as 90s, 5m or 1h; none for as many times through the text as are worth it
    #[arg(long, default_value = "15m", value_parser = limit, value_name = "TIME")]
    pub(crate) time_limit: Limit,
    /// Go so many times through the sentences of a classifier, whatever time that is
    #[arg(long, value_name = "N", conflicts_with = "time_limit", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) epochs: Option<u64>,
    /// Take so many steps with a model of characters, whatever time that is
    #[arg(long, value_name = "N", conflicts_with = "time_limit", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: Option<u64>,
    /// Units of a layer of a model of characters
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) hidden: u32,
    /// Layers of a model of characters
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) layers: u32,
    /// Find the learning rate first, by a step at each of many
    #[arg(long)]
    pub(crate) find_rate: bool,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    /// Go on with a run that was interrupted: the folder that it was to make
    #[arg(long, value_name = "RUN", conflicts_with_all = ["file", "out", "config", "labels", "folds", "test", "time_limit", "epochs", "steps", "hidden", "layers", "find_rate", "seed"])]
    pub(crate) resume: Option<PathBuf>,
    /// Repeat a run exactly: the config.toml that it left
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "labels", "folds", "test", "time_limit", "epochs", "steps", "hidden", "layers", "find_rate", "seed"])]
    pub(crate) config: Option<PathBuf>,
    /// Write the learning curves to this folder while training, for TensorBoard
    #[arg(long, value_name = "FOLDER")]
    pub(crate) tensorboard: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Labels {
    /// If all lines have two words or more, and the first is one of a few
    Auto,
    /// The first word is the label
    First,
    /// It is a text without labels
    None,
}

/// Label sentences
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept text predict run/model.onnx 'a fine film' 'what a bore'
  percept text predict run/model.onnx 'Who wrote it ?' --format json | jq '.[0].classes[0].label'")]
pub(crate) struct TextPredict {
    /// The model: of `percept text train` on labelled lines
    pub(crate) model: PathBuf,
    /// The sentences
    #[arg(required = true)]
    pub(crate) sentences: Vec<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Write on, to standard output
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept text sample run/model.onnx
  percept text sample run/model.onnx --prompt 'ROMEO:' --temperature 0.5 --length 1000
  percept text sample run/model.onnx --seed 7       another text; the same each time")]
pub(crate) struct TextSample {
    /// The model: of `percept text train`
    pub(crate) model: PathBuf,
    /// What the text begins with
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) prompt: String,
    /// Below 1 for the probable, above for the odd; 0 for the most probable character each time
    #[arg(long, default_value_t = 0.8, value_name = "T")]
    pub(crate) temperature: f64,
    /// Characters to write
    #[arg(long, default_value_t = 500, value_name = "N")]
    pub(crate) length: usize,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
}
