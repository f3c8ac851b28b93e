//! What `percept bench` takes.

use super::{Output, duration};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Measure how fast a model runs here, or trains
///
/// Takes made-up pictures. GFLOP/s counts two operations for each multiply-add of a convolution or matrix product (also where a tap lies
/// in the padding) and one for each other operation on an element; a step of training counts as three passes forward.
///
/// With --profile, every step of the plan gets a row: its time, its share of the run, its GFLOP/s, that as a share of what this machine
/// computes at most, and whether arithmetic or memory bounds it. The machine is measured in the same process, with the same threads and
/// instructions.
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept bench run/model.onnx
  percept bench run/model.onnx --batch 32 --threads 1 --format json
  percept bench run/model.onnx --check --isa avx2          is it right, and how fast, with AVX2?
  percept bench run/model.onnx --profile --page where.html where does the time go?
  percept bench --network resnet18 --train --batch 32      a whole step of training")]
pub(crate) struct Bench {
    /// The model, an ONNX file
    #[arg(required_unless_present = "network", conflicts_with = "network")]
    pub(crate) model: Option<PathBuf>,
    /// Measure this network with fresh weights instead: mlp, lenet, alexnet, resnet20, resnet56, airbench94, airbench95, resnet18, resnet34,
    /// mobilenetv2 or efficientnet-lite0, 1, 2
    #[arg(long, value_name = "NAME")]
    pub(crate) network: Option<String>,
    /// Classes that the network tells apart
    #[arg(long, default_value_t = 1000, value_name = "N", conflicts_with = "model", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub(crate) classes: u32,
    /// Pictures at once [default: as many as the model fixes, else 1, with --train 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) batch: Option<u32>,
    /// How long to measure
    #[arg(long, visible_alias = "seconds", default_value = "5s", value_parser = duration, value_name = "TIME")]
    pub(crate) time: Duration,
    /// The instructions to compute with, whatever PERCEPT_ISA says [default: the best that this CPU has]
    #[arg(long, value_name = "NAME", value_parser = ["scalar", "avx2", "avx512"])]
    pub(crate) isa: Option<String>,
    /// Time whole steps of training: batch normalisation over the batch, cross-entropy, gradients, SGD with momentum
    #[arg(long)]
    pub(crate) train: bool,
    /// Compare the output for one picture with plain loops in f64 first, and fail if it differs by more than 1e-4 of its largest number
    #[arg(long)]
    pub(crate) check: bool,
    /// Time every step, and hold it against what this machine can do
    #[arg(long)]
    pub(crate) profile: bool,
    /// Write the profile as a page with charts
    #[arg(long, value_name = "FILE.html", requires = "profile")]
    pub(crate) page: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}
