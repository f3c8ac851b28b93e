//! Convolution.

use super::window::{Padding, Steps, Window, read_window, write_window};
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
