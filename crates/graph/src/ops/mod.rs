//! Operators: ONNX's names and meaning, the current opset's semantics.
//!
//! One struct an operator holds its attributes; the rule for its shapes stands beside it. [`Op`] is the sum of them, so that
//! a walk over a graph is a `match` and the compiler finds every place that a new operator has to be added.

mod activation;
mod arithmetic;
mod convolution;
mod layout;
mod linear;
mod loss;
mod normalization;
mod pool;
mod recurrent;
mod reduce;
mod resize;
mod select;
mod shape;
mod training;
mod value;
mod window;

pub use activation::{
    Abs, Clip, Erf, Exp, Gelu, HardSigmoid, HardSwish, LeakyRelu, Log, Neg, Pow, Relu, Sigmoid, Softmax, Softplus,
    Sqrt, Tanh,
};
pub use arithmetic::{Add, Div, Max, Min, Mul, Sub, broadcast};
pub use convolution::{Conv, ConvTranspose};
pub use layout::{Concat, Pad, PadMode, Transpose};
pub use linear::{Gemm, MatMul};
pub use loss::{Loss, LossKind, Reduction};
pub use normalization::{BatchNormalization, LayerNormalization};
pub use pool::{AveragePool, GlobalAveragePool, MaxPool};
pub use recurrent::{Direction, Gru, Lstm, Rnn};
pub use reduce::{ReduceMax, ReduceMean, ReduceSum};
pub use resize::{Coordinates, Extent, Interpolation, Resize, Rounding, Terms};
pub use select::{Gather, Slice};
pub use shape::{Flatten, Reshape, Squeeze, Unsqueeze};
pub use training::{
    ActivationGrad, AveragePoolGrad, BatchNormGrad, ConcatGrad, ConvInputGrad, ConvWeightGrad, DropoutTraining,
    ExpandLike, GatherGrad, LayerNormGrad, MaxPoolGrad, MeanGrad, PadGrad, RecurrentGrad, ReduceMaxGrad, ReshapeLike,
    ResizeGrad, SliceGrad, SoftmaxGrad, SumTo,
};
pub use value::{Cast, Constant, Dropout, Identity};
pub use window::{Padding, Steps};

use crate::TensorType;
use crate::onnx::{NodeReader, NodeWriter};

/// What an operator says of its inputs: the types of its outputs, or what is wrong with them.
pub type Inferred = Result<Vec<TensorType>, String>;

/// An operator's attributes and shape rule.
pub trait Operator: Into<Op> {
    /// The name in ONNX.
    const NAME: &'static str;

    /// The types of the outputs for the types of the inputs; `None` is an optional input left out.
    ///
    /// The error says what does not fit, without naming node, operator or inputs: the caller knows them.
    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred;

    /// The operator of an ONNX node; the error says what is not supported.
    fn read(node: &NodeReader<'_>) -> Result<Self, String>;

    /// Adds attributes and constant inputs to an ONNX node of opset [`OPSET`](crate::onnx::OPSET), whose tensor inputs are there already.
    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String>;

    /// The oldest opset that it can be written with.
    fn opset(&self) -> i64 {
        crate::onnx::OPSET
    }
}

macro_rules! operators {
    (onnx: $($name:ident),*; training: $($private:ident),*;) => {
        operators! { @ $($name),*, $($private),* }

        impl Op {
            /// The names in ONNX of the operators that files may hold.
            pub const NAMES: &'static [&'static str] = &[$($name::NAME),*];
            /// The names of the operators that only learning needs.
            pub const TRAINING_NAMES: &'static [&'static str] = &[$($private::NAME),*];
        }
    };
    (@ $($name:ident),*) => {
        /// Any operator of the graph.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)]
        pub enum Op {
            $($name($name)),*
        }

        impl Op {
            /// The name in ONNX, or in the private domain of learning.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $name::NAME),*
                }
            }

            /// The operator called `name` in an ONNX file: see [`Operator::read`].
            pub fn read(name: &str, node: &NodeReader<'_>) -> Result<Self, String> {
                match name {
                    $($name::NAME => $name::read(node).map(Self::$name),)*
                    _ => Err("this operator is not known".into()),
                }
            }

            /// Fills an ONNX node: see [`Operator::write`].
            pub fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
                match self {
                    $(Self::$name(op) => op.write(node)),*
                }
            }

            /// The oldest opset that it can be written with: see [`Operator::opset`].
            pub fn opset(&self) -> i64 {
                match self {
                    $(Self::$name(op) => op.opset()),*
                }
            }

            /// The types of the outputs for the types of the inputs: see [`Operator::infer`].
            pub fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
                match self {
                    $(Self::$name(op) => op.infer(inputs)),*
                }
            }
        }

        $(impl From<$name> for Op {
            fn from(op: $name) -> Self {
                Self::$name(op)
            }
        })*
    };
}

operators! {
    onnx:
    Abs, Add, AveragePool, BatchNormalization, Cast, Clip, Concat, Constant, Conv, ConvTranspose, Div, Dropout, Erf,
    Exp, Flatten, Gather, Gelu, Gemm, GlobalAveragePool, Gru, HardSigmoid, HardSwish, Identity, LayerNormalization,
    LeakyRelu, Log, Lstm, MatMul, Max, MaxPool, Min, Mul, Neg, Pad, Pow, ReduceMax, ReduceMean, ReduceSum, Relu, Reshape,
    Resize, Rnn, Sigmoid, Slice, Softmax, Softplus, Sqrt, Squeeze, Sub, Tanh, Transpose, Unsqueeze;
    training:
    ActivationGrad, AveragePoolGrad, BatchNormGrad, ConcatGrad, ConvInputGrad, ConvWeightGrad, DropoutTraining,
    ExpandLike, GatherGrad, LayerNormGrad, Loss, MaxPoolGrad, MeanGrad, PadGrad, RecurrentGrad, ReduceMaxGrad,
    ReshapeLike, ResizeGrad, SliceGrad, SoftmaxGrad, SumTo;
}

/// The inputs as an array: `N` in all, of which the first `required` must be there.
fn arity<'a, const N: usize>(
    inputs: &[Option<&'a TensorType>],
    required: usize,
) -> Result<[Option<&'a TensorType>; N], String> {
    if inputs.len() > N || inputs.len() < required || inputs[..required].iter().any(Option::is_none) {
        let given = inputs.iter().flatten().count();
        return Err(match required == N {
            true => format!("takes {N} input{}, not {given}", if N == 1 { "" } else { "s" }),
            false => format!("takes {required} to {N} inputs, not {given}"),
        });
    }
    let mut all = [None; N];
    all[..inputs.len()].copy_from_slice(inputs);
    Ok(all)
}

/// The one input of an operator with one input.
fn single<'a>(inputs: &[Option<&'a TensorType>]) -> Result<&'a TensorType, String> {
    match arity(inputs, 1)? {
        [Some(input)] => Ok(input),
        [None] => Err("takes 1 input, not 0".into()),
    }
}

/// An axis counted from the front; `rank` itself is allowed where `end` says so (as in `Flatten`).
fn axis(axis: i64, rank: usize, end: bool) -> Result<usize, String> {
    let signed = i64::try_from(rank).map_err(|_| "too many axes".to_string())?;
    let from_front = if axis < 0 { axis.saturating_add(signed) } else { axis };
    match usize::try_from(from_front) {
        Ok(i) if i < rank || (end && i == rank) => Ok(i),
        _ => Err(format!("axis {axis} is not among the {rank} axes")),
    }
}

/// Several axes counted from the front, sorted; an error if one stands twice.
pub(crate) fn axes(list: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut sorted = list.iter().map(|&a| axis(a, rank, false)).collect::<Result<Vec<_>, _>>()?;
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("axis {} stands twice", pair[0])),
        None => Ok(sorted),
    }
}

fn expect_float(ty: &TensorType) -> Result<(), String> {
    if ty.dtype.is_float() { Ok(()) } else { Err(format!("needs floating-point numbers, not {}", ty.dtype)) }
}
