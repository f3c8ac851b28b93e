//! From convolutions of learning to steps, and what is done in passing: the sums that the next normalisation needs.

use super::super::conv::Way;
use super::super::edge::{CHANNELS_LAST, Edge, plain};
use super::super::fuse::Fused;
use super::super::lazy::Lazy;
use super::super::lower::{Lower, Lowered};
use super::super::product::window;
use super::super::step::{Kernel, Place, Tail};
use super::super::tasks::{GRAIN, part};
use super::super::winograd;
use super::Training;
use super::blocks::BackwardSums;
use super::conv::{FusedConv, FusedConvGrad, InputGrad, room};
use super::input::{ConvInput, Filters};
use crate::kernels::gradient::ConvShape;
use crate::kernels::{Activation, Window, WinogradWeights};
use percept_graph::ops::{Conv, ConvTranspose};
use percept_graph::{Node, ValueId};
use std::sync::Arc;

impl Lower<'_> {
    fn conv_shape(&mut self, op: &Conv, x: ValueId, weight: ValueId, output: ValueId) -> Lowered<ConvShape> {
        let (x, weight, output) = (self.shape(x)?, self.shape(weight)?, self.shape(output)?);
        if x.len() != 4 {
            return Err("runs with two spatial axes only".into());
        }
        let window = window(&x, &output, &weight[2..], op.steps())?;
        Ok(ConvShape { window, groups: op.group, inputs: x[1], outputs: weight[0] })
    }

    /// A convolution whose weights are known only at run time; whether it is one that has steps of its own here: of a few channels, or 1×1 or depthwise
    /// without bias.
    pub(in super::super) fn conv_while_training(
        &mut self,
        node: &Node,
        op: &Conv,
        last: &Node,
        fused: &Fused,
    ) -> Lowered<bool> {
        let [Some(x), Some(weight), ref bias @ ..] = node.inputs[..] else { return Ok(false) };
        let conv = self.conv_shape(op, x, weight, node.outputs[0])?;
        if self.planar_conv(&conv, node, last, fused)? {
            return Ok(true);
        }
        if bias.iter().any(Option::is_some) {
            return Ok(false);
        }
        let Some(packed) = room(self.isa, &conv, Way::Forward) else { return Ok(false) };
        let (x, weight) = (self.operand(x)?, self.plainly(weight)?.place);
        let step = FusedConv { conv, x, weight, packed, sums: None };
        self.make(node, CHANNELS_LAST.to_vec(), Training::FusedConv(step))?;
        Ok(true)
    }

    /// The gradient with respect to the input, of the shape of `like`.
    pub(super) fn conv_input(&mut self, node: &Node, op: &Conv, [dy, weight, like]: [ValueId; 3]) -> Lowered<()> {
        let conv = self.conv_shape(op, like, weight, dy)?;
        let key = (dy, weight);
        let Some(packed) = room(self.isa, &conv, Way::Backward) else {
            let (dy, tail) =
                (self.channels_last(dy)?.place, Tail { bias: None, residual: None, activation: Activation::None });
            return self.dense_conv_input(&node.name, node.outputs[0], conv, dy, weight, tail);
        };
        let (dy, weight) = (self.operand(dy)?, self.plainly(weight)?.place);
        let slot = self.slots.len();
        let dx = self.slot(self.shape(like)?, CHANNELS_LAST.to_vec());
        // Where the gradient of the weight is computed, that of the output is at hand: both come from one step.
        let at = self.weight_grads.get(&key).copied().unwrap_or(self.steps.len());
        if at == self.steps.len() {
            let step = FusedConvGrad { conv, dy, packed, weight: None, input: None };
            self.push(&node.name, Kernel::Training(Training::FusedConvGrad(Box::new(step))), &dx);
        }
        if let Kernel::Training(Training::FusedConvGrad(step)) = &mut self.steps[at].kernel {
            step.input = Some(InputGrad { weight, slot, sums: None });
        }
        self.note(at);
        self.input_grads.insert(slot, at);
        self.set(node.outputs[0], dx);
        Ok(())
    }

    /// A transposed convolution: the gradient of the convolution from its output to its input.
    pub(in super::super) fn conv_transpose(
        &mut self,
        node: &Node,
        op: &ConvTranspose,
        last: &Node,
        fused: &Fused,
    ) -> Lowered<()> {
        let [Some(x), Some(weight), ..] = node.inputs[..] else { return Err("lacks an input".into()) };
        let spatial = &self.graph.value(x).ty.shape[2..];
        let (conv, _) = op.conv(spatial, &self.shape(weight)?[2..])?;
        let conv = self.conv_shape(&conv, node.outputs[0], weight, x)?;
        let bias = self.bias(node)?;
        let tail = self.tail(bias, fused, &CHANNELS_LAST)?;
        let x = self.channels_last(x)?.place;
        self.dense_conv_input(&node.name, last.outputs[0], conv, x, weight, tail)
    }

    /// The gradient with respect to the input of a convolution that is neither 1×1 nor depthwise, which makes `output`; where it pays as the
    /// convolution that it is, by Winograd.
    fn dense_conv_input(
        &mut self,
        name: &str,
        output: ValueId,
        conv: ConvShape,
        dy: Place,
        weight: ValueId,
        tail: Tail,
    ) -> Lowered<()> {
        let (w, channels) = (conv.window, [conv.inputs, conv.outputs]);
        let back = |top, left| Window { input: w.output, output: w.input, pad: [top, left], ..w };
        if let [Some(top), Some(left)] = w.pad.map(|pad| 2usize.checked_sub(pad))
            && let Some(tile) = winograd::tile(&back(top, left), channels, conv.groups)
        {
            let weights = Arc::new(WinogradWeights::empty(self.isa, tile, channels));
            let place = self.plainly(weight)?.place;
            let step = self.winograd(back(top, left), dy, weights, Some((place, Way::Backward)), tail);
            return self.emit(name, output, CHANNELS_LAST.to_vec(), Kernel::Winograd(step));
        }
        let mut filters = Filters::zeroed(self.isa, &conv);
        let (filters, fresh) = match self.constant_values(weight) {
            Ok(values) => {
                let key = (self.graph.value(weight).name.clone(), conv.groups, filters.order().to_vec());
                let shared = self.packed.transposed.entry(key).or_insert_with(|| {
                    filters.fill(&conv, values, None);
                    Arc::new(filters)
                });
                (Arc::clone(shared), None)
            }
            Err(_) => (Arc::new(filters), Some(self.plainly(weight)?.place)),
        };
        let step = Training::ConvInput(ConvInput { conv, gradient: dy, filters, fresh, tail });
        self.emit(name, output, CHANNELS_LAST.to_vec(), Kernel::Training(step))
    }

    /// The gradient with respect to the weight, of the shape of `like`.
    pub(super) fn conv_weight(&mut self, node: &Node, op: &Conv, [x, dy, like]: [ValueId; 3]) -> Lowered<()> {
        let conv = self.conv_shape(op, x, like, dy)?;
        if self.planar_weight(&conv, node, [x, dy])? {
            return Ok(());
        }
        let len = conv.outputs * conv.patch();
        let Some(packed) = room(self.isa, &conv, Way::Backward) else {
            let tasks = (2 * conv.window.pixels() * len / GRAIN).clamp(1, 4);
            // A part of the pixels leaves a gradient of its own; where that is larger than the map, output channels are divided instead.
            let few = conv.groups == 1 && len > conv.window.input_pixels() * conv.inputs;
            let (parts, slices) = if few { (1, tasks) } else { (tasks, 1) };
            let from = [self.channels_last(x)?.place, self.channels_last(dy)?.place];
            let partial = self.list(node, parts * len, Training::ConvWeight { conv, from, parts, slices }).place;
            return self.sum_parts(node, partial, parts, vec![0, 2, 3, 1]);
        };
        let (key, x, dy) = ((dy, like), self.operand(x)?, self.operand(dy)?);
        let (parts, order) = (packed.grad_parts(&conv), packed.grad_order(&conv));
        let step = FusedConvGrad { conv, dy, packed, weight: Some((x, self.slots.len())), input: None };
        self.weight_grads.insert(key, self.steps.len());
        let partial = self.list(node, parts * len, Training::FusedConvGrad(Box::new(step))).place;
        self.sum_parts(node, partial, parts, order)
    }

    /// The node's output as the sum of its parts, whose axes lie in `order`.
    pub(super) fn sum_parts(&mut self, node: &Node, partial: Place, parts: usize, order: Vec<usize>) -> Lowered<()> {
        let shape = self.shape(node.outputs[0])?;
        if parts == 1 {
            self.set(node.outputs[0], Edge { place: partial, shape, order });
            return Ok(());
        }
        let columns = shape.iter().product();
        self.make(node, order, Training::ColumnSums { x: partial, columns, parts: 1, factor: 1.0 })
    }

    /// Partial sums of what a normalisation takes its statistics from, and over how many pixels each: from the step that makes it, or a
    /// step of their own.
    pub(super) fn forward_sums(&mut self, node: &Node, x: &Edge) -> (Place, Vec<usize>) {
        let (channels, pixels, slot) = (x.shape[1], x.len() / x.shape[1].max(1), self.slots.len());
        if let Some(at) = self.steps.iter().rposition(|step| Place::Slot(step.output) == x.place)
            && let Kernel::Training(Training::FusedConv(step @ FusedConv { sums: None, .. })) =
                &mut self.steps[at].kernel
        {
            step.sums = Some(slot);
            let counts = step.packed.counts(&step.conv);
            let partial = self.slot(vec![3 * channels * counts.len()], plain(1)).place;
            self.note(at);
            return (partial, counts);
        }
        let parts = pixel_parts(pixels);
        let sums = Training::ForwardSums { channels, x: x.place, parts };
        let counts = (0..parts).map(|i| part(pixels, 1, parts, i).len()).collect();
        (self.list(node, 3 * channels * parts, sums).place, counts)
    }

    /// Partial sums of the gradient of a normalisation of `x`: from the step that makes what that is computed from, or a step of their own.
    pub(super) fn backward_sums(&mut self, node: &Node, x: &Edge, gradient: Lazy, mean: Place) -> Place {
        let (channels, pixels, slot) = (x.shape[1], x.len() / x.shape[1].max(1), self.slots.len());
        let sums = BackwardSums { slot, gradient, x: x.place, mean };
        let whole = gradient.columns == [0, channels];
        let ready = |at: usize| {
            sums.reads().filter(|&place| place != gradient.x).all(|place| match place {
                Place::Slot(slot) => self.slots[slot].first < at,
                _ => true,
            })
        };
        let writer = match gradient.x {
            Place::Slot(from) => self.input_grads.get(&from).copied().filter(|&at| pixels > 0 && whole && ready(at)),
            _ => None,
        };
        if let Some(at) = writer
            && let Kernel::Training(Training::FusedConvGrad(step)) = &mut self.steps[at].kernel
            && let Some(input @ InputGrad { sums: None, .. }) = &mut step.input
        {
            input.sums = Some(sums);
            let parts = step.packed.grad_parts(&step.conv);
            let partial = self.slot(vec![2 * channels * parts], plain(1)).place;
            self.note(at);
            return partial;
        }
        let parts = pixel_parts(pixels);
        self.list(node, 2 * channels * parts, Training::BackwardSums { sums, parts }).place
    }
}

/// How many parts the sums over so many pixels are cut into.
fn pixel_parts(pixels: usize) -> usize {
    pixels.div_ceil(2048).max(1)
}
