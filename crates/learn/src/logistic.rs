//! Multinomial logistic regression, the classifier on top of a frozen network.
//!
//! It minimises what scikit-learn's `LogisticRegression` does, `Σ wᵢ·nllᵢ + ‖W‖²/(2C)` with a free intercept, on features that are
//! standardised first; the scaling is folded back into the weights. Two classes are treated like many (a softmax over two rows of
//! weights). L-BFGS on all rows was chosen over stochastic steps because it has no learning rate to tune, stops at a known gradient,
//! and starts well from the neighbouring `C`.
//!
//! Rows that are several views of one picture should weigh 1/views each: then `C` means the same for any number of views.

mod further;
mod problem;
pub(crate) mod scale;
mod select;

use crate::features::Features;
use crate::kernels::{Linear, fold_chunks};
pub use crate::lbfgs::Stopped;
use crate::lbfgs::minimize;
use crate::{Error, Result};
pub use further::{Further, further};
use percept_engine::Settings;
use problem::Problem;
pub use select::{Selection, Trial, path, select};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// Rows to learn from or to check with.
#[derive(Clone, Copy)]
pub struct Samples<'a> {
    /// The features, one row for each sample.
    pub features: &'a dyn Features,
    /// The class of each row, from 0.
    pub labels: &'a [usize],
    /// How much each row counts; all the same if absent. A weight of 2 is the row twice.
    pub weights: Option<&'a [f32]>,
}

/// How to fit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Inverse strength of the L2 penalty on the weights of the standardised features.
    pub c: f64,
    /// The fit ends after this many iterations; each reads the features once or, rarely, twice.
    pub max_iterations: usize,
    /// The fit ends when no component of the mean loss's gradient is larger.
    pub tolerance: f64,
}

impl Default for Options {
    fn default() -> Options {
        Options { c: 1.0, max_iterations: 200, tolerance: 1e-5 }
    }
}

/// How far a fit is; given to the caller after every iteration, who may stop it there.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The penalty's inverse strength at the moment.
    pub c: f64,
    /// Iterations done with it.
    pub iteration: usize,
    /// Mean loss with penalty.
    pub objective: f64,
    /// Largest component of its gradient.
    pub gradient: f64,
}

/// The classifier: logits are `features · coefficients + intercept`.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Number of features.
    pub width: usize,
    /// Number of classes.
    pub classes: usize,
    /// width × classes, row-major: the B of ONNX's `Gemm`.
    pub coefficients: Vec<f32>,
    /// One for each class.
    pub intercept: Vec<f32>,
}

impl Weights {
    /// The logits (rows × classes, row-major) of every row.
    pub fn logits(&self, settings: &Settings, features: &dyn Features) -> Result<Vec<f32>> {
        self.check(features.width(), self.classes)?;
        let linear = Linear::new(settings.isa, &self.coefficients, &self.intercept);
        let parts = fold_chunks(settings, features, Vec::new, |logits, rows, values| {
            let start = logits.len();
            logits.resize(start + rows.len() * self.classes, 0.0);
            linear.logits(values, &mut logits[start..]);
            Ok(())
        })?;
        Ok(parts.concat())
    }

    /// Fails unless the weights are those of `classes` classes on `width` features.
    fn check(&self, width: usize, classes: usize) -> Result<()> {
        Error::check_size("features that the weights are for", self.width, width)?;
        Error::check_size("classes that the weights are for", self.classes, classes)?;
        Error::check_size("coefficients", self.coefficients.len(), width * classes)?;
        Error::check_size("intercepts", self.intercept.len(), classes)
    }
}

/// What a fit found.
#[derive(Clone, Debug)]
pub struct Fit {
    /// The classifier.
    pub weights: Weights,
    /// Mean loss with penalty where it stopped.
    pub objective: f64,
    /// Iterations done: the same number as `max_iterations` gives the same bits again.
    pub iterations: usize,
    /// Passes over the features.
    pub evaluations: usize,
    /// Why it stopped.
    pub stopped: Stopped,
}

/// Fits a classifier of `classes` classes, starting from `init` or from zero.
///
/// `progress` is called before the first iteration and after each; the fit ends when it breaks.
///
/// # Errors
/// Labels, weights or features out of range, with the row; features that cannot be read.
///
/// ```
/// use percept_learn::{features::Matrix, logistic::{Options, Samples, fit}};
/// use percept_engine::Settings;
/// use std::ops::ControlFlow;
/// let settings = Settings::detect()?;
/// let features = Matrix::new(vec![0.0, 1.0, 5.0, 6.0], 1)?;
/// let samples = Samples { features: &features, labels: &[0, 0, 1, 1], weights: None };
/// let fit = fit(&settings, &samples, 2, &Options::default(), None, &mut |_| ControlFlow::Continue(()))?;
/// let logits = fit.weights.logits(&settings, &Matrix::new(vec![2.0], 1)?)?;
/// assert!(logits[0] > logits[1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn fit(
    settings: &Settings,
    samples: &Samples<'_>,
    classes: usize,
    options: &Options,
    init: Option<&Weights>,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Fit> {
    let problem = Problem::new(settings, samples, classes)?;
    let start = match init {
        Some(weights) => problem.standardised(weights)?,
        None => problem.zero(),
    };
    let (fit, _) = problem.fit(options, start, progress)?;
    Ok(fit)
}

impl Problem<'_> {
    /// Fits from `start`; also returns the parameters, from which the next fit may start.
    fn fit(
        &self,
        options: &Options,
        start: Vec<f64>,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<(Fit, Vec<f64>)> {
        let Options { c, max_iterations, tolerance } = *options;
        if !(c.is_finite() && c > 0.0) {
            return Err(Error::Setting { name: "C", value: c, must: "a positive number" });
        }
        let penalty = 1.0 / (c * self.total_weight());
        let found = minimize::<Error>(
            start,
            max_iterations,
            tolerance,
            |x| self.evaluate(x, penalty),
            |iteration, objective, gradient| progress(&Progress { c, iteration, objective, gradient }),
        )?;
        let fit = Fit {
            weights: self.unscaled(&found.x),
            objective: found.value,
            iterations: found.iterations,
            evaluations: found.evaluations,
            stopped: found.stopped,
        };
        Ok((fit, found.x))
    }
}
