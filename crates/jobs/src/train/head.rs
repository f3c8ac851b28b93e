//! The classifier on top: its penalty chosen, its answers measured, then fitted for good.
//!
//! The choice needs many fits, so it is made on a few views of each photo. A photo counts the same however many views of it there
//! are, so that a penalty means the same for few and for many.

use super::{Run, known};
use crate::classifier::cooled_softmax;
use crate::config::Head;
use crate::event::{Events, Phase};
use crate::features::Extracted;
use crate::format::percent;
use crate::{Error, Result};
use percept_engine::Settings;
use percept_graph::{Graph, Params};
use percept_learn::calibrate::temperature;
use percept_learn::features::{Features, Subset};
use percept_learn::logistic::{self, Options, Progress, Samples, Weights, select};
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Views of each photo, beside the plain one, on which the penalty is chosen.
pub(super) const SEARCH_VIEWS: u32 = 2;
/// Shares of the time left that the search and the fit for measuring may take.
const SHARES: [f64; 2] = [0.5, 0.5];
/// What is kept for writing the results.
const RESERVE: Duration = Duration::from_secs(4);
/// A fit that the clock ends has at least so many iterations.
const LEAST: usize = 10;

/// What the fits gave.
pub(super) struct Fitted {
    /// What the model is made of.
    pub(super) learned: Learned,
    /// The threshold of known, where it had to be set before the model learned from the photos held out.
    pub(super) known: Option<known::Fitted>,
    /// What divides its logits.
    pub(super) temperature: f64,
    /// Positions in the data set of the photos held out, and their classes.
    pub(super) held_out: Vec<usize>,
    /// Their true classes.
    pub(super) truth: Vec<usize>,
    /// What a classifier that was not fitted on them says: photos × classes.
    pub(super) probabilities: Vec<f32>,
}

/// What was learned.
pub(super) enum Learned {
    /// A classifier on top of the frozen part.
    Head(Weights),
    /// A whole network.
    Network(Whole),
}

/// A whole network, folded for inference, from byte pictures to logits.
pub(super) struct Whole {
    pub(super) graph: Graph,
    pub(super) params: Params,
    /// What it says to the photos held out, also if it learned from them since they were measured on: photos × classes.
    pub(super) answers: Vec<f32>,
}

/// What a classifier on top says to rows of features.
pub(super) fn probabilities_of(
    weights: &Weights,
    temperature: f64,
    settings: &Settings,
    rows: &dyn Features,
) -> Result<Vec<f32>> {
    Ok(probabilities(weights.logits(settings, rows)?, weights.classes, temperature))
}

/// Rows of features with their labels and weights.
struct Table<'a> {
    rows: Subset<'a>,
    labels: Vec<usize>,
    weights: Vec<f32>,
}

impl<'a> Table<'a> {
    /// The plain photo and `views` views of those photos of which `keep` is true of the position in the data set.
    fn new(run: &Run<'_>, features: &'a Extracted, views: u32, keep: impl Fn(usize) -> bool) -> Result<Self> {
        let per_photo = 1 + run.config.views.unwrap_or(0) as usize;
        let views = 1 + views as usize;
        let kept = || features.photos.iter().enumerate().filter(|&(_, &photo)| keep(photo));
        let rows: Vec<usize> = kept().flat_map(|(i, _)| i * per_photo..i * per_photo + views).collect();
        let labels =
            kept().flat_map(|(_, &photo)| std::iter::repeat_n(run.data.pictures[photo].class, views)).collect();
        let weights = vec![1.0 / views as f32; rows.len()];
        Ok(Self { rows: Subset::new(&features.file, rows)?, labels, weights })
    }

    fn samples(&self) -> Samples<'_> {
        Samples { features: &self.rows, labels: &self.labels, weights: Some(&self.weights) }
    }
}

/// Fits and measures; writes what was decided into the run's configuration.
pub(super) fn fit(run: &mut Run<'_>, features: &Extracted, validation: &[usize], events: Events<'_>) -> Result<Fitted> {
    let held_out: HashSet<usize> = validation.iter().copied().collect();
    let views = run.config.views.unwrap_or(0);
    let learned = |photo| !held_out.contains(&photo);
    let few = Table::new(run, features, views.min(SEARCH_VIEWS), learned)?;
    let many = Table::new(run, features, views, learned)?;
    let check = Table::new(run, features, 0, |photo| held_out.contains(&photo))?;
    check_classes(run, &few.labels, &check.labels)?;

    let (mut weights, search, best) = choose(run, &few, &check, &mut *events)?;
    let mut options = Options { c: best.c, ..Options::default() };
    let recorded = run.config.head.clone();
    if let Some(head) = &recorded {
        options = head.check;
    }
    let until = run.left().map(|left| Instant::now() + left.saturating_sub(RESERVE).mul_f64(SHARES[1]));
    weights = refit(run, "Fitting", &many, &mut options, &weights, until, &mut *events)?;
    let checked = options;

    let classes = run.data.classes.len();
    let logits = weights.logits(run.settings, &check.rows)?;
    let temperature = temperature(&logits, classes, &check.labels)?;
    let probabilities = probabilities(logits, classes, temperature);

    let mut last = None;
    if !run.divided() {
        let all = Table::new(run, features, views, |_| true)?;
        let mut options = recorded.and_then(|head| head.last).unwrap_or(Options { c: best.c, ..Options::default() });
        let until = run.left().map(|left| Instant::now() + left.saturating_sub(RESERVE));
        weights = refit(run, "Fitting on all photos", &all, &mut options, &weights, until, events)?;
        last = Some(options);
    }
    run.config.head = Some(Head { check: checked, last, search });
    let held_out = features.photos.iter().copied().filter(|photo| held_out.contains(photo)).collect();
    let (learned, truth) = (Learned::Head(weights), check.labels);
    Ok(Fitted { learned, known: None, temperature, held_out, truth, probabilities })
}

/// Fails if photos that turned out to be unreadable leave a class without one to learn from, or nothing to check with.
fn check_classes(run: &Run<'_>, labels: &[usize], check: &[usize]) -> Result<()> {
    let present: HashSet<usize> = labels.iter().copied().collect();
    match (0..run.data.classes.len()).find(|class| !present.contains(class)) {
        Some(class) => {
            let name = &run.data.classes[class];
            Err(Error::Setting(format!(
                "no photo of \"{name}\" to learn from can be read: replace them, or remove the class"
            )))
        }
        None if check.is_empty() => {
            Err(Error::Setting("no photo to check with can be read: replace the damaged photos".into()))
        }
        None => Ok(()),
    }
}

/// Tries penalties on the held-out photos; also gives the options that repeat the trials, and the best of them.
fn choose(
    run: &mut Run<'_>,
    train: &Table<'_>,
    check: &Table<'_>,
    events: Events<'_>,
) -> Result<(Weights, Vec<Options>, Options)> {
    let path = run.config.head.as_ref().map_or_else(logistic::path, |head| head.search.clone());
    let until = run.left().map(|left| Instant::now() + left.saturating_sub(RESERVE).mul_f64(SHARES[0]));
    let mut phase = Phase::start(events, "Choosing the penalty", Some(path.len() as u64), "penalties");
    let mut watch = |progress: &Progress| {
        phase.progress(path.iter().position(|options| options.c == progress.c).unwrap_or(0) as u64);
        in_time(progress, until)
    };
    let classes = run.data.classes.len();
    let found = select(run.settings, &train.samples(), &check.samples(), classes, &path, &mut watch)?;
    let best = &found.trials[found.best];
    let text = format!("C = {:.1e} names {} of the photos held out", best.options.c, percent(best.accuracy));
    run.timings.push(phase.finish(text));
    let options = best.options;
    Ok((found.weights, found.trials.into_iter().map(|trial| trial.options).collect(), options))
}

/// Fits from `init`; sets `options` such that they repeat the fit.
fn refit(
    run: &mut Run<'_>,
    name: &'static str,
    table: &Table<'_>,
    options: &mut Options,
    init: &Weights,
    until: Option<Instant>,
    events: Events<'_>,
) -> Result<Weights> {
    let mut phase = Phase::start(events, name, Some(options.max_iterations as u64), "steps");
    let mut watch = |progress: &Progress| {
        phase.progress(progress.iteration as u64);
        in_time(progress, until)
    };
    let classes = run.data.classes.len();
    let fit = logistic::fit(run.settings, &table.samples(), classes, options, Some(init), &mut watch)?;
    options.max_iterations = fit.iterations;
    run.timings.push(phase.finish(format!("{} steps", fit.iterations)));
    Ok(fit.weights)
}

fn in_time(progress: &Progress, until: Option<Instant>) -> ControlFlow<()> {
    let over = until.is_some_and(|until| Instant::now() >= until);
    if over && progress.iteration >= LEAST { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn probabilities(mut logits: Vec<f32>, classes: usize, temperature: f64) -> Vec<f32> {
    cooled_softmax(&mut logits, classes, temperature);
    logits
}
