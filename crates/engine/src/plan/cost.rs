//! What a step is called and how much there is to do in it, for profiles: a new kind of step adds an arm to [`Kernel::arithmetic`].
//!
//! The arithmetic is that of the textbook, however a kernel goes about it: a multiply-add counts as two operations, also where a tap
//! lies in the padding; everything else (a bias, a sum, a comparison, a function such as exp) counts as one for each element. What an
//! algorithm saves of it (Winograd's, whose transforms are not counted) is told apart, so that a speed can be held against the peak. The
//! memory traffic is the least that a step needs by itself: its operands read once, its result written once.

use super::Plan;
use super::step::{Kernel, Place, Step, Tail};
use super::training::Training;
use crate::kernels::gradient::ConvShape;
use crate::kernels::{Activation, Window};
use percept_graph::DType;

/// A step of a plan and how much there is to do in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The node of the graph that it stands for; it may do the work of those that follow too.
    pub node: String,
    /// The operator by its name in ONNX, and what tells its steps apart, such as `Conv 3x3 depthwise`.
    pub kind: String,
    /// Floating-point operations: two for a multiply-add, one for anything else.
    pub flops: u64,
    /// Those that are carried out: fewer where an algorithm saves multiplications.
    pub executed: u64,
    /// Bytes of operands and weights.
    pub bytes_read: u64,
    /// Bytes of the result.
    pub bytes_written: u64,
}

impl Plan {
    /// What each step does, in the order in which they run; of a large batch in parts, the steps of each kind of part once, with what
    /// all such parts do.
    pub fn work(&self) -> impl Iterator<Item = Work> {
        let own = self.steps.iter().map(|step| step.work(self, 1));
        let parts = self
            .parts
            .iter()
            .map(|part| (&part.plans[0], part.count))
            .flat_map(|(plan, count)| plan.steps.iter().map(move |step| step.work(plan, count as u64)));
        own.chain(parts)
    }

    fn len(&self, place: Place) -> usize {
        match place {
            Place::Slot(i) => self.slots[i].1,
            Place::Constant(i) => self.constants[i].len(),
            Place::Input(i) => self.inputs[i].len,
        }
    }

    fn bytes(&self, place: Place) -> usize {
        let size = if let Place::Input(i) = place { self.inputs[i].dtype.size() } else { DType::F32.size() };
        self.len(place) * size
    }
}

/// What is done apart from reading the operands and writing the result.
struct Arithmetic {
    /// Follows the operator's name.
    detail: String,
    flops: usize,
    /// Operations that an algorithm saves.
    saved: usize,
    /// Elements of packed weights, which are not among the operands.
    weights: usize,
}

impl Arithmetic {
    fn new(detail: impl Into<String>, flops: usize) -> Self {
        Self { detail: detail.into(), flops, saved: 0, weights: 0 }
    }

    /// A convolution with `filters` elements of weights, and the operations that follow it.
    fn conv(window: &Window, detail: &str, filters: usize, after: usize) -> Self {
        let [height, width] = window.kernel;
        Self::new(format!(" {height}x{width}{detail}"), 2 * window.pixels() * filters + after)
    }

    fn weights(self, weights: usize) -> Self {
        Self { weights, ..self }
    }
}

impl Step {
    /// What it does in `count` runs.
    fn work(&self, plan: &Plan, count: u64) -> Work {
        let slot = plan.len(Place::Slot(self.output));
        let out = match &self.kernel {
            Kernel::Conv(conv) if conv.pool.is_none() => conv.window.pixels() * conv.weights.outputs(),
            Kernel::Winograd(step) => step.window.pixels() * step.weights.outputs(),
            Kernel::Activate { x, .. } => plan.len(*x),
            _ => slot,
        };
        let Arithmetic { detail, flops, saved, weights } =
            self.kernel.arithmetic(self.op, out, &|place| plan.len(place));
        let float = DType::F32.size();
        let beside: usize = self.kernel.writes().into_iter().map(|slot| plan.len(Place::Slot(slot))).sum();
        let written = float * if self.kernel.writes().contains(&self.output) { beside } else { out + beside };
        let all = self.kernel.reads().into_iter().map(|place| plan.bytes(place)).sum::<usize>();
        let (read, written) = match &self.kernel {
            // Of operand and result, only a part may be touched.
            Kernel::Gather { tables, .. } => {
                let moved = float * tables.iter().map(Vec::len).product::<usize>();
                (moved.min(all), moved)
            }
            Kernel::Lookup { ids, .. } => (plan.bytes(*ids) + float * out, float * out),
            _ => (all + float * weights, written),
        };
        Work {
            node: self.node.clone(),
            kind: format!("{}{detail}", self.op),
            flops: count * flops as u64,
            executed: count * flops.saturating_sub(saved) as u64,
            bytes_read: count * read as u64,
            bytes_written: count * written as u64,
        }
    }
}

impl Tail {
    pub(super) fn operations(&self) -> usize {
        let activation = usize::from(self.activation != Activation::None);
        usize::from(self.bias.is_some()) + usize::from(self.residual.is_some()) + activation
    }
}

impl Kernel {
    /// What is done for a result of `out` elements, as a part of the operator `op`; `len` gives the elements of an operand.
    fn arithmetic(&self, op: &str, out: usize, len: &dyn Fn(Place) -> usize) -> Arithmetic {
        match self {
            Self::Conv(step) => {
                let map = step.window.pixels() * step.weights.outputs();
                let after = step.tail.operations() * map + step.pool.map_or(0, |pool| pool.taps() * out);
                let grouped = if step.weights.groups() > 1 { " grouped" } else { "" };
                let detail = format!("{grouped}{}", if step.pool.is_some() { ", MaxPool" } else { "" });
                let conv = Arithmetic::conv(&step.window, &detail, step.filters(), after);
                conv.weights(if step.fresh.is_some() { 0 } else { step.filters() })
            }
            Self::Winograd(step) => {
                let filters = step.window.taps() * step.weights.inputs() * step.weights.outputs();
                let conv = Arithmetic::conv(&step.window, " Winograd", filters, step.tail.operations() * out);
                let saved = (2 * step.window.pixels() * filters).saturating_sub(step.products());
                Arithmetic { saved, weights: step.weights.filters_len(), ..conv }
            }
            Self::Depthwise { window, weights, fresh, tail, .. } => {
                let filters = window.taps() * weights.channels();
                let conv = Arithmetic::conv(window, " depthwise", filters, tail.operations() * out);
                conv.weights(if fresh.is_some() { 0 } else { filters })
            }
            Self::Bottleneck(step) => Arithmetic::new(step.layers(), step.flops()).weights(step.weights()),
            Self::Gemm { m, weights, tail, .. } => {
                let matrix = weights.k() * weights.n();
                Arithmetic::new("", 2 * m * matrix + tail.operations() * out).weights(matrix)
            }
            Self::MatMul { m, offsets, packed, .. } => {
                Arithmetic::new("", 2 * offsets.len() * m * packed.k() * packed.n())
            }
            Self::Pool { window, .. } => Arithmetic::new("", out * window.taps()),
            Self::Binary { op: of, .. } => {
                let name = format!("{of:?}");
                Arithmetic::new(if op == name { String::new() } else { format!(" {name}") }, out)
            }
            Self::Activate { .. } => Arithmetic::new("", out),
            Self::Softmax { .. } => Arithmetic::new("", 4 * out),
            Self::LayerNorm { .. } => Arithmetic::new("", 8 * out),
            Self::Normalize { .. } => Arithmetic::new(" and scale", 2 * out),
            Self::Gather { .. } => {
                let own = ["Concat", "Pad", "Slice", "ConcatGrad", "PadGrad", "MeanGrad", "ExpandLike", "SliceGrad"]
                    .contains(&op);
                Arithmetic::new(if own { "" } else { " moves" }, 0)
            }
            Self::Mix { terms, .. } => {
                let all = terms.iter().map(Vec::len).sum::<usize>();
                Arithmetic::new("", 2 * out / terms.len().max(1) * all)
            }
            Self::Lookup { .. } => Arithmetic::new("", 0),
            Self::Transpose { .. } => Arithmetic::new(" moves", 0),
            Self::Recurrent(step) => {
                let sizes = &step.sequences.sizes;
                let products = 2 * sizes.products() * (sizes.inputs + sizes.hidden) + sizes.products();
                Arithmetic::new("", products).weights(step.packed_weights())
            }
            Self::RecurrentGrad(step) => {
                let sizes = &step.sequences().sizes;
                Arithmetic::new(" through time", 2 * sizes.products() * sizes.hidden + sizes.products())
            }
            Self::Training(training) => training.arithmetic(out, len),
        }
    }
}

impl Training {
    fn arithmetic(&self, out: usize, len: &dyn Fn(Place) -> usize) -> Arithmetic {
        let conv = |conv: &ConvShape| {
            let depthwise = conv.groups == conv.inputs && conv.groups == conv.outputs;
            let detail = match conv.groups {
                1 => "",
                _ if depthwise => " depthwise",
                _ => " grouped",
            };
            Arithmetic::conv(&conv.window, detail, conv.outputs * conv.patch(), 0)
        };
        match self {
            // A difference, a sum, and a multiply-add.
            Self::ForwardSums { x, .. } => Arithmetic::new(" sums", 4 * len(*x)),
            Self::BackwardSums { sums, .. } => Arithmetic::new(" sums", 4 * len(sums.x)),
            Self::Statistics { partial, .. } | Self::ParameterGradients { from: [partial, _], .. } => {
                Arithmetic::new(" coefficients", len(*partial))
            }
            Self::FusedConv(step) => conv(&step.conv),
            Self::FusedConvGrad(step) => {
                let (one, [weight, input]) = (conv(&step.conv), [step.weight.is_some(), step.input.is_some()]);
                let beside = if weight && input { ", and of the input" } else { "" };
                Arithmetic::new(one.detail + beside, (usize::from(weight) + usize::from(input)) * one.flops)
            }
            Self::Fold { .. } | Self::FoldGradient { .. } => Arithmetic::new(" coefficients", 4 * out),
            Self::Activation { .. } | Self::Dropout { .. } => Arithmetic::new("", 2 * out),
            Self::Store(_) | Self::Softmax { .. } => Arithmetic::new("", 4 * out),
            // Largest, difference, exponential, sum, factor; or of sequences, roughly, the same.
            Self::Loss(step) => Arithmetic::new("", 5 * step.len()),
            Self::ConvInput(step) => conv(step.conv()),
            Self::PlanarConv(step) => Arithmetic::new(" of planes", step.flops()),
            Self::PlanarWeight(step) => Arithmetic::new(" of planes", step.flops()),
            Self::ConvWeight { conv: shape, .. } => conv(shape),
            Self::LayerNorm { from: [x, ..], .. } => Arithmetic::new("", 16 * len(*x)),
            Self::Scatter { gradient, .. } => Arithmetic::new("", len(*gradient)),
            Self::ColumnSums { x, .. } | Self::RowSums { x, .. } => Arithmetic::new(" sums", len(*x)),
            Self::Pool { window, channels, .. } => Arithmetic::new("", window.pixels() * window.taps() * channels),
        }
    }
}

#[cfg(test)]
mod tests;
