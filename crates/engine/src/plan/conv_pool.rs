//! A convolution whose result only a maximum pooling reads, as one step.
//!
//! It is the first layer of most networks, and its map their largest. Only where the weights stay in the L2 cache, because they pass by for each band
//! of lines; a task begins anew with lines that its neighbour computes too, so there are few tasks a picture.

use super::edge::{CHANNELS_LAST, Edge};
use super::lower::Lower;
use super::step::{Kernel, Memory, Place, Tail, part, product_tasks};
use crate::Pool;
use crate::kernels::{self, ConvWeights, Epilogue, Out, Window};
use percept_graph::ValueId;
use std::sync::Arc;

/// Elements of weights up to which a convolution is pooled at once.
const WEIGHTS: usize = 64 << 10;
/// The fewest pooled lines of a task.
const ROWS: usize = 14;

/// The step.
pub(super) struct ConvPool {
    pub(super) window: Window,
    pub(super) x: Place,
    pub(super) weights: Arc<ConvWeights>,
    pub(super) tail: Tail,
    pub(super) pool: Window,
}

impl Lower<'_> {
    /// Lets the convolution that makes a value take its maximum too, if nobody else reads the value; whether that is so.
    pub(super) fn pool_conv(&mut self, id: ValueId, pool: &Window, y: &Edge) -> bool {
        let (Some(at), Place::Slot(to)) = (self.sole_conv(id), y.place) else { return false };
        let step = &self.steps[at];
        let Kernel::Conv { window, x, weights, fresh: None, tail } = &step.kernel else { return false };
        let small = window.taps() * weights.inputs() / weights.groups() * weights.outputs() <= WEIGHTS;
        if !small || tail.residual.is_some() || y.order != CHANNELS_LAST {
            return false;
        }
        let (window, x, weights, tail) = (*window, *x, Arc::clone(weights), tail.clone());
        self.steps[at].kernel = Kernel::ConvPool(ConvPool { window, x, weights, tail, pool: *pool });
        self.redirect(at, to);
        true
    }
}

impl ConvPool {
    pub(super) fn reads(&self) -> Vec<Place> {
        [Some(self.x), self.tail.bias].into_iter().flatten().collect()
    }

    fn kernel<'a>(&'a self, x: &'a [f32], epilogue: Epilogue<'a>) -> kernels::ConvPool<'a> {
        let (window, weights) = (self.window, &*self.weights);
        let conv = kernels::Conv { window, x, weights, ldc: weights.outputs(), epilogue };
        kernels::ConvPool { conv, pool: self.pool }
    }

    pub(super) fn scratch(&self) -> usize {
        self.kernel(&[], Epilogue::default()).scratch_len()
    }

    /// Operations of the convolution.
    pub(super) fn flops(&self) -> usize {
        let weights = &self.weights;
        2 * self.window.pixels() * self.window.taps() * weights.inputs() / weights.groups() * weights.outputs()
    }

    pub(super) fn run(&self, memory: &Memory<'_>, out: Out<'_>, pool: &Pool) {
        let kernel = self.kernel(memory.read(self.x), memory.epilogue(&self.tail));
        let rows = self.pool.rows();
        let parts = product_tasks(self.flops()).min(rows.div_ceil(ROWS));
        pool.run(parts, &|task, thread| {
            let rows = part(rows, 1, parts, task);
            // SAFETY: the parts are disjoint.
            unsafe { kernels::conv_pool(&kernel, out, rows, memory.scratch(thread)) }
        });
    }
}
