//! Gradients of pooling: every window hands its gradient back to what it saw.

use super::super::halves::HalvesGrad;
use super::super::pool::counted;
use super::super::{Out, PoolKind, Window, check_range};
use super::{read, tap, write};
use crate::simd::{Isa, Kernel, Simd};
use std::ops::Range;

/// The arguments of [`pool_grad`].
#[derive(Clone, Copy)]
pub struct PoolGrad<'a> {
    /// How the window slides over the input.
    pub window: Window,
    /// What was taken from it.
    pub kind: PoolKind,
    /// Channels.
    pub channels: usize,
    /// The input, NHWC; only the greatest values are looked for in it.
    pub x: Option<&'a [f32]>,
    /// The gradient of the output, NHWC.
    pub gradient: &'a [f32],
}

/// Computes `pictures` of the gradient with respect to the input.
///
/// # Safety
/// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
pub unsafe fn pool_grad(isa: Isa, p: &PoolGrad<'_>, out: Out<'_>, pictures: Range<usize>) {
    let (w, c) = (&p.window, p.channels);
    w.check();
    check_range(&pictures, w.batch, "pictures");
    assert_eq!(p.gradient.len(), w.pixels() * c, "gradient for {w:?}");
    assert_eq!(out.len(), w.input_pixels() * c, "output for {w:?}");
    assert!(p.x.is_none_or(|x| x.len() == out.len()), "x for {w:?}");
    let size = w.input[0] * w.input[1] * c;
    if let (Some(x), PoolKind::Max, 1, true) = (p.x, p.kind, c, w.halves()) {
        // SAFETY: pictures are the caller's alone.
        let dx = unsafe { out.slice_mut(pictures.start * size..pictures.end * size) };
        if w.input != w.output.map(|side| 2 * side) {
            dx.fill(0.0);
        }
        let (pixels, dx) = (w.output[0] * w.output[1], dx.as_mut_ptr().wrapping_sub(pictures.start * size));
        let pixels = pictures.start * pixels..pictures.end * pixels;
        // SAFETY: the lengths of x and both gradients were checked; `dx` is where picture 0 begins.
        return unsafe { isa.run(HalvesGrad { window: w, x, dy: p.gradient, pixels, dx }) };
    }
    let taps = (0..w.kernel[0]).flat_map(|ky| (0..w.kernel[1]).map(move |kx| (ky, kx)));
    let whole: Vec<usize> = taps.map(|(ky, kx)| tap(w, [0, 0], ky, kx) * c).collect();
    let apart = (0..2).all(|axis| w.dilation[axis] == 1 && w.stride[axis] >= w.kernel[axis]);
    let mut some = Vec::new();
    for picture in pictures {
        let range = picture * size..(picture + 1) * size;
        let gradient = &p.gradient[picture * w.output[0] * w.output[1] * c..];
        // SAFETY: pictures are the caller's alone.
        let dx = unsafe { out.slice_mut(range.clone()) };
        dx.fill(0.0);
        match p.x {
            // SAFETY: the slices are of one picture of input and output, whose lengths were checked above.
            Some(x) => unsafe { isa.run(Max { p, gradient, x: &x[range], dx, apart, whole: &whole, some: &mut some }) },
            None => w.places().for_each(|(i, at)| share(p, at, &gradient[i * c..][..c], dx)),
        }
    }
}

/// Hands the gradients of a picture's output pixels to the first of the greatest inputs that each of them saw.
struct Max<'a> {
    p: &'a PoolGrad<'a>,
    /// Of this picture and all behind it.
    gradient: &'a [f32],
    x: &'a [f32],
    dx: &'a mut [f32],
    /// Whether no two windows have a common pixel: then nothing needs to be added to, which takes 78 instead of 111 µs in LeNet's first pooling.
    apart: bool,
    /// Where the taps of a window lie that is inside the picture, seen from the first.
    whole: &'a [usize],
    /// Room for those of one that is not.
    some: &'a mut Vec<usize>,
}

impl Kernel for Max<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (w, c) = (&self.p.window, self.p.channels);
        for (pixel, at) in w.places() {
            let ((ys, y0), (xs, x0)) = (w.reach(0, at[0]), w.reach(1, at[1]));
            let (first, taps) = if ys.len() * xs.len() == self.whole.len() {
                (tap(w, [y0, x0], 0, 0) * c, self.whole)
            } else {
                self.some.clear();
                self.some.extend(ys.flat_map(|ky| xs.clone().map(move |kx| tap(w, [y0, x0], ky, kx) * c)));
                (0, &self.some[..])
            };
            let Some((&foremost, others)) = taps.split_first() else { continue };
            for i in (0..c).step_by(S::LANES) {
                let n = S::LANES.min(c - i);
                // SAFETY: the taps are pixels of the picture, each of `c` channels, and so is the gradient's.
                unsafe {
                    let (x, dx) = (self.x.as_ptr().add(first + i), self.dx.as_mut_ptr().add(first + i));
                    let mut most = read::<S>(x.add(foremost), n);
                    for &tap in others {
                        let x = read::<S>(x.add(tap), n);
                        most = S::select_lt(most, x, x, most);
                    }
                    let (zero, mut left) = (S::splat(0.0), read::<S>(self.gradient.as_ptr().add(pixel * c + i), n));
                    for &tap in taps {
                        let (x, to) = (read::<S>(x.add(tap), n), dx.add(tap));
                        let own = S::select_lt(x, most, zero, left);
                        write::<S>(to, if self.apart { own } else { S::add(read::<S>(to, n), own) }, n);
                        left = S::select_lt(x, most, left, zero);
                    }
                }
            }
        }
    }
}

/// Hands every input that an output pixel saw its share of the gradient.
fn share(p: &PoolGrad<'_>, [oy, ox]: [usize; 2], dy: &[f32], dx: &mut [f32]) {
    let (w, c) = (&p.window, p.channels);
    let ((ys, y0), (xs, x0)) = (w.reach(0, oy), w.reach(1, ox));
    let count = match p.kind {
        PoolKind::AverageWithPadding { pad_end } => counted(w, 0, y0, pad_end) * counted(w, 1, x0, pad_end),
        _ => ys.len() * xs.len(),
    };
    for ky in ys {
        for kx in xs.clone() {
            let i = tap(w, [y0, x0], ky, kx) * c;
            dx[i..i + c].iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy / count as f32);
        }
    }
}
