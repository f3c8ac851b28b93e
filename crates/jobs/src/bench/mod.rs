//! `percept bench`: how fast a model runs here, or learns.
//!
//! The floating-point operations are those of the plan's steps, counted as [`Work`] says; a step of training counts as three passes
//! forward, whatever is computed a second time on the way back, so that figures of different engines compare.

mod chart;
mod check;
mod page;
mod profile;
mod subject;

pub use profile::{Bound, Profile, Row};
pub use subject::Subject;
pub(crate) use subject::logits;

use crate::evaluate::quantile;
use crate::event::{Events, Phase};
use crate::{Error, Result, output};
use percept_engine::{Machine, Network, Settings, Work};
use percept_graph::write_file;
use percept_learn::optim::{Group, Optimizer, State};
use percept_learn::trainer::{BatchNorm, Loss, Step, Weights, with_losses};
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Pictures in a batch unless the user or the model says otherwise: forward, and in training.
const BATCH: [usize; 2] = [1, 32];
/// Runs of which the time of every step is kept.
const PROFILED: usize = 1000;

/// What is measured of a model.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Pictures at once; none for as many as the model fixes, or else 1, and 32 in training.
    pub batch: Option<usize>,
    /// How long to measure.
    pub seconds: f64,
    /// Whole steps of training instead of runs forward.
    pub train: bool,
    /// Whether the output is compared with the reference before.
    pub check: bool,
    /// Whether every step of the plan is timed.
    pub profile: bool,
    /// Where to write the profile as a page.
    pub page: Option<PathBuf>,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Bench {
    /// The model's file or the network's name.
    pub model: String,
    /// Whether a run was a step of training.
    pub train: bool,
    /// Pictures that ran at once.
    pub batch: usize,
    /// Threads that ran kernels.
    pub threads: usize,
    /// The instruction set of the kernels.
    pub isa: &'static str,
    /// Runs that were timed.
    pub runs: usize,
    /// Throughput at the median time of a run.
    pub images_per_second: f64,
    /// Median time of a run in milliseconds.
    pub latency_ms_p50: f64,
    /// 99th percentile of the time of a run in milliseconds.
    pub latency_ms_p99: f64,
    /// Billions of floating-point operations a second at the median time of a run.
    pub gflops: f64,
    /// The process's greatest memory up to the last run, in bytes; 0 where the system does not tell.
    pub peak_memory_bytes: u64,
    /// The largest difference from the reference, as a share of its largest number, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<f64>,
    /// Where the time goes, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

/// Times a model on made-up pictures for about so many seconds, with at least five runs.
///
/// # Errors
/// A model that cannot be run or trained, an output that differs from the reference, a page that is there already.
pub fn bench(subject: &Subject, options: &Options, settings: &Settings, events: Events<'_>) -> Result<Bench> {
    if let Some(page) = &options.page {
        output::absent(page)?;
    }
    let difference = options.check.then(|| check::difference(subject, settings, &mut *events)).transpose()?;
    if difference.is_some() {
        forget_peak_memory();
    }
    let timed = if options.train { train(subject, options, settings)? } else { forward(subject, options, settings)? };
    let peak_memory_bytes = peak_memory();
    let Timed { batch, flops, work, mut runs, parts } = timed;
    let in_order = runs.clone();
    let [p50, p99] = [0.5, 0.99].map(|q| quantile(&mut runs, q));
    let profile = options.profile.then(|| {
        let phase = Phase::start(events, "Measuring the machine", None, "");
        let machine = Machine::measure(settings);
        phase.finish("");
        Profile::new(&machine, work, parts, &in_order)
    });
    let bench = Bench {
        model: subject.name.clone(),
        train: options.train,
        batch,
        threads: settings.pool.threads(),
        isa: settings.isa.name(),
        runs: runs.len(),
        images_per_second: batch as f64 / p50,
        latency_ms_p50: p50 * 1e3,
        latency_ms_p99: p99 * 1e3,
        gflops: flops / p50 / 1e9,
        peak_memory_bytes,
        difference,
        profile,
    };
    if let (Some(path), Some(profile)) = (&options.page, &bench.profile) {
        write_file(path, page::html(&bench, profile)?.as_bytes()).map_err(Error::io("write", path))?;
    }
    Ok(bench)
}

/// The times of some runs.
struct Timed {
    batch: usize,
    /// Floating-point operations of a run.
    flops: f64,
    /// The parts of a run that are timed by themselves.
    work: Vec<Work>,
    /// Seconds of each run.
    runs: Vec<f64>,
    /// For each part, its seconds in each run; nothing without a profile.
    parts: Vec<Vec<f64>>,
}

fn forward(subject: &Subject, options: &Options, settings: &Settings) -> Result<Timed> {
    let (bindings, batch) = subject.bindings(options.batch, BATCH[0])?;
    let made_up = subject.made_up(&bindings)?;
    let inputs: Vec<_> = made_up.iter().map(|numbers| numbers.input()).collect();
    let mut network = Network::new(&subject.graph, &subject.params, settings.clone())?;
    let plan = network.plan(&bindings)?;
    let work: Vec<Work> = plan.work().collect();
    if options.profile {
        plan.time_steps();
    }
    let (runs, parts) = clock(options.seconds, |parts| {
        plan.run(&inputs)?;
        parts.extend(plan.step_times().iter().map(Duration::as_secs_f64));
        Ok(())
    })?;
    Ok(Timed { batch, flops: operations(&work), work, runs, parts })
}

fn train(subject: &Subject, options: &Options, settings: &Settings) -> Result<Timed> {
    let (bindings, batch) = subject.bindings(options.batch, BATCH[1])?;
    let (graph, trained) = subject.trainable()?;
    let made_up = subject.made_up(&bindings)?;
    let [pictures] = &made_up[..] else { return Err(subject.error("takes more than pictures: it cannot be trained")) };
    // As many a picture, whatever the size of the batch.
    let (one, rows) = subject.bindings(None, 1)?;
    let mut network = Network::new(&subject.graph, &subject.params, settings.clone())?;
    let forward = operations(&network.plan(&one)?.work().collect::<Vec<_>>()) * batch as f64 / rows as f64;
    drop(network);
    let statistics = BatchNorm::Batch { momentum: 0.9 };
    let graph = with_losses(&graph, &[Loss::CrossEntropy])?;
    let mut weights = Weights::new(&[&graph], &subject.params, statistics, |name| trained.contains(name))?;
    let mut step = Step::new(&graph, &weights, |_| true, settings.clone())?;
    let targets = &graph.value(graph.inputs()[1]).ty.shape[1];
    let classes = targets.as_const().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let parameters = weights.parameters.len();
    let targets: Vec<f32> = (0..batch * classes).map(|i| f32::from(i % classes == i / classes * 7 % classes)).collect();
    let shapes: [&[usize]; 2] = [&pictures.shape, &[batch, classes]];
    let plan = step.plan(&shapes)?;
    let mut work: Vec<Work> = plan.work().collect();
    if options.profile {
        plan.time_steps();
        work.push(update(parameters));
    }
    let sgd = Optimizer::Sgd { momentum: 0.9, nesterov: false };
    let groups = [Group { range: 0..parameters, rate: 1.0, weight_decay: 0.0 }];
    let mut state = State::new(&sgd, parameters);
    let (runs, parts) = clock(options.seconds, |parts| {
        step.run_batch(&mut weights, &pictures.shape, pictures.input(), &[&targets])?;
        let begin = Instant::now();
        step.update(&mut weights, &sgd, &mut state, &groups, 1e-4)?;
        if options.profile {
            let end = begin.elapsed();
            parts.extend(step.plan(&shapes)?.step_times().iter().chain([&end]).map(Duration::as_secs_f64));
        }
        Ok(())
    })?;
    Ok(Timed { batch, flops: 3.0 * forward, work, runs, parts })
}

/// The optimiser's part: `m = momentum · m + gradient`, `p -= rate · m`.
fn update(parameters: usize) -> Work {
    let n = parameters as u64;
    let node = "the optimiser's update".into();
    Work {
        node,
        kind: "SGD with momentum".into(),
        flops: 4 * n,
        executed: 4 * n,
        bytes_read: 12 * n,
        bytes_written: 8 * n,
    }
}

fn operations(work: &[Work]) -> f64 {
    work.iter().map(|work| work.flops as f64).sum()
}

/// Seconds of runs after the first, and of the parts that each says it had.
fn clock(seconds: f64, mut run: impl FnMut(&mut Vec<f64>) -> Result<()>) -> Result<(Vec<f64>, Vec<Vec<f64>>)> {
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut said = Vec::new();
    run(&mut said)?;
    let (mut runs, mut parts) = (Vec::new(), vec![Vec::new(); said.len()]);
    while runs.len() < 5 || (start.elapsed() < limit && runs.len() < 100_000) {
        said.clear();
        let begin = Instant::now();
        run(&mut said)?;
        runs.push(begin.elapsed().as_secs_f64());
        if runs.len() <= PROFILED {
            parts.iter_mut().zip(&said).for_each(|(part, &seconds)| part.push(seconds));
        }
    }
    Ok((runs, parts))
}

/// The greatest resident memory of this process so far, in bytes, as Linux tells it.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Begins the peak anew from what is resident now; where the system refuses, the peak is that of all so far.
fn forget_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
