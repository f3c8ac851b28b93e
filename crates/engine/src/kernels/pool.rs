//! Max and average pooling; global pooling is a window of the whole picture.
//!
//! Four vectors of channels at once, so that what finds a tap is shared by four.

use super::halves::Halves;
use super::tile::unroll;
use super::{Out, Window, check_range};
use crate::simd::{Isa, Kernel, Simd, read, write};
use std::ops::Range;

/// What is taken from a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The greatest value; padding never wins.
    Max,
    /// The mean of the values inside the picture.
    Average,
    /// The mean with padding counted as zeros (`count_include_pad`); `pad_end` at the bottom and right, beyond which nothing counts.
    AverageWithPadding {
        /// Padding at the bottom and at the right.
        pad_end: [usize; 2],
    },
}

/// The arguments of [`pool`].
#[derive(Clone, Copy)]
pub struct Pool<'a> {
    /// How the window slides.
    pub window: Window,
    /// What is taken from it.
    pub kind: PoolKind,
    /// Channels of input and output.
    pub channels: usize,
    /// NHWC, dense.
    pub x: &'a [f32],
}

/// Computes the output `pixels` (flat over batch, height, width) of a pooling. A window without any value gives 0.
///
/// # Safety
/// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
pub unsafe fn pool(isa: Isa, p: &Pool<'_>, out: Out<'_>, pixels: Range<usize>) {
    p.window.check();
    check_range(&pixels, p.window.pixels(), "pixels");
    assert_eq!(p.x.len(), p.window.input_pixels() * p.channels, "x for {:?}", p.window);
    assert_eq!(out.len, p.window.pixels() * p.channels, "output for {:?}", p.window);
    if p.channels == 1 && p.kind == PoolKind::Max && p.window.halves() {
        // SAFETY: the lengths of x and output were checked; disjointness is the caller's.
        return unsafe { isa.run(Halves { window: &p.window, x: p.x, pixels, y: out.ptr }) };
    }
    // SAFETY: the lengths of x and output were checked; disjointness is the caller's.
    unsafe { isa.run(Pixels { p, y: out.ptr, pixels }) }
}

struct Pixels<'a> {
    p: &'a Pool<'a>,
    y: *mut f32,
    pixels: Range<usize>,
}

impl Kernel for Pixels<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (w, n) = (&self.p.window, self.p.channels);
        let steps = [w.dilation[0] * w.input[1] * n, w.dilation[1] * n];
        // Without divisions for each pixel.
        let [mut line, mut ox] = [self.pixels.start / w.output[1].max(1), self.pixels.start % w.output[1].max(1)];
        for pixel in self.pixels {
            if ox == w.output[1] {
                (line, ox) = (line + 1, 0);
            }
            let (picture, oy) = (line / w.output[0], line % w.output[0]);
            let ((ys, y0), (xs, x0)) = (w.reach(0, oy), w.reach(1, ox));
            ox += 1;
            let count = match self.p.kind {
                PoolKind::AverageWithPadding { pad_end } => counted(w, 0, y0, pad_end) * counted(w, 1, x0, pad_end),
                _ => ys.len() * xs.len(),
            };
            let max = self.p.kind == PoolKind::Max && count > 0;
            let scale = if self.p.kind == PoolKind::Max { 1.0 } else { count.max(1) as f32 };
            let y = y0.wrapping_add_unsigned(ys.start * w.dilation[0]) as usize;
            let x = x0.wrapping_add_unsigned(xs.start * w.dilation[1]) as usize;
            let first = (picture * w.input[0]).wrapping_add(y).wrapping_mul(w.input[1]).wrapping_add(x).wrapping_mul(n);
            let mut taps = Taps {
                x: self.p.x.as_ptr().wrapping_add(first),
                y: self.y.wrapping_add(pixel * n),
                taps: [ys.len(), xs.len()],
                steps,
                scale,
            };
            let mut left = n;
            while left > 0 {
                // SAFETY: taps in `ys` × `xs` lie inside the picture, and at most the channels that are left are touched.
                unsafe {
                    match (max, left >= 4 * S::LANES) {
                        (true, true) => taps.take::<S, 4, true>(left),
                        (true, false) => taps.take::<S, 1, true>(left),
                        (false, true) => taps.take::<S, 4, false>(left),
                        (false, false) => taps.take::<S, 1, false>(left),
                    }
                }
                let done = left.min(if left >= 4 * S::LANES { 4 * S::LANES } else { S::LANES });
                (taps.x, taps.y) = (taps.x.wrapping_add(done), taps.y.wrapping_add(done));
                left -= done;
            }
        }
    }
}

/// The taps of a window inside the picture.
struct Taps {
    /// The first channel of the first tap.
    x: *const f32,
    y: *mut f32,
    /// How many there are, and their distances.
    taps: [usize; 2],
    steps: [usize; 2],
    /// Divides the sum.
    scale: f32,
}

impl Taps {
    /// Computes `NV` vectors of channels, or the `left` ones of one vector.
    ///
    /// # Safety
    /// All taps have that many channels from `x` on, `y` too, and the CPU has the instruction set of `S`.
    #[inline(always)]
    unsafe fn take<S: Simd, const NV: usize, const MAX: bool>(&self, left: usize) {
        let lanes = left.min(S::LANES);
        // SAFETY: as the caller vouches.
        unsafe {
            let mut all = [S::splat(if MAX { f32::NEG_INFINITY } else { 0.0 }); NV];
            for ky in 0..self.taps[0] {
                for kx in 0..self.taps[1] {
                    let from = self.x.add(ky * self.steps[0] + kx * self.steps[1]);
                    unroll!(5, NV, |J| {
                        let value = read::<S>(from.add(J * S::LANES), lanes);
                        all[J] = if MAX { S::max(all[J], value) } else { S::add(all[J], value) };
                    });
                }
            }
            unroll!(5, NV, |J| {
                let y = if MAX { all[J] } else { S::div(all[J], S::splat(self.scale)) };
                write::<S>(self.y.add(J * S::LANES), y, lanes);
            });
        }
    }
}

/// Taps along an axis that lie inside the padded picture.
pub(super) fn counted(w: &Window, axis: usize, first: isize, pad_end: [usize; 2]) -> usize {
    let left = (w.input[axis] + pad_end[axis]) as isize - first;
    if left <= 0 { 0 } else { left.unsigned_abs().div_ceil(w.dilation[axis]).min(w.kernel[axis]) }
}
