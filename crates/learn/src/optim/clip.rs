//! Keeping gradients within bounds, and the running mean of weights.

use crate::{Error, Result};

/// Makes every gradient lie within `limit` of 0; what is not a number stays.
///
/// ```
/// let mut gradients = [0.5, -3.0];
/// percept_learn::optim::clip_by_value(&mut gradients, 1.0);
/// assert_eq!(gradients, [0.5, -1.0]);
/// ```
pub fn clip_by_value(gradients: &mut [f32], limit: f32) {
    let limit = limit.abs().min(f32::INFINITY); // Of a limit that is not a number infinity is left.
    gradients.iter_mut().for_each(|g| *g = g.clamp(-limit, limit));
}

/// Shortens the gradients, all by one factor, to the Euclidean norm `longest` if theirs is greater; gives back the norm before (Pascanu et al.,
/// "On the difficulty of training recurrent neural networks", ICML 2013).
///
/// The sum is taken in one order, so the bits depend on nothing else. If the norm is not a finite number, the gradients stay as they
/// are: look at it before taking a step. As in PyTorch, the norm is taken for 1e-6 more than it is.
///
/// ```
/// let mut gradients = [3.0, -4.0];
/// assert_eq!(percept_learn::optim::clip_by_norm(&mut gradients, 1.0), 5.0);
/// assert!((gradients[0] - 0.6).abs() < 1e-6 && (gradients[1] + 0.8).abs() < 1e-6);
/// ```
pub fn clip_by_norm(gradients: &mut [f32], longest: f64) -> f64 {
    let norm = norm(gradients);
    let factor = longest / (norm + 1e-6);
    if norm.is_finite() && (0.0..1.0).contains(&factor) {
        gradients.iter_mut().for_each(|g| *g *= factor as f32);
    }
    norm
}

/// The Euclidean norm, with eight sums side by side, which the compiler can keep in vectors.
fn norm(values: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let mut sums = [0.0; 8];
    let chunks = values.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().map(|&x| square(x)).sum();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, &x)| *sum += square(x));
    }
    (sums.iter().sum::<f64>() + rest).sqrt()
}

/// Moves the running means of weights after step `step` (the first is 1), so that they keep the share `keep` of themselves, or
/// `step / (step + 9)` in the first steps, when there is little to remember.
///
/// The mean of the weights is often a better network than the weights themselves (Polyak and Juditsky, "Acceleration of Stochastic
/// Approximation by Averaging", 1992). Running statistics of normalisations want a mean of their own.
///
/// ```
/// use percept_learn::optim::average;
///
/// let mut means = [0.0];
/// average(&mut means, &[1.0], 0.99, 1)?;
/// assert!((means[0] - 0.9).abs() < 1e-7);
/// average(&mut means, &[1.9], 0.99, 1_000_000)?;
/// assert!((means[0] - 0.91).abs() < 1e-6);
/// # Ok::<(), percept_learn::Error>(())
/// ```
///
/// # Errors
/// Lists of different lengths.
pub fn average(means: &mut [f32], weights: &[f32], keep: f32, step: u64) -> Result<()> {
    Error::check_size("running means of weights", means.len(), weights.len())?;
    let step = step as f32;
    let keep = keep.min(step / (step + 9.0));
    means.iter_mut().zip(weights).for_each(|(mean, now)| *mean += (1.0 - keep) * (now - *mean));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Golden {
        gradients: Vec<f32>,
        clipped: Vec<f32>,
        norm: Option<f64>,
    }

    #[derive(Deserialize)]
    struct File {
        clipped_by_value: Golden,
        clipped_by_norm: Golden,
    }

    #[test]
    fn clipping_is_that_of_pytorch() {
        let File { clipped_by_value: mut by_value, clipped_by_norm: mut by_norm } =
            serde_json::from_str(include_str!("../../tests/golden/optim.json")).unwrap();
        clip_by_value(&mut by_value.gradients, 0.7);
        assert_eq!(by_value.gradients, by_value.clipped);
        let norm = clip_by_norm(&mut by_norm.gradients, 0.7);
        assert!((norm - by_norm.norm.unwrap()).abs() < 1e-6 * norm);
        let near = |(x, y): (&f32, &f32)| (x - y).abs() <= 1e-6 * y.abs();
        assert!(by_norm.gradients.iter().zip(&by_norm.clipped).all(near), "{:?}", by_norm.gradients);
    }

    #[test]
    fn what_is_no_number_stays_to_be_seen() {
        let mut gradients = [f32::NAN, f32::INFINITY, 2.0];
        clip_by_value(&mut gradients, 1.0);
        assert!(gradients[0].is_nan());
        assert_eq!(gradients[1..], [1.0, 1.0]);
        let mut gradients = [f32::INFINITY, 2.0];
        assert_eq!(clip_by_norm(&mut gradients, 1.0), f64::INFINITY);
        assert_eq!(gradients, [f32::INFINITY, 2.0]);
        // The squares overflow 32 bits, the norm does not.
        let mut gradients = [3e30, 4e30];
        assert!((clip_by_norm(&mut gradients, 5.0) - 5e30).abs() < 1e24);
        assert!((gradients[0] - 3.0).abs() < 1e-5, "{gradients:?}");
    }

    #[test]
    fn short_gradients_keep_their_bits() {
        let mut gradients: Vec<f32> = (0..13).map(|i| 0.1 * i as f32).collect();
        let before = gradients.clone();
        let norm = clip_by_norm(&mut gradients, 3.0);
        assert!((norm - 6.5f64.sqrt()).abs() < 1e-6);
        assert_eq!(gradients, before);
        assert!(average(&mut [0.0], &[], 0.5, 1).is_err());
    }
}
