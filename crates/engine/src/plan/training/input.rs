//! The gradient of a dense or grouped convolution with respect to its input, or a transposed convolution, as one step.

use super::super::memory::Memory;
use super::super::step::{Place, Tail};
use super::super::tasks::{GRAIN, TILE, fill, part, tasks};
use crate::Pool;
use crate::kernels::gradient::{ConvGrad, ConvShape, Phase, PhaseWeights, conv_input_grad, conv_input_phase};
use crate::kernels::{Axis, Layout, Out, PackedB, Panel};
use crate::simd::Isa;
use std::sync::Arc;

/// Pixels of a phase that are worth passing by its filters.
const PIXELS: usize = 16 * TILE;

/// Filters as the way of computing takes them.
#[derive(Clone)]
pub(in super::super) enum Filters {
    /// For each group a product with all taps.
    Patches(Vec<PackedB>),
    Phases(PhaseWeights),
}

impl Filters {
    /// Room for them, as suits the shape.
    pub(super) fn zeroed(isa: Isa, conv: &ConvShape) -> Self {
        let phases =
            Some(conv).filter(|conv| conv.prefers_phases(isa)).and_then(|conv| PhaseWeights::zeroed(isa, conv));
        phases.map_or_else(
            || Self::Patches(vec![PackedB::zeroed(isa, conv.outputs / conv.groups, conv.patch()); conv.groups]),
            Self::Phases,
        )
    }

    /// What tells them from others of the same weights.
    pub(super) fn order(&self) -> &[usize] {
        match self {
            Self::Patches(_) => &[],
            Self::Phases(weights) => weights.taps(),
        }
    }

    /// Fills them from weights in ONNX's layout, on the threads of a pool if there is one.
    pub(super) fn fill(&mut self, conv: &ConvShape, weights: &[f32], pool: Option<&Pool>) {
        match (self, pool) {
            (Self::Patches(packed), None) => patches(conv, packed).for_each(|mut panel| panel.fill(weights)),
            (Self::Phases(packed), None) => packed.panels_mut().for_each(|mut panel| panel.fill(weights)),
            (Self::Patches(packed), Some(pool)) => {
                fill(pool, weights.len(), patches(conv, packed), |panel| panel.fill(weights));
            }
            (Self::Phases(packed), Some(pool)) => {
                fill(pool, weights.len(), packed.panels_mut(), |panel| panel.fill(weights));
            }
        }
    }
}

/// The panels of the patches' filters, group by group.
fn patches<'a>(conv: &ConvShape, packed: &'a mut [PackedB]) -> impl Iterator<Item = Panel<'a>> {
    let (patch, n) = (conv.patch(), conv.outputs / conv.groups);
    let columns = Axis { inner: (conv.inputs / conv.groups).max(1), steps: [1, conv.window.taps()] };
    packed.iter_mut().enumerate().flat_map(move |(group, packed)| {
        packed.panels_mut(Layout { first: group * n * patch, rows: Axis::even(patch), columns })
    })
}

/// The step.
pub(in super::super) struct ConvInput {
    pub(super) conv: ConvShape,
    pub(super) gradient: Place,
    pub(super) filters: Arc<Filters>,
    /// Weights that are known only at run time are packed anew.
    pub(super) fresh: Option<Place>,
    pub(super) tail: Tail,
}

impl ConvInput {
    pub(in super::super) fn conv(&self) -> &ConvShape {
        &self.conv
    }

    pub(super) fn reads(&self) -> Vec<Place> {
        self.tail.reads(self.gradient, self.fresh)
    }

    pub(super) fn scratch(&self) -> usize {
        match &*self.filters {
            Filters::Patches(_) => self.conv.scratch_len(),
            Filters::Phases(weights) => weights.scratch_len(&self.conv),
        }
    }

    pub(super) fn run(&mut self, memory: &Memory<'_>, out: Out<'_>, pool: &Pool, isa: Isa) {
        let conv = self.conv;
        if let Some(place) = self.fresh {
            Arc::make_mut(&mut self.filters).fill(&conv, memory.read(place), Some(pool));
        }
        let (grad, epilogue) = (ConvGrad { conv, gradient: memory.read(self.gradient) }, memory.epilogue(&self.tail));
        let (batch, together) = (conv.window.batch, conv.together());
        match &*self.filters {
            Filters::Patches(packed) => pool.run(batch.div_ceil(together), &|task, thread| {
                let pictures = task * together..batch.min((task + 1) * together);
                // SAFETY: pictures are disjoint; the scratch memory is of this thread, and asked for once.
                unsafe { conv_input_grad(isa, &grad, packed, &epilogue, out, pictures, memory.scratch(thread)) }
            }),
            Filters::Phases(weights) => {
                let parts = |phase: &Phase| phase.pixels().div_ceil(PIXELS).min(tasks(phase.flops(&conv), GRAIN));
                let all: usize = conv.phases().map(|phase| parts(&phase)).sum();
                pool.run(all, &|mut task, thread| {
                    let mut phases = conv.phases();
                    let found = phases.find(|phase| match task.checked_sub(parts(phase)) {
                        Some(left) => {
                            task = left;
                            false
                        }
                        None => true,
                    });
                    let Some(phase) = found else { return };
                    let pixels = part(phase.pixels(), TILE, parts(&phase), task);
                    // SAFETY: phases are disjoint, and so are their parts; the scratch memory is of this thread, and asked for once.
                    unsafe { conv_input_phase(&grad, weights, &phase, &epilogue, out, pixels, memory.scratch(thread)) }
                });
            }
        }
    }
}
