//! Values of a plan that nobody stores: whoever reads one computes it, from what is stored (see [`crate::kernels::gradient::Load`]).
//!
//! A normalisation while training, the clamp that follows it, and the gradients of both are such values until an operator needs them
//! in memory that cannot compute them itself.

use super::edge::{Edge, plain};
use super::lower::{Lower, Lowered};
use super::memory::Memory;
use super::simple::with_last;
use super::step::{Kernel, Place};
use super::training::Training;
use crate::kernels::Activation;
use crate::kernels::gradient::{Load, Recipe};
use percept_graph::{Node, ValueId};

/// How a value is computed from what is stored, channels innermost.
pub(super) type Lazy = Recipe<Place>;

impl Lazy {
    /// The operand in memory.
    pub(super) fn of<'m>(&self, memory: &'m Memory<'_>) -> Load<'m> {
        self.map(|place| memory.read(place))
    }
}

impl Lower<'_> {
    /// How to read a value with its channels (axis 1) innermost; it is stored unless it is lazy.
    pub(super) fn operand(&mut self, id: ValueId) -> Lowered<Lazy> {
        match self.unstored(id) {
            Some(lazy) => Ok(lazy),
            None => self.stored(id),
        }
    }

    /// How to read a value that is stored with its channels innermost.
    pub(super) fn stored(&mut self, id: ValueId) -> Lowered<Lazy> {
        let edge = self.channels_last(id)?;
        Ok(Lazy::stored(edge.shape[1], edge.place))
    }

    /// A value that is lazy, and nothing but a normalisation.
    fn lazy_norm(&self, id: ValueId) -> Option<Lazy> {
        self.unstored(id)
            .filter(|lazy| matches!(lazy.affine, Some((_, None))) && Lazy { affine: None, ..*lazy }.is_stored())
    }

    /// Stores a lazy value.
    pub(super) fn store(&mut self, name: &str, lazy: Lazy, shape: Vec<usize>) -> Edge {
        let order = with_last(&plain(shape.len()), 1);
        let to = self.slot(shape, order);
        self.push(name, Kernel::Training(Training::Store(lazy)), &to);
        to
    }

    /// Lets a clamp be part of a lazy normalisation; whether its operand is one.
    pub(super) fn clamp_lazily(&mut self, node: &Node, activation: Activation) -> bool {
        let norm = node.inputs[0].and_then(|id| self.lazy_norm(id));
        let (Some(norm), Some(clamp)) = (norm, activation.clamp()) else { return false };
        self.lazy.insert(node.outputs[0], Lazy { clamp, ..norm });
        true
    }

    /// Adds something of the same shape to a lazy normalisation while that is stored; whether one operand is such.
    pub(super) fn add_to_lazy(&mut self, node: &Node) -> Lowered<bool> {
        let [Some(a), Some(b)] = node.inputs[..] else { return Ok(false) };
        let either = self.lazy_norm(a).map(|norm| (norm, b)).or_else(|| Some((self.lazy_norm(b)?, a)));
        let Some((norm, other)) = either else { return Ok(false) };
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
