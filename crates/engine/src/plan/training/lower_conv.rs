//! From convolutions of learning to steps, and what is done in passing: the sums that the next normalisation needs.

use super::super::edge::{CHANNELS_LAST, Edge, plain};
use super::super::lazy::Lazy;
use super::super::lower::{Lower, Lowered};
use super::super::product::window;
use super::super::step::{Kernel, Place, Tail, part};
use super::super::winograd::{self, Way};
use super::blocks::{BackwardSums, ForwardSums, InputGrad};
use super::depthwise::{Depthwise, DepthwiseGrad};
use super::pointwise::{Pointwise, PointwiseGrad};
use super::{ConvShape, Training, pixel_parts, weight_parts};
use crate::kernels::{Activation, DepthwiseWeights, PackedB, Window, WinogradWeights};
use crate::simd::Isa;
use percept_graph::ops::Conv;
use percept_graph::{Node, ValueId};
use std::sync::Arc;

/// Which kernels a convolution runs with.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Pointwise,
    Depthwise,
    Dense,
}

fn kind(conv: &ConvShape) -> Kind {
    let w = &conv.window;
    if conv.groups > 1 && conv.groups == conv.inputs && conv.groups == conv.outputs {
        Kind::Depthwise
    } else if conv.groups == 1 && w.kernel == [1, 1] && w.stride == [1, 1] && w.pad == [0, 0] && w.input == w.output {
        Kind::Pointwise
    } else {
        Kind::Dense
    }
}

impl Lower<'_> {
    fn conv_shape(&mut self, op: &Conv, x: ValueId, weight: ValueId, output: ValueId) -> Lowered<ConvShape> {
        let (x, weight, output) = (self.shape(x)?, self.shape(weight)?, self.shape(output)?);
        if x.len() != 4 {
            return Err("runs with two spatial axes only".into());
        }
        let window = window(&x, &output, &weight[2..], (&op.strides, &op.dilations, &op.padding))?;
        Ok(ConvShape { window, groups: op.group, inputs: x[1], outputs: weight[0] })
    }

    /// A convolution without bias whose weights are known only at run time; whether it is one that has steps of its own here.
    pub(in super::super) fn conv_while_training(&mut self, node: &Node, op: &Conv) -> Lowered<bool> {
        let [Some(x), Some(weight)] = node.inputs[..] else { return Ok(false) };
        let conv = self.conv_shape(op, x, weight, node.outputs[0])?;
        let (w, isa, kind) = (conv.window, self.isa, kind(&conv));
        if kind == Kind::Dense {
            return Ok(false);
        }
        let (x, weight) = (self.operand(x)?, self.reorder(weight, &plain(4))?.place);
        let training = match kind {
            Kind::Depthwise => {
                let packed = empty_filters(isa, &conv);
                Training::Depthwise(Depthwise { window: w, x, weight, packed, sums: None })
            }
            _ => {
                let packed = empty_matrix(isa, conv.inputs, conv.outputs);
                Training::Pointwise(Pointwise { m: w.pixels(), x, weight, packed, sums: None })
            }
        };
        self.make(node, CHANNELS_LAST.to_vec(), training)?;
        Ok(true)
    }

    pub(super) fn conv_input(
        &mut self,
        node: &Node,
        op: &Conv,
        dy_id: ValueId,
        weight_id: ValueId,
        like: ValueId,
    ) -> Lowered<()> {
        let conv = self.conv_shape(op, like, weight_id, dy_id)?;
        let (isa, weight) = (self.isa, self.plainly(weight_id)?.place);
        let kind = kind(&conv);
        let dy =
            if kind == Kind::Dense { Lazy::stored(self.channels_last(dy_id)?.place) } else { self.operand(dy_id)? };
        let dx = self.slot(self.shape(like)?, CHANNELS_LAST.to_vec());
        let Place::Slot(slot) = dx.place else { return Err("has no slot".into()) };
        self.set(node.outputs[0], dx.clone());
        if kind == Kind::Dense && self.winograd_backward(node, &conv, dy.x, weight, &dx) {
            return Ok(());
        }
        // Where the gradient of the weight is computed, that of the output is at hand: both come from one step.
        let before = self.weight_grads.get(&(dy_id, weight_id)).copied();
        let together = before.map(|i| &mut self.steps[i].kernel);
        let training = match kind {
            Kind::Dense => {
                let (n, patch) = (conv.outputs / conv.groups, conv.patch());
                let rows = vec![0.0; n * patch];
                let packed = vec![PackedB::pack(isa, n, patch, &rows, [patch, 1]); conv.groups];
                Training::ConvInput { conv, weight, gradient: dy.x, packed, rows }
            }
            Kind::Depthwise => {
                let input = Some(InputGrad { weight, packed: empty_filters(isa, &conv), slot, sums: None });
                if let Some(Kernel::Training(Training::DepthwiseGrad(step))) = together {
                    step.input = input;
                    self.note_input_grad(slot, before);
                    return Ok(());
                }
                let (window, channels) = (conv.window, conv.inputs);
                Training::DepthwiseGrad(Box::new(DepthwiseGrad { window, channels, dy, weight: None, input }))
            }
            Kind::Pointwise => {
                let packed = empty_matrix(isa, conv.outputs, conv.inputs);
                let input = Some(InputGrad { weight, packed, slot, sums: None });
                if let Some(Kernel::Training(Training::PointwiseGrad(step))) = together {
                    step.input = input;
                    self.note_input_grad(slot, before);
                    return Ok(());
                }
                let (m, k, n) = (conv.window.pixels(), conv.inputs, conv.outputs);
                Training::PointwiseGrad(Box::new(PointwiseGrad { m, k, n, dy, weight: None, input }))
            }
        };
        self.push(&node.name, Kernel::Training(training), &dx);
        self.note_input_grad(slot, None);
        Ok(())
    }

    /// Where it pays, the gradient of a 3×3 convolution with respect to its input as the convolution that it is, by Winograd; whether so.
    fn winograd_backward(&mut self, node: &Node, conv: &ConvShape, dy: Place, weight: Place, dx: &Edge) -> bool {
        let (w, channels) = (conv.window, [conv.inputs, conv.outputs]);
        let [Some(top), Some(left)] = w.pad.map(|pad| 2usize.checked_sub(pad)) else { return false };
        let back = Window { input: w.output, output: w.input, pad: [top, left], ..w };
        let Some(tile) = winograd::tile(&back, channels, conv.groups) else { return false };
        let weights = Arc::new(WinogradWeights::empty(self.isa, tile, channels));
        let tail = Tail { bias: None, residual: None, activation: Activation::None };
        let step = self.winograd(back, dy, weights, Some((weight, Way::Backward)), tail);
        self.push(&node.name, Kernel::Winograd(step), dx);
        true
    }

    /// Remembers the step that writes a gradient.
    fn note_input_grad(&mut self, slot: usize, step: Option<usize>) {
        let step = step.unwrap_or(self.steps.len() - 1);
        self.note(step);
        self.input_grads.insert(slot, step);
    }

    pub(super) fn conv_weight(
        &mut self,
        node: &Node,
        op: &Conv,
        x: ValueId,
        dy_id: ValueId,
        like: ValueId,
    ) -> Lowered<()> {
        let conv = self.conv_shape(op, x, like, dy_id)?;
        let (window, len, kind) = (conv.window, conv.outputs * conv.patch(), kind(&conv));
        if kind == Kind::Dense {
            let parts = weight_parts(2 * window.pixels() * len);
            let (x, gradient) = (self.channels_last(x)?.place, self.channels_last(dy_id)?.place);
            let partial = self.list(node, parts * len, Training::ConvWeight { conv, x, gradient, parts }).place;
            return self.make(node, vec![0, 2, 3, 1], Training::SumParts { partial, parts });
        }
        let (x, dy) = (self.operand(x)?, self.operand(dy_id)?);
        let next = self.slots.len();
        let (parts, order, training) = match kind {
            Kind::Depthwise => {
                let (channels, weight) = (conv.inputs, Some((x, next)));
                let step = DepthwiseGrad { window, channels, dy, weight, input: None };
                (step.parts(), vec![2, 3, 0, 1], Training::DepthwiseGrad(Box::new(step)))
            }
            _ => {
                let (m, k, n) = (window.pixels(), conv.inputs, conv.outputs);
                let step = PointwiseGrad { m, k, n, dy, weight: Some((x, next)), input: None };
                let order = if step.by_inputs() { vec![1, 0, 2, 3] } else { plain(4) };
                (step.parts(), order, Training::PointwiseGrad(Box::new(step)))
            }
        };
        let partial = self.slot(vec![parts * len], plain(1));
        self.weight_grads.insert((dy_id, like), self.steps.len());
        self.push(&node.name, Kernel::Training(training), &partial);
        self.make(node, order, Training::SumParts { partial: partial.place, parts })
    }

    /// Partial sums of what a normalisation takes its statistics from, and over how many pixels each: from the step that makes it, or a
    /// step of their own.
    pub(super) fn forward_sums(&mut self, node: &Node, x: &Edge) -> (Place, Vec<usize>) {
        let (channels, pixels) = (x.shape[1], x.len() / x.shape[1].max(1));
        let writer = self.steps.iter().rposition(|step| Place::Slot(step.output) == x.place);
        let counts = writer.and_then(|at| match &self.steps[at].kernel {
            Kernel::Training(Training::Pointwise(step)) if step.sums.is_none() => Some(step.counts()),
            Kernel::Training(Training::Depthwise(step)) if step.sums.is_none() => Some(step.counts()),
            _ => None,
        });
        if let (Some(at), Some(counts)) = (writer, counts) {
            let partial = self.slot(vec![3 * channels * counts.len()], plain(1));
            if let (Place::Slot(slot), Kernel::Training(training)) = (partial.place, &mut self.steps[at].kernel) {
                match training {
                    Training::Pointwise(step) => step.sums = Some(ForwardSums { slot }),
                    Training::Depthwise(step) => step.sums = Some(ForwardSums { slot }),
                    _ => (),
                }
            }
            self.note(at);
            return (partial.place, counts);
        }
        let parts = pixel_parts(pixels);
        let sums = Training::ForwardSums { channels, x: x.place, parts };
        let counts = (0..parts).map(|i| part(pixels, 1, parts, i).len()).collect();
        (self.list(node, 3 * channels * parts, sums).place, counts)
    }

    /// Partial sums of the gradient of a normalisation of `x`: from the step that makes what that is computed from, or a step of their own.
    pub(super) fn backward_sums(&mut self, node: &Node, x: &Edge, gradient: Lazy, mean: Place) -> Place {
        let (channels, pixels) = (x.shape[1], x.len() / x.shape[1].max(1));
        let Place::Slot(from) = gradient.x else { return self.own_backward_sums(node, x, gradient, mean) };
        let ready = |at: usize| {
            let needed = gradient.reads().into_iter().flatten().chain([x.place, mean]);
            needed.filter(|&place| place != gradient.x).all(|place| match place {
                Place::Slot(slot) => self.slots[slot].first < at,
                _ => true,
            })
        };
        let Some(at) = self.input_grads.get(&from).copied().filter(|&at| pixels > 0 && ready(at)) else {
            return self.own_backward_sums(node, x, gradient, mean);
        };
        let (sums, parts) = match &mut self.steps[at].kernel {
            Kernel::Training(Training::PointwiseGrad(step)) => {
                let parts = step.parts();
                (step.input.as_mut().map(|input| &mut input.sums), parts)
            }
            Kernel::Training(Training::DepthwiseGrad(step)) => {
                let parts = step.parts();
                (step.input.as_mut().map(|input| &mut input.sums), parts)
            }
            _ => (None, 0),
        };
        let Some(sums @ None) = sums else { return self.own_backward_sums(node, x, gradient, mean) };
        let slot = self.slots.len();
        *sums = Some(BackwardSums { slot, gradient, x: x.place, mean });
        let partial = self.slot(vec![2 * channels * parts], plain(1)).place;
        self.note(at);
        partial
    }

    fn own_backward_sums(&mut self, node: &Node, x: &Edge, gradient: Lazy, mean: Place) -> Place {
        let (channels, pixels) = (x.shape[1], x.len() / x.shape[1].max(1));
        let parts = pixel_parts(pixels);
        let sums = Training::BackwardSums { channels, x: x.place, gradient, mean, parts };
        self.list(node, 2 * channels * parts, sums).place
    }
}

/// Room for a matrix on the right.
fn empty_matrix(isa: Isa, k: usize, n: usize) -> PackedB {
    PackedB::pack(isa, k, n, &vec![0.0; k * n], [n, 1])
}

/// Room for the filters of a depthwise convolution.
fn empty_filters(isa: Isa, conv: &ConvShape) -> DepthwiseWeights {
    let zeros = vec![0.0; conv.inputs * conv.patch()];
    DepthwiseWeights::pack(isa, conv.inputs, conv.window.kernel, &zeros)
}
