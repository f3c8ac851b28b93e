//! Times whole training steps, as a contender of `bench/peers`: `steps MODEL.onnx INPUT LABELS OUTPUT`.
//!
//! INPUT holds the pictures (u8, or little-endian f32 where the model takes floats), LABELS a little-endian u32 a picture. A step is batch
//! normalisation with the batch's statistics, cross entropy, backward, and gradient descent with momentum, always on the same batch. OUTPUT
//! receives the losses of the first steps as f32; then, for each line of standard input, a number of seconds, steps are timed.

#[path = "../../../bench/peers/rust/bursts.rs"]
mod bursts;

use percept_engine::{Input, Settings};
use percept_graph::DType;
use percept_graph::onnx::Model;
use percept_learn::optim::{Group, Optimizer, State};
use percept_learn::trainer::{BatchNorm, Loss, Step, Weights, with_losses};
use std::error::Error;

const RATE: f32 = 1e-4;
const LOSSES: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, input, labels, output] = &arguments[..] else {
        return Err("usage: steps MODEL.onnx INPUT LABELS OUTPUT".into());
    };
    let Model { graph, params, .. } = Model::read(model.as_ref())?;
    let classes =
        graph.value(graph.outputs()[0]).ty.shape.get(1).and_then(|dim| dim.as_const()).ok_or("no classes")? as usize;
    let graph = with_losses(&graph, &[Loss::CrossEntropy])?;
    let mut weights = Weights::new(&[&graph], &params, BatchNorm::Batch { momentum: 0.9 }, |_| true)?;
    let mut training = Step::new(&graph, &weights, |_| true, Settings::detect()?)?;
    let ty = &graph.value(graph.inputs()[0]).ty;
    let labels: Vec<usize> =
        std::fs::read(labels)?.as_chunks().0.iter().map(|&chunk| u32::from_le_bytes(chunk) as usize).collect();
    let mut targets = vec![0.0; labels.len() * classes];
    for (row, &label) in targets.chunks_exact_mut(classes).zip(&labels) {
        *row.get_mut(label).ok_or("a label that is no class")? = 1.0;
    }
    let rest = ty.shape[1..].iter().map(|dim| dim.as_const().and_then(|size| usize::try_from(size).ok()));
    let shape: Vec<usize> = std::iter::once(Some(labels.len()))
        .chain(rest)
        .collect::<Option<_>>()
        .ok_or("only the batch may be a symbol")?;

    let bytes = std::fs::read(input)?;
    let floats: Vec<f32> = match ty.dtype {
        DType::F32 => bytes.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect(),
        _ => Vec::new(),
    };
    let pictures = if ty.dtype == DType::F32 { Input::F32(&floats) } else { Input::U8(&bytes) };
    let sgd = Optimizer::Sgd { momentum: 0.9, nesterov: false };
    let mut state = State::new(&sgd, weights.parameters.len());
    let groups = [Group { range: 0..weights.parameters.len(), rate: 1.0, weight_decay: 0.0 }];
    let mut step = || -> Result<f32, Box<dyn Error>> {
        let loss = training.run_batch(&mut weights, &shape, pictures, &[&targets])?;
        training.update(&mut weights, &sgd, &mut state, &groups, RATE)?;
        Ok(loss)
    };
    let losses = (0..LOSSES).map(|_| step()).collect::<Result<Vec<_>, _>>()?;
    std::fs::write(output, losses.iter().flat_map(|loss| loss.to_le_bytes()).collect::<Vec<_>>())?;
    bursts::serve(|| step().map(drop))
}
