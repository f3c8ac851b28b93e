//! `percept bench`: how fast a model runs here.

use crate::evaluate::quantile;
use crate::{Error, Result};
use percept_engine::{Input, Network, Settings};
use percept_graph::onnx::Model;
use percept_graph::{Bindings, DType};
use serde::Serialize;
use std::path::Path;
use std::time::{Duration, Instant};

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Bench {
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
    /// The process's greatest memory so far, in bytes; 0 where the system does not tell.
    pub peak_memory_bytes: u64,
}

/// Times a model on made-up input for about `seconds`, with at least five runs.
pub fn bench(model: &Path, batch: usize, seconds: f64, settings: &Settings) -> Result<Bench> {
    let Model { graph, params, .. } = Model::read(model)?;
    let mut bindings = Bindings::new();
    for &input in graph.inputs() {
        for (axis, dim) in graph.value(input).ty.shape.iter().enumerate() {
            if let Some(symbol) = dim.as_symbol() {
                bindings.insert(symbol.into(), if axis == 0 { batch } else { 224 });
            }
        }
    }
    let mut network = Network::new(&graph, &params, settings.clone())?;
    let bound = network.graph().bind(&bindings)?;
    let mut bytes = Vec::new();
    let mut floats = Vec::new();
    let mut rows = batch;
    for &input in bound.inputs() {
        let ty = &bound.value(input).ty;
        let shape = ty.concrete()?;
        if shape.first().is_some_and(|&rows| rows != batch) {
            let reason = format!("is made for a batch of {}: give --batch {0}", shape[0]);
            return Err(Error::model(model, reason));
        }
        rows = shape.first().copied().unwrap_or(batch);
        let count = shape.iter().product();
        match ty.dtype {
            DType::U8 => bytes.push((0..count).map(|i: usize| (i * 31 % 251) as u8).collect::<Vec<_>>()),
            _ => floats.push((0..count).map(|i: usize| (i * 31 % 251) as f32 / 125.0 - 1.0).collect::<Vec<_>>()),
        }
    }
    let (mut bytes, mut floats) = (bytes.iter(), floats.iter());
    let inputs: Option<Vec<Input<'_>>> = bound
        .inputs()
        .iter()
        .map(|&id| match bound.value(id).ty.dtype {
            DType::U8 => bytes.next().map(|data| Input::U8(data)),
            _ => floats.next().map(|data| Input::F32(data)),
        })
        .collect();
    let inputs = inputs.unwrap_or_default();
    let plan = network.plan(&bindings)?;
    let mut times = Vec::new();
    let start = Instant::now();
    plan.run(&inputs)?;
    let limit = Duration::from_secs_f64(seconds);
    while times.len() < 5 || (start.elapsed() < limit && times.len() < 100_000) {
        let begin = Instant::now();
        plan.run(&inputs)?;
        times.push(begin.elapsed().as_secs_f64());
    }
    let [p50, p99] = [0.5, 0.99].map(|q| quantile(&mut times, q));
    Ok(Bench {
        batch: rows,
        threads: settings.pool.threads(),
        isa: settings.isa.name(),
        runs: times.len(),
        images_per_second: rows as f64 / p50,
        latency_ms_p50: p50 * 1e3,
        latency_ms_p99: p99 * 1e3,
        peak_memory_bytes: peak_memory(),
    })
}

/// The greatest resident memory of this process so far, in bytes, as Linux tells it.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
