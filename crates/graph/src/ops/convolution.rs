//! Convolution, and its transpose.

use super::window::{MAX_EXTENT, Padding, Steps, Window, read_window, write_window};
use super::{Inferred, Operator, arity, expect_float};
use crate::onnx::{NodeReader, NodeWriter};
use crate::{Dim, TensorType};

/// Convolution of `x[N, C, spatial…]` with `weight[M, C/group, kernel…]` and an optional `bias[M]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Steps of the window along each spatial axis.
    pub strides: Vec<usize>,
    /// Distance of the kernel's taps along each spatial axis.
    pub dilations: Vec<usize>,
    /// What is added around the input.
    pub padding: Padding,
    /// Channels are split into so many groups that do not see each other; `C` groups is a depthwise convolution.
    pub group: usize,
}

impl Conv {
    /// A two-dimensional convolution with these strides and pads on all sides, undilated, in one group.
    pub fn new_2d(stride: usize, padding: usize) -> Self {
        Self { strides: vec![stride; 2], dilations: vec![1; 2], padding: Padding::Explicit(vec![padding; 4]), group: 1 }
    }

    /// How the window slides.
    pub fn steps(&self) -> Steps<'_> {
        (&self.strides, &self.dilations, &self.padding)
    }
}

impl Operator for Conv {
    const NAME: &'static str = "Conv";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let [Some(x), Some(weight), bias] = arity(inputs, 2)? else { return Err("takes 2 to 3 inputs".into()) };
        expect_float(x)?;
        if weight.dtype != x.dtype || bias.is_some_and(|bias| bias.dtype != x.dtype) {
            return Err("input, weight and bias have different element types".into());
        }
        if x.rank() < 3 || weight.rank() != x.rank() {
            return Err("input and weight need the same number of axes, at least 3".into());
        }
        let weight_sizes: Vec<usize> = weight
            .shape
            .iter()
            .map(|dim| dim.as_const().and_then(|size| usize::try_from(size).ok()))
            .collect::<Option<_>>()
            .ok_or("the weight's shape must be known")?;
        let (out_channels, in_channels) = (weight_sizes[0], weight_sizes[1]);
        if self.group == 0 || !out_channels.is_multiple_of(self.group) {
            return Err(format!("{} groups do not divide {out_channels} output channels", self.group));
        }
        if x.shape[1] != Dim::from(in_channels) * Dim::from(self.group) {
            let group = self.group;
            return Err(format!("{} channels come in, {in_channels} × {group} groups are expected", x.shape[1]));
        }
        if bias.is_some_and(|bias| bias.shape != [out_channels.into()]) {
            return Err(format!("the bias must be [{out_channels}]"));
        }
        let window = Window {
            kernel: &weight_sizes[2..],
            strides: &self.strides,
            dilations: &self.dilations,
            padding: &self.padding,
            ceil_mode: false,
        };
        let mut shape = vec![x.shape[0].clone(), out_channels.into()];
        shape.extend(window.output(&x.shape[2..])?);
        Ok(vec![TensorType::new(x.dtype, shape)])
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        let rank = node.input_type(1)?.rank().saturating_sub(2);
        let (strides, dilations, padding) = read_window(node, rank)?;
        let group = node.int("group")?.unwrap_or(1);
        let group = usize::try_from(group).map_err(|_| format!("group {group} is negative"))?;
        node.ignore("kernel_shape");
        Ok(Self { strides, dilations, padding, group })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        write_window(node, &self.strides, &self.dilations, &self.padding);
        node.int("group", self.group as i64);
        Ok(())
    }
}

/// Transposed convolution of `x[N, C, spatial…]` with `weight[C, M/group, kernel…]` and an optional `bias[M]`: what the gradient of a
/// convolution with the same weight, strides, dilations and pads is to its input.
///
/// Where pads are left to the operator, an output is `input · stride`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvTranspose {
    /// Distance in the output of neighbours of the input, along each spatial axis.
    pub strides: Vec<usize>,
    /// Distance of the kernel's taps along each spatial axis.
    pub dilations: Vec<usize>,
    /// What is cut off around the output.
    pub padding: Padding,
    /// Channels are split into so many groups that do not see each other.
    pub group: usize,
    /// Entries added at the end of each spatial axis of the output, fewer than its stride.
    pub output_padding: Vec<usize>,
    /// The spatial shape of the output, from which the pads follow, instead of the other way round.
    pub output_shape: Option<Vec<usize>>,
}

impl ConvTranspose {
    /// A two-dimensional one with these strides and pads on all sides, undilated, in one group.
    pub fn new_2d(stride: usize, padding: usize) -> Self {
        let Conv { strides, dilations, padding, group } = Conv::new_2d(stride, padding);
        Self { strides, dilations, padding, group, output_padding: vec![0; 2], output_shape: None }
    }

    /// The convolution from output to input, its pads explicit, for the input's spatial shape and that of the kernel; and the output's.
    pub fn conv(&self, input: &[Dim], kernel: &[usize]) -> Result<(Conv, Vec<Dim>), String> {
        let rank = input.len();
        let lists = [kernel.len(), self.strides.len(), self.dilations.len(), self.output_padding.len()];
        let pads_fit = !matches!(&self.padding, Padding::Explicit(pads) if pads.len() != 2 * rank);
        if lists != [rank; 4] || !pads_fit || self.output_shape.as_ref().is_some_and(|shape| shape.len() != rank) {
            return Err(format!("kernel, strides, dilations, pads and output padding do not all cover {rank} axes"));
        }
        let (mut pads, mut output) = (vec![0; 2 * rank], Vec::with_capacity(rank));
        for axis in 0..rank {
            let (stride, dilation, added) = (self.strides[axis], self.dilations[axis], self.output_padding[axis]);
            if [stride, dilation, kernel[axis]].iter().any(|&n| n == 0 || n > MAX_EXTENT) || added >= stride {
                return Err(format!(
                    "output padding {added} must be less than stride {stride}, and all sizes positive"
                ));
            }
            let (stride, extent) = (stride as i64, ((kernel[axis] - 1) * dilation + 1) as i64);
            let whole = (input[axis].clone() - 1) * stride + (extent + added as i64);
            let wished = match (&self.output_shape, &self.padding) {
                (Some(shape), _) => Dim::from(shape[axis]),
                (None, Padding::Explicit(given)) => {
                    (pads[axis], pads[axis + rank]) = (given[axis], given[axis + rank]);
                    if given.iter().any(|&pad| pad > MAX_EXTENT) {
                        return Err("a pad is far too large".into());
                    }
                    output.push(whole - (pads[axis] + pads[axis + rank]) as i64);
                    continue;
                }
                _ => input[axis].clone() * stride,
            };
            let total = (whole.clone() - wished.clone()).as_const();
            let total = total.ok_or(format!("the size {} must be known for an output of {wished}", input[axis]))?;
            if total <= added as i64 - stride || total > MAX_EXTENT as i64 {
                return Err(format!("an output of {wished} cannot be made of {} by stride {stride}", input[axis]));
            }
            let total = total.max(0) as usize;
            let begin = if self.padding == Padding::SameUpper { total / 2 } else { total.div_ceil(2) };
            (pads[axis], pads[axis + rank]) = (begin, total - begin);
            output.push(wished);
        }
        if let Some(size) = output.iter().find(|size| size.as_const().is_some_and(|size| size <= 0)) {
            return Err(format!("pads leave an output of size {size}"));
        }
        let padding = Padding::Explicit(pads);
        let (strides, dilations) = (self.strides.clone(), self.dilations.clone());
        Ok((Conv { strides, dilations, padding, group: self.group }, output))
    }
}

impl Operator for ConvTranspose {
    const NAME: &'static str = "ConvTranspose";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let [Some(x), Some(weight), bias] = arity(inputs, 2)? else { return Err("takes 2 to 3 inputs".into()) };
        expect_float(x)?;
        if weight.dtype != x.dtype || bias.is_some_and(|bias| bias.dtype != x.dtype) {
            return Err("input, weight and bias have different element types".into());
        }
        if x.rank() < 3 || weight.rank() != x.rank() {
            return Err("input and weight need the same number of axes, at least 3".into());
        }
        let sizes = weight.concrete().map_err(|_| "the weight's shape must be known")?;
        let (channels, per_group) = (sizes[0], sizes[1]);
        if x.shape[1] != channels.into() || self.group == 0 || !channels.is_multiple_of(self.group) {
            return Err(format!("{} channels come in, {channels} in {} groups are expected", x.shape[1], self.group));
        }
        let outputs = per_group.checked_mul(self.group).ok_or("has too many channels")?;
        if bias.is_some_and(|bias| bias.shape != [outputs.into()]) {
            return Err(format!("the bias must be [{outputs}]"));
        }
        let mut shape = vec![x.shape[0].clone(), outputs.into()];
        shape.extend(self.conv(&x.shape[2..], &sizes[2..])?.1);
        Ok(vec![TensorType::new(x.dtype, shape)])
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        let Conv { strides, dilations, padding, group } = Conv::read(node)?;
        let output_padding = node.sizes("output_padding")?.unwrap_or_else(|| vec![0; strides.len()]);
        let output_shape = node.sizes("output_shape")?;
        Ok(Self { strides, dilations, padding, group, output_padding, output_shape })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        write_window(node, &self.strides, &self.dilations, &self.padding);
        node.int("group", self.group as i64);
        node.sizes("output_padding", &self.output_padding);
        if let Some(shape) = &self.output_shape {
            node.sizes("output_shape", shape);
        }
        Ok(())
    }
}
