//! Arithmetic with numpy's broadcasting.

use super::{Array, from_fn, shown};
use percept_graph::{DType, TensorType};

/// The entry of `x` that is shown at a position of the broadcast result.
pub(super) fn broadcast(x: &Array, position: &[usize]) -> f64 {
    x.data[shown(&x.shape, position)]
}

/// `x` as an integer type holds it: wrapped around. Beyond 2⁵³ an i64 is not exact here.
fn wrapped(dtype: DType, x: f64) -> f64 {
    match dtype {
        DType::U8 => x.rem_euclid(256.0),
        DType::I8 => (x + 128.0).rem_euclid(256.0) - 128.0,
        DType::I32 => (x + 2f64.powi(31)).rem_euclid(2f64.powi(32)) - 2f64.powi(31),
        _ => x,
    }
}

pub(super) fn binary(ty: &TensorType, given: &[&Array], f: impl Fn(f64, f64) -> f64) -> Result<Array, String> {
    let [a, b] = given[..] else { return Err("takes 2 inputs".into()) };
    from_fn(ty, |at| wrapped(ty.dtype, f(broadcast(a, at), broadcast(b, at))))
}

pub(super) fn divide(ty: &TensorType, given: &[&Array]) -> Result<Array, String> {
    if ty.dtype.is_float() {
        return binary(ty, given, |a, b| a / b);
    }
    if given.iter().skip(1).any(|b| b.data.contains(&0.0)) {
        return Err("divides integers by zero".into());
    }
    binary(ty, given, |a, b| (a / b).trunc())
}

/// The error function by the series `2/√π · exp(−x²) · Σ 2ⁿ x²ⁿ⁺¹ / (2n + 1)!!` (Abramowitz and Stegun, 7.1.6), whose terms have one sign.
pub(crate) fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > 1e-18 * sum.abs() {
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// The distribution function of the normal distribution.
pub(crate) fn normal(x: f64) -> f64 {
    0.5 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))
}
