//! Random numbers by place: the number at a place is computed from the place, without those before it.
//!
//! Only integer arithmetic and `+ − × ÷ √` of floating-point numbers occur, which every machine rounds alike.

/// A stream of numbers of its own for each seed and name.
pub(super) fn key(seed: u64, name: &str) -> u64 {
    name.bytes().fold(mixed(seed, name.len() as u64), |key, byte| mixed(key, byte.into()))
}

/// Two numbers as one that looks random: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
fn mixed(a: u64, b: u64) -> u64 {
    let z = a.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ b;
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The number at `index`, strictly between 0 and 1, all equally likely.
pub(super) fn uniform(key: u64, index: u64) -> f64 {
    const STEP: f64 = 1.0 / (1_u64 << 52) as f64;
    ((mixed(key, index) >> 12) as f64 + 0.5) * STEP
}

/// The number at `index`, normal with mean 0 and variance 1.
pub(super) fn normal(key: u64, index: u64) -> f64 {
    quantile(uniform(key, index))
}

/// Below which number a standard normal one is with probability `p`, to about 7 digits.
///
/// Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution", Applied Statistics 37(3), 1988, its routine PPND7.
fn quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let top = [3.387_132_717_9, 50.434_271_938, 159.291_132_02, 59.109_374_72];
        let bottom = [1.0, 17.895_169_469, 78.757_757_664, 67.187_563_6];
        return q * ratio(0.180_625 - q * q, top, bottom);
    }
    let r = (-ln(p.min(1.0 - p))).sqrt();
    let size = if r <= 5.0 {
        let top = [1.423_437_277_7, 2.756_815_39, 1.306_728_481_6, 0.170_238_211_03];
        ratio(r - 1.6, top, [1.0, 0.737_001_642_5, 0.120_211_329_75, 0.0])
    } else {
        let top = [6.657_905_115, 3.081_226_386, 0.428_682_943_37, 0.017_337_203_997];
        ratio(r - 5.0, top, [1.0, 0.241_978_942_25, 0.012_258_202_635, 0.0])
    };
    if q < 0.0 { -size } else { size }
}

/// The quotient of two polynomials, the constant terms first.
fn ratio(x: f64, top: [f64; 4], bottom: [f64; 4]) -> f64 {
    let value = |terms: [f64; 4]| terms.into_iter().rev().fold(0.0, |sum, term| sum * x + term);
    value(top) / value(bottom)
}

/// Natural logarithm of a normal positive number: its exponent, and the series of `2 artanh((m − 1) / (m + 1))` for its mantissa.
fn ln(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    let exponent = (x.to_bits() >> 52) as f64 - 1023.0;
    let mantissa = f64::from_bits(x.to_bits() & MANTISSA | 1.0_f64.to_bits());
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let series = (0..12).rev().fold(0.0, |sum, k| sum * s * s + 1.0 / f64::from(2 * k + 1));
    exponent * std::f64::consts::LN_2 + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // From `statistics.NormalDist().inv_cdf` of Python.
        let known =
            [(0.5, 0.0), (0.75, 0.674_489_75), (0.95, 1.644_853_63), (0.975, 1.959_963_98), (0.999, 3.090_232_31)];
        for (p, expected) in known.into_iter().chain([(1e-8, -5.612_001_24), (1e-13, -7.348_796_10)]) {
            let found = quantile(p);
            assert!((found - expected).abs() < 1e-6, "{p}: {found}, not {expected}");
        }
    }

    #[test]
    fn the_logarithm_is_the_systems_to_ten_digits() {
        for x in (1..1000).map(|i| f64::from(i) * 1e-3).chain([1e-300, 2.5e-16]) {
            assert!((ln(x) - x.ln()).abs() <= 1e-10 * x.ln().abs().max(1.0), "{x}");
        }
    }

    #[test]
    fn numbers_lie_strictly_between_0_and_1() {
        let step = 1.0 / (1_u64 << 52) as f64;
        let last = ((u64::MAX >> 12) as f64 + 0.5) * step;
        assert!(last < 1.0 && quantile(last).is_finite() && quantile(0.5 * step).is_finite());
    }
}
