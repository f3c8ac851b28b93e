//! 3×3 convolutions of stride 1 by Winograd's minimal filtering.
//!
//! Shapes of one picture alone decide whether a convolution runs so, because its sums are rounded differently: a picture has the same
//! result in every batch and at any number of threads. The work is cut by tiles. Where the transformed filters do not stay in the L2 cache, a block of
//! tiles for each thread would read them once each; there all threads transform the patches into the arena, and then, after a barrier,
//! multiply them, divided by panels of channels too.

use super::conv::Way;
use super::lower::Lower;
use super::memory::Memory;
use super::step::{Place, Tail};
use super::tasks::{GRAIN, fill, grid, part, tasks};
use crate::Pool;
use crate::kernels::{self, Out, Window, WinogradWeights};
use std::ops::Range;
use std::sync::Arc;

/// Floats of transformed filters up to which they pass by for every block of tiles: some L2 caches.
const SMALL: usize = 640 << 10;
/// Tiles up to which they are too few to be cut at multiples of the register tiles' rows.
const FEW: usize = 98;
/// Floats of filters transformed for 4×4 for each tile of a picture above which it takes longer to read than to multiply them.
const HEAVY: usize = 1 << 17;
/// Floats of transformed patches in the arena: a part of the L3 cache.
const PATCHES: usize = 2 << 20;

/// The side of the tiles in which a convolution of a window, [outputs, inputs] channels in so many groups, runs by Winograd, if it does.
///
/// It does where tiles of 4×4 save half of the multiplications at least, and there are channels enough that the transforms cost less. Of a
/// small map with many channels, a picture would wait for the filters transformed for 4×4; tiles of 2×2 have less than half as many.
pub(super) fn tile(window: &Window, [outputs, inputs]: [usize; 2], groups: usize) -> Option<usize> {
    let plain = window.kernel == [3, 3] && window.stride == [1, 1] && window.dilation == [1, 1] && groups == 1;
    let [tiles, pixels] = [4, 1].map(|tile| window.output.iter().map(|side| side.div_ceil(tile)).product::<usize>());
    let saves = 2 * 36 * tiles <= 9 * pixels;
    let heavy = 36 * inputs * outputs > HEAVY * tiles;
    (plain && saves && inputs >= 16 && outputs >= 16).then_some(if heavy { 2 } else { 4 })
}

/// The step of a convolution.
pub(super) struct Winograd {
    pub(super) window: Window,
    pub(super) x: Place,
    pub(super) weights: Arc<WinogradWeights>,
    /// Filters that are known only at run time are transformed anew: those of a convolution, or of the gradient of its input.
    pub(super) fresh: Option<(Place, Way)>,
    pub(super) tail: Tail,
    /// Memory for the transformed patches of a block of tiles, where the work is divided by channels too, and the tiles of the block.
    patches: Option<(Place, usize)>,
}

impl Lower<'_> {
    pub(super) fn winograd(
        &mut self,
        window: Window,
        x: Place,
        weights: Arc<WinogradWeights>,
        fresh: Option<(Place, Way)>,
        tail: Tail,
    ) -> Winograd {
        let tiles = weights.tiles(&window);
        let shared = weights.filters_len() > SMALL || (tiles <= FEW && tasks(work(&weights, tiles), GRAIN) > 1);
        let patches = shared.then(|| {
            let block = (PATCHES / weights.patches_len(1)).min(tiles).max(1);
            (self.slot(vec![weights.patches_len(block)], vec![0]).place, block)
        });
        Winograd { window, x, weights, fresh, tail, patches }
    }
}

/// Operations of so many tiles, with the transforms by the time that they take.
fn work(weights: &WinogradWeights, tiles: usize) -> usize {
    2 * tiles * weights.filters_len() + transform(weights, tiles, weights.inputs() + weights.outputs())
}

fn transform(weights: &WinogradWeights, tiles: usize, channels: usize) -> usize {
    16 * tiles * (weights.tile() + 2).pow(2) * channels
}

impl Winograd {
    pub(super) fn reads(&self) -> Vec<Place> {
        let mut reads = self.tail.reads(self.x, self.fresh.map(|(place, _)| place));
        reads.extend(self.patches.map(|(place, _)| place));
        reads
    }

    pub(super) fn scratch(&self) -> usize {
        if self.patches.is_some() { self.weights.products_len() } else { self.weights.scratch_len() }
    }

    /// Operations of the products of all points, without the transforms.
    pub(super) fn products(&self) -> usize {
        2 * self.weights.tiles(&self.window) * self.weights.filters_len()
    }

    /// Writes pixels that are `ldc` apart.
    pub(super) fn run(&mut self, memory: &Memory<'_>, out: Out<'_>, ldc: usize, pool: &Pool) {
        if let Some((place, way)) = self.fresh {
            let (filters, weights) = (memory.read(place), Arc::make_mut(&mut self.weights));
            let len = weights.filters_len();
            fill(pool, len, weights.panels_mut(filters, way == Way::Backward), |panel| panel.transform());
        }
        let (window, weights) = (self.window, &*self.weights);
        let (x, epilogue) = (memory.read(self.x), memory.epilogue(&self.tail));
        let conv = kernels::Winograd { window, x, weights, ldc, epilogue };
        let (tiles, panels) = (weights.tiles(&window), weights.panels());
        let Some((Place::Slot(slot), block)) = self.patches else {
            // Few enough that the filters do not pass by for too few tiles.
            let wish = tasks(work(weights, tiles), GRAIN).min((tiles / 56).max(4));
            let (parts, _) = grid(tiles, 7, 1, 1, wish);
            pool.run(parts, &|task, thread| {
                let tiles = part(tiles, 7, parts, task);
                // SAFETY: the parts are disjoint; the scratch memory is of this thread, and asked for once.
                unsafe { kernels::winograd(&conv, out, tiles, 0..panels, memory.scratch(thread)) }
            });
            return;
        };
        for first in (0..tiles).step_by(block) {
            let block = first..tiles.min(first + block);
            let patches = memory.write(slot);
            let within = |part: Range<usize>| first + part.start..first + part.end;
            let parts = tasks(transform(weights, block.len(), weights.inputs()), GRAIN / 4).min(block.len());
            pool.run(parts, &|task, _| {
                let tiles = within(part(block.len(), 1, parts, task));
                // SAFETY: the parts are disjoint.
                unsafe { kernels::winograd_patches(&conv, patches, block.clone(), tiles) }
            });
            let patches = memory.read(Place::Slot(slot));
            let unit = if panels.is_multiple_of(4) { 2 } else { 1 };
            let (across, down) = grid(block.len(), 56, panels, unit, tasks(work(weights, block.len()), GRAIN));
            pool.run(across * down, &|task, thread| {
                let tiles = within(part(block.len(), 56, across, task / down));
                let panels = part(panels, unit, down, task % down);
                // SAFETY: the parts of the grid are disjoint, and nobody writes the patches any more; the scratch memory is of this thread, and
                // asked for once.
                unsafe {
                    let scratch = memory.scratch(thread);
                    kernels::winograd_products(&conv, patches, block.clone(), out, tiles, panels, scratch)
                }
            });
        }
    }
}
