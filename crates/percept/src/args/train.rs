//! What `percept train` takes.

use super::{Output, duration};
use clap::Args;
use std::path::PathBuf;

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
  percept train cifar10 --network resnet20 --from-scratch --time-limit 20m
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
    #[arg(long, value_name = "PICTURES", conflicts_with = "targets")]
    pub(crate) unknown: Option<PathBuf>,
    /// The pretrained network: a name from `percept backbone list`, or an ONNX file
    #[arg(long, default_value = "efficientnet-lite0", value_name = "NAME|FILE")]
    pub(crate) backbone: String,
    /// Train this network instead, from zero: mlp, lenet, alexnet, resnet20, resnet56, airbench94, airbench95, resnet18, resnet34,
    /// mobilenetv2 or efficientnet-lite0, 1, 2
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

/// Seconds for a run; absent for as long as it gets better.
#[derive(Clone, Copy)]
pub(crate) struct Limit(pub(crate) Option<u64>);

pub(super) fn limit(text: &str) -> Result<Limit, String> {
    if text == "none" { Ok(Limit(None)) } else { duration(text).map(|time| Limit(Some(time.as_secs().max(1)))) }
}
