//! Gradients of a depthwise convolution.

use super::super::{Out, Window, check_range};
use super::{read, write};
use crate::simd::{Isa, Kernel, Simd};
use std::ops::Range;

/// A depthwise convolution, for its gradients.
#[derive(Clone, Copy)]
pub struct DepthwiseGrad<'a> {
    /// How the kernel slides over the input.
    pub window: Window,
    /// Channels.
    pub channels: usize,
    /// The gradient of the output, NHWC.
    pub gradient: &'a [f32],
}

impl DepthwiseGrad<'_> {
    fn check(&self) {
        self.window.check();
        assert_eq!(self.gradient.len(), self.window.pixels() * self.channels, "gradient for {:?}", self.window);
    }
}

/// Computes input `rows` (flat over batch and height) of the gradient with respect to the input; `taps` are `[kh][kw][channels]`.
///
/// # Safety
/// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
pub unsafe fn depthwise_input_grad(isa: Isa, d: &DepthwiseGrad<'_>, taps: &[f32], out: Out<'_>, rows: Range<usize>) {
    d.check();
    let w = &d.window;
    assert_eq!(taps.len(), w.kernel[0] * w.kernel[1] * d.channels, "taps");
    assert_eq!(out.len(), w.input_pixels() * d.channels, "output for {w:?}");
    check_range(&rows, w.batch * w.input[0], "rows");
    // SAFETY: the lengths were checked above; disjointness is the caller's.
    unsafe { isa.run(InputRows { d, taps, dx: out.ptr, rows }) }
}

/// The output coordinate whose tap `t` falls on input coordinate `i`.
#[inline(always)]
fn seen_by(w: &Window, axis: usize, i: usize, t: usize) -> Option<usize> {
    let at = (i + w.pad[axis]).checked_sub(t * w.dilation[axis])?;
    let o = at / w.stride[axis];
    (o * w.stride[axis] == at && o < w.output[axis]).then_some(o)
}

struct InputRows<'a> {
    d: &'a DepthwiseGrad<'a>,
    taps: &'a [f32],
    dx: *mut f32,
    rows: Range<usize>,
}

impl Kernel for InputRows<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (w, c) = (&self.d.window, self.d.channels);
        for row in self.rows {
            let (picture, y) = (row / w.input[0], row % w.input[0]);
            for x in 0..w.input[1] {
                for i in (0..c).step_by(S::LANES) {
                    let n = S::LANES.min(c - i);
                    // SAFETY: output coordinates lie inside the gradient, taps and channels inside their buffers.
                    unsafe {
                        let mut sum = S::splat(0.0);
                        for ky in 0..w.kernel[0] {
                            let Some(oy) = seen_by(w, 0, y, ky) else { continue };
                            for kx in 0..w.kernel[1] {
                                let Some(ox) = seen_by(w, 1, x, kx) else { continue };
                                let pixel = (picture * w.output[0] + oy) * w.output[1] + ox;
                                let dy = read::<S>(self.d.gradient.as_ptr().add(pixel * c + i), n);
                                let tap = (ky * w.kernel[1] + kx) * c + i;
                                sum = S::mul_add(dy, read::<S>(self.taps.as_ptr().add(tap), n), sum);
                            }
                        }
                        write::<S>(self.dx.add((row * w.input[1] + x) * c + i), sum, n);
                    }
                }
            }
        }
    }
}

/// Adds up the gradient with respect to the taps (`[kh][kw][channels]`) over output `rows` (flat over batch and height).
pub fn depthwise_weight_grad(isa: Isa, d: &DepthwiseGrad<'_>, x: &[f32], rows: Range<usize>, taps: &mut [f32]) {
    d.check();
    let w = &d.window;
    assert_eq!(taps.len(), w.kernel[0] * w.kernel[1] * d.channels, "taps");
    assert_eq!(x.len(), w.input_pixels() * d.channels, "x for {w:?}");
    check_range(&rows, w.rows(), "rows");
    taps.fill(0.0);
    // SAFETY: the lengths were checked above.
    unsafe { isa.run(Taps { d, x, rows, taps }) }
}

struct Taps<'a> {
    d: &'a DepthwiseGrad<'a>,
    x: &'a [f32],
    rows: Range<usize>,
    taps: &'a mut [f32],
}

impl Kernel for Taps<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (w, c) = (&self.d.window, self.d.channels);
        for row in self.rows {
            let (picture, oy) = (row / w.output[0], row % w.output[0]);
            let (ys, y0) = w.reach(0, oy);
            for ky in ys {
                let line = picture * w.input[0] + y0.wrapping_add_unsigned(ky * w.dilation[0]).unsigned_abs();
                for kx in 0..w.kernel[1] {
                    let tap = (ky * w.kernel[1] + kx) * c;
                    let inside = |ox: &usize| {
                        let x = ox * w.stride[1] + kx * w.dilation[1];
                        x >= w.pad[1] && x - w.pad[1] < w.input[1]
                    };
                    let begin = (0..w.output[1]).find(inside).unwrap_or(w.output[1]);
                    let end = (begin..w.output[1]).rev().find(inside).map_or(begin, |last| last + 1);
                    for i in (0..c).step_by(S::LANES) {
                        let n = S::LANES.min(c - i);
                        // SAFETY: columns begin..end see pixels of the picture; all channels exist.
                        unsafe {
                            let to = self.taps.as_mut_ptr().add(tap + i);
                            let mut sum = read::<S>(to, n);
                            for ox in begin..end {
                                let at = line * w.input[1] + ox * w.stride[1] + kx * w.dilation[1] - w.pad[1];
                                let dy = self.d.gradient.as_ptr().add((row * w.output[1] + ox) * c + i);
                                sum = S::mul_add(read::<S>(dy, n), read::<S>(self.x.as_ptr().add(at * c + i), n), sum);
                            }
                            write::<S>(to, sum, n);
                        }
                    }
                }
            }
        }
    }
}
