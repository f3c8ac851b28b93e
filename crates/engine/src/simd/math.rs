//! exp, log, tanh, erf and the logistic function: our own, so that one instruction set gives the same bits everywhere.

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
        S::scale(p, n)
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

/// ln x: the exponent times ln 2, and a polynomial for the rest between √½ and √2 (S. Moshier, Cephes, `logf`). Denormals count as 0.
///
/// # Safety
/// As [`exp`].
#[inline(always)]
pub(crate) unsafe fn log<S: Simd>(x: S::V) -> S::V {
    // SAFETY: as in `exp`.
    unsafe {
        let (zero, root) = (S::splat(0.0), S::splat(std::f32::consts::SQRT_2));
        let n = S::exponent(x);
        let m = S::scale(x, S::sub(zero, n));
        let n = S::select_lt(root, m, S::add(n, S::splat(1.0)), n);
        let r = S::sub(S::select_lt(root, m, S::mul(m, S::splat(0.5)), m), S::splat(1.0));
        let z = S::mul(r, r);
        let mut p = S::splat(7.037_683_6e-2);
        for c in [
            -1.151_461e-1,
            1.167_699_9e-1,
            -1.242_014_1e-1,
            1.424_932_3e-1,
            -1.666_805_8e-1,
            2.000_071_4e-1,
            -2.499_999_4e-1,
            3.333_333e-1,
        ] {
            p = S::mul_add(p, r, S::splat(c));
        }
        let y = S::mul_add(n, S::splat(-2.121_944_4e-4), S::mul(S::mul(p, r), z));
        let y = S::add(r, S::mul_add(z, S::splat(-0.5), y));
        let y = S::mul_add(n, S::splat(0.693_359_4), y);
        let y = S::select_lt(S::splat(f32::MAX), x, x, y);
        let y = S::select_lt(x, S::splat(f32::MIN_POSITIVE), S::splat(f32::NEG_INFINITY), y);
        S::select_lt(x, zero, S::splat(f32::NAN), y)
    }
}

/// ln(1 + eˣ), exact in its digits where that is small too (Kahan's quotient for ln(1 + u)).
///
/// # Safety
/// As [`exp`].
#[inline(always)]
pub(crate) unsafe fn softplus<S: Simd>(x: S::V) -> S::V {
    // SAFETY: as in `exp`.
    unsafe {
        let (zero, one) = (S::splat(0.0), S::splat(1.0));
        let u = exp::<S>(S::min(S::sub(zero, x), x));
        let w = S::add(one, u);
        let quotient = S::div(S::mul(log::<S>(w), u), S::sub(w, one));
        S::add(S::max(zero, x), S::select_lt(one, w, quotient, u))
    }
}

/// erf x: an odd polynomial below 1 (S. Moshier, Cephes, `erff`), above it formula 7.1.26 of Abramowitz and Stegun, which is within 1.5e-7.
///
/// # Safety
/// As [`exp`].
#[inline(always)]
pub(crate) unsafe fn erf<S: Simd>(x: S::V) -> S::V {
    // SAFETY: as in `exp`.
    unsafe {
        let (zero, one) = (S::splat(0.0), S::splat(1.0));
        let a = S::max(S::sub(zero, x), x);
        let z = S::mul(x, x);
        let mut p = S::splat(7.853_861_4e-5);
        let last = std::f32::consts::FRAC_2_SQRT_PI;
        for c in [-8.010_193_6e-4, 5.188_327_7e-3, -2.685_381_2e-2, 1.128_358_5e-1, -3.761_262_6e-1, last] {
            p = S::mul_add(p, z, S::splat(c));
        }
        let t = S::div(one, S::mul_add(a, S::splat(0.327_591_1), one));
        let mut q = S::splat(1.061_405_4);
        for c in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
            q = S::mul_add(q, t, S::splat(c));
        }
        let large = S::sub(one, S::mul(S::mul(q, t), exp::<S>(S::sub(zero, z))));
        let large = S::select_lt(x, zero, S::sub(zero, large), large);
        S::select_lt(a, one, S::mul(p, x), large)
    }
}

/// xᵖ: by multiplications for small integers, otherwise as exp(p · ln x).
///
/// # Safety
/// As [`exp`].
#[inline(always)]
pub(crate) unsafe fn pow<S: Simd>(x: S::V, p: f32) -> S::V {
    // SAFETY: as in `exp`.
    unsafe {
        if p == 0.5 {
            return S::sqrt(x);
        }
        if p.trunc() != p || p.abs() > 64.0 {
            return exp::<S>(S::mul(S::splat(p), log::<S>(x)));
        }
        let mut product = S::splat(1.0);
        for _ in 0..p.abs() as u32 {
            product = S::mul(product, x);
        }
        if p < 0.0 { S::div(S::splat(1.0), product) } else { product }
    }
}
