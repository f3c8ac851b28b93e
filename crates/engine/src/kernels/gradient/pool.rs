//! Gradients of pooling: every window hands its gradient back to what it saw.

use super::super::{Out, PoolKind, Window, check_range};
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
pub unsafe fn pool_grad(p: &PoolGrad<'_>, out: Out<'_>, pictures: Range<usize>) {
    let (w, c) = (&p.window, p.channels);
    w.check();
    check_range(&pictures, w.batch, "pictures");
    assert_eq!(p.gradient.len(), w.pixels() * c, "gradient for {w:?}");
    assert_eq!(out.len(), w.input_pixels() * c, "output for {w:?}");
    let size = w.input[0] * w.input[1] * c;
    for picture in pictures {
        let range = picture * size..(picture + 1) * size;
        // SAFETY: pictures are the caller's alone.
        let dx = unsafe { out.slice_mut(range.clone()) };
        dx.fill(0.0);
        let x = p.x.map(|x| &x[range]);
        for oy in 0..w.output[0] {
            for ox in 0..w.output[1] {
                let pixel = (picture * w.output[0] + oy) * w.output[1] + ox;
                hand_back(p, [oy, ox], &p.gradient[pixel * c..][..c], x, dx);
            }
        }
    }
}

fn hand_back(p: &PoolGrad<'_>, [oy, ox]: [usize; 2], dy: &[f32], x: Option<&[f32]>, dx: &mut [f32]) {
    let (w, c) = (&p.window, p.channels);
    let ((ys, y0), (xs, x0)) = (w.reach(0, oy), w.reach(1, ox));
    let at = |ky: usize, kx: usize| {
        let y = y0.wrapping_add_unsigned(ky * w.dilation[0]).unsigned_abs();
        (y * w.input[1] + x0.wrapping_add_unsigned(kx * w.dilation[1]).unsigned_abs()) * c
    };
    let seen = || ys.clone().flat_map(|ky| xs.clone().map(move |kx| (ky, kx)));
    if let Some(x) = x {
        for (channel, dy) in dy.iter().enumerate() {
            let mut best: Option<usize> = None;
            for (ky, kx) in seen() {
                let i = at(ky, kx) + channel;
                if best.is_none_or(|most| x[i] > x[most]) {
                    best = Some(i);
                }
            }
            if let Some(i) = best {
                dx[i] += dy;
            }
        }
        return;
    }
    let count = match p.kind {
        PoolKind::AverageWithPadding { pad_end } => {
            let counted = |axis: usize, first: isize| {
                let end = (w.input[axis] + pad_end[axis]) as isize;
                (0..w.kernel[axis]).filter(|t| first + ((t * w.dilation[axis]) as isize) < end).count()
            };
            counted(0, y0) * counted(1, x0)
        }
        _ => ys.len() * xs.len(),
    };
    for (ky, kx) in seen() {
        let i = at(ky, kx);
        dx[i..i + c].iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy / count as f32);
    }
}
