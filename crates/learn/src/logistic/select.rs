//! Choosing `C` on validation data along a path from strong to weak regularisation, each fit starting from the one before.
//!
//! The criterion is the validation loss after temperature scaling, because that is how the classifier will be used: without the
//! temperature, the loss would prefer too much regularisation merely to tame confidence.

use super::{Fit, Options, Problem, Progress, Samples, Stopped, Weights};
use crate::calibrate::{nll, temperature};
use crate::{Error, Result};
use percept_engine::Settings;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// The path ends after this many fits in a row that are worse than the best.
const PATIENCE: usize = 2;

/// One fit on the path.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// `C` of the fit, with the iterations it took as `max_iterations`: the options that repeat it, bit for bit.
    pub options: Options,
    /// Why it stopped.
    pub stopped: Stopped,
    /// Share of the validation rows it gets right.
    pub accuracy: f64,
    /// The temperature that suits its validation logits best.
    pub temperature: f64,
    /// Mean validation loss at that temperature.
    pub nll: f64,
}

/// What [`select`] found.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The classifier of the best trial, fitted without the validation rows.
    pub weights: Weights,
    /// Index of the best trial.
    pub best: usize,
    /// All trials, in order. Their options as path repeat the search.
    pub trials: Vec<Trial>,
}

/// The path that suits pooled features: `C` from 10⁻⁴ to 100 in half decades.
///
/// ```
/// assert_eq!(percept_learn::logistic::path().len(), 13);
/// ```
pub fn path() -> Vec<Options> {
    (-8..=4).map(|i| Options { c: 10f64.powf(f64::from(i) / 2.0), ..Options::default() }).collect()
}

/// Fits along `path` (in ascending `C`) on `train` and keeps the fit whose validation loss is lowest.
///
/// It ends early when the loss has passed its minimum, or when `progress` breaks: then the unfinished fit is still considered, and
/// the trials' options say what was done.
///
/// # Errors
/// As [`fit`](super::fit); an empty path; validation rows that do not fit the training rows.
pub fn select(
    settings: &Settings,

    train: &Samples<'_>,
    validation: &Samples<'_>,
    classes: usize,
    path: &[Options],
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Selection> {
    let problem = Problem::new(settings, train, classes)?;
    let mut parameters = problem.zero();
    let mut trials: Vec<Trial> = Vec::new();
    let mut best: Option<(usize, Weights)> = None;
    for options in path {
        let (fit, end) = problem.fit(options, parameters, progress)?;
        parameters = end;
        let trial = judge(settings, &fit, options, validation)?;
        if best.as_ref().is_none_or(|(i, _)| trial.nll < trials[*i].nll) {
            best = Some((trials.len(), fit.weights));
        }
        trials.push(trial);
        let worse = best.as_ref().map_or(0, |(i, _)| trials.len() - 1 - i);
        if worse == PATIENCE || fit.stopped == Stopped::Interrupted {
            break;
        }
    }
    let (best, weights) = best.ok_or(Error::Empty("values of C to try"))?;
    Ok(Selection { weights, best, trials })
}

/// Measures a fit on the validation rows.
fn judge(settings: &Settings, fit: &Fit, options: &Options, validation: &Samples<'_>) -> Result<Trial> {
    let logits = fit.weights.logits(settings, validation.features)?;
    let classes = fit.weights.classes;
    let temperature = temperature(&logits, classes, validation.labels)?;
    let rows = logits.chunks_exact(classes).zip(validation.labels);
    let right = rows.filter(|(row, label)| crate::metrics::argmax(row) == **label).count();
    Ok(Trial {
        options: Options { max_iterations: fit.iterations, ..*options },
        stopped: fit.stopped,
        accuracy: right as f64 / validation.labels.len() as f64,
        temperature,
        nll: nll(&logits, classes, validation.labels, temperature)?,
    })
}
