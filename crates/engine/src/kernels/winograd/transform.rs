//! The transforms, a vector of channels at a time.
//!
//! F(2×2, 3×3) interpolates at 0, ±1 and ∞ as in the paper, F(4×4, 3×3) at 0, ±√½, ±√2 and ∞: the product of these squares is 1 and the
//! coefficients stay near 1, so errors are a third of those of the paper's 0, ±1, ±2 and ∞. A tile's patch is read once, transformed by columns and then by rows, and stays in registers as far
//! as there are any. Where a patch or a tile hangs over the border, its vectors are read or written with a mask.

use super::places;
use crate::kernels::epilogue::{Activate, Finish};
use crate::kernels::tile::{offset, unroll};
use crate::kernels::{Activation, Window};
use crate::simd::{Kernel, Simd, read, write};
use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};
use std::ops::Range;

/// The side of the largest patch.
const MOST: usize = 6;

/// Repeats the body for a side of a patch or of a tile, in registers.
macro_rules! each {
    (patch, $side:expr, |$i:ident| $body:block) => { unroll!(@ $side, |$i| $body, 0 1 2 3 4 5) };
    (tile, $side:expr, |$i:ident| $body:block) => { unroll!(@ $side, |$i| $body, 0 1 2 3) };
}

/// A row of G, which transforms filters: the powers 0 to 2 of a point, over the product of its distances to the other points.
pub(super) type Filter = [f64; 3];

/// G of F(2×2, 3×3).
pub(super) const FILTER_2: [Filter; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

/// G of F(4×4, 3×3).
pub(super) const FILTER_4: [Filter; 6] = {
    let (a, b) = (std::f64::consts::FRAC_1_SQRT_2, std::f64::consts::SQRT_2);
    let (u, v) = (-2.0 / 3.0, 1.0 / 6.0);
    [
        [1.0, 0.0, 0.0],
        [u, u * a, u * 0.5],
        [u, -u * a, u * 0.5],
        [v, v * b, v * 2.0],
        [v, -v * b, v * 2.0],
        [0.0, 0.0, 1.0],
    ]
};

/// Bᵀ·d for patches of `SIDE`: row i holds the coefficients of the polynomial that vanishes at all points but i.
///
/// # Safety
/// The CPU has the instruction set of `S`.
#[inline(always)]
unsafe fn patch<S: Simd, const SIDE: usize>(d: [S::V; MOST]) -> [S::V; MOST] {
    // SAFETY: arithmetic only; the caller vouches for the instruction set.
    unsafe {
        if SIDE == 4 {
            return [S::sub(d[0], d[2]), S::add(d[2], d[1]), S::sub(d[2], d[1]), S::sub(d[3], d[1]), d[4], d[5]];
        }
        let plus = |factor: f32, x, y| S::mul_add(S::splat(factor), x, y);
        let (even, odd) = (plus(-2.0, d[2], d[4]), plus(-2.0, d[1], d[3]));
        let (even2, odd2) = (plus(-0.5, d[2], d[4]), plus(-0.5, d[1], d[3]));
        [
            plus(-2.5, d[2], S::add(d[0], d[4])),
            plus(FRAC_1_SQRT_2, odd, even),
            plus(-FRAC_1_SQRT_2, odd, even),
            plus(SQRT_2, odd2, even2),
            plus(-SQRT_2, odd2, even2),
            plus(-2.5, d[3], S::add(d[1], d[5])),
        ]
    }
}

/// Aᵀ·m for patches of `SIDE`: row i holds the powers i of the points.
///
/// # Safety
/// The CPU has the instruction set of `S`.
#[inline(always)]
unsafe fn tile<S: Simd, const SIDE: usize>(m: [S::V; MOST]) -> [S::V; MOST - 2] {
    // SAFETY: arithmetic only; the caller vouches for the instruction set.
    unsafe {
        let (even, odd) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        if SIDE == 4 {
            return [S::add(m[0], even), S::add(odd, m[3]), m[4], m[5]];
        }
        let plus = |factor: f32, x, y| S::mul_add(S::splat(factor), x, y);
        let (even2, odd2) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
        [
            S::add(m[0], S::add(even, even2)),
            plus(SQRT_2, odd2, S::mul(S::splat(FRAC_1_SQRT_2), odd)),
            plus(2.0, even2, S::mul(S::splat(0.5), even)),
            plus(2.0 * SQRT_2, odd2, plus(0.5 * FRAC_1_SQRT_2, odd, m[5])),
        ]
    }
}

/// Transforms the patches of `tiles`, which are `SIDE` wide.
pub(super) struct Patches<'a, const SIDE: usize> {
    pub(super) window: &'a Window,
    pub(super) x: &'a [f32],
    pub(super) channels: usize,
    pub(super) tiles: Range<usize>,
    /// Where point 0 of the first of `tiles` goes.
    pub(super) to: *mut f32,
    /// Distances of points, and of tiles.
    pub(super) plane: usize,
    pub(super) row: usize,
}

impl<const SIDE: usize> Kernel for Patches<'_, SIDE> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (w, channels) = (self.window, self.channels);
        let line = w.input[1] * channels;
        let mut to = self.to;
        for (picture, first) in places(w, SIDE - 2, self.tiles.clone()) {
            let [y, x] = [0, 1].map(|axis| first[axis] as isize - w.pad[axis] as isize);
            // The rows and columns of the patch that lie inside the picture.
            let inside = |first: isize, size: usize| {
                let end = (size as isize - first).clamp(0, SIDE as isize) as usize;
                (-first).clamp(0, end as isize) as usize..end
            };
            let (ys, xs) = (inside(y, w.input[0]), inside(x, w.input[1]));
            let picture = self.x.as_ptr().wrapping_add(picture * w.input[0] * line);
            let from = picture.wrapping_offset(y * line as isize + x * channels as isize);
            let whole = if ys.len() == SIDE && xs.len() == SIDE { channels / S::LANES * S::LANES } else { 0 };
            // SAFETY: the taps of `ys` × `xs` lie inside the picture, and there is room for a patch in whole vectors (checked by the callers).
            unsafe {
                for c in (0..whole).step_by(S::LANES) {
                    self.transform::<S>(|i, j| S::load(from.add(i * line + j * channels + c)), to.add(c));
                }
                for c in (whole..channels).step_by(S::LANES) {
                    let n = (channels - c).min(S::LANES);
                    let read = |i: usize, j: usize| {
                        let there = ys.contains(&i) && xs.contains(&j);
                        let p = from.wrapping_add(i * line + j * channels + c);
                        S::load_part(if there { p } else { picture }, if there { n } else { 0 })
                    };
                    self.transform::<S>(read, to.add(c));
                }
            }
            to = to.wrapping_add(self.row);
        }
    }
}

impl<const SIDE: usize> Patches<'_, SIDE> {
    /// Bᵀ·d·B of a vector of channels.
    ///
    /// # Safety
    /// `read` may be called for all of the patch, `to` is valid for all points, and the CPU has the instruction set of `S`.
    #[inline(always)]
    unsafe fn transform<S: Simd>(&self, read: impl Fn(usize, usize) -> S::V, to: *mut f32) {
        // SAFETY: passed on from the caller.
        unsafe {
            let mut t = [[S::splat(0.0); MOST]; MOST];
            each!(patch, SIDE, |J| {
                let mut d = [S::splat(0.0); MOST];
                each!(patch, SIDE, |I| { d[I] = read(I, J) });
                let column = patch::<S, SIDE>(d);
                each!(patch, SIDE, |I| { t[I][J] = column[I] });
            });
            each!(patch, SIDE, |I| {
                let row = patch::<S, SIDE>(t[I]);
                each!(patch, SIDE, |J| { S::store(to.add((I * SIDE + J) * self.plane), row[J]) });
            });
        }
    }
}

/// Transforms products into the pixels of `tiles` and finishes them; patches are `SIDE` wide.
pub(super) struct Outputs<'a, const SIDE: usize> {
    pub(super) window: &'a Window,
    pub(super) tiles: Range<usize>,
    /// The product of point 0 with the first of `tiles`, at the first of `columns`.
    pub(super) from: *const f32,
    /// Distances of points, and of tiles.
    pub(super) plane: usize,
    pub(super) row: usize,
    /// The whole output, and its channels.
    pub(super) y: *mut f32,
    pub(super) channels: usize,
    /// Distance of the output's pixels.
    pub(super) ldc: usize,
    /// The channels that are made.
    pub(super) columns: Range<usize>,
    pub(super) finish: Finish,
}

impl<const SIDE: usize> Kernel for Outputs<'_, SIDE> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (w, n) = (self.window, self.columns.len());
        let mut from = self.from;
        for (picture, [y, x]) in places(w, SIDE - 2, self.tiles.clone()) {
            let pixel = (picture * w.output[0] + y) * w.output[1] + x;
            let size = [(SIDE - 2).min(w.output[0] - y), (SIDE - 2).min(w.output[1] - x)];
            let whole = if size == [SIDE - 2; 2] { n / S::LANES * S::LANES } else { 0 };
            // SAFETY: `size` pixels from `pixel` on lie inside the picture, whose output, residual and bias are valid for `columns`.
            unsafe {
                for c in (0..whole).step_by(S::LANES) {
                    self.transform::<S>(from.add(c), c, pixel, [SIDE - 2; 2], S::LANES);
                }
                for c in (whole..n).step_by(S::LANES) {
                    self.transform::<S>(from.add(c), c, pixel, size, (n - c).min(S::LANES));
                }
                if self.finish.later != Activation::None {
                    for y in 0..size[0] {
                        let y = self.y.add((pixel + y * w.output[1]) * self.ldc + self.columns.start);
                        let (rows, stride, activation) = (size[1], self.ldc, self.finish.later);
                        S::enter(Activate { x: y, y, rows, stride, len: n, activation });
                    }
                }
            }
            from = from.wrapping_add(self.row);
        }
    }
}

impl<const SIDE: usize> Outputs<'_, SIDE> {
    /// Aᵀ·m·A of a vector of channels, the first being `column` of those that are made, for the output pixels from `pixel` on.
    ///
    /// # Safety
    /// `m` is valid for all points, bias, output and residual for `n` channels and the pixels of `size`, which are constants where
    /// they are a whole vector and tile. The CPU has the instruction set of `S`.
    #[inline(always)]
    unsafe fn transform<S: Simd>(&self, m: *const f32, column: usize, pixel: usize, size: [usize; 2], n: usize) {
        let column = self.columns.start + column;
        // SAFETY: passed on from the caller.
        unsafe {
            let mut t = [[S::splat(0.0); MOST]; MOST - 2];
            each!(patch, SIDE, |J| {
                let mut products = [S::splat(0.0); MOST];
                each!(patch, SIDE, |I| { products[I] = S::load(m.add((I * SIDE + J) * self.plane)) });
                let down = tile::<S, SIDE>(products);
                each!(tile, SIDE - 2, |I| { t[I][J] = down[I] });
            });
            let bias = offset(self.finish.bias, column);
            let bias = if bias.is_null() { S::splat(0.0) } else { read::<S>(bias, n) };
            let [low, high] = self.finish.clamp.map(|x| S::splat(x));
            each!(tile, SIDE - 2, |I| {
                if I < size[0] {
                    let row = tile::<S, SIDE>(t[I]);
                    each!(tile, SIDE - 2, |J| {
                        if J < size[1] {
                            let at = pixel + I * self.window.output[1] + J;
                            let mut y = S::add(row[J], bias);
                            if !self.finish.residual.is_null() {
                                y = S::add(y, read::<S>(self.finish.residual.add(at * self.channels + column), n));
                            }
                            write::<S>(self.y.add(at * self.ldc + column), S::min(high, S::max(low, y)), n);
                        }
                    });
                }
            });
        }
    }
}
