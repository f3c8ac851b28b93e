//! Which elements dropout drops: a function of a seed and an element's place, so that nothing is kept for the way back.

/// What dropout keeps of elements from `first` on: zero, or divided by what is left to 1.
///
/// Each place draws one number of the generator SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA
/// 2014), of which 24 bits are compared with the share.
pub fn dropout(seed: u64, ratio: f32, first: usize, x: &[f32], to: &mut [f32]) {
    let (seed, factor) = (mix(seed), 1.0 / (1.0 - ratio));
    for (i, (to, x)) in (first as u64 + 1..).zip(to.iter_mut().zip(x)) {
        let drawn = (mix(seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))) >> 40) as f32 * (1.0 / 16_777_216.0);
        *to = if drawn < ratio { 0.0 } else { x * factor };
    }
}

/// The seed of one dropout in one step.
pub fn dropout_seed(seed: i64, key: u64) -> u64 {
    mix(seed as u64 ^ mix(key.wrapping_add(0x9e37_79b9_7f4a_7c15)))
}

/// The last part of SplitMix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_dropped_and_the_mean_stays() {
        let (x, mut y) = (vec![1.0; 100_000], vec![0.0; 100_000]);
        let seed = dropout_seed(3, 1);
        dropout(seed, 0.3, 0, &x, &mut y);
        let dropped = y.iter().filter(|&&y| y == 0.0).count() as f64 / 1e5;
        let mean = y.iter().map(|&y| f64::from(y)).sum::<f64>() / 1e5;
        assert!((dropped - 0.3).abs() < 0.006 && (mean - 1.0).abs() < 0.01, "{dropped} {mean}");
        let mut part = vec![0.0; 1000];
        dropout(seed, 0.3, 500, &x[500..1500], &mut part);
        assert_eq!(part, y[500..1500], "a part draws what the whole does");
        let mut other = vec![0.0; 100_000];
        dropout(dropout_seed(4, 1), 0.3, 0, &x, &mut other);
        let both = y.iter().zip(&other).filter(|(a, b)| **a == 0.0 && **b == 0.0).count() as f64 / 1e5;
        assert!((both - 0.09).abs() < 0.005, "{both}");
    }
}
