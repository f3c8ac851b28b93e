//! What a time limit buys, and how much of the time goes into checkpoints.

use crate::Result;
use std::time::{Duration, Instant};

/// Share of the time left that learning may take; the rest is for measuring, and for steps that take longer.
const SHARE: f64 = 0.9;

/// How many steps, or epochs, of so many seconds the time left suffices for: `least` at least, and `most` at most, which it is without a limit.
pub(crate) fn affordable(seconds: f64, left: Option<Duration>, [least, most]: [u64; 2]) -> u64 {
    let fitting = left.map_or(f64::INFINITY, |left| SHARE * left.as_secs_f64() / seconds.max(1e-9));
    (fitting as u64).min(most).max(least)
}

/// When the last checkpoint was written, and how many seconds that took.
pub(crate) struct Saved {
    at: Instant,
    took: f64,
}

impl Saved {
    /// As if one had been written now.
    pub(crate) fn now() -> Self {
        Self { at: Instant::now(), took: 0.0 }
    }

    /// Writes a checkpoint if it is time.
    pub(crate) fn tick(&mut self, save: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.at.elapsed().as_secs_f64() < (50.0 * self.took).max(0.5) {
            return Ok(());
        }
        let start = Instant::now();
        save()?;
        *self = Self { at: Instant::now(), took: start.elapsed().as_secs_f64() };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_buys_steps_between_the_least_and_the_most() {
        let buys = |seconds| affordable(0.1, seconds, [40, 3200]);
        assert_eq!(buys(Some(Duration::from_secs(100))), 900);
        assert_eq!(buys(Some(Duration::ZERO)), 40);
        assert_eq!(buys(Some(Duration::from_secs(1_000_000))), 3200);
        assert_eq!(buys(None), 3200);
        assert_eq!(affordable(0.0, Some(Duration::MAX), [1, 5]), 5);
    }
}
