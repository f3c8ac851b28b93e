//! Depthwise convolution: a filter for each channel.
//!
//! Vectors run over channels, and a register tile over output columns: each input vector is loaded once for all the taps that it meets
//! in a kernel row. Taps in the padding are left out rather than multiplied by zero, so no padded copy is needed; only the tiles at
//! the left and right border ask where they are. 3×3 and 5×5 at stride 1 and 2 have tiles; anything else, and the tail of the
//! channels, goes pixel by pixel. All ways add the same taps in the same order.

use super::epilogue::{Activate, Activation, Epilogue, Finish};
use super::tile::unroll;
use super::{Out, Window, check_range};
use crate::simd::{AlignedBuf, Isa, Kernel, Simd, read, write};
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
        let mut packed = DepthwiseWeights::zeroed(isa, channels, kernel);
        packed.repack(weights);
        packed
    }

    /// Filters of zeros.
    pub fn zeroed(isa: Isa, channels: usize, kernel: [usize; 2]) -> DepthwiseWeights {
        DepthwiseWeights { isa, channels, kernel, taps: AlignedBuf::zeroed(channels * kernel[0] * kernel[1]) }
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
    let x = Lines { start: d.x.as_ptr(), first: 0, mask: usize::MAX, pixel: n };
    let y = Place { start: out.ptr, pixel: n, channel: 1 };
    let run = Rows { w: window, x, taps: d.weights.taps.as_ptr(), y, n, finish, rows, channels };
    // SAFETY: the lengths of x, taps, output, bias and residual were checked above; disjointness is the caller's.
    unsafe { d.weights.isa.run(run) }
}

/// Where the input lies: line `l`, counted over all pictures, is the one number `(l − first) & mask` behind `start`.
#[derive(Clone, Copy)]
pub(super) struct Lines {
    /// The first channel of the first line.
    pub(super) start: *const f32,
    pub(super) first: usize,
    /// All ones, or the lines of a ring (a power of two) less one.
    pub(super) mask: usize,
    /// Distance of pixels.
    pub(super) pixel: usize,
}

/// Where the output lies: channel `c` of pixel `p`, `c` a multiple of the vector, at `start + p·pixel + c·channel`.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) start: *mut f32,
    pub(super) pixel: usize,
    pub(super) channel: usize,
}

impl Place {
    #[inline(always)]
    fn at(&self, pixel: usize, channel: usize) -> *mut f32 {
        self.start.wrapping_add(pixel * self.pixel + channel * self.channel)
    }
}

/// A depthwise convolution of checked arguments.
pub(super) struct Rows {
    pub(super) w: Window,
    pub(super) x: Lines,
    /// Tap by tap, `n` apart.
    pub(super) taps: *const f32,
    pub(super) y: Place,
    pub(super) n: usize,
    pub(super) finish: Finish,
    pub(super) rows: Range<usize>,
    pub(super) channels: Range<usize>,
}

impl Kernel for Rows {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let w = &self.w;
        let whole = self.channels.start..self.channels.end - self.channels.len() % S::LANES;
        let tail = whole.end..self.channels.end;
        // In a tile, only the columns before the last tap of the first pixel and after the first tap of the last may be padding.
        let reach = (w.output[1].max(1) - 1) * w.stride[1];
        let tiled = w.dilation == [1, 1] && w.pad[1] < w.kernel[1] && reach < w.input[1] + w.pad[1];
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
                    let y = self.y.start.wrapping_add(row * w.output[1] * self.n + self.channels.start);
                    let (rows, len) = (w.output[1], self.channels.len());
                    S::enter(Activate { x: y, y, rows, stride: self.n, len, activation: self.finish.later });
                }
            }
        }
    }
}

impl Rows {
    /// The first channel of the first pixel of a line of input.
    #[inline(always)]
    fn line_start(&self, line: usize) -> *const f32 {
        let place = line.wrapping_sub(self.x.first) & self.x.mask;
        self.x.start.wrapping_add(place * self.w.input[1] * self.x.pixel)
    }

    /// A row of output in tiles.
    ///
    /// # Safety
    /// The buffers cover the row, of which `channels` are whole vectors; the window is such that `run` calls it tiled with `K` and `STRIDE`; and
    /// the CPU has the instruction set of `S`.
    #[inline(always)]
    unsafe fn line<S: Simd, const K: usize, const STRIDE: usize>(&self, row: usize, channels: Range<usize>) {
        let (w, width) = (&self.w, self.w.output[1]);
        let (taps, y0) = w.reach(0, row % w.output[0]);
        let line = (row / w.output[0] * w.input[0]).wrapping_add_signed(y0);
        let mut done = 0;
        while done < width && !channels.is_empty() {
            // Panels of two vectors in a ring, and vectors of their own behind it: the usual case of a bottleneck.
            let panel = self.x.pixel == 2 * S::LANES && self.y.pixel == S::LANES;
            macro_rules! step {
                ($t:literal) => {
                    if panel { step!($t, 2) } else { step!($t, 0) }
                };
                ($t:literal, $vectors:literal) => {{
                    let x = done.min(width - $t);
                    let first = (x * STRIDE) as isize - self.w.pad[1] as isize;
                    let end = first + (($t - 1) * STRIDE + K) as isize;
                    let (rows, taps, channels) = (self, taps.clone(), channels.clone());
                    // SAFETY: passed on from the caller; the tile covers columns of the row.
                    unsafe {
                        if first < 0 || end > self.w.input[1] as isize {
                            S::enter(Columns::<$t, K, STRIDE, $vectors, true> { rows, row, line, taps, x, channels });
                        } else {
                            S::enter(Columns::<$t, K, STRIDE, $vectors, false> { rows, row, line, taps, x, channels });
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
///
/// Where input pixels are known to have `VECTORS` vectors, and those of the output one, distances are constants: with 16 columns of unknown distance the
/// addresses alone fill the registers. 0 stands for any layout.
struct Columns<'a, const T: usize, const K: usize, const STRIDE: usize, const VECTORS: usize, const BORDER: bool> {
    rows: &'a Rows,
    row: usize,
    /// The line of input that the first tap meets, or would meet.
    line: usize,
    /// The taps along the height that lie inside the picture.
    taps: Range<usize>,
    x: usize,
    channels: Range<usize>,
}

impl<const T: usize, const K: usize, const STRIDE: usize, const VECTORS: usize, const BORDER: bool> Kernel
    for Columns<'_, T, K, STRIDE, VECTORS, BORDER>
{
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (r, w, n) = (self.rows, &self.rows.w, self.rows.n);
        let x0 = (self.x * STRIDE) as isize - w.pad[1] as isize;
        let pixel = self.row * w.output[1] + self.x;
        let (from, to) = if VECTORS > 0 { (VECTORS * S::LANES, S::LANES) } else { (r.x.pixel, r.y.pixel) };
        for c in self.channels.step_by(S::LANES) {
            // SAFETY: rows in `taps` and columns that are not padding lie inside the picture; of a tile at the border, columns K − 1 to
            // (T − 1) · STRIDE do by what `run` calls tiled, and the others are asked for. Channels c..c + LANES exist, and so do the T output
            // pixels: x, or the ring, and y cover them (`depthwise`, `bottleneck`). Pointers to padding are formed by wrapping and never read.
            unsafe {
                let bias = if r.finish.bias.is_null() { S::splat(0.0) } else { S::load(r.finish.bias.add(c)) };
                let mut acc = [bias; T];
                for ky in self.taps.clone() {
                    let mut taps = [S::splat(0.0); K];
                    unroll!(5, K, |I| { taps[I] = S::load(r.taps.add((ky * K + I) * n + c)) });
                    let line = r.line_start(self.line.wrapping_add(ky));
                    let x = line.wrapping_offset(x0 * from as isize).wrapping_add(c);
                    unroll!(31, (T - 1) * STRIDE + K, |I| {
                        let inner = !BORDER || (K - 1..=(T - 1) * STRIDE).contains(&I);
                        if inner || ((x0 + I as isize) as usize) < w.input[1] {
                            let value = S::load(x.wrapping_add(I * from));
                            unroll!(5, K, |J| {
                                if let Some(o) = output(I, J, STRIDE, T) {
                                    acc[o] = S::mul_add(value, taps[J], acc[o]);
                                }
                            });
                        }
                    });
                }
                let [low, high] = r.finish.clamp.map(|x| S::splat(x));
                let y = r.y.at(pixel, c);
                for (i, &sum) in acc.iter().enumerate() {
                    let at = r.finish.residual.wrapping_add((pixel + i) * n + c);
                    let sum = if r.finish.residual.is_null() { sum } else { S::add(sum, S::load(at)) };
                    if VECTORS == 0 {
                        // What a later tile writes, which else waits for every line; a ring stays in cache.
                        S::prefetch(y.wrapping_add((i + 2 * T) * to));
                    }
                    S::store(y.wrapping_add(i * to), S::min(high, S::max(low, sum)));
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
                let pixel = self.row * w.output[1] + ox;
                // SAFETY: taps in `ys` × `xs` lie inside the picture, and at most the channels that are left are touched.
                unsafe {
                    let f = &r.finish;
                    let mut sum = if f.bias.is_null() { S::splat(0.0) } else { read::<S>(f.bias.add(c), lanes) };
                    for ky in ys.clone() {
                        let y = y0.wrapping_add_unsigned(ky * w.dilation[0]) as usize;
                        for kx in xs.clone() {
                            let x = x0.wrapping_add_unsigned(kx * w.dilation[1]) as usize;
                            let at = r.line_start(picture * w.input[0] + y).wrapping_add(x * r.x.pixel + c);
                            let value = read::<S>(at, lanes);
                            let tap = read::<S>(r.taps.add((ky * w.kernel[1] + kx) * n + c), lanes);
                            sum = S::mul_add(value, tap, sum);
                        }
                    }
                    if !f.residual.is_null() {
                        sum = S::add(sum, read::<S>(f.residual.add(pixel * n + c), lanes));
                    }
                    let [low, high] = f.clamp.map(|x| S::splat(x));
                    write::<S>(r.y.at(pixel, c), S::min(high, S::max(low, sum)), lanes);
                }
            }
        }
    }
}
