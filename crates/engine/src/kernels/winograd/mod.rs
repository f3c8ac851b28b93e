//! 3×3 convolution of stride 1 with a quarter of the multiplications: Winograd's minimal filtering.
//!
//! The direct convolution runs at nearly the peak of the multiply-add units, so only fewer multiplications are faster. The output is cut into
//! tiles of 4×4. A tile, the patch of 6×6 inputs behind it and a filter become the values of polynomials at 36 points, where a convolution is
//! a multiplication: Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A, F(4×4, 3×3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015,
//! arXiv:1509.09308, section 4. Over all channels the multiplications at a point are a matrix product of tiles × inputs × outputs, and run in
//! the micro-kernel of all products. Larger tiles would save more and lose too many digits. F(2×2, 3×3) saves 2.25 times instead of 4, but its
//! filters are less than half as large: better where a map has few tiles and a picture would wait for the filters.
//!
//! The patches of a block of tiles are transformed into `[point][tile][channel]`, which stays in the L2 cache, and so do the products of all
//! points with a few panels of output channels, until they are transformed back and finished. Where filters are larger than that cache, or
//! tiles few, patches are transformed first ([`winograd_patches`]) and threads then share them, each with panels of its own
//! ([`winograd_products`]). Sums are over all input channels in one order, so how the work is cut changes no bit.

mod transform;
mod weights;

pub use weights::{WinogradPanel, WinogradWeights};

use super::epilogue::Epilogue;
use super::gemm::Block;
use super::tile::Runs;
use super::{Out, Window, check_range};
use crate::simd::{Kernel, Simd};
use std::ops::Range;
use transform::{Outputs, Patches};

/// Floats of a block's transformed patches: half of the L2 cache.
const BLOCK: usize = 144 << 10;
/// The most tiles of a block.
const MOST: usize = 56;
/// Tiles of a block are a multiple of half the rows of a register tile.
const ROWS: usize = 7;
/// Panels that meet the patches of a point while these are in the L1 cache.
const GROUP: usize = 2;

/// The arguments of [`winograd`].
#[derive(Clone, Copy)]
pub struct Winograd<'a> {
    /// How the kernel slides: 3×3, stride and dilation 1.
    pub window: Window,
    /// NHWC, dense.
    pub x: &'a [f32],
    /// Filters.
    pub weights: &'a WinogradWeights,
    /// Distance of output pixels, at least the output channels.
    pub ldc: usize,
    /// Comes after the sum; its residual is dense.
    pub epilogue: Epilogue<'a>,
}

/// The pictures that tiles lie in and their first pixels, found without a division for each.
#[inline(always)]
fn places(window: &Window, side: usize, tiles: Range<usize>) -> impl Iterator<Item = (usize, [usize; 2])> {
    let [height, width] = window.output.map(|pixels| pixels.div_ceil(side).max(1));
    let (line, column) = (tiles.start / width, tiles.start % width);
    let first = (line / height, [line % height * side, column * side]);
    let [height, width] = window.output;
    let next = move |&(picture, [y, x]): &(usize, [usize; 2])| match [y + side < height, x + side < width] {
        [_, true] => Some((picture, [y, x + side])),
        [true, false] => Some((picture, [y + side, 0])),
        [false, false] => Some((picture + 1, [0, 0])),
    };
    std::iter::successors(Some(first), next).take(tiles.len())
}

/// An odd number of cache lines, so that points or tiles do not fall on the same few cache sets.
fn odd_lines(floats: usize) -> usize {
    16 * (floats.div_ceil(16) | 1)
}

impl WinogradWeights {
    /// Tiles of a block.
    fn block(&self) -> usize {
        let fitting = BLOCK / (self.points.len() * odd_lines(self.inputs()));
        (fitting / ROWS * ROWS).clamp(2 * ROWS, MOST)
    }

    /// Floats of the transformed patches of so many tiles.
    pub fn patches_len(&self, tiles: usize) -> usize {
        self.points.len() * odd_lines(tiles * odd_lines(self.inputs()))
    }

    /// Floats of scratch that [`winograd_products`] needs in each thread.
    pub fn products_len(&self) -> usize {
        // The last panel may be a vector wider than the others.
        let columns = (2 * GROUP + 1) * self.isa().lanes();
        self.points.len() * odd_lines(MOST * columns)
    }

    /// Floats of scratch that [`winograd`] needs in each thread.
    pub fn scratch_len(&self) -> usize {
        self.patches_len(self.block()) + self.products_len()
    }
}

impl Winograd<'_> {
    fn check(&self, out: Out<'_>, tiles: &Range<usize>, panels: &Range<usize>) {
        let (w, weights) = (&self.window, self.weights);
        assert!(w.kernel == [3, 3] && w.stride == [1, 1] && w.dilation == [1, 1], "3×3 of stride 1, not {w:?}");
        assert_eq!(self.x.len(), w.input_pixels() * weights.inputs(), "x for {w:?}");
        out.check(w.pixels(), weights.outputs(), self.ldc);
        check_range(tiles, weights.tiles(w), "tiles");
        check_range(panels, weights.panels(), "panels");
        self.epilogue.check(w.pixels(), weights.outputs());
    }
}

/// Computes the pixels of `tiles` in `panels` of a 3×3 convolution.
///
/// `scratch` holds [`WinogradWeights::scratch_len`] floats and belongs to this call.
///
/// # Safety
/// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
pub unsafe fn winograd(c: &Winograd<'_>, out: Out<'_>, tiles: Range<usize>, panels: Range<usize>, scratch: &mut [f32]) {
    let most = c.weights.block();
    let (patches, products) = scratch.split_at_mut(c.weights.patches_len(most));
    let block = tiles.len().div_ceil(tiles.len().div_ceil(most).max(1)).next_multiple_of(ROWS).max(ROWS);
    for first in tiles.clone().step_by(block) {
        let tiles = first..tiles.end.min(first + block);
        // SAFETY: the scratch is this call's; the output is the caller's.
        unsafe {
            winograd_patches(c, Out::new(patches), tiles.clone(), tiles.clone());
            winograd_products(c, patches, tiles.clone(), out, tiles, panels.clone(), products);
        }
    }
}

/// Transforms the patches of `tiles` into `patches`, which has room for those of `block`.
///
/// # Safety
/// Of calls that run at the same time no two have a common tile, and nobody reads what they write.
pub unsafe fn winograd_patches(c: &Winograd<'_>, patches: Out<'_>, block: Range<usize>, tiles: Range<usize>) {
    let (w, weights) = (&c.window, c.weights);
    assert!(block.start <= tiles.start && tiles.end <= block.end, "tiles {tiles:?} of {block:?}");
    check_range(&tiles, weights.tiles(w), "tiles");
    assert_eq!(c.x.len(), w.input_pixels() * weights.inputs(), "x for {w:?}");
    assert!(patches.len >= weights.patches_len(block.len()), "patches of {} for {block:?}", patches.len);
    let row = odd_lines(weights.inputs());
    let plane = odd_lines(block.len() * row);
    let to = patches.ptr.wrapping_add((tiles.start - block.start) * row);
    let (x, channels) = (c.x, weights.inputs());
    // SAFETY: the lengths were checked above, `row` is a multiple of every vector; disjointness is the caller's.
    unsafe {
        match weights.side {
            4 => weights.isa().run(Patches::<4> { window: w, x, channels, tiles, to, plane, row }),
            _ => weights.isa().run(Patches::<6> { window: w, x, channels, tiles, to, plane, row }),
        }
    }
}

/// Multiplies the transformed patches of `tiles`, which are a part of `block`, with the filters of `panels`, and writes the pixels.
///
/// # Safety
/// As [`winograd`].
pub unsafe fn winograd_products(
    c: &Winograd<'_>,
    patches: &[f32],
    block: Range<usize>,
    out: Out<'_>,
    tiles: Range<usize>,
    panels: Range<usize>,
    scratch: &mut [f32],
) {
    c.check(out, &tiles, &panels);
    assert!(block.start <= tiles.start && tiles.end <= block.end, "tiles {tiles:?} of {block:?}");
    assert!(patches.len() >= c.weights.patches_len(block.len()), "patches of {} for {block:?}", patches.len());
    assert!(scratch.len() >= c.weights.products_len(), "scratch of {}", scratch.len());
    if tiles.is_empty() || panels.is_empty() {
        return;
    }
    let isa = c.weights.isa();
    // SAFETY: the lengths were checked above; disjointness is the caller's.
    unsafe {
        match c.weights.side {
            4 => isa.run(Products::<4> { c, patches, block, out, tiles, panels, scratch }),
            _ => isa.run(Products::<6> { c, patches, block, out, tiles, panels, scratch }),
        }
    }
}

struct Products<'a, const SIDE: usize> {
    c: &'a Winograd<'a>,
    patches: &'a [f32],
    block: Range<usize>,
    out: Out<'a>,
    tiles: Range<usize>,
    panels: Range<usize>,
    scratch: &'a mut [f32],
}

impl<const SIDE: usize> Kernel for Products<'_, SIDE> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let weights = self.c.weights;
        let row = odd_lines(weights.inputs());
        let plane = odd_lines(self.block.len() * row);
        let finish = Epilogue::default().finish();
        for panel in self.panels.clone().step_by(GROUP) {
            let panels = panel..self.panels.end.min(panel + GROUP);
            let columns = weights.columns(&panels);
            let width = columns.len().next_multiple_of(S::LANES);
            for first in self.tiles.clone().step_by(MOST) {
                let tiles = first..self.tiles.end.min(first + MOST);
                let products = odd_lines(tiles.len() * width);
                let a = self.patches.as_ptr().wrapping_add((first - self.block.start) * row);
                for (point, b) in weights.points.iter().enumerate() {
                    let product = Block {
                        a: a.wrapping_add(point * plane),
                        row,
                        lines: None,
                        runs: Runs::one(weights.inputs()),
                        b: b.view(),
                        c: self.scratch.as_mut_ptr().wrapping_add(point * products).wrapping_sub(columns.start),
                        ldc: width,
                        accumulate: false,
                        finish,
                        ld_residual: 0,
                        rows: 0..tiles.len(),
                        panels: panels.clone(),
                    };
                    // SAFETY: the patches hold all tiles of the block, the scratch the products of so many tiles (checked by the callers).
                    unsafe { product.run::<S>() }
                }
                let outputs = Outputs::<SIDE> {
                    window: &self.c.window,
                    tiles,
                    from: self.scratch.as_ptr(),
                    plane: products,
                    row: width,
                    y: self.out.ptr,
                    channels: weights.outputs(),
                    ldc: self.c.ldc,
                    columns: columns.clone(),
                    finish: self.c.epilogue.finish(),
                };
                // SAFETY: the output, residual and bias have the window's size (checked by the callers).
                unsafe { S::enter(outputs) }
            }
        }
    }
}

#[cfg(test)]
mod tests;
