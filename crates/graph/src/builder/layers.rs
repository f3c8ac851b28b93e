//! Layers that declare their own parameters.

use super::{Builder, Var};
use crate::ops::{self, Padding};
use crate::{DType, Dim, TensorType};

/// What the name of an input ends with that gives the direction of a weight's greatest singular value: see [`Builder::spectral_norm`].
pub const DIRECTION: &str = ".direction";

/// The settings that convolution and transposed convolution share.
macro_rules! settings {
    ($($op:ident)*) => {$(
        impl ops::$op {
            /// Sets the stride along both axes.
            pub fn stride(mut self, stride: usize) -> Self {
                self.strides.fill(stride);
                self
            }

            /// Pads all sides by so many.
            pub fn padding(mut self, padding: usize) -> Self {
                self.padding = Padding::Explicit(vec![padding; 2 * self.strides.len()]);
                self
            }

            /// Pads so that the output has `ceil(input / stride)` rows and columns, the odd row or column at the end.
            pub fn same_upper(mut self) -> Self {
                self.padding = Padding::SameUpper;
                self
            }

            /// Sets the distance of the kernel's taps along both axes.
            pub fn dilation(mut self, dilation: usize) -> Self {
                self.dilations.fill(dilation);
                self
            }

            /// Splits the channels into groups.
            pub fn group(mut self, group: usize) -> Self {
                self.group = group;
                self
            }
        }
    )*};
}

settings!(Conv ConvTranspose);

impl ops::ConvTranspose {
    /// Adds so many rows and columns at the end of the output.
    pub fn output_padding(mut self, added: usize) -> Self {
        self.output_padding.fill(added);
        self
    }
}

impl Builder {
    /// The parameter `name` divided by its greatest singular value, as a matrix with a row for each entry of its first axis: spectral normalisation
    /// (Miyato, Kataoka, Koyama and Yoshida, "Spectral Normalization for Generative Adversarial Networks", ICLR 2018, arXiv:1802.05957).
    ///
    /// The singular vectors enter as a further input of the parameter's shape, their outer product `u vᵀ`, whose name is the parameter's with [`DIRECTION`]
    /// behind it. So the singular value is the sum of `W ∘ u vᵀ`, and its gradient takes `u` and `v` for constants, as the paper does.
    ///
    /// ```
    /// use percept_graph::{Builder, DType, ops};
    ///
    /// let net = Builder::new("one layer");
    /// let weight = net.spectral_norm("fc.weight", [8.into(), 4.into()]);
    /// let y = net.input("x", DType::F32, ["N".into(), 8.into()]).apply(ops::MatMul {}, &[weight]);
    /// let graph = net.finish(&[("y", y)])?;
    /// assert_eq!(graph.value(graph.inputs()[0]).name, "fc.weight.direction");
    /// # Ok::<(), percept_graph::Error>(())
    /// ```
    pub fn spectral_norm(&self, name: &str, shape: impl IntoIterator<Item = Dim>) -> Var<'_> {
        let shape: Vec<Dim> = shape.into_iter().collect();
        let weight = self.parameter(name, shape.clone());
        let direction = self.input(&format!("{name}{DIRECTION}"), DType::F32, shape);
        weight / (weight * direction).apply(ops::ReduceSum { axes: None, keepdims: false }, &[])
    }
}

impl<'b> Var<'b> {
    /// Two-dimensional convolution to `channels` with a square kernel, `NAME.weight` and `NAME.bias`.
    pub fn conv(
        self,
        name: &str,
        channels: usize,
        kernel: usize,
        settings: impl FnOnce(ops::Conv) -> ops::Conv,
    ) -> Self {
        let op = settings(ops::Conv::new_2d(1, 0));
        let weight = conv_weight(channels, kernel, op.group);
        self.layer(name, op, |x| Ok(vec![weight(x)?, ("bias", vec![channels.into()])]))
    }

    /// The same without a bias, for a convolution that a batch normalisation follows.
    pub fn conv_without_bias(
        self,
        name: &str,
        channels: usize,
        kernel: usize,
        settings: impl FnOnce(ops::Conv) -> ops::Conv,
    ) -> Self {
        let op = settings(ops::Conv::new_2d(1, 0));
        let weight = conv_weight(channels, kernel, op.group);
        self.layer(name, op, |x| Ok(vec![weight(x)?]))
    }

    /// Two-dimensional transposed convolution to `channels` with a square kernel, `NAME.weight`, which is `[channels in, channels / group,
    /// kernel, kernel]`, and `NAME.bias`.
    ///
    /// ```
    /// use percept_graph::{Builder, DType};
    ///
    /// let net = Builder::new("twice");
    /// let x = net.input("x", DType::F32, ["N".into(), 64.into(), 8.into(), 8.into()]);
    /// let graph = net.finish(&[("y", x.conv_transpose("up", 32, 4, |conv| conv.stride(2).padding(1)))])?;
    /// assert_eq!(graph.value(graph.find("y")?).ty.to_string(), "f32[N, 32, 16, 16]");
    /// # Ok::<(), percept_graph::Error>(())
    /// ```
    pub fn conv_transpose(
        self,
        name: &str,
        channels: usize,
        kernel: usize,
        settings: impl FnOnce(ops::ConvTranspose) -> ops::ConvTranspose,
    ) -> Self {
        let op = settings(ops::ConvTranspose::new_2d(1, 0));
        let weight = transposed_weight(channels, kernel, op.group);
        self.layer(name, op, |x| Ok(vec![weight(x)?, ("bias", vec![channels.into()])]))
    }

    /// The same without a bias, for one that a batch normalisation follows.
    pub fn conv_transpose_without_bias(
        self,
        name: &str,
        channels: usize,
        kernel: usize,
        settings: impl FnOnce(ops::ConvTranspose) -> ops::ConvTranspose,
    ) -> Self {
        let op = settings(ops::ConvTranspose::new_2d(1, 0));
        let weight = transposed_weight(channels, kernel, op.group);
        self.layer(name, op, |x| Ok(vec![weight(x)?]))
    }

    /// Batch normalisation with `NAME.weight`, `NAME.bias`, `NAME.running_mean` and `NAME.running_var`.
    pub fn batch_norm(self, name: &str, epsilon: f32) -> Self {
        self.layer(name, ops::BatchNormalization::new(epsilon), |x| {
            let channels = vec![axis_size(x, 1)?];
            Ok(["weight", "bias", "running_mean", "running_var"].map(|suffix| (suffix, channels.clone())).to_vec())
        })
    }

    /// Layer normalisation over the last axis, with `NAME.weight` and `NAME.bias`.
    pub fn layer_norm(self, name: &str, epsilon: f32) -> Self {
        self.layer(name, ops::LayerNormalization { axis: -1, epsilon }, |x| {
            let features = vec![x.shape.last().cloned().ok_or("a number has no axis to normalise")?];
            Ok(vec![("weight", features.clone()), ("bias", features)])
        })
    }

    /// Fully connected layer: `x · NAME.weightᵀ + NAME.bias`, the weight being `[features out, features in]`.
    pub fn linear(self, name: &str, features: usize) -> Self {
        let op = ops::Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
        self.layer(name, op, |x| {
            Ok(vec![("weight", vec![features.into(), axis_size(x, 1)?]), ("bias", vec![features.into()])])
        })
    }

    /// For each of these integers a row of the table `NAME.weight`, which is `[entries, features]`.
    ///
    /// # Shapes
    /// `[N, T]` becomes `[N, T, features]`, and so on for any number of axes. An integer that names no entry is an error of the run.
    ///
    /// ```
    /// use percept_graph::{Builder, DType};
    ///
    /// let net = Builder::new("words");
    /// let words = net.input("words", DType::I64, ["N".into(), "T".into()]);
    /// let graph = net.finish(&[("vectors", words.embedding("embed", 1000, 16))])?;
    /// assert_eq!(graph.value(graph.find("vectors")?).ty.to_string(), "f32[N, T, 16]");
    /// # Ok::<(), percept_graph::Error>(())
    /// ```
    pub fn embedding(self, name: &str, entries: usize, features: usize) -> Self {
        self.builder.var(|graph| {
            let ty = TensorType::new(DType::F32, [entries.into(), features.into()]);
            let table = graph.add_parameter(&format!("{name}.weight"), ty)?;
            let inputs = vec![Some(table), Some(self.id)];
            Ok(graph.add_node(name, ops::Gather { axis: 0 }.into(), inputs, &[])?[0])
        })
    }
}

pub(super) fn axis_size(x: &TensorType, axis: usize) -> Result<Dim, String> {
    x.shape.get(axis).cloned().ok_or_else(|| format!("the input has no axis {axis}"))
}

fn conv_weight(
    channels: usize,
    kernel: usize,
    group: usize,
) -> impl FnOnce(&TensorType) -> Result<(&'static str, Vec<Dim>), String> {
    move |x| {
        let incoming = axis_size(x, 1)?;
        let per_group =
            incoming.exact_div(&group.into()).ok_or(format!("{incoming} channels are not {group} groups"))?;
        Ok(("weight", vec![channels.into(), per_group, kernel.into(), kernel.into()]))
    }
}

fn transposed_weight(
    channels: usize,
    kernel: usize,
    group: usize,
) -> impl FnOnce(&TensorType) -> Result<(&'static str, Vec<Dim>), String> {
    move |x| {
        let per_group = channels.checked_div(group).filter(|n| n * group == channels);
        let per_group = per_group.ok_or(format!("{channels} channels are not {group} groups"))?;
        Ok(("weight", vec![axis_size(x, 1)?, per_group.into(), kernel.into(), kernel.into()]))
    }
}
