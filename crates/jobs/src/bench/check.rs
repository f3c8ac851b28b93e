//! Whether the fast kernels compute what the reference does, before anything is timed: what is fast and wrong is worth nothing.

use super::Subject;
use crate::Result;
use crate::event::{Events, Phase};
use percept_engine::reference::{Array, run_watched};
use percept_engine::{Network, Settings};

/// The largest difference that rounding explains, as a share of the output's largest number.
const LIMIT: f64 = 1e-4;

/// The largest difference between the model's output for one picture and the reference's, in f64, as a share of the largest number that
/// the reference gives.
///
/// # Errors
/// A model that cannot be run, or a difference above 1e-4.
pub(super) fn difference(subject: &Subject, settings: &Settings, events: Events<'_>) -> Result<f64> {
    let (bindings, _) = subject.bindings(None, 1)?;
    let made_up = subject.made_up(&bindings)?;
    let inputs: Vec<_> = made_up.iter().map(|numbers| numbers.input()).collect();
    let mut network = Network::new(&subject.graph, &subject.params, settings.clone())?;
    let plan = network.plan(&bindings)?;
    plan.run(&inputs)?;
    let nodes = subject.graph.nodes().len() as u64;
    let mut phase = Phase::start(events, "Checking against the reference", Some(nodes), "operators");
    let arrays: Vec<Array> = made_up.iter().map(|numbers| numbers.array()).collect();
    let expected = run_watched(&subject.graph, &subject.params, &arrays, |done| phase.progress(done as u64))?;
    let worst = expected.iter().enumerate().map(|(i, expected)| distance(&expected.data, plan.output(i).1));
    let worst = worst.fold(0.0, f64::max);
    if worst > LIMIT {
        return Err(subject.error(format!(
            "its output differs from the reference by {worst:.1e} of its largest number, more than {LIMIT:.0e}: either the model magnifies \
             rounding, or the kernels for {} are wrong; see whether it does so with --isa scalar",
            settings.isa.name()
        )));
    }
    phase.finish(format!("the largest difference is {worst:.1e} of the largest number"));
    Ok(worst)
}

/// The largest difference as a share of the largest expected number; infinite where one is a number and the other not.
fn distance(expected: &[f64], found: &[f32]) -> f64 {
    let largest = expected.iter().filter(|x| x.is_finite()).fold(f64::MIN_POSITIVE, |most, x| most.max(x.abs()));
    let pairs = expected.iter().zip(found).map(|(&x, &y)| match f64::from(y) {
        y if x == y || (x.is_nan() && y.is_nan()) => 0.0,
        y if x.is_finite() && y.is_finite() => (x - y).abs() / largest,
        _ => f64::INFINITY,
    });
    pairs.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn differences_are_shares_of_the_largest_number() {
        assert_eq!(distance(&[1.0, -4.0], &[1.0, -4.0]), 0.0);
        assert_eq!(distance(&[1.0, -4.0], &[3.0, -4.0]), 0.5);
        assert_eq!(distance(&[0.0, 0.0], &[0.0, 0.0]), 0.0);
        assert_eq!(distance(&[1.0, f64::INFINITY], &[1.0, f32::INFINITY]), 0.0);
        for wrong in [f32::NAN, f32::INFINITY] {
            assert_eq!(distance(&[1.0, 1.0], &[1.0, wrong]), f64::INFINITY);
        }
    }
}
