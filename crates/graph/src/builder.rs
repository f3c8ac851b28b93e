//! Writing networks down: values that know the graph they belong to, and a method for each layer.
//!
//! Parameters are called `LAYER.weight`, `LAYER.bias` and so on, as PyTorch calls them. A mistake does not interrupt the
//! chain: the first one is kept and [`Builder::finish`] returns it, which keeps networks readable as one expression.

mod layers;
mod recurrent;

pub use layers::DIRECTION;
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
