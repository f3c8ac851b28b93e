//! SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): ten lines that are fast, well mixed from any key, and fixed for ever, which a
//! crate's default generator is not.

/// A stream of random numbers that is a pure function of the words it was keyed with.
pub(crate) struct Random(u64);

impl Random {
    /// Starts the stream that belongs to these words, in this order.
    pub(crate) fn new(words: &[u64]) -> Self {
        let mut state = Self(0);
        for &word in words {
            state.0 = state.next() ^ word;
        }
        state.0 = state.next();
        state
    }

    /// Returns the next 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number in [0, 1).
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Returns a number between `low` and `high`.
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Returns a number between `-limit` and `limit`.
    pub(crate) fn around_zero(&mut self, limit: f32) -> f32 {
        self.between(-limit, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    /// The reference values of the public-domain C implementation (prng.di.unimi.it/splitmix64.c) for state 1234567.
    #[test]
    fn agrees_with_the_published_sequence() {
        let mut random = Random(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn every_word_and_its_place_matter() {
        let first = |words: &[u64]| Random::new(words).next();
        assert_ne!(first(&[1, 2, 3]), first(&[1, 2, 4]));
        assert_ne!(first(&[1, 2, 3]), first(&[2, 1, 3]));
        assert_eq!(first(&[1, 2, 3]), first(&[1, 2, 3]));
    }

    #[test]
    fn numbers_fill_their_range_evenly() {
        let mut random = Random::new(&[7]);
        let mean = (0..10_000).map(|_| random.between(2.0, 4.0)).sum::<f32>() / 10_000.0;
        assert!((mean - 3.0).abs() < 0.02, "{mean}");
    }
}
