//! exp, tanh and the logistic function: our own, so that one instruction set gives the same bits everywhere.

use super::Simd;

/// eˣ by Cody–Waite reduction to |r| ≤ ln 2 / 2 and a polynomial of degree 6; overflows to ∞, underflows to 0, keeps NaN.
///
/// # Safety
/// The CPU has the instruction set of `S`.
#[inline(always)]
pub(crate) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    // SAFETY: arithmetic only; the caller vouches for the instruction set.
    unsafe {
        let x = S::min(S::splat(90.0), S::max(S::splat(-105.0), x));
        let n = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
        let r = S::mul_add(n, S::splat(-0.693_359_4), x);
        let r = S::mul_add(n, S::splat(2.121_944_4e-4), r);
        let mut p = S::splat(1.987_569_2e-4);
        for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
            p = S::mul_add(p, r, S::splat(c));
        }
        let p = S::add(S::mul_add(p, S::mul(r, r), r), S::splat(1.0));
        let half = S::round(S::mul(n, S::splat(0.5)));
        S::mul(S::mul(p, S::pow2(half)), S::pow2(S::sub(n, half)))
    }
}

/// tanh x: an odd polynomial below 0.625, 1 − 2/(e²ˣ + 1) above.
///
/// # Safety
/// As [`exp`].
#[inline(always)]
pub(crate) unsafe fn tanh<S: Simd>(x: S::V) -> S::V {
    // SAFETY: as in `exp`.
    unsafe {
        let (zero, one) = (S::splat(0.0), S::splat(1.0));
        let negated = S::sub(zero, x);
        let a = S::max(negated, x);
        let z = S::mul(x, x);
        let mut p = S::splat(-5.704_988_7e-3);
        for c in [2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1] {
            p = S::mul_add(p, z, S::splat(c));
        }
        let small = S::mul_add(S::mul(p, z), x, x);
        let e = exp::<S>(S::add(a, a));
        let large = S::sub(one, S::div(S::splat(2.0), S::add(e, one)));
        let large = S::select_lt(x, zero, S::sub(zero, large), large);
        S::select_lt(a, S::splat(0.625), small, large)
    }
}

/// 1 / (1 + e⁻ˣ).
///
/// # Safety
/// As [`exp`].
#[inline(always)]
pub(crate) unsafe fn sigmoid<S: Simd>(x: S::V) -> S::V {
    // SAFETY: as in `exp`.
    unsafe {
        let one = S::splat(1.0);
        S::div(one, S::add(one, exp::<S>(S::sub(S::splat(0.0), x))))
    }
}
