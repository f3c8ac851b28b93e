//! `percept explain` on the command line.

use super::{Model, Output};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Show which part of a picture an answer comes from
///
/// Writes the picture with a heat map over it for each method: the brighter a place, the more it speaks for the answer. What the
/// network does not get to see is dark. Places that both methods show are where the answer does come from.
#[derive(Args)]
#[command(after_help = "\
Examples:
  percept explain run/model.onnx photo.jpg -o heat.png
  percept explain run/model.onnx photo.jpg --class pear        what looks like a pear to it?
  percept explain resnet18.onnx cat.png --labels labels.txt --method grad-cam
  percept explain run/model.onnx photo.jpg --format json | jq '.grad_cam.maximum'")]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) model: Model,
    /// The picture
    pub(crate) picture: PathBuf,
    /// The picture to make, .png or .jpg: the photo, then Grad-CAM, then occlusion [default: heat.png, or none with --format json]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// The class to look for, by name or number [default: the most probable one]
    #[arg(long, value_name = "NAME")]
    pub(crate) class: Option<String>,
    /// How to find out
    #[arg(long, default_value = "both", value_name = "METHOD")]
    pub(crate) method: Method,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Method {
    /// The network's last feature map, weighted by gradients: quick, but coarse
    GradCam,
    /// Cover one place after the other: for any network
    Occlusion,
    /// One beside the other
    Both,
}
