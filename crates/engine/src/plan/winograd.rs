//! 3×3 convolutions of stride 1 by Winograd's minimal filtering.
//!
//! Shapes of one picture alone decide whether a convolution runs so, because its sums are rounded differently: a picture has the same
//! result in every batch and at any number of threads. The work is cut by tiles. Where the transformed filters do not stay in the L2 cache, a block of
//! tiles for each thread would read them once each; there all threads transform the patches into the arena, and then, after a barrier,
//! multiply them, divided by panels of channels too.

use super::lower::Lower;
use super::step::{GRAIN, Memory, Place, Tail, grid, part, tasks};
use crate::Pool;
use crate::kernels::{self, Out, Window, WinogradWeights};
use std::sync::Arc;

/// Floats of transformed filters up to which they pass by for every block of tiles: some L2 caches.
const SMALL: usize = 640 << 10;
/// Floats of transformed patches in the arena: a part of the L3 cache.
const PATCHES: usize = 2 << 20;

/// Whether a convolution of a window, from so many channels to so many in so many groups, runs by Winograd.
pub(super) fn fits(window: &Window, [outputs, inputs]: [usize; 2], groups: usize) -> bool {
    let plain = window.kernel == [3, 3] && window.stride == [1, 1] && window.dilation == [1, 1] && groups == 1;
    plain && inputs >= 16 && outputs >= 16 && window.output.iter().all(|&side| side > 2)
}

/// The step of a convolution.
pub(super) struct Winograd {
    pub(super) window: Window,
    pub(super) x: Place,
    pub(super) weights: Arc<WinogradWeights>,
    pub(super) tail: Tail,
    /// Memory for the transformed patches of a block of tiles, where the work is divided by channels too, and the tiles of the block.
    patches: Option<(Place, usize)>,
}

impl Lower<'_> {
    pub(super) fn winograd(&mut self, window: Window, x: Place, weights: Arc<WinogradWeights>, tail: Tail) -> Winograd {
        let large = kernels::WinogradWeights::filters_len(&weights) > SMALL;
        let patches = large.then(|| {
            let tiles = kernels::winograd_tiles(&window);
            let block = (PATCHES / weights.patches_len(1)).min(tiles).max(1);
            (self.slot(vec![weights.patches_len(block)], vec![0]).place, block)
        });
        Winograd { window, x, weights, tail, patches }
    }
}

impl Winograd {
    pub(super) fn reads(&self) -> Vec<Place> {
        let patches = self.patches.map(|(place, _)| place);
        [Some(self.x), self.tail.bias, self.tail.residual, patches].into_iter().flatten().collect()
    }

    pub(super) fn scratch(&self) -> usize {
        self.weights.scratch_len()
    }

    pub(super) fn run(&self, memory: &Memory<'_>, out: Out<'_>, pool: &Pool) {
        let (window, weights) = (self.window, &*self.weights);
        let (x, epilogue) = (memory.read(self.x), memory.epilogue(&self.tail));
        let conv = kernels::Winograd { window, x, weights, epilogue };
        let (tiles, panels) = (kernels::winograd_tiles(&window), weights.panels());
        // A quarter of the plain convolution's operations, and the transforms.
        let flop = 6 * out.len() * weights.inputs();
        let Some((Place::Slot(slot), block)) = self.patches else {
            let (across, down) = grid(tiles, 14, 1, 1, tasks(flop, GRAIN));
            pool.run(across * down, &|task, thread| {
                let tiles = part(tiles, 14, across, task);
                // SAFETY: the parts are disjoint.
                unsafe { kernels::winograd(&conv, out, tiles, 0..panels, memory.scratch(thread)) }
            });
            return;
        };
        for first in (0..tiles).step_by(block) {
            let block = first..tiles.min(first + block);
            let patches = memory.write(slot);
            let parts = tasks(32 * block.len() * weights.inputs(), GRAIN / 16).min(block.len());
            pool.run(parts, &|task, _| {
                let part = part(block.len(), 1, parts, task);
                let tiles = first + part.start..first + part.end;
                // SAFETY: the parts are disjoint.
                unsafe { kernels::winograd_patches(&conv, patches, block.clone(), tiles) }
            });
            let patches = memory.read(Place::Slot(slot));
            let (across, down) = grid(block.len(), 56, panels, 1, tasks(flop / tiles * block.len(), GRAIN));
            pool.run(across * down, &|task, thread| {
                let (part, panels) = (part(block.len(), 56, across, task / down), part(panels, 1, down, task % down));
                let tiles = first + part.start..first + part.end;
                let scratch = memory.scratch(thread);
                // SAFETY: the parts of the grid are disjoint, and nobody writes the patches any more.
                unsafe { kernels::winograd_products(&conv, patches, block.clone(), out, tiles, panels, scratch) }
            });
        }
    }
}
