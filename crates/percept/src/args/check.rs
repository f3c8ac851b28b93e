//! What `percept check` takes.

use super::Output;
use clap::Args;
use std::path::PathBuf;

/// Find what is wrong with photos: copies, damage, wrong labels
///
/// Nothing is changed. Looks for files that cannot be read, blank and tiny pictures, exact and near copies (in two classes, one of the labels
/// is wrong; in two parts, the accuracy flatters), labels that are probably wrong, classes that cannot be told apart, bursts and imbalance.
/// Leaves a page with the pictures, and for a folder of class folders a plan of moves and exclusions to go through.
///
/// With --fix, such a plan is applied: pictures are moved to other class folders, or out of the folder to one beside it that ends with
/// .excluded. A plan that takes all of it back is written first. Labels in a CSV file are corrected in that file, by hand.
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept check photos                               a table, and percept-check/report.html to look at
  percept check photos --format json | jq '.suspects[:20]'
  percept check photos --pixels-only                 copies and damage alone: quick, needs no pretrained network
  percept check --fix percept-check/plan.csv         after going through its lines
  percept check --fix percept-check/plan-undo.csv    take it back")]
pub(crate) struct Check {
    /// The photos: as for train
    #[arg(required_unless_present = "fix")]
    pub(crate) photos: Option<PathBuf>,
    /// The folder to make [default: percept-check, or the next free name like it]
    #[arg(long, short, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// The pretrained network that labels are judged by: a name from `percept backbone list`, or an ONNX file
    #[arg(long, default_value = "efficientnet-lite0", value_name = "NAME|FILE", conflicts_with = "pixels_only")]
    pub(crate) backbone: String,
    /// Look at pixels alone, not at labels
    #[arg(long)]
    pub(crate) pixels_only: bool,
    /// Apply a plan that you have gone through
    #[arg(long, value_name = "PLAN.csv", conflicts_with_all = ["photos", "out", "backbone", "pixels_only"])]
    pub(crate) fix: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}
