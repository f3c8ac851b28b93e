//! What a network is trained to make small, with PyTorch's names and meaning.

use super::{Inferred, Operator, arity, broadcast, expect_float};
use crate::onnx::{NodeReader, NodeWriter};
use crate::{DType, TensorType};

/// A loss: one number, and as a second output its gradient with respect to the first input.
///
/// Both are computed in one pass, because they share most of their work; what nobody reads is not made. Inputs by kind, with shapes:
///
/// | kind | inputs |
/// |---|---|
/// | [`SoftmaxCrossEntropy`](LossKind::SoftmaxCrossEntropy) | scores `[N, C, d…]`; labels `[N, d…]` of integers, or probabilities like the scores; weight `[C]`, optional |
/// | [`MultiMargin`](LossKind::MultiMargin) | scores `[N, C]`; labels `[N]`; weight `[C]`, optional |
/// | [`Ctc`](LossKind::Ctc) | scores `[T, N, C]`; labels `[N, S]`; lengths of the scores `[N]`; lengths of the labels `[N]` |
/// | [`BinaryCrossEntropyWithLogits`](LossKind::BinaryCrossEntropyWithLogits) | input; target of the same shape; weight and weight of positives, both optional, that broadcast to it |
/// | all others | input; target of the same shape; weight, optional, that broadcasts to it |
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// What is computed.
    pub kind: LossKind,
    /// How many losses become one.
    pub reduction: Reduction,
}

/// How the losses of rows or elements become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean. Weights count in the denominator too where they do so in PyTorch: see [`LossKind::is_weighted_mean`].
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

/// The kinds of losses.
#[derive(Clone, Debug, PartialEq)]
pub enum LossKind {
    /// ONNX's `SoftmaxCrossEntropyLoss` for labels, and the same for probabilities.
    SoftmaxCrossEntropy {
        /// Rows with this label do not count.
        ignore_index: i64,
        /// The share of each target that all classes get alike, 0 to 1.
        label_smoothing: f32,
    },
    /// The mean over the classes of `max(0, margin − score of the label + score)`, or of its square.
    MultiMargin {
        /// How far the label's score has to lie above the others.
        margin: f32,
        /// Whether it is squared.
        squared: bool,
    },
    /// Minus the log-probability of a sequence of labels under all alignments (Graves et al., "Connectionist Temporal Classification", 2006).
    /// A softmax of the scores is part of it, which leaves log-probabilities as they are.
    Ctc {
        /// The class that stands for no label.
        blank: usize,
        /// Whether a sequence without an alignment counts as nothing, instead of infinitely.
        zero_infinity: bool,
    },
    /// `(x − t)²`
    SquaredError,
    /// `|x − t|`
    AbsoluteError,
    /// `slope · (x − t)² / (2 delta)` where `|x − t| < delta`, `slope · (|x − t| − delta / 2)` elsewhere: PyTorch's Huber loss has the slope
    /// `delta`, its smooth L1 loss the slope 1.
    Huber {
        /// Where the parabola ends.
        delta: f32,
        /// How steep the lines are.
        slope: f32,
    },
    /// `−t log σ(x) − (1 − t) log (1 − σ(x))`, the first part times the weight of positives.
    BinaryCrossEntropyWithLogits,
    /// `max(0, 1 − t x)` for targets ±1.
    Hinge,
}

impl LossKind {
    /// Whether a mean divides by the sum of the weights; otherwise by the number of rows or elements.
    pub fn is_weighted_mean(&self) -> bool {
        matches!(self, Self::SoftmaxCrossEntropy { .. } | Self::SquaredError | Self::AbsoluteError)
    }

    /// Whether the second axis of the input has a score for each class.
    pub fn is_by_class(&self) -> bool {
        matches!(self, Self::SoftmaxCrossEntropy { .. } | Self::MultiMargin { .. })
    }

    /// Whether input and target can change places, so that the gradient of one is minus that of the other.
    pub fn is_symmetric(&self) -> bool {
        matches!(self, Self::SquaredError | Self::AbsoluteError | Self::Huber { .. })
    }

    fn check(&self, x: &TensorType, targets: &TensorType, rest: &[Option<&TensorType>]) -> Result<(), String> {
        match self {
            Self::SoftmaxCrossEntropy { label_smoothing, .. } => {
                within("label_smoothing", *label_smoothing, 0.0, 1.0)?;
                check_classes(x, rest)?;
                if targets == x { Ok(()) } else { check_labels(x, targets) }
            }
            Self::MultiMargin { margin, .. } => {
                within("margin", *margin, 0.0, f32::MAX)?;
                check_classes(x, rest)?;
                check_labels(x, targets)?;
                if x.rank() == 2 { Ok(()) } else { Err(format!("needs scores [N, C], not {x}")) }
            }
            Self::Ctc { .. } => {
                let [Some(inputs), Some(labels)] = rest else { return Err("lacks the lengths".into()) };
                [targets, inputs, labels].into_iter().try_for_each(expect_integers)?;
                let [_, batch, _] = &x.shape[..] else { return Err(format!("needs scores [T, N, C], not {x}")) };
                let fits = targets.rank() == 2 && targets.shape[0] == *batch;
                let lists = [inputs, labels].iter().all(|list| list.shape == [batch.clone()]);
                if fits && lists { Ok(()) } else { Err(format!("needs labels [{batch}, S] and lengths [{batch}]")) }
            }
            _ => {
                if let Self::Huber { delta, slope } = self {
                    within("delta", *delta, f32::MIN_POSITIVE, f32::MAX)?;
                    within("slope", *slope, 0.0, f32::MAX)?;
                }
                if targets != x {
                    return Err(format!("{x} and {targets} should have the same type"));
                }
                let wide = |weight: &TensorType| broadcast(&x.shape, &weight.shape).is_ok_and(|all| all == x.shape);
                match rest.iter().flatten().find(|weight| !wide(weight)) {
                    Some(weight) => Err(format!("the weight {weight} does not broadcast to {x}")),
                    None => Ok(()),
                }
            }
        }
    }
}

fn within(name: &str, found: f32, low: f32, high: f32) -> Result<(), String> {
    if found >= low && found <= high {
        Ok(())
    } else {
        Err(format!("{name} is {found}: it must be from {low} to {high}"))
    }
}

fn expect_integers(ty: &TensorType) -> Result<(), String> {
    match ty.dtype {
        DType::I64 | DType::I32 => Ok(()),
        other => Err(format!("needs labels and lengths that are i64 or i32, not {other}")),
    }
}

/// The second axis is that of the classes, and a weight has one for each.
fn check_classes(x: &TensorType, rest: &[Option<&TensorType>]) -> Result<(), String> {
    let Some(classes) = x.shape.get(1) else { return Err(format!("needs scores [N, C, …], not {x}")) };
    match rest.iter().flatten().find(|weight| weight.shape != [classes.clone()]) {
        Some(weight) => Err(format!("needs a weight for each of {classes} classes, not {weight}")),
        None => Ok(()),
    }
}

fn check_labels(x: &TensorType, labels: &TensorType) -> Result<(), String> {
    expect_integers(labels)?;
    let rows = [&x.shape[..1], &x.shape[2..]].concat();
    if labels.shape == rows { Ok(()) } else { Err(format!("{labels} are not the labels of {x}")) }
}

impl Operator for Loss {
    const NAME: &'static str = "Loss";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let all: [_; 4] = arity(inputs, 2)?;
        let [Some(x), Some(targets), rest @ ..] = all else { return Err("takes 2 inputs or more".into()) };
        expect_float(x)?;
        let most = match self.kind {
            LossKind::Ctc { .. } | LossKind::BinaryCrossEntropyWithLogits => 2,
            _ => 1,
        };
        if rest[most..].iter().any(Option::is_some) {
            return Err(format!("takes {} inputs at most", 2 + most));
        }
        let weights = if matches!(self.kind, LossKind::Ctc { .. }) { &[] } else { &rest[..] };
        weights.iter().flatten().try_for_each(|weight| expect_float(weight))?;
        self.kind.check(x, targets, &rest[..most])?;
        Ok(vec![TensorType::new(x.dtype, []), x.clone()])
    }

    fn read(_: &NodeReader<'_>) -> Result<Self, String> {
        Err("belongs to learning and is not read from files".into())
    }

    fn write(&self, _: &mut NodeWriter<'_>) -> Result<(), String> {
        Err("belongs to learning and is not written to files: store the graph without its loss".into())
    }
}
