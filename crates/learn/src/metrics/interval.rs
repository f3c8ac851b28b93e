//! The 95 % interval of a share.

use crate::{Error, Result};

/// The normal distribution's 97.5 % point.
pub(super) const Z: f64 = 1.959_963_984_540_054;

/// The 95 % score interval of a share (Wilson 1927), which stays within 0 and 1 and is not empty at either end.
///
/// # Errors
/// No trials; more successes than trials.
///
/// ```
/// let [low, high] = percept_learn::metrics::wilson(8, 10)?;
/// assert!((low - 0.4902).abs() < 1e-4 && (high - 0.9433).abs() < 1e-4);
/// # Ok::<(), percept_learn::Error>(())
/// ```
pub fn wilson(successes: usize, trials: usize) -> Result<[f64; 2]> {
    if trials == 0 {
        return Err(Error::Empty("trials"));
    }
    if successes > trials {
        return Err(Error::Size { what: "successes", found: successes, expected: trials });
    }
    let (n, p) = (trials as f64, successes as f64 / trials as f64);
    let centre = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt() / (1.0 + Z * Z / n);
    let low = if successes == 0 { 0.0 } else { centre - half };
    let high = if successes == trials { 1.0 } else { centre + half };
    Ok([low, high])
}
