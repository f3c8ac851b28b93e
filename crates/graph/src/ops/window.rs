//! What convolution and pooling share: a window that moves over the spatial axes.

use crate::Dim;
use crate::onnx::{NodeReader, NodeWriter};

/// How much is added around the spatial axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Padding {
    /// So many at the beginning of each axis, then so many at the end of each.
    Explicit(Vec<usize>),
    /// As much as makes the output `ceil(input / stride)`, the odd one at the end (ONNX `SAME_UPPER`, TensorFlow's "same").
    SameUpper,
    /// The same, the odd one at the beginning (ONNX `SAME_LOWER`).
    SameLower,
}

/// How a window slides: strides, dilations and padding.
pub type Steps<'a> = (&'a [usize], &'a [usize], &'a Padding);

/// A window over `kernel.len()` spatial axes.
pub(super) struct Window<'a> {
    pub(super) kernel: &'a [usize],
    pub(super) strides: &'a [usize],
    pub(super) dilations: &'a [usize],
    pub(super) padding: &'a Padding,
    pub(super) ceil_mode: bool,
}

/// Sizes beyond this in an attribute are a mistake or an attack; below it no sum overflows.
pub(super) const MAX_EXTENT: usize = 1 << 24;

impl Window<'_> {
    /// The spatial shape of the output for that of the input.
    pub(super) fn output(&self, input: &[Dim]) -> Result<Vec<Dim>, String> {
        let rank = input.len();
        let lengths = [self.kernel.len(), self.strides.len(), self.dilations.len()];
        let pads_fit = !matches!(self.padding, Padding::Explicit(pads) if pads.len() != 2 * rank);
        if lengths != [rank; 3] || !pads_fit {
            return Err(format!("kernel, strides, dilations and pads do not all cover the {rank} spatial axes"));
        }
        let all = self.kernel.iter().chain(self.strides).chain(self.dilations);
        if all.clone().any(|&x| x == 0) || all.chain(self.pads()).any(|&x| x > MAX_EXTENT) {
            return Err("a kernel, stride or dilation is zero, or one of them or a pad is far too large".into());
        }
        (0..rank).map(|axis| self.output_size(&input[axis], axis)).collect()
    }

    fn pads(&self) -> &[usize] {
        match self.padding {
            Padding::Explicit(pads) => pads,
            Padding::SameUpper | Padding::SameLower => &[],
        }
    }

    fn output_size(&self, input: &Dim, axis: usize) -> Result<Dim, String> {
        let stride = self.strides[axis] as i64;
        let Padding::Explicit(pads) = self.padding else {
            return Ok((input.clone() + (stride - 1)).floor_div(stride));
        };
        let (begin, end) = (pads[axis] as i64, pads[axis + self.kernel.len()] as i64);
        let extent = (self.kernel[axis] as i64 - 1) * self.dilations[axis] as i64 + 1;
        let room = input.clone() + (begin + end - extent);
        if room.as_const().is_some_and(|room| room < 0) {
            return Err(format!("a window of {extent} does not fit into {input} padded by {begin} and {end}"));
        }
        if !self.ceil_mode {
            return Ok(room.floor_div(stride) + 1);
        }
        let Some(room) = room.as_const() else {
            return Err(format!("with ceil_mode the size {input} must be known: bind its symbols first"));
        };
        let outputs = (room + stride - 1) / stride + 1;
        // A window that would start in the padding at the end is left out.
        let starts_inside = (outputs - 1) * stride < room - end + extent;
        Ok(if starts_inside { outputs } else { outputs - 1 }.into())
    }
}

impl Padding {
    /// The pads for these input sizes, kernel, strides and dilations: the begin of each axis, then the end of each.
    ///
    /// Shapes must have been inferred already, so that the window fits.
    ///
    /// ```
    /// use percept_graph::ops::Padding;
    ///
    /// assert_eq!(Padding::SameUpper.resolve(&[224], &[3], &[2], &[1]), [0, 1]);
    /// assert_eq!(Padding::SameLower.resolve(&[224], &[3], &[2], &[1]), [1, 0]);
    /// ```
    pub fn resolve(&self, input: &[usize], kernel: &[usize], strides: &[usize], dilations: &[usize]) -> Vec<usize> {
        if let Self::Explicit(pads) = self {
            return pads.clone();
        }
        let totals = (0..input.len()).map(|i| {
            let extent = (kernel[i] - 1) * dilations[i] + 1;
            let covered = (input[i].div_ceil(strides[i]).max(1) - 1) * strides[i] + extent;
            covered.saturating_sub(input[i])
        });
        let smaller = totals.clone().map(|total| total / 2);
        let larger = totals.map(|total| total.div_ceil(2));
        match self {
            Self::SameLower => larger.chain(smaller).collect(),
            _ => smaller.chain(larger).collect(),
        }
    }
}

/// Strides, dilations and padding of a node with `rank` spatial axes.
pub(super) fn read_window(node: &NodeReader<'_>, rank: usize) -> Result<(Vec<usize>, Vec<usize>, Padding), String> {
    let ones = || vec![1; rank];
    let strides = node.sizes("strides")?.unwrap_or_else(ones);
    let dilations = node.sizes("dilations")?.unwrap_or_else(ones);
    let pads = node.sizes("pads")?.unwrap_or_else(|| vec![0; 2 * rank]);
    let padding = match node.string("auto_pad", "NOTSET")?.as_str() {
        "NOTSET" => Padding::Explicit(pads),
        "VALID" => Padding::Explicit(vec![0; 2 * rank]),
        "SAME_UPPER" => Padding::SameUpper,
        "SAME_LOWER" => Padding::SameLower,
        other => return Err(format!("auto_pad {other} is not known")),
    };
    Ok((strides, dilations, padding))
}

pub(super) fn write_window(node: &mut NodeWriter<'_>, strides: &[usize], dilations: &[usize], padding: &Padding) {
    node.sizes("strides", strides);
    if !dilations.is_empty() {
        node.sizes("dilations", dilations);
    }
    match padding {
        Padding::Explicit(pads) => node.sizes("pads", pads),
        Padding::SameUpper => node.string("auto_pad", "SAME_UPPER"),
        Padding::SameLower => node.string("auto_pad", "SAME_LOWER"),
    }
}
