//! Random numbers by place: what is drawn follows from a seed and a place such as a step, not from what was drawn before.

/// Two numbers as one that looks random: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
///
/// ```
/// use percept_learn::random::mixed;
///
/// assert_eq!(mixed(1, 2), mixed(1, 2));
/// assert_ne!(mixed(1, 2), mixed(2, 1));
/// ```
pub fn mixed(a: u64, b: u64) -> u64 {
    let z = a.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ b;
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The next of a stream of numbers, at least 0 and below 1, all equally likely; `state` is what seed and place were mixed to.
pub(crate) fn uniform(state: &mut u64) -> f64 {
    *state = mixed(*state, 1);
    (*state >> 11) as f64 / (1u64 << 53) as f64
}
