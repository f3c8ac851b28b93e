//! A convolution as one step, and what may follow it in place where nothing else reads its result: maximum pooling or a Concat.
//!
//! The first layer of most networks is pooled so, and its map their largest. Only where the weights stay in the L2 cache, because they pass by for each
//! band of lines; a task begins anew with lines that its neighbour computes too, so there are few tasks a picture.

use super::arena::Slot;
use super::edge::{CHANNELS_LAST, Edge};
use super::lower::{Lower, Lowered};
use super::memory::Memory;
use super::step::{Kernel, Place, Tail, part_of};
use super::tasks::{TILE, fill, part, product_grid, product_tasks};
use crate::Pool;
use crate::kernels::{self, ConvWeights, Epilogue, Out, Window};
use percept_graph::ValueId;
use std::sync::Arc;

/// Elements of weights up to which a convolution is pooled at once.
const WEIGHTS: usize = 64 << 10;
/// The fewest pooled lines of a task.
const ROWS: usize = 14;

/// What weights that are known only at run time are packed for: a convolution, or the gradient of its input.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Way {
    Forward,
    Backward,
}

/// The step.
pub(super) struct Conv {
    pub(super) window: Window,
    pub(super) x: Place,
    pub(super) weights: Arc<ConvWeights>,
    /// Weights that are known only at run time are packed anew.
    pub(super) fresh: Option<Place>,
    pub(super) tail: Tail,
    /// How the maximum's window slides over the result.
    pub(super) pool: Option<Window>,
}

impl Lower<'_> {
    /// The step of the convolution or activation that makes a value, if the value is read once and has no other name.
    fn sole_writer(&self, id: ValueId) -> Option<usize> {
        let edge = self.edges[id.index()].as_ref().filter(|edge| edge.order == CHANNELS_LAST)?;
        let Place::Slot(slot) = edge.place else { return None };
        let names = self.edges.iter().flatten().filter(|edge| edge.place == Place::Slot(slot)).count();
        let at = self.steps.iter().rposition(|step| step.output == slot)?;
        let step = &self.steps[at];
        let conv = match &step.kernel {
            Kernel::Conv(conv) => conv.pool.is_none(),
            kernel => matches!(kernel, Kernel::Winograd(_) | Kernel::Activate { .. }),
        };
        (conv && self.uses[id.index()] == 1 && names == 1 && step.columns.is_none()).then_some(at)
    }

    /// Lets a step write the slot of `to`, where nobody has read what it wrote.
    fn redirect(&mut self, at: usize, to: &Edge) {
        let (step, Place::Slot(slot)) = (&mut self.steps[at], to.place) else { return };
        self.slots[step.output] = Slot { len: 0, first: usize::MAX, last: 0, offset: 0 };
        step.output = slot;
        self.note(at);
    }

    /// Lets the step that makes a value write it as the columns of `to` from `first` on, if nobody else reads the value; whether
    /// that is so.
    pub(super) fn write_columns(&mut self, id: ValueId, to: &Edge, first: usize) -> bool {
        let Some(at) = self.sole_writer(id).filter(|_| to.order == CHANNELS_LAST) else { return false };
        self.steps[at].columns = Some([first, to.shape[1]]);
        self.redirect(at, to);
        true
    }

    /// Lets the convolution that makes a value take its maximum `y` too, if nobody else reads the value; whether that is so.
    pub(super) fn pool_conv(&mut self, id: ValueId, window: Window, y: ValueId) -> Lowered<bool> {
        let Some(at) = self.sole_writer(id) else { return Ok(false) };
        let Kernel::Conv(conv) = &mut self.steps[at].kernel else { return Ok(false) };
        if conv.filters() > WEIGHTS || conv.fresh.is_some() || conv.tail.residual.is_some() {
            return Ok(false);
        }
        conv.pool = Some(window);
        let to = self.slot(self.shape(y)?, CHANNELS_LAST.to_vec());
        self.redirect(at, &to);
        self.set(y, to);
        Ok(true)
    }
}

impl Conv {
    /// Elements of the weights.
    pub(super) fn filters(&self) -> usize {
        self.window.taps() * self.weights.inputs() / self.weights.groups() * self.weights.outputs()
    }

    fn kernel<'a>(&'a self, x: &'a [f32], ldc: usize, epilogue: Epilogue<'a>) -> kernels::Conv<'a> {
        kernels::Conv { window: self.window, x, weights: &self.weights, ldc, epilogue }
    }

    pub(super) fn scratch(&self) -> usize {
        let conv = self.kernel(&[], self.weights.outputs(), Epilogue::default());
        let alone = self.weights.scratch_len(&self.window);
        self.pool.map_or(alone, |pool| kernels::ConvPool { conv, pool }.scratch_len())
    }

    /// Writes those columns of `out` (see [`Step`](super::step::Step)).
    pub(super) fn run(&mut self, memory: &Memory<'_>, out: Out<'_>, columns: Option<[usize; 2]>, pool: &Pool) {
        if let Some(place) = self.fresh {
            let (len, filters) = (self.filters(), memory.read(place));
            fill(pool, len, Arc::make_mut(&mut self.weights).panels_mut(), |panel| panel.fill(filters));
        }
        let wish = product_tasks(2 * self.window.pixels() * self.filters());
        let (out, ldc) = part_of(out, columns, self.weights.outputs());
        let conv = self.kernel(memory.read(self.x), ldc, memory.epilogue(&self.tail));
        if let Some(window) = self.pool {
            let (kernel, rows) = (kernels::ConvPool { conv, pool: window }, window.rows());
            let parts = wish.min(rows.div_ceil(ROWS));
            return pool.run(parts, &|task, thread| {
                // SAFETY: the parts are disjoint; the scratch memory is of this thread, and asked for once.
                unsafe { kernels::conv_pool(&kernel, out, part(rows, 1, parts, task), memory.scratch(thread)) }
            });
        }
        let (pixels, panels) = (self.window.pixels(), self.weights.panels());
        let (across, down) = product_grid(pixels, panels, wish, self.scratch() > 0);
        pool.run(across * down, &|task, thread| {
            let (rows, columns) = (part(pixels, TILE, across, task / down), part(panels, 1, down, task % down));
            // SAFETY: the parts of the grid are disjoint; the scratch memory is of this thread, and asked for once.
            unsafe { kernels::conv(&conv, out, rows, columns, memory.scratch(thread)) }
        });
    }
}
