//! Losses of the first steps of training, for `bench/training/compare.py`: `losses MODEL.onnx BATCHES RATE STEPS SIZE BATCH`.
//!
//! BATCHES holds, for each step, the pictures (u8, or f32 where the model takes floats) and the targets (f32) as raw bytes. The step is
//! plain gradient descent, so that what is compared are gradients and nothing else. Prints a loss a line, and seconds a step to stderr.

use percept_engine::{Input, Settings};
use percept_graph::DType;
use percept_graph::onnx::Model;
use percept_learn::trainer::{BatchNorm, Loss, Step, Weights, with_losses};
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, batches, rate, steps, size, batch] = &arguments[..] else {
        return Err("usage: losses MODEL.onnx BATCHES RATE STEPS SIZE BATCH".into());
    };
    let (rate, steps, size, batch): (f32, usize, usize, usize) =
        (rate.parse()?, steps.parse()?, size.parse()?, batch.parse()?);
    let Model { graph, params, .. } = Model::read(model.as_ref())?;
    let bytes = std::fs::read(batches)?;
    let momentum = BatchNorm::Batch { momentum: 0.9 };
    let classes =
        graph.value(graph.outputs()[0]).ty.shape.get(1).and_then(|dim| dim.as_const()).ok_or("no classes")? as usize;
    let graph = with_losses(&graph, &[Loss::CrossEntropy])?;
    let mut weights = Weights::new(&[&graph], &params, momentum, |_| true)?;
    let mut training = Step::new(&graph, &weights, |_| true, Settings::detect()?)?;
    let takes_bytes = graph.value(graph.inputs()[0]).ty.dtype == DType::U8;
    let shape = if takes_bytes { [batch, size, size, 3] } else { [batch, 3, size, size] };
    let pixels = batch * size * size * 3;
    let picture_bytes = if takes_bytes { pixels } else { 4 * pixels };
    let target_bytes = 4 * batch * classes;
    let floats = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    for step in bytes.chunks_exact(picture_bytes + target_bytes).take(steps) {
        let (pictures, targets) = step.split_at(picture_bytes);
        let start = Instant::now();
        let numbers = if takes_bytes { Vec::new() } else { floats(pictures) };
        let pictures = if takes_bytes { Input::U8(pictures) } else { Input::F32(&numbers) };
        let loss = training.run_batch(&mut weights, &shape, pictures, &[floats(targets)])?;
        weights.parameters.iter_mut().zip(&weights.gradients).for_each(|(p, g)| *p -= rate * *g);
        println!("{loss:.8}");
        eprintln!("{:.3} s", start.elapsed().as_secs_f64());
    }
    eprintln!("{} MB of activations", training.plan(&[&shape, &[batch, classes]])?.arena_bytes() >> 20);
    Ok(())
}
