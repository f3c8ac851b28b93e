//! Convolutions of a few channels while training, whose maps lie as planes: LeNet's first (see [`Planar`]).
//!
//! What follows keeps the order where that is good: activations, maxima of two by two pixels, and their gradients. Whoever needs the channels of a pixel
//! beside each other has the map turned.

use super::super::edge::{CHANNELS_LAST, plain};
use super::super::fuse::Fused;
use super::super::lower::{Lower, Lowered};
use super::super::memory::Memory;
use super::super::step::Place;
use super::super::tasks::{part, product_tasks};
use super::Training;
use crate::Pool;
use crate::kernels::gradient::{ConvShape, planar_weight_grad};
use crate::kernels::{Activation, Out, Planar, planar};
use crate::simd::Isa;
use percept_graph::{Node, ValueId};

/// The convolution.
pub(in super::super) struct PlanarConv {
    conv: Planar,
    x: Place,
    weight: Place,
    bias: Option<Place>,
    /// Packed anew in each run.
    filters: Vec<f32>,
    pub(super) scratch: usize,
}

/// Partial gradients of its filters over so many parts of the pictures, one after the other.
pub(in super::super) struct PlanarWeight {
    conv: Planar,
    from: [Place; 2],
    parts: usize,
    pub(super) scratch: usize,
}

fn parts(conv: &Planar) -> usize {
    product_tasks(flops(conv)).min(conv.window.batch).max(1)
}

fn flops(conv: &Planar) -> usize {
    conv.window.pixels().saturating_mul(2 * conv.window.taps() * conv.inputs * conv.outputs)
}

/// A convolution that is better computed in planes.
fn suits(isa: Isa, conv: &ConvShape) -> Option<Planar> {
    let planar = Planar { window: conv.window, inputs: conv.inputs, outputs: conv.outputs };
    (conv.groups == 1 && planar.suits(isa)).then_some(planar)
}

impl Lower<'_> {
    /// Whether a value lies as planes, and not with the channels of a pixel beside each other.
    pub(in super::super) fn is_planar(&self, id: ValueId) -> bool {
        let edge = self.edges[id.index()].as_ref().filter(|edge| edge.shape.len() == 4);
        edge.is_some_and(|edge| edge.lies_in(&plain(4)) && !edge.lies_in(&CHANNELS_LAST))
    }

    /// A convolution whose weights are known only at run time; whether it is done in planes.
    pub(in super::super) fn planar_conv(
        &mut self,
        conv: &ConvShape,
        node: &Node,
        last: &Node,
        fused: &Fused,
    ) -> Lowered<bool> {
        let ([Some(x), Some(weight), ..], Some(conv)) = (&node.inputs[..], suits(self.isa, conv)) else {
            return Ok(false);
        };
        if fused.residual.is_some() || fused.activation != Activation::None {
            return Ok(false);
        }
        let (x, weight) = (self.plainly(*x)?.place, self.plainly(*weight)?.place);
        let bias = self.bias(node)?.map(|edge| edge.place);
        let filters = vec![0.0; conv.inputs * conv.window.taps() * conv.columns()];
        let step = PlanarConv { conv, x, weight, bias, filters, scratch: conv.scratch_len(self.isa) };
        self.make(last, plain(4), Training::PlanarConv(step))?;
        Ok(true)
    }

    /// The gradient of its filters from that of its output, if this lies as planes; whether that is so.
    pub(super) fn planar_weight(&mut self, conv: &ConvShape, node: &Node, [x, dy]: [ValueId; 2]) -> Lowered<bool> {
        let Some(conv) = suits(self.isa, conv).filter(|_| self.is_planar(dy)) else { return Ok(false) };
        let (from, parts) = ([self.plainly(x)?.place, self.plainly(dy)?.place], parts(&conv));
        let len = conv.outputs * conv.inputs * conv.window.taps();
        let step = PlanarWeight { conv, from, parts, scratch: conv.grad_scratch_len(self.isa) };
        let partial = self.list(node, parts * len, Training::PlanarWeight(step)).place;
        self.sum_parts(node, partial, parts, plain(4))?;
        Ok(true)
    }
}

impl PlanarConv {
    pub(super) fn reads(&self) -> Vec<Place> {
        [Some(self.x), Some(self.weight), self.bias].into_iter().flatten().collect()
    }

    pub(in super::super) fn flops(&self) -> usize {
        flops(&self.conv)
    }

    pub(super) fn run(&mut self, memory: &Memory<'_>, out: Out<'_>, pool: &Pool, isa: Isa) {
        self.conv.pack(memory.read(self.weight), &mut self.filters);
        let (x, bias, filters, conv) =
            (memory.read(self.x), self.bias.map(|bias| memory.read(bias)), &self.filters, &self.conv);
        pool.run(parts(conv), &|task, thread| {
            let pictures = part(conv.window.batch, 1, parts(conv), task);
            // SAFETY: pictures are disjoint; the scratch memory is of this thread, and asked for once.
            unsafe { planar(isa, conv, x, filters, bias, out, pictures, memory.scratch(thread)) }
        });
    }
}

impl PlanarWeight {
    pub(super) fn reads(&self) -> Vec<Place> {
        self.from.to_vec()
    }

    pub(in super::super) fn flops(&self) -> usize {
        flops(&self.conv)
    }

    pub(super) fn run(&self, memory: &Memory<'_>, out: Out<'_>, pool: &Pool, isa: Isa) {
        let ([x, dy], conv, parts) = (self.from.map(|place| memory.read(place)), &self.conv, self.parts);
        let len = out.len() / parts;
        pool.run(parts, &|task, thread| {
            let pictures = part(conv.window.batch, 1, parts, task);
            // SAFETY: the parts are disjoint; the scratch memory is of this thread, and asked for once.
            let (sums, scratch) = unsafe { (out.slice_mut(task * len..(task + 1) * len), memory.scratch(thread)) };
            planar_weight_grad(isa, conv, x, dy, pictures, scratch, sums);
        });
    }
}
