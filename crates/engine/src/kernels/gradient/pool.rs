//! Gradients of pooling: every window hands its gradient back to what it saw.

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
    for picture in pictures {
        let range = picture * size..(picture + 1) * size;
        // SAFETY: pictures are the caller's alone.
        let dx = unsafe { out.slice_mut(range.clone()) };
        dx.fill(0.0);
        for oy in 0..w.output[0] {
            for ox in 0..w.output[1] {
                let pixel = (picture * w.output[0] + oy) * w.output[1] + ox;
                let dy = &p.gradient[pixel * c..][..c];
                match p.x {
                    // SAFETY: the slices are the pixel's gradient and the picture of input and output, whose lengths were checked above.
                    Some(x) => unsafe { isa.run(Max { w, at: [oy, ox], dy, x: &x[range.clone()], dx }) },
                    None => share(p, [oy, ox], dy, dx),
                }
            }
        }
    }
}

/// Hands the gradient of an output pixel to the first of the greatest inputs that it saw.
struct Max<'a> {
    w: &'a Window,
    at: [usize; 2],
    dy: &'a [f32],
    x: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for Max<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (w, c) = (self.w, self.dy.len());
        let ((ys, y0), (xs, x0)) = (w.reach(0, self.at[0]), w.reach(1, self.at[1]));
        let seen = || ys.clone().flat_map(|ky| xs.clone().map(move |kx| tap(w, [y0, x0], ky, kx) * c));
        let Some(first) = seen().next() else { return };
        for i in (0..c).step_by(S::LANES) {
            let n = S::LANES.min(c - i);
            // SAFETY: the taps seen are pixels of the picture, each of `c` channels.
            unsafe {
                let x = |tap: usize| read::<S>(self.x.as_ptr().add(tap + i), n);
                let mut most = x(first);
                for tap in seen().skip(1) {
                    most = S::select_lt(most, x(tap), x(tap), most);
                }
                let (zero, mut left) = (S::splat(0.0), read::<S>(self.dy.as_ptr().add(i), n));
                for tap in seen() {
                    let to = self.dx.as_mut_ptr().add(tap + i);
                    write::<S>(to, S::add(read::<S>(to, n), S::select_lt(x(tap), most, zero, left)), n);
                    left = S::select_lt(x(tap), most, left, zero);
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
