//! What `percept add` takes.

use super::Output;
use clap::Args;
use std::path::PathBuf;

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
