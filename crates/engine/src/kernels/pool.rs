//! Max and average pooling; global pooling is a window of the whole picture.

use super::{Out, Window, check_range};
use crate::simd::{Isa, Kernel, Simd};
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
        for pixel in self.pixels {
            let (line, ox) = (pixel / w.output[1], pixel % w.output[1]);
            let (picture, oy) = (line / w.output[0], line % w.output[0]);
            let ((ys, y0), (xs, x0)) = (w.reach(0, oy), w.reach(1, ox));
            let max = self.p.kind == PoolKind::Max && !ys.is_empty() && !xs.is_empty();
            let count = match self.p.kind {
                PoolKind::AverageWithPadding { pad_end } => counted(w, 0, y0, pad_end) * counted(w, 1, x0, pad_end),
                _ => ys.len() * xs.len(),
            };
            let scale = if self.p.kind == PoolKind::Max { 1.0 } else { count.max(1) as f32 };
            for c in (0..n).step_by(S::LANES) {
                let lanes = S::LANES.min(n - c);
                // SAFETY: taps in `ys` × `xs` lie inside the picture, and at most the channels that are left are touched.
                unsafe {
                    let mut all = S::splat(if max { f32::NEG_INFINITY } else { 0.0 });
                    for ky in ys.clone() {
                        let y = y0.wrapping_add_unsigned(ky * w.dilation[0]) as usize;
                        for kx in xs.clone() {
                            let x = x0.wrapping_add_unsigned(kx * w.dilation[1]) as usize;
                            let at = ((picture * w.input[0] + y) * w.input[1] + x) * n + c;
                            let from = self.p.x.as_ptr().add(at);
                            let value = if lanes == S::LANES { S::load(from) } else { S::load_part(from, lanes) };
                            all = if max { S::max(all, value) } else { S::add(all, value) };
                        }
                    }
                    S::store_part(self.y.add(pixel * n + c), S::div(all, S::splat(scale)), lanes);
                }
            }
        }
    }
}

/// Taps along an axis that lie inside the padded picture.
fn counted(w: &Window, axis: usize, first: isize, pad_end: [usize; 2]) -> usize {
    let left = (w.input[axis] + pad_end[axis]) as isize - first;
    if left <= 0 { 0 } else { left.unsigned_abs().div_ceil(w.dilation[axis]).min(w.kernel[axis]) }
}
