//! Gradients of a depthwise convolution, a block of rows and channels at a time.
//!
//! The gradient of the output, and for the filters the input, come as blocks that were just computed and lie densely in cache. As in the
//! convolution itself, vectors run over channels and a register tile over columns; 3×3 and 5×5 at stride 1 and 2 have tiles, anything
//! else goes pixel by pixel.

use super::super::tile::unroll;
use super::super::{Out, Window, check_range};
use super::{read, write};
use crate::simd::{Isa, Kernel, Simd};
use std::ops::Range;

/// Columns of a tile.
const TILE: usize = 14;

/// Some rows and channels of one picture, for the gradients of a depthwise convolution.
#[derive(Clone)]
pub struct DepthwiseBlock<'a> {
    /// How the kernel slides over the input.
    pub window: Window,
    /// Channels of the whole.
    pub channels: usize,
    /// The picture.
    pub picture: usize,
    /// Rows of the input.
    pub rows: Range<usize>,
    /// Channels that are looked at.
    pub columns: Range<usize>,
    /// The gradient of the output rows that see these rows (see [`seen_by`]), just of these channels.
    pub gradient: &'a [f32],
    /// Distance of pixels in blocks: at least the channels of the block in whole vectors.
    pub stride: usize,
}

/// The output rows whose windows reach any of these input `rows`.
pub fn seen_by(w: &Window, rows: &Range<usize>) -> Range<usize> {
    let reach = (w.kernel[0].max(1) - 1) * w.dilation[0];
    let first = (rows.start + w.pad[0]).saturating_sub(reach).div_ceil(w.stride[0]);
    let end = (rows.end + w.pad[0]).saturating_sub(1) / w.stride[0] + 1;
    let end = end.min(w.output[0]);
    first.min(end)..end
}

impl DepthwiseBlock<'_> {
    fn check(&self, isa: Isa) {
        let w = &self.window;
        w.check();
        check_range(&self.rows, w.input[0], "rows");
        check_range(&self.columns, self.channels, "channels");
        assert!(self.picture < w.batch, "picture {} of {}", self.picture, w.batch);
        assert!(self.stride >= self.columns.len().next_multiple_of(isa.lanes()), "pixels {} apart", self.stride);
        let (len, pixels) = (self.gradient.len(), seen_by(w, &self.rows).len() * w.output[1]);
        assert!(len >= pixels.saturating_mul(self.stride), "gradient of {len} for {pixels} pixels");
    }

    /// The output row whose tap `ky` falls on input row `y`, as a row of the block.
    #[inline(always)]
    fn row_of(&self, y: usize, ky: usize) -> Option<usize> {
        let o = output_of(&self.window, 0, y, ky)?;
        Some(o - seen_by(&self.window, &self.rows).start)
    }

    fn tiled(&self) -> Option<(usize, usize)> {
        let w = &self.window;
        let (k, s) = (w.kernel[1], w.stride[1]);
        (w.kernel[0] == k && w.dilation[1] == 1 && matches!((k, s), (3 | 5, 1 | 2))).then_some((k, s))
    }
}

/// The output coordinate whose tap `t` falls on input coordinate `i`.
#[inline(always)]
fn output_of(w: &Window, axis: usize, i: usize, t: usize) -> Option<usize> {
    let at = (i + w.pad[axis]).checked_sub(t * w.dilation[axis])?;
    let o = at / w.stride[axis];
    (o * w.stride[axis] == at && o < w.output[axis]).then_some(o)
}

/// Computes the block's part of the gradient with respect to the input, in `out` of the whole; `taps` are `[kh][kw][channels]`.
///
/// # Safety
/// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
pub unsafe fn depthwise_input_grad(isa: Isa, d: &DepthwiseBlock<'_>, taps: &[f32], out: Out<'_>) {
    d.check(isa);
    let w = &d.window;
    assert_eq!(taps.len(), w.taps() * d.channels, "taps");
    assert_eq!(out.len(), w.input_pixels() * d.channels, "output for {w:?}");
    // SAFETY: the lengths were checked above; disjointness is the caller's.
    unsafe { isa.run(Input { d, taps, dx: out.ptr }) }
}

struct Input<'a> {
    d: &'a DepthwiseBlock<'a>,
    taps: &'a [f32],
    dx: *mut f32,
}

impl Kernel for Input<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for y in self.d.rows.clone() {
            // SAFETY: passed on from the caller.
            unsafe {
                match self.d.tiled() {
                    Some((3, 1)) => self.line::<S, 3, 1>(y),
                    Some((3, _)) => self.line::<S, 3, 2>(y),
                    Some((_, 1)) => self.line::<S, 5, 1>(y),
                    Some(_) => self.line::<S, 5, 2>(y),
                    None => self.pixels::<S>(y),
                }
            }
        }
    }
}

impl Input<'_> {
    /// A row of the input in tiles, the first of which may begin in the padding.
    ///
    /// # Safety
    /// The block is such that [`depthwise_input_grad`] calls it tiled with `K` and `STRIDE`, `y` is one of its rows, and the CPU has the
    /// instruction set of `S`.
    #[inline(always)]
    unsafe fn line<S: Simd, const K: usize, const STRIDE: usize>(&self, y: usize) {
        let w = &self.d.window;
        // Found once for all tiles: it takes divisions.
        let rows: [Option<usize>; K] = std::array::from_fn(|ky| self.d.row_of(y, ky));
        let mut first = 0;
        while first * STRIDE < w.input[1] + w.pad[1] {
            let (before, after) = ((K - 1) / STRIDE, (TILE - 1) / STRIDE);
            let x = (first * STRIDE) as isize - w.pad[1] as isize;
            let inside = x >= 0 && x.unsigned_abs() + TILE <= w.input[1];
            let inside = inside && first >= before && first + after < w.output[1];
            // SAFETY: passed on from the caller.
            unsafe {
                if inside {
                    S::enter(Columns::<K, STRIDE, false> { input: self, y, rows, first });
                } else {
                    S::enter(Columns::<K, STRIDE, true> { input: self, y, rows, first });
                }
            }
            first += TILE / STRIDE;
        }
    }

    /// A row of the input pixel by pixel.
    ///
    /// # Safety
    /// `y` is a row of the block, whose lengths were checked, and the CPU has the instruction set of `S`.
    #[inline(always)]
    unsafe fn pixels<S: Simd>(&self, y: usize) {
        let (d, w) = (self.d, &self.d.window);
        for x in 0..w.input[1] {
            for i in (0..d.columns.len()).step_by(S::LANES) {
                let (n, c) = (S::LANES.min(d.columns.len() - i), d.columns.start + i);
                // SAFETY: output coordinates lie inside the block, taps and channels inside their buffers.
                unsafe {
                    let mut sum = S::splat(0.0);
                    for ky in 0..w.kernel[0] {
                        let Some(row) = d.row_of(y, ky) else { continue };
                        for kx in 0..w.kernel[1] {
                            let Some(ox) = output_of(w, 1, x, kx) else { continue };
                            let dy = S::load(d.gradient.as_ptr().add((row * w.output[1] + ox) * d.stride + i));
                            let tap = (ky * w.kernel[1] + kx) * d.channels + c;
                            sum = S::mul_add(dy, read::<S>(self.taps.as_ptr().add(tap), n), sum);
                        }
                    }
                    let pixel = (d.picture * w.input[0] + y) * w.input[1] + x;
                    write::<S>(self.dx.add(pixel * d.channels + c), sum, n);
                }
            }
        }
    }
}

/// Input columns `first · STRIDE − pad` to `TILE` further of row `y`; `BORDER` where some of them, or of the output columns that see
/// them, do not exist.
struct Columns<'a, const K: usize, const STRIDE: usize, const BORDER: bool> {
    input: &'a Input<'a>,
    y: usize,
    /// For each row of taps the row of the block that finds it on row `y`.
    rows: [Option<usize>; K],
    first: usize,
}

impl<const K: usize, const STRIDE: usize, const BORDER: bool> Kernel for Columns<'_, K, STRIDE, BORDER> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (d, w) = (self.input.d, &self.input.d.window);
        let before = (K - 1) / STRIDE;
        let x = (self.first * STRIDE) as isize - w.pad[1] as isize;
        for i in (0..d.columns.len()).step_by(S::LANES) {
            let (n, c) = (S::LANES.min(d.columns.len() - i), d.columns.start + i);
            // SAFETY: rows and columns that exist lie inside the block, where pixels have whole vectors; taps and channels inside their
            // buffers. Pointers to columns that do not exist are formed by wrapping and never read.
            unsafe {
                let mut acc = [S::splat(0.0); TILE];
                for (ky, row) in self.rows.iter().enumerate() {
                    let Some(row) = *row else { continue };
                    let mut taps = [S::splat(0.0); K];
                    unroll!(5, K, |J| {
                        taps[J] = read::<S>(self.input.taps.as_ptr().add((ky * K + J) * d.channels + c), n)
                    });
                    let start = (row * w.output[1] + self.first).wrapping_sub(before).wrapping_mul(d.stride);
                    let dy = d.gradient.as_ptr().wrapping_add(start.wrapping_add(i));
                    unroll!(31, before + (TILE - 1) / STRIDE + 1, |D| {
                        if !BORDER || (self.first + D).wrapping_sub(before) < w.output[1] {
                            let dy = S::load(dy.wrapping_add(D * d.stride));
                            unroll!(5, K, |J| {
                                if let Some(column) = column(D, J, before, STRIDE) {
                                    acc[column] = S::mul_add(dy, taps[J], acc[column]);
                                }
                            });
                        }
                    });
                }
                let pixel = ((d.picture * w.input[0] + self.y) * w.input[1]) as isize + x;
                let dx = self.input.dx.wrapping_offset(pixel * d.channels as isize + c as isize);
                for (column, &sum) in acc.iter().enumerate() {
                    if !BORDER || ((x + column as isize) as usize) < w.input[1] {
                        // What a later tile writes, which else waits for every line.
                        S::prefetch(dx.wrapping_add((column + 2 * TILE) * d.channels));
                        write::<S>(dx.wrapping_add(column * d.channels), sum, n);
                    }
                }
            }
        }
    }
}

/// Which column of a tile tap `tap` of output column `output` falls on, `before` of which begin left of the tile.
#[inline(always)]
const fn column(output: usize, tap: usize, before: usize, stride: usize) -> Option<usize> {
    match (output * stride + tap).checked_sub(before * stride) {
        Some(column) if column < TILE => Some(column),
        _ => None,
    }
}

/// Adds the block's part to the gradient with respect to the taps, `sums` = `[kh][kw][channels]`; `x` is the input in the block's rows
/// and channels, pixels [`DepthwiseBlock::stride`] apart.
pub fn depthwise_weight_grad(isa: Isa, d: &DepthwiseBlock<'_>, x: &[f32], sums: &mut [f32]) {
    d.check(isa);
    let w = &d.window;
    assert_eq!(sums.len(), w.taps() * d.channels, "taps");
    assert!(x.len() >= (d.rows.len() * w.input[1]).saturating_mul(d.stride), "x of {} for {:?}", x.len(), d.rows);
    // SAFETY: the lengths were checked above.
    unsafe { isa.run(Taps { d, x, sums }) }
}

struct Taps<'a> {
    d: &'a DepthwiseBlock<'a>,
    x: &'a [f32],
    sums: &'a mut [f32],
}

impl Kernel for Taps<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        // SAFETY: passed on from the caller.
        unsafe {
            match self.d.tiled() {
                Some((3, _)) => self.rows::<S, 3>(),
                Some(_) => self.rows::<S, 5>(),
                None => self.rows::<S, 1>(),
            }
        }
    }
}

impl Taps<'_> {
    /// All rows, `K` taps of a kernel row at a time.
    ///
    /// # Safety
    /// The lengths of the blocks and of the sums were checked, kernels are a multiple of `K` wide, and the CPU has the instruction set of `S`.
    #[inline(always)]
    unsafe fn rows<S: Simd, const K: usize>(&mut self) {
        let (d, w) = (self.d, &self.d.window);
        for (y, ky) in d.rows.clone().flat_map(|y| (0..w.kernel[0]).map(move |ky| (y, ky))) {
            let Some(row) = d.row_of(y, ky) else { continue };
            for kx in (0..w.kernel[1]).step_by(K) {
                for i in (0..d.columns.len()).step_by(2 * S::LANES) {
                    // SAFETY: passed on from the caller.
                    unsafe {
                        if d.columns.len() - i > S::LANES {
                            self.taps::<S, K, 2>([y, row, ky, kx], i);
                        } else {
                            self.taps::<S, K, 1>([y, row, ky, kx], i);
                        }
                    }
                }
            }
        }
    }

    /// `K` taps of a kernel row from `kx` on, in `NV` vectors of channels from the block's channel `i` on.
    ///
    /// # Safety
    /// As [`rows`](Self::rows); the row, the taps and the channels exist.
    #[inline(always)]
    unsafe fn taps<S: Simd, const K: usize, const NV: usize>(&mut self, [y, row, ky, kx]: [usize; 4], i: usize) {
        let (d, w) = (self.d, &self.d.window);
        let line = (y - d.rows.start) * w.input[1];
        // SAFETY: columns that exist lie inside the blocks, where pixels have whole vectors; channels lie inside the sums.
        unsafe {
            let mut acc = [[S::splat(0.0); NV]; K];
            let x = self.x.as_ptr().wrapping_add(line * d.stride + i);
            let dy = d.gradient.as_ptr().add(row * w.output[1] * d.stride + i);
            for ox in 0..w.output[1] {
                let first = (ox * w.stride[1] + kx * w.dilation[1]).wrapping_sub(w.pad[1]);
                let inside = first < w.input[1] && first + K <= w.input[1];
                let mut slope = [S::splat(0.0); NV];
                unroll!(3, NV, |V| { slope[V] = S::load(dy.add(ox * d.stride + V * S::LANES)) });
                unroll!(5, K, |J| {
                    if inside || first.wrapping_add(J) < w.input[1] {
                        let x = x.wrapping_add(first.wrapping_add(J).wrapping_mul(d.stride));
                        unroll!(3, NV, |V| {
                            acc[J][V] = S::mul_add(slope[V], S::load(x.wrapping_add(V * S::LANES)), acc[J][V]);
                        });
                    }
                });
            }
            for (j, acc) in acc.iter().enumerate() {
                for (v, &sum) in acc.iter().enumerate() {
                    let at = i + v * S::LANES;
                    let n = S::LANES.min(d.columns.len() - at);
                    let tap = ky * w.kernel[1] + kx + j;
                    let to = self.sums.as_mut_ptr().add(tap * d.channels + d.columns.start + at);
                    write::<S>(to, S::add(read::<S>(to, n), sum), n);
                }
            }
        }
    }
}
