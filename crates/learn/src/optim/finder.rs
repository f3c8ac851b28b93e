//! Which learning rate to take, found by trying all.

use crate::Error;
use serde::{Deserialize, Serialize};

/// Share of itself that the smoothed loss keeps in a step.
const KEEP: f64 = 0.9;
/// The search ends when the smoothed loss is so many times the least.
const DIVERGED: f64 = 4.0;

/// The loss at learning rates that grow from step to step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateCurve {
    /// The learning rates, in equal ratios.
    pub rates: Vec<f64>,
    /// The losses of the steps.
    pub losses: Vec<f64>,
    /// The same as running means, which begin with the first loss and keep nine tenths of themselves in a step.
    pub smoothed: Vec<f64>,
    /// A tenth of the learning rate at which the smoothed loss was least; nothing if it never fell.
    pub suggestion: Option<f64>,
}

/// Takes a step at each of `steps` learning rates from `lowest` to `highest`, in equal ratios, and suggests one (the range test of Smith, "Cyclical
/// Learning Rates for Training Neural Networks", WACV 2017, with an exponential ramp).
///
/// `step` takes a step at a learning rate and gives the loss before it. The search ends early when the loss is not a finite
/// number any more, or smoothed four times its least. The parameters are of no use afterwards: begin the training with those from before.
///
/// ```
/// use percept_learn::{Error, optim::find_rate};
///
/// // Gradient descent on x² / 2 + y² / 200, which diverges at rates above 2.
/// let mut at = [1.0, 1.0];
/// let curve = find_rate::<Error>(1e-4, 100.0, 200, |rate| {
///     let loss = at[0] * at[0] / 2.0 + at[1] * at[1] / 200.0;
///     at = [at[0] - rate * at[0], at[1] - rate * at[1] / 100.0];
///     Ok(loss)
/// })?;
/// let rate = curve.suggestion.ok_or(Error::Empty("suggestions"))?;
/// assert!(rate > 0.1 && rate < 2.0, "{rate}");
/// assert!(curve.rates.len() < 200, "it stops when it diverges");
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// Rates that are not positive and rising, fewer than two steps, and what `step` says.
pub fn find_rate<E: From<Error>>(
    lowest: f64,
    highest: f64,
    steps: usize,
    mut step: impl FnMut(f64) -> std::result::Result<f64, E>,
) -> std::result::Result<RateCurve, E> {
    Error::check_setting("the lowest learning rate", lowest, lowest > 0.0 && lowest.is_finite(), "positive")?;
    let rising = highest > lowest && highest.is_finite();
    Error::check_setting("the highest learning rate", highest, rising, "above the lowest")?;
    Error::check_setting("the number of steps", steps as f64, steps > 1, "at least 2")?;
    let mut curve = RateCurve { rates: Vec::new(), losses: Vec::new(), smoothed: Vec::new(), suggestion: None };
    let mut least = 0;
    for i in 0..steps {
        let rate = lowest * (highest / lowest).powf(i as f64 / (steps - 1) as f64);
        let loss = step(rate)?;
        if !loss.is_finite() {
            break;
        }
        let smoothed = curve.smoothed.last().map_or(loss, |before| KEEP * before + (1.0 - KEEP) * loss);
        curve.rates.push(rate);
        curve.losses.push(loss);
        curve.smoothed.push(smoothed);
        if smoothed < curve.smoothed[least] {
            least = i;
        } else if smoothed > DIVERGED * curve.smoothed[least].abs() && curve.smoothed[least] != 0.0 {
            break;
        }
    }
    curve.suggestion = (least > 0).then(|| curve.rates[least] / 10.0);
    Ok(curve)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_that_only_grows_suggests_nothing_and_one_that_is_no_number_ends_the_search() {
        let mut loss = 1.0;
        let grows = |_| {
            loss *= 1.5;
            Ok::<_, Error>(loss)
        };
        assert_eq!(find_rate(0.1, 1.0, 50, grows).unwrap().suggestion, None);
        let curve =
            find_rate::<Error>(1.0, 100.0, 3, |rate| Ok(if rate < 50.0 { 2.0 - rate / 10.0 } else { f64::NAN }));
        let curve = curve.unwrap();
        assert_eq!((curve.losses.len(), curve.suggestion.map(|rate| (10.0 * rate).round())), (2, Some(10.0)));
    }

    #[test]
    fn ranges_without_sense_are_refused_and_errors_of_a_step_come_out() {
        let step = |_| Ok::<_, Error>(1.0);
        for (lowest, highest, steps) in [(0.0, 1.0, 9), (1.0, 1.0, 9), (1.0, f64::INFINITY, 9), (1.0, 2.0, 1)] {
            assert!(find_rate(lowest, highest, steps, step).is_err());
        }
        let failed = find_rate(0.1, 1.0, 9, |_| Err::<f64, _>(Error::Empty("photos"))).unwrap_err();
        assert!(failed.to_string().contains("photos"));
    }
}
