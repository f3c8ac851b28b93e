//! The micro-kernel for columns that end with half a vector, such as 24 or 40 of them: two rows share the last vector.
//!
//! A vector that is half empty costs as much as a full one, a quarter of the time at 24 columns. Here its lower half belongs to one row of A
//! and its upper half to the next: the two elements of A are blended, and the half vector of B stands in both halves. An element
//! of the product goes through the operations that it has in a tile of whole vectors.

use super::tile::{Tile, unroll};
use crate::simd::{Kernel, Simd};

/// `tiles` tiles of `MR` rows, an even number up to 14, one below the other; `WHOLE` vectors and half a vector wide.
pub(super) struct Halves<const MR: usize, const WHOLE: usize> {
    pub(super) tile: Tile,
    pub(super) tiles: usize,
}

impl<const MR: usize, const WHOLE: usize> Kernel for Halves<MR, WHOLE> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mut t = self.tile;
        for _ in 0..self.tiles {
            // SAFETY: passed on from the caller.
            unsafe { Self::tile::<S>(&t) };
            t = t.below(MR);
        }
    }
}

impl<const MR: usize, const WHOLE: usize> Halves<MR, WHOLE> {
    #[inline(always)]
    unsafe fn tile<S: Simd>(t: &Tile) {
        // The columns of the last vector; half a vector, but as a number that the compiler does not know it stays in a mask register.
        let (last, some) = (WHOLE * S::LANES, t.columns - WHOLE * S::LANES);
        // SAFETY: the caller vouches for MR rows of `a`, `c` and `residual`, for all the rows behind `b`, and for WHOLE vectors and a half
        // in `bias` and in each row of `c` and `residual`.
        unsafe {
            let mut acc = [[S::splat(0.0); WHOLE]; MR];
            // The last columns of rows 2·P and 2·P + 1.
            let mut pairs = [S::splat(0.0); 7];
            if !t.finish.bias.is_null() {
                unroll!(3, WHOLE, |J| {
                    let bias = S::load(t.finish.bias.add(J * S::LANES));
                    unroll!(14, MR, |I| { acc[I][J] = bias });
                });
                pairs = [S::load_twice(t.finish.bias.add(last)); 7];
            }
            let a: [_; MR] = std::array::from_fn(|i| t.row(i));
            let mut b = t.b;
            for y in 0..t.runs.counts[0] {
                for x in 0..t.runs.counts[1] {
                    let mut at = t.runs.place(y, x);
                    for _ in 0..t.runs.length {
                        let mut columns = [S::splat(0.0); WHOLE];
                        unroll!(3, WHOLE, |J| { columns[J] = S::load(b.add(J * S::LANES)) });
                        let half = S::load_twice(b.add(last));
                        unroll!(7, MR / 2, |P| {
                            let upper = S::splat(*a[2 * P].wrapping_add(at));
                            let lower = S::splat(*a[2 * P + 1].wrapping_add(at));
                            unroll!(3, WHOLE, |J| {
                                acc[2 * P][J] = S::mul_add(upper, columns[J], acc[2 * P][J]);
                                acc[2 * P + 1][J] = S::mul_add(lower, columns[J], acc[2 * P + 1][J]);
                            });
                            pairs[P] = S::mul_add(S::join(upper, lower, some), half, pairs[P]);
                        });
                        at += t.step;
                        b = b.wrapping_add(t.b_step);
                    }
                    b = b.wrapping_add(t.b_gap);
                }
            }
            if !t.finish.residual.is_null() {
                unroll!(7, MR / 2, |P| {
                    let upper = t.finish.residual.add(2 * P * t.ld_residual);
                    let lower = upper.add(t.ld_residual);
                    unroll!(3, WHOLE, |J| {
                        acc[2 * P][J] = S::add(acc[2 * P][J], S::load(upper.add(J * S::LANES)));
                        acc[2 * P + 1][J] = S::add(acc[2 * P + 1][J], S::load(lower.add(J * S::LANES)));
                    });
                    pairs[P] = S::add(pairs[P], S::load_halves(upper.add(last), lower.add(last)));
                });
            }
            let [low, high] = t.finish.clamp.map(|x| S::splat(x));
            let clamp = |x| S::min(high, S::max(low, x));
            unroll!(7, MR / 2, |P| {
                let upper = t.c.add(2 * P * t.ldc);
                let lower = upper.add(t.ldc);
                unroll!(3, WHOLE, |J| {
                    S::store(upper.add(J * S::LANES), clamp(acc[2 * P][J]));
                    S::store(lower.add(J * S::LANES), clamp(acc[2 * P + 1][J]));
                });
                S::store_halves(upper.add(last), lower.add(last), clamp(pairs[P]));
            });
        }
    }
}
