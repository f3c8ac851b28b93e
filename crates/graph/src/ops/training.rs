//! What only learning needs: the loss, and the operators that gradients are made of.
//!
//! They live in a private domain and are never stored in a file. Where the shape of a result does not follow from what it is
//! computed from, a further input called `like` has that shape: its elements are not looked at, so it need not be kept in memory
//! for that, and no shape has to be a number before the graph is bound.

use super::{
    AveragePool, BatchNormalization, Conv, Gather, Inferred, LayerNormalization, MaxPool, Op, Operator, Pad, Resize,
    Slice, arity, axis, expect_float,
};
use crate::onnx::{NodeReader, NodeWriter};
use crate::{DType, TensorType};

/// The part of an operator that has none in files.
macro_rules! stays_here {
    () => {
        fn read(_: &NodeReader<'_>) -> Result<Self, String> {
            Err("belongs to learning and is not read from files".into())
        }

        fn write(&self, _: &mut NodeWriter<'_>) -> Result<(), String> {
            Err("belongs to learning and is not written to files: store the graph before gradients are added".into())
        }
    };
}

/// An operator of the private domain: inputs as named, and a rule for the types of the outputs.
macro_rules! training {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ty),* $(,)? }
        ($($input:ident),*) $rule:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $ty),* }

        impl Operator for $name {
            const NAME: &'static str = stringify!($name);

            fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
                const COUNT: usize = [$(stringify!($input)),*].len();
                let all: [_; COUNT] = arity(inputs, COUNT)?;
                let [$(Some($input)),*] = all else { return Err(format!("takes {COUNT} inputs")) };
                $(expect_float($input)?;)*
                let rule: fn(&Self, $(training!(@type $input)),*) -> Inferred = $rule;
                rule(self, $($input),*)
            }

            stays_here!();
        }
    )*};
    (@type $input:ident) => { &TensorType };
}

training! {
    /// `of'(x) · gradient` for a function of one number. At a corner the slope is that of the flatter side, as PyTorch has it for
    /// ReLU and ReLU6.
    ActivationGrad {
        /// The function.
        of: Box<Op>,
    } (x, gradient) |_, x, gradient| {
        same(x, gradient)?;
        Ok(vec![x.clone()])
    };
    /// Gradient of Softmax from its result `y`.
    SoftmaxGrad {
        /// The axis of the Softmax.
        axis: i64,
    } (y, gradient) |op, y, gradient| {
        same(y, gradient)?;
        axis(op.axis, y.rank(), false)?;
        Ok(vec![y.clone()])
    };
    /// Gradient of a convolution with respect to its input.
    ConvInputGrad {
        /// The convolution.
        of: Conv,
    } (gradient, weight, like) |op, gradient, weight, like| conv(&op.of, like, weight, gradient).map(|()| vec![like.clone()]);
    /// Gradient of a convolution with respect to its weight.
    ConvWeightGrad {
        /// The convolution.
        of: Conv,
    } (x, gradient, like) |op, x, gradient, like| conv(&op.of, x, like, gradient).map(|()| vec![like.clone()]);
    /// Gradients of a batch normalisation with respect to `x`, scale and bias; mean and variance are looked at only where the
    /// normalisation does so, that is outside of training mode.
    BatchNormGrad {
        /// The normalisation.
        of: BatchNormalization,
    } (x, scale, mean, variance, gradient) |op, x, scale, mean, variance, gradient| {
        same(x, gradient)?;
        op.of.infer(&[Some(x), Some(scale), Some(scale), Some(mean), Some(variance)])?;
        Ok(vec![x.clone(), scale.clone(), scale.clone()])
    };
    /// Gradients of a layer normalisation with respect to `x`, scale and bias.
    LayerNormGrad {
        /// The normalisation.
        of: LayerNormalization,
    } (x, scale, gradient) |op, x, scale, gradient| {
        same(x, gradient)?;
        op.of.infer(&[Some(x), Some(scale)])?;
        Ok(vec![x.clone(), scale.clone(), scale.clone()])
    };
    /// Gradient of MaxPool: it goes to the first of the greatest entries of a window.
    MaxPoolGrad {
        /// The pooling.
        of: MaxPool,
    } (x, gradient) |op, x, gradient| {
        same(&op.of.infer(&[Some(x)])?[0], gradient)?;
        Ok(vec![x.clone()])
    };
    /// Gradient of AveragePool.
    AveragePoolGrad {
        /// The pooling.
        of: AveragePool,
    } (gradient, like) |op, gradient, like| {
        same(&op.of.infer(&[Some(like)])?[0], gradient)?;
        Ok(vec![like.clone()])
    };
    /// Gradient of a mean over some axes, whether they were kept or not.
    MeanGrad {
        /// The axes, counted from the front.
        axes: Vec<usize>,
    } (gradient, like) |op, gradient, like| {
        let left = |i: &usize| !op.axes.contains(i);
        let kept: Vec<_> = (0..like.rank()).filter(left).map(|i| like.shape[i].clone()).collect();
        let wide: Vec<_> = (0..like.rank()).map(|i| if left(&i) { like.shape[i].clone() } else { 1.into() }).collect();
        if gradient.shape != kept && gradient.shape != wide {
            return Err(format!("{gradient} is not the mean of {like} over the axes {:?}", op.axes));
        }
        Ok(vec![like.clone()])
    };
    /// Gradient of ReduceMax, whether it kept its axes or not: it goes to the first of the greatest entries.
    ReduceMaxGrad {
        /// The axes, counted from the front.
        axes: Vec<usize>,
    } (x, gradient) |op, x, gradient| {
        MeanGrad { axes: op.axes.clone() }.infer(&[Some(gradient), Some(x)])
    };
    /// `x` repeated along the axes of size 1, so that it has the shape of another tensor.
    ExpandLike {} (x, like) |_, x, like| {
        if x.rank() != like.rank() || super::broadcast(&x.shape, &like.shape)? != like.shape {
            return Err(format!("{x} does not broadcast to {like}"));
        }
        Ok(vec![like.clone()])
    };
    /// Sums over the axes along which `like` was broadcast to the shape of `x`.
    SumTo {} (x, like) |_, x, like| {
        if super::broadcast(&x.shape, &like.shape)? != x.shape {
            return Err(format!("{like} does not broadcast to {x}"));
        }
        Ok(vec![like.clone()])
    };
    /// The elements of `x` in the shape of another tensor.
    ReshapeLike {} (x, like) |_, _, like| Ok(vec![like.clone()]);
    /// Gradient of Resize.
    ResizeGrad {
        /// The resizing.
        of: Resize,
    } (gradient, like) |op, gradient, like| {
        same(&op.of.infer(&[Some(like)])?[0], gradient)?;
        Ok(vec![like.clone()])
    };
    /// Gradient of Slice.
    SliceGrad {
        /// The slice.
        of: Slice,
    } (gradient, like) |op, gradient, like| {
        same(&op.of.infer(&[Some(like)])?[0], gradient)?;
        Ok(vec![like.clone()])
    };
    /// Gradient of Pad.
    PadGrad {
        /// The padding.
        of: Pad,
    } (gradient, like) |op, gradient, like| {
        same(&op.of.infer(&[Some(like)])?[0], gradient)?;
        Ok(vec![like.clone()])
    };
}

/// Gradient of Concat with respect to one of its inputs: inputs are the gradient and all that was put together.
#[derive(Clone, Debug, PartialEq)]
pub struct ConcatGrad {
    /// The axis of the Concat.
    pub axis: i64,
    /// Which input.
    pub index: usize,
}

impl Operator for ConcatGrad {
    const NAME: &'static str = "ConcatGrad";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let [Some(gradient), parts @ ..] = inputs else { return Err("lacks the gradient".into()) };
        same(&super::Concat { axis: self.axis }.infer(parts)?[0], gradient)?;
        let part = parts.get(self.index).copied().flatten();
        Ok(vec![part.ok_or_else(|| format!("has no part {}", self.index))?.clone()])
    }

    stays_here!();
}

/// Gradient of Gather with respect to its data: inputs are the gradient, the indices, and `like`. What goes to one entry is added up in the
/// order of the indices.
#[derive(Clone, Debug, PartialEq)]
pub struct GatherGrad {
    /// The lookup.
    pub of: Gather,
}

impl Operator for GatherGrad {
    const NAME: &'static str = "GatherGrad";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let [Some(gradient), indices, Some(like)] = arity(inputs, 3)? else { return Err("takes 3 inputs".into()) };
        same(&self.of.infer(&[Some(like), indices])?[0], gradient)?;
        Ok(vec![like.clone()])
    }

    stays_here!();
}

/// Dropout while a network is trained: each element is zero with a probability, or divided by what is left to 1 (Srivastava et al. 2014, JMLR
/// 15). Inputs are the tensor and a seed, `i64[1]`; what is dropped is a function of seed, key and place, so the gradient is the operator
/// itself with the same seed.
#[derive(Clone, Debug, PartialEq)]
pub struct DropoutTraining {
    /// The share to drop, under 1.
    pub ratio: f32,
    /// Tells the dropouts of a network apart.
    pub key: u64,
}

impl Operator for DropoutTraining {
    const NAME: &'static str = "DropoutTraining";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let [Some(x), Some(seed)] = arity(inputs, 2)? else { return Err("takes 2 inputs".into()) };
        expect_float(x)?;
        if *seed != TensorType::new(DType::I64, [1.into()]) {
            return Err(format!("needs a seed i64[1], not {seed}"));
        }
        if !(0.0..1.0).contains(&self.ratio) {
            return Err(format!("cannot drop a share of {}: give one from 0 to less than 1", self.ratio));
        }
        Ok(vec![x.clone()])
    }

    stays_here!();
}

/// Gradients of a recurrent layer: inputs are the layer's eight, then those gradients of its three outputs that there are; outputs are the
/// gradients with respect to X, W, R, B, `initial_h` and, of a layer with a second state, `initial_c`.
#[derive(Clone, Debug, PartialEq)]
pub struct RecurrentGrad {
    /// Rnn, Gru or Lstm.
    pub of: Box<Op>,
}

impl Operator for RecurrentGrad {
    const NAME: &'static str = "RecurrentGrad";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let layer = self.of.recurrent().ok_or("is not of a recurrent layer")?;
        let all: [_; 11] = arity(inputs, 3)?;
        let (given, gradients) = all.split_at(8);
        let outputs = layer.infer(if layer.cell { given } else { &given[..6] })?;
        if gradients.iter().all(Option::is_none) {
            return Err("lacks a gradient".into());
        }
        for (i, gradient) in gradients.iter().enumerate() {
            let Some(gradient) = gradient else { continue };
            same(outputs.get(i).ok_or("has a gradient of an output that there is not")?, gradient)?;
        }
        let [Some(x), Some(w), Some(r), ..] = given else { return Err("lacks an input".into()) };
        let bias = TensorType::new(x.dtype, [r.shape[0].clone(), r.shape[1].clone() * 2]);
        Ok([vec![(*x).clone(), (*w).clone(), (*r).clone(), bias], outputs[1..].to_vec()].concat())
    }

    fn read(_: &NodeReader<'_>) -> Result<Self, String> {
        Err("belongs to learning and is not read from files".into())
    }

    fn write(&self, _: &mut NodeWriter<'_>) -> Result<(), String> {
        Err("belongs to learning and is not written to files: store the graph before gradients are added".into())
    }
}

fn same(a: &TensorType, b: &TensorType) -> Result<(), String> {
    if a == b { Ok(()) } else { Err(format!("{a} and {b} should have the same type")) }
}

fn conv(of: &Conv, x: &TensorType, weight: &TensorType, gradient: &TensorType) -> Result<(), String> {
    same(&of.infer(&[Some(x), Some(weight)])?[0], gradient)
}
