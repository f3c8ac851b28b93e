//! Writing networks down: values that know the graph they belong to, and layers that declare their own parameters.
//!
//! Parameters are called `LAYER.weight`, `LAYER.bias` and so on, as PyTorch calls them. A mistake does not interrupt the
//! chain: the first one is kept and [`Builder::finish`] returns it, which keeps networks readable as one expression.

mod recurrent;

pub use recurrent::{Recurrence, States};

use crate::ops::{self, Operator, Padding};
use crate::{DType, Dim, Error, Graph, Op, Tensor, TensorType, ValueId};
use std::cell::RefCell;
use std::sync::Arc;

/// Builds a [`Graph`]: see the crate's example.
pub struct Builder {
    state: RefCell<State>,
}

struct State {
    graph: Graph,
    error: Option<Error>,
}

/// A value of a graph under construction, with a method for each layer.
#[derive(Clone, Copy)]
pub struct Var<'b> {
    builder: &'b Builder,
    id: ValueId,
}

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
    /// An empty network.
    pub fn new(name: impl Into<String>) -> Self {
        Self::from_graph(Graph::new(name))
    }

    /// Goes on building an existing graph.
    pub fn from_graph(graph: Graph) -> Self {
        Self { state: RefCell::new(State { graph, error: None }) }
    }

    fn var(&self, make: impl FnOnce(&mut Graph) -> Result<ValueId, Error>) -> Var<'_> {
        let State { graph, error } = &mut *self.state.borrow_mut();
        let id = match error {
            Some(_) => ValueId(0),
            None => make(graph).unwrap_or_else(|first| {
                *error = Some(first);
                ValueId(0)
            }),
        };
        Var { builder: self, id }
    }

    /// A value that is given for each run.
    pub fn input(&self, name: &str, dtype: DType, shape: impl IntoIterator<Item = Dim>) -> Var<'_> {
        self.var(|graph| graph.add_input(name, TensorType::new(dtype, shape)))
    }

    /// A parameter, shared by all who name it.
    pub fn parameter(&self, name: &str, shape: impl IntoIterator<Item = Dim>) -> Var<'_> {
        self.var(|graph| graph.add_parameter(name, TensorType::new(DType::F32, shape)))
    }

    /// A tensor that is part of the network.
    pub fn constant(&self, value: Tensor) -> Var<'_> {
        self.var(|graph| graph.add(ops::Constant { value: Arc::new(value) }, &[]))
    }

    /// A value of the graph that is already there, by name.
    pub fn find(&self, name: &str) -> Var<'_> {
        self.var(|graph| graph.find(name))
    }

    /// A whole other graph applied to `inputs`: its outputs. Parameters of the same name are shared.
    pub fn append(&self, other: &Graph, inputs: &[Var<'_>]) -> Vec<Var<'_>> {
        let ids: Vec<_> = inputs.iter().map(|var| var.id).collect();
        let mut outputs = vec![ValueId(0); other.outputs().len()];
        self.var(|graph| {
            outputs = graph.append(other, &ids)?;
            Ok(ValueId(0))
        });
        outputs.into_iter().map(|id| Var { builder: self, id }).collect()
    }

    /// The graph with these outputs, under these names; the first mistake if there was one. The builder is empty afterwards.
    pub fn finish(&self, outputs: &[(&str, Var<'_>)]) -> Result<Graph, Error> {
        let State { mut graph, error } = self.state.replace(State { graph: Graph::default(), error: None });
        if let Some(error) = error {
            return Err(error);
        }
        for (name, var) in outputs {
            graph.rename(var.id, *name)?;
        }
        graph.set_outputs(outputs.iter().map(|(_, var)| var.id).collect::<Vec<_>>());
        Ok(graph)
    }
}

impl<'b> Var<'b> {
    /// The id in the graph.
    pub fn id(self) -> ValueId {
        self.id
    }

    /// Any operator applied to this and further values.
    pub fn apply(self, op: impl Into<Op>, others: &[Var<'_>]) -> Var<'b> {
        self.builder.var(|graph| {
            let inputs: Vec<_> = std::iter::once(self.id).chain(others.iter().map(|var| var.id)).collect();
            graph.add(op, &inputs)
        })
    }

    /// Any operator applied to this and further values, of which optional ones may be left out: its first output.
    pub fn apply_optional(self, op: impl Into<Op>, others: &[Option<Var<'_>>]) -> Var<'b> {
        self.builder.var(|graph| {
            let op = op.into();
            let inputs = std::iter::once(Some(self.id)).chain(others.iter().map(|var| var.map(|var| var.id)));
            Ok(graph.add_node(format!("{}_{}", op.name(), graph.nodes().len()), op, inputs.collect(), &[])?[0])
        })
    }

    /// A layer: an operator on this value and on parameters whose shapes follow from this value's type.
    fn layer<O: Operator>(
        self,
        name: &str,
        op: O,
        parameters: impl FnOnce(&TensorType) -> Result<Vec<(&'static str, Vec<Dim>)>, String>,
    ) -> Var<'b> {
        self.builder.var(|graph| {
            let ty = graph.value(self.id).ty.clone();
            let parameters = parameters(&ty).map_err(|reason| Error::Node {
                node: name.into(),
                op: O::NAME,
                inputs: ty.to_string(),
                reason,
            })?;
            let mut inputs = vec![Some(self.id)];
            for (suffix, shape) in parameters {
                let ty = TensorType::new(ty.dtype, shape);
                inputs.push(Some(graph.add_parameter(&format!("{name}.{suffix}"), ty)?));
            }
            Ok(graph.add_node(name, op.into(), inputs, &[])?[0])
        })
    }

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

    /// Pictures made larger or smaller by a factor, as PyTorch's `interpolate` does it: `Nearest` with rounding down, or `Linear` without aligned
    /// corners.
    pub fn resize(self, factor: f32, interpolation: ops::Interpolation) -> Self {
        let coordinates = match interpolation {
            ops::Interpolation::Nearest(_) => ops::Coordinates::Asymmetric,
            ops::Interpolation::Linear => ops::Coordinates::HalfPixel,
        };
        let to = ops::Extent::Scales(vec![1.0, 1.0, factor, factor]);
        self.apply(ops::Resize { to, coordinates, interpolation }, &[])
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

    /// The entries `range` along an axis; negative bounds count from the end, and `i64::MAX` goes to it.
    pub fn slice(self, axis: i64, range: std::ops::Range<i64>) -> Self {
        let op = ops::Slice { starts: vec![range.start], ends: vec![range.end], axes: vec![axis], steps: vec![1] };
        self.apply(op, &[])
    }

    /// Largest entry of square windows.
    pub fn max_pool(self, kernel: usize, stride: usize) -> Self {
        self.max_pool_padded(kernel, stride, 0)
    }

    /// Largest entry of square windows, the input padded on all sides.
    pub fn max_pool_padded(self, kernel: usize, stride: usize, padding: usize) -> Self {
        let op = ops::MaxPool {
            kernel_shape: vec![kernel; 2],
            strides: vec![stride; 2],
            dilations: vec![1; 2],
            padding: Padding::Explicit(vec![padding; 4]),
            ceil_mode: false,
        };
        self.apply(op, &[])
    }

    /// Mean of square windows.
    pub fn average_pool(self, kernel: usize, stride: usize) -> Self {
        let op = ops::AveragePool {
            kernel_shape: vec![kernel; 2],
            strides: vec![stride; 2],
            dilations: vec![1; 2],
            padding: Padding::Explicit(vec![0; 4]),
            ceil_mode: false,
            count_include_pad: false,
        };
        self.apply(op, &[])
    }

    /// Mean over all positions; they keep size 1.
    pub fn global_average_pool(self) -> Self {
        self.apply(ops::GlobalAveragePool, &[])
    }

    /// `max(x, 0)`.
    pub fn relu(self) -> Self {
        self.apply(ops::Relu {}, &[])
    }

    /// `x` limited to `0..=6`.
    pub fn relu6(self) -> Self {
        self.apply(ops::Clip { min: 0.0, max: 6.0 }, &[])
    }

    /// Logistic function.
    pub fn sigmoid(self) -> Self {
        self.apply(ops::Sigmoid {}, &[])
    }

    /// Hyperbolic tangent.
    pub fn tanh(self) -> Self {
        self.apply(ops::Tanh {}, &[])
    }

    /// Softmax along the last axis.
    pub fn softmax(self) -> Self {
        self.apply(ops::Softmax { axis: -1 }, &[])
    }

    /// A share of the elements dropped during training.
    pub fn dropout(self, ratio: f32) -> Self {
        self.apply(ops::Dropout { ratio }, &[])
    }

    /// All axes but the first as one.
    pub fn flatten(self) -> Self {
        self.apply(ops::Flatten { axis: 1 }, &[])
    }

    /// The axes in another order.
    pub fn transpose(self, perm: &[usize]) -> Self {
        self.apply(ops::Transpose { perm: Some(perm.to_vec()) }, &[])
    }

    /// Elements converted to another type.
    pub fn cast(self, to: DType) -> Self {
        self.apply(ops::Cast { to }, &[])
    }
}

macro_rules! arithmetic {
    ($($op:ident $method:ident),*) => {$(
        impl<'b> std::ops::$op for Var<'b> {
            type Output = Var<'b>;

            fn $method(self, other: Var<'_>) -> Var<'b> {
                self.apply(ops::$op, &[other])
            }
        }
    )*};
}

arithmetic!(Add add, Sub sub, Mul mul, Div div);

fn axis_size(x: &TensorType, axis: usize) -> Result<Dim, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mistake_is_reported_with_node_and_shapes() {
        let net = Builder::new("wrong");
        let x = net.input("x", DType::F32, ["N".into(), 3.into(), 8.into(), 8.into()]);
        let y = x.conv("stem", 4, 3, |conv| conv.group(2)).relu().linear("head", 2);
        let message = net.finish(&[("y", y)]).unwrap_err().to_string();
        assert_eq!(message, "node \"stem\" (Conv) with inputs (f32[N, 3, 8, 8]): 3 channels are not 2 groups");
    }

    #[test]
    fn parameters_of_one_name_are_shared() {
        let net = Builder::new("siamese");
        let [a, b] = ["a", "b"].map(|name| net.input(name, DType::F32, ["N".into(), 4.into()]));
        let difference = a.linear("embed", 2) - b.linear("embed", 2);
        let graph = net.finish(&[("difference", difference)]).unwrap();
        let names: Vec<_> = graph.parameters().map(|value| value.name.as_str()).collect();
        assert_eq!(names, ["embed.weight", "embed.bias"]);
    }
}
