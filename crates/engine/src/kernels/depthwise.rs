//! Depthwise convolution: a filter for each channel.
//!
//! Vectors run over channels, and a register tile over output columns: each input vector is loaded once for all the taps that it meets
//! in a kernel row. Taps in the padding are left out rather than multiplied by zero, so no padded copy is needed; only the tiles at
//! the left and right border ask where they are. 3×3 and 5×5 at stride 1 and 2 have tiles; anything else, and the tail of the
//! channels, goes pixel by pixel. All ways add the same taps in the same order.

use super::epilogue::{Activate, Activation, Epilogue, Finish};
use super::tile::unroll;
use super::{Out, Window, check_range};
use crate::simd::{AlignedBuf, Isa, Kernel, Simd};
use std::ops::Range;

/// The filters of a depthwise convolution, tap by tap.
#[derive(Clone)]
pub struct DepthwiseWeights {
    isa: Isa,
    channels: usize,
    kernel: [usize; 2],
    /// `[kh][kw][channels]`
    taps: AlignedBuf,
}

impl DepthwiseWeights {
    /// Packs weights in ONNX's layout, [channels, 1, kernel height, kernel width].
    pub fn pack(isa: Isa, channels: usize, kernel: [usize; 2], weights: &[f32]) -> DepthwiseWeights {
        let taps = AlignedBuf::zeroed(channels * kernel[0] * kernel[1]);
        let mut packed = DepthwiseWeights { isa, channels, kernel, taps };
        packed.repack(weights);
        packed
    }

    /// Packs other weights of the same shape into the same memory.
    pub fn repack(&mut self, weights: &[f32]) {
        let (n, channels) = (self.kernel[0] * self.kernel[1], self.channels);
        assert_eq!(weights.len(), channels * n, "weights of {channels} filters of {:?}", self.kernel);
        for (i, tap) in self.taps.iter_mut().enumerate() {
            *tap = weights[i % channels * n + i / channels];
        }
    }

    /// The filters as `[kernel height][kernel width][channels]`.
    pub fn taps(&self) -> &[f32] {
        &self.taps
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.channels
    }
}

/// The arguments of [`depthwise`].
#[derive(Clone, Copy)]
pub struct Depthwise<'a> {
    /// How the kernel slides.
    pub window: Window,
    /// NHWC, dense.
    pub x: &'a [f32],
    /// Filters.
    pub weights: &'a DepthwiseWeights,
    /// Comes after the sum.
    pub epilogue: Epilogue<'a>,
}

/// Computes the output `rows` (flat over batch and height) × `channels` of a depthwise convolution.
///
/// # Safety
/// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
pub unsafe fn depthwise(d: &Depthwise<'_>, out: Out<'_>, rows: Range<usize>, channels: Range<usize>) {
    let (window, n) = (d.window, d.weights.channels);
    window.check();
    check_range(&rows, window.rows(), "rows");
    check_range(&channels, n, "channels");
    assert_eq!(window.kernel, d.weights.kernel, "kernel of window and weights");
    assert_eq!(d.x.len(), window.input_pixels() * n, "x for {window:?}");
    assert_eq!(out.len, window.pixels() * n, "output for {window:?}");
    d.epilogue.check(window.pixels(), n);
    let finish = d.epilogue.finish();
    let run = Rows { w: window, x: d.x.as_ptr(), taps: d.weights.taps.as_ptr(), y: out.ptr, n, finish, rows, channels };
    // SAFETY: the lengths of x, taps, output, bias and residual were checked above; disjointness is the caller's.
    unsafe { d.weights.isa.run(run) }
}

/// A depthwise convolution of checked arguments.
struct Rows {
    w: Window,
    x: *const f32,
    taps: *const f32,
    y: *mut f32,
    n: usize,
    finish: Finish,
    rows: Range<usize>,
    channels: Range<usize>,
}

impl Kernel for Rows {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let w = &self.w;
        let whole = self.channels.start..self.channels.end - self.channels.len() % S::LANES;
        let tail = whole.end..self.channels.end;
        let tiled = w.dilation == [1, 1] && w.kernel[1] > 0 && w.kernel[0] > 0;
        for row in self.rows.clone() {
            // SAFETY: the caller checked that all buffers cover the rows and channels.
            unsafe {
                match (w.kernel[1], w.stride[1]) {
                    (3, 1) if tiled => self.line::<S, 3, 1>(row, whole.clone()),
                    (3, 2) if tiled => self.line::<S, 3, 2>(row, whole.clone()),
                    (5, 1) if tiled => self.line::<S, 5, 1>(row, whole.clone()),
                    (5, 2) if tiled => self.line::<S, 5, 2>(row, whole.clone()),
                    _ => S::enter(Pixels { rows: &self, row, channels: whole.clone() }),
                }
                if !tail.is_empty() {
                    S::enter(Pixels { rows: &self, row, channels: tail.clone() });
                }
                if self.finish.later != Activation::None {
                    let y = self.y.add(row * w.output[1] * self.n + self.channels.start);
                    let (rows, len) = (w.output[1], self.channels.len());
                    S::enter(Activate { x: y, y, rows, stride: self.n, len, activation: self.finish.later });
                }
            }
        }
    }
}

impl Rows {
    /// A row of output in tiles.
    #[inline(always)]
    unsafe fn line<S: Simd, const K: usize, const STRIDE: usize>(&self, row: usize, channels: Range<usize>) {
        let width = self.w.output[1];
        let mut done = 0;
        while done < width && !channels.is_empty() {
            macro_rules! step {
                ($t:literal) => {{
                    let x = done.min(width - $t);
                    let first = (x * STRIDE) as isize - self.w.pad[1] as isize;
                    let end = first + (($t - 1) * STRIDE + K) as isize;
                    let (rows, channels) = (self, channels.clone());
                    // SAFETY: passed on from the caller; the tile covers columns of the row.
                    unsafe {
                        if first < 0 || end > self.w.input[1] as isize {
                            S::enter(Columns::<$t, K, STRIDE, true> { rows, row, x, channels });
                        } else {
                            S::enter(Columns::<$t, K, STRIDE, false> { rows, row, x, channels });
                        }
                    }
                    x + $t
                }};
            }
            // A tile may begin with columns that are done already and get the same values again: narrow tiles wait for their sums.
            done = match width - done {
                14.. if S::REGISTERS == 32 => step!(14),
                5.. if width >= 7 => step!(7),
                _ if width >= 4 => step!(4),
                _ => step!(1),
            };
        }
    }
}

/// `T` neighbouring output pixels of a row, for whole vectors of channels; `BORDER` where some of their columns may be padding.
struct Columns<'a, const T: usize, const K: usize, const STRIDE: usize, const BORDER: bool> {
    rows: &'a Rows,
    row: usize,
    x: usize,
    channels: Range<usize>,
}

impl<const T: usize, const K: usize, const STRIDE: usize, const BORDER: bool> Kernel
    for Columns<'_, T, K, STRIDE, BORDER>
{
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (r, w, n) = (self.rows, &self.rows.w, self.rows.n);
        let (picture, oy) = (self.row / w.output[0], self.row % w.output[0]);
        let (ys, y0) = w.reach(0, oy);
        let x0 = (self.x * STRIDE) as isize - w.pad[1] as isize;
        let line = (picture * w.input[0]) as isize + y0;
        let pixel = self.row * w.output[1] + self.x;
        for c in self.channels.step_by(S::LANES) {
            // SAFETY: rows in `ys` and columns that are not padding lie inside the picture; channels c..c + LANES exist, and so do the
            // T output pixels (lengths checked by `depthwise`). Pointers to padding are formed by wrapping and never read.
            unsafe {
                let bias = if r.finish.bias.is_null() { S::splat(0.0) } else { S::load(r.finish.bias.add(c)) };
                let mut acc = [bias; T];
                for ky in ys.clone() {
                    let mut taps = [S::splat(0.0); K];
                    unroll!(5, K, |I| { taps[I] = S::load(r.taps.add((ky * K + I) * n + c)) });
                    let start = (line + ky as isize) * w.input[1] as isize + x0;
                    let x = r.x.wrapping_offset(start * n as isize + c as isize);
                    unroll!(31, (T - 1) * STRIDE + K, |I| {
                        if !BORDER || ((x0 + I as isize) as usize) < w.input[1] {
                            let value = S::load(x.wrapping_add(I * n));
                            unroll!(5, K, |J| {
                                if let Some(o) = output(I, J, STRIDE, T) {
                                    acc[o] = S::mul_add(value, taps[J], acc[o]);
                                }
                            });
                        }
                    });
                }
                let [low, high] = r.finish.clamp.map(|x| S::splat(x));
                for (i, &sum) in acc.iter().enumerate() {
                    let at = (pixel + i) * n + c;
                    let sum =
                        if r.finish.residual.is_null() { sum } else { S::add(sum, S::load(r.finish.residual.add(at))) };
                    S::store(r.y.add(at), S::min(high, S::max(low, sum)));
                }
            }
        }
    }
}

/// Which of `outputs` outputs of a tile takes input column `column` with tap `tap`.
#[inline(always)]
const fn output(column: usize, tap: usize, stride: usize, outputs: usize) -> Option<usize> {
    match column.checked_sub(tap) {
        Some(start) if start.is_multiple_of(stride) && start / stride < outputs => Some(start / stride),
        _ => None,
    }
}

/// A row of output pixel by pixel, for any window and any channels.
struct Pixels<'a> {
    rows: &'a Rows,
    row: usize,
    channels: Range<usize>,
}

impl Kernel for Pixels<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (r, w, n) = (self.rows, &self.rows.w, self.rows.n);
        let (picture, oy) = (self.row / w.output[0], self.row % w.output[0]);
        let (ys, y0) = w.reach(0, oy);
        for ox in 0..w.output[1] {
            let (xs, x0) = w.reach(1, ox);
            for c in self.channels.clone().step_by(S::LANES) {
                let lanes = S::LANES.min(self.channels.end - c);
                let at = (self.row * w.output[1] + ox) * n + c;
                // SAFETY: taps in `ys` × `xs` lie inside the picture, and at most the channels that are left are touched.
                unsafe {
                    let f = &r.finish;
                    let mut sum = if f.bias.is_null() { S::splat(0.0) } else { S::load_part(f.bias.add(c), lanes) };
                    for ky in ys.clone() {
                        let y = y0.wrapping_add_unsigned(ky * w.dilation[0]) as usize;
                        for kx in xs.clone() {
                            let x = x0.wrapping_add_unsigned(kx * w.dilation[1]) as usize;
                            let value =
                                S::load_part(r.x.add(((picture * w.input[0] + y) * w.input[1] + x) * n + c), lanes);
                            let tap = S::load_part(r.taps.add((ky * w.kernel[1] + kx) * n + c), lanes);
                            sum = S::mul_add(value, tap, sum);
                        }
                    }
                    if !f.residual.is_null() {
                        sum = S::add(sum, S::load_part(f.residual.add(at), lanes));
                    }
                    let [low, high] = f.clamp.map(|x| S::splat(x));
                    S::store_part(r.y.add(at), S::min(high, S::max(low, sum)), lanes);
                }
            }
        }
    }
}
