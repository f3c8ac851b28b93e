//! Values of a plan that nobody stores: whoever reads one computes it, from what is stored (see [`crate::kernels::gradient::Load`]).
//!
//! A normalisation while training, the clamp that follows it, and the gradients of both are such values until an operator needs them
//! in memory that cannot compute them itself.

use super::edge::{Edge, plain};
use super::lower::{Lower, Lowered};
use super::simple::with_last;
use super::step::{Kernel, Memory, Place};
use super::training::Training;
use crate::kernels::Activation;
use crate::kernels::gradient::{self, Load};
use percept_graph::{Node, ValueId};

const ALL: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

/// How a value is computed from what is stored, channels innermost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lazy {
    pub(super) x: Place,
    pub(super) mask: Option<Mask>,
    /// Factors, slopes and summands; what the slopes belong to.
    pub(super) affine: Option<(Place, Option<Place>)>,
    pub(super) clamp: [f32; 2],
}

/// The derivative of a clamp.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mask {
    pub(super) x: Place,
    pub(super) coefficients: Option<Place>,
    pub(super) clamp: [f32; 2],
}

impl Lazy {
    /// A value that is stored.
    pub(super) fn stored(x: Place) -> Self {
        Self { x, mask: None, affine: None, clamp: ALL }
    }

    /// Whether nothing is done but a normalisation.
    pub(super) fn is_norm(&self) -> bool {
        self.mask.is_none() && matches!(self.affine, Some((_, None))) && self.clamp == ALL
    }

    pub(super) fn reads(&self) -> Vec<Option<Place>> {
        let (mask, affine) = (self.mask, self.affine);
        let mask = [mask.map(|m| m.x), mask.and_then(|m| m.coefficients)];
        [&[Some(self.x), affine.map(|a| a.0), affine.and_then(|a| a.1)][..], &mask].concat()
    }

    /// The operand in memory.
    pub(super) fn of<'m>(&self, memory: &'m Memory<'_>, channels: usize) -> Load<'m> {
        let read = |place: Place| memory.read(place);
        let mask =
            self.mask.map(|m| gradient::Mask { x: read(m.x), coefficients: m.coefficients.map(read), clamp: m.clamp });
        let affine = self.affine.map(|(list, z)| (read(list), z.map(read)));
        Load { channels, x: read(self.x), mask, affine, clamp: self.clamp }
    }
}

impl Lower<'_> {
    /// How to read a value with its channels (axis 1) innermost; it is stored unless it is lazy.
    pub(super) fn operand(&mut self, id: ValueId) -> Lowered<Lazy> {
        match self.unstored(id) {
            Some(lazy) => Ok(lazy),
            None => Ok(Lazy::stored(self.channels_last(id)?.place)),
        }
    }

    /// Stores a lazy value.
    pub(super) fn store(&mut self, name: &str, lazy: Lazy, shape: Vec<usize>) -> Edge {
        let (channels, order) = (shape[1], with_last(&plain(shape.len()), 1));
        let to = self.slot(shape, order);
        self.push(name, Kernel::Training(Training::Store { x: lazy, channels }), &to);
        to
    }

    /// Lets a clamp be part of a lazy normalisation; whether its operand is one.
    pub(super) fn clamp_lazily(&mut self, node: &Node, activation: Activation) -> bool {
        let lazy = node.inputs[0].and_then(|id| self.unstored(id)).filter(Lazy::is_norm);
        let (Some(lazy), Some(clamp)) = (lazy, activation.clamp()) else { return false };
        self.lazy.insert(node.outputs[0], Lazy { clamp, ..lazy });
        true
    }

    /// Adds something of the same shape to a lazy normalisation while that is stored; whether one operand is such.
    pub(super) fn add_to_lazy(&mut self, node: &Node) -> Lowered<bool> {
        let [Some(a), Some(b)] = node.inputs[..] else { return Ok(false) };
        let lazy = |id: ValueId| self.unstored(id).filter(Lazy::is_norm);
        let (Some(norm), other) = (match (lazy(a), lazy(b)) {
            (Some(norm), _) => (Some(norm), b),
            (None, norm) => (norm, a),
        }) else {
            return Ok(false);
        };
        let shape = self.shape(node.outputs[0])?;
        if a == b || self.shape(a)? != shape || self.shape(b)? != shape {
            return Ok(false);
        }
        let other = self.channels_last(other)?.place;
        let sum = Lazy { affine: norm.affine.map(|(list, _)| (list, Some(other))), ..norm };
        let edge = self.store(&node.name, sum, shape);
        self.set(node.outputs[0], edge);
        Ok(true)
    }

    /// A value with the channels (axis 1) innermost.
    pub(super) fn channels_last(&mut self, id: ValueId) -> Lowered<Edge> {
        let rank = self.graph.value(id).ty.rank();
        self.reorder(id, &with_last(&plain(rank), 1))
    }
}
