//! L-BFGS, the quasi-Newton method for smooth functions of many variables (Nocedal & Wright, *Numerical Optimization*, ch. 7).
//!
//! The line search brackets a step that satisfies the weak Wolfe conditions: enough descent, and a slope that has flattened, which
//! keeps the curvature positive. On convex functions such a step always exists and bisection finds it (Lewis & Overton 2013).
//!
//! It takes the function as a whole, not batches of it: for [`logistic`](crate::logistic) regression, or for a small network with all
//! of its data, whose arena of parameters is then `x`. It is deterministic if the function is.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::ops::ControlFlow;

/// How many pairs of steps and gradient differences approximate the curvature.
const MEMORY: usize = 10;
/// The line search gives up after this many evaluations: what is left is rounding noise.
const MAX_STEPS: usize = 20;
/// Wolfe's constants: the share of the predicted descent asked for, and of the slope that may remain.
const WOLFE: [f64; 2] = [1e-4, 0.9];

/// Why an optimiser stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// The largest gradient component fell below the tolerance.
    Converged,
    /// The iterations were used up.
    Iterations,
    /// The progress callback asked for it.
    Interrupted,
    /// No step lowers the objective any more within the arithmetic's precision.
    Precision,
}

/// Where a search ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Minimum {
    /// The arguments.
    pub x: Vec<f64>,
    /// The function's value there.
    pub value: f64,
    /// Steps taken.
    pub iterations: usize,
    /// How often the function was asked.
    pub evaluations: usize,
    /// Why it ended.
    pub stopped: Stopped,
}

/// A point on the way.
struct Point {
    x: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

/// Minimises `f`, which returns value and gradient, from `x`; `on_iteration` gets (iteration, value, largest gradient component).
///
/// It has converged when no component of the gradient is larger than `tolerance`. A function whose gradient is computed in 32 bits may
/// end earlier, with [`Stopped::Precision`].
///
/// ```
/// use percept_learn::lbfgs::{Stopped, minimize};
/// use std::ops::ControlFlow;
///
/// // Rosenbrock's valley, "An Automatic Method for Finding the Greatest or Least Value of a Function", 1960.
/// let rosenbrock = |x: &[f64]| {
///     let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
///     Ok((a * a + 100.0 * b * b, vec![-2.0 * a - 400.0 * x[0] * b, 200.0 * b]))
/// };
/// let go_on = |_, _, _| ControlFlow::Continue(());
/// let found = minimize::<percept_learn::Error>(vec![-1.2, 1.0], 100, 1e-8, rosenbrock, go_on)?;
/// assert_eq!(found.stopped, Stopped::Converged);
/// assert!(found.x.iter().all(|x| (x - 1.0).abs() < 1e-7));
/// # Ok::<(), percept_learn::Error>(())
/// ```
///
/// # Errors
/// What `f` says.
pub fn minimize<E>(
    x: Vec<f64>,
    max_iterations: usize,
    tolerance: f64,
    mut f: impl FnMut(&[f64]) -> Result<(f64, Vec<f64>), E>,
    mut on_iteration: impl FnMut(usize, f64, f64) -> ControlFlow<()>,
) -> Result<Minimum, E> {
    let (value, gradient) = f(&x)?;
    let mut at = Point { x, value, gradient };
    let mut history = History::default();
    let (mut iterations, mut evaluations) = (0, 1);
    let stopped = loop {
        let largest = at.gradient.iter().fold(0.0, |max: f64, g| max.max(g.abs()));
        let go_on = on_iteration(iterations, at.value, largest);
        if largest <= tolerance {
            break Stopped::Converged;
        } else if iterations == max_iterations {
            break Stopped::Iterations;
        } else if go_on.is_break() {
            break Stopped::Interrupted;
        }
        let direction = history.direction(&at.gradient);
        let step = if history.pairs.is_empty() { 1.0 / norm(&at.gradient).max(1.0) } else { 1.0 };
        let Some(next) = line_search(&at, &direction, step, &mut evaluations, &mut f)? else {
            break Stopped::Precision;
        };
        history.push(difference(&next.x, &at.x), difference(&next.gradient, &at.gradient));
        at = next;
        iterations += 1;
    };
    Ok(Minimum { x: at.x, value: at.value, iterations, evaluations, stopped })
}

/// A point along `direction` that satisfies the weak Wolfe conditions.
fn line_search<E>(
    from: &Point,
    direction: &[f64],
    mut step: f64,
    evaluations: &mut usize,
    f: &mut impl FnMut(&[f64]) -> Result<(f64, Vec<f64>), E>,
) -> Result<Option<Point>, E> {
    let start_slope = dot(&from.gradient, direction);
    let (mut low, mut value, mut slope) = (0.0, from.value, start_slope);
    let mut high = f64::INFINITY;
    for _ in 0..MAX_STEPS {
        let x: Vec<f64> = from.x.iter().zip(direction).map(|(x, d)| x + step * d).collect();
        *evaluations += 1;
        let (new_value, gradient) = f(&x)?;
        let new_slope = dot(&gradient, direction);
        let descends = new_value <= from.value + WOLFE[0] * step * start_slope;
        if descends && new_slope >= WOLFE[1] * start_slope {
            return Ok(Some(Point { x, value: new_value, gradient }));
        }
        if descends {
            (low, value, slope) = (step, new_value, new_slope);
            step = if high.is_finite() { (low + high) / 2.0 } else { 2.0 * step };
        } else {
            high = step;
            let width = high - low;
            // The minimum of the parabola through both ends, kept away from them; its middle if the far end overflowed.
            let inner = -slope * width / (2.0 * (new_value - value - slope * width));
            step = low + width * if inner.is_finite() { inner.clamp(0.1, 0.9) } else { 0.1 };
        }
    }
    Ok(None)
}

/// The last steps `s`, gradient differences `y` and their products.
#[derive(Default)]
struct History {
    pairs: VecDeque<(Vec<f64>, Vec<f64>, f64)>,
}

impl History {
    fn push(&mut self, s: Vec<f64>, y: Vec<f64>) {
        let product = dot(&s, &y);
        if product > f64::EPSILON * dot(&y, &y) {
            self.pairs.truncate(MEMORY - 1);
            self.pairs.push_front((s, y, product));
        }
    }

    /// Minus the inverse Hessian's approximation times the gradient: the two-loop recursion.
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut d: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut alphas = Vec::with_capacity(MEMORY);
        for (s, y, product) in &self.pairs {
            let alpha = dot(s, &d) / product;
            add(&mut d, -alpha, y);
            alphas.push(alpha);
        }
        if let Some((_, y, product)) = self.pairs.front() {
            let scale = product / dot(y, y);
            d.iter_mut().for_each(|d| *d *= scale);
        }
        for ((s, y, product), alpha) in self.pairs.iter().zip(alphas).rev() {
            let beta = dot(y, &d) / product;
            add(&mut d, alpha - beta, s);
        }
        d
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Eight sums let the compiler use vector instructions without changing the order from run to run.
    let mut sums = [0.0; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + tail
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// `a += factor·b`.
fn add(a: &mut [f64], factor: f64, b: &[f64]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += factor * b);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn go_on(_: usize, _: f64, _: f64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn finds_the_minimum_of_rosenbrocks_valley() {
        let f = |x: &[f64]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            Ok((a * a + 100.0 * b * b, vec![-2.0 * a - 400.0 * x[0] * b, 200.0 * b]))
        };
        let found = minimize::<Error>(vec![-1.2, 1.0], 100, 1e-8, f, go_on).unwrap();
        assert_eq!(found.stopped, Stopped::Converged);
        assert!(found.iterations < 60, "{}", found.iterations);
        assert!(found.x.iter().all(|x| (x - 1.0).abs() < 1e-7), "{:?}", found.x);
    }

    #[test]
    fn scales_its_steps_to_badly_conditioned_quadratics() {
        let scales: Vec<f64> = (0..40).map(|i| 10f64.powf(i as f64 / 10.0)).collect();
        let f = |x: &[f64]| {
            let gradient: Vec<f64> = x.iter().zip(&scales).map(|(x, s)| s * (x - 3.0)).collect();
            Ok((dot(&difference(x, &[3.0; 40]), &gradient) / 2.0, gradient))
        };
        let found = minimize::<Error>(vec![0.0; 40], 2000, 1e-6, f, go_on).unwrap();
        assert_eq!(found.stopped, Stopped::Converged);
        assert!(found.evaluations < 2 * found.iterations, "{} {}", found.evaluations, found.iterations);
    }

    #[test]
    fn stops_when_told_and_where_nothing_descends() {
        let slope = |x: &[f64]| Ok((x[0], vec![1.0]));
        let stop = |i: usize, _: f64, _: f64| {
            if i == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        // A line has no minimum: the search for a flatter slope gives up.
        let found = minimize::<Error>(vec![0.0], 50, 1e-8, slope, stop).unwrap();
        assert_eq!((found.stopped, found.iterations), (Stopped::Precision, 0));
        let bowl = |x: &[f64]| Ok((x[0].powi(4), vec![4.0 * x[0].powi(3)]));
        let found = minimize::<Error>(vec![5.0], 50, 1e-12, bowl, stop).unwrap();
        assert_eq!((found.stopped, found.iterations), (Stopped::Interrupted, 3));
        let found = minimize::<Error>(vec![5.0], 2, 1e-12, bowl, go_on).unwrap();
        assert_eq!((found.stopped, found.iterations), (Stopped::Iterations, 2));
    }
}
