//! tract: `tract MODEL.onnx INPUT OUTPUT VARIANT`, a contender of `bench/peers`.
//!
//! Variants: `threads` runs the batch at once with tract's multithreaded matrix products, `pictures` divides it into a part a core, each
//! run by one thread. The pictures are u8 `[N, side, side, 3]` or f32 `[N, 3, side, side]`, as the model says.

#[path = "../../bursts.rs"]
mod bursts;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The model prepared for a batch, given the number of bytes or floats in the input.
fn plan(path: &Path, parts: usize, bytes: &[u8]) -> Result<(Arc<TypedRunnableModel>, Vec<Tensor>)> {
    let model = tract_onnx::onnx().model_for_path(path)?;
    let fact = model.input_fact(0)?.clone();
    let dtype = fact.datum_type.concretize().ok_or("an input without a type")?;
    let sizes =
        fact.shape.dims().map(|dim| dim.concretize().and_then(|dim| dim.to_i64().ok()).map(|size| size as usize));
    let rest: Vec<usize> = sizes.skip(1).collect::<Option<_>>().ok_or("an input without a size")?;
    let batch = bytes.len() / dtype.size_of() / rest.iter().product::<usize>() / parts;
    let shape: Vec<usize> = std::iter::once(batch).chain(rest).collect();
    let runnable =
        model.with_input_fact(0, InferenceFact::dt_shape(dtype, shape.clone()))?.into_optimized()?.into_runnable()?;
    let inputs = bytes.chunks_exact(bytes.len() / parts);
    let inputs = inputs.map(|part| unsafe { Tensor::from_raw_dt(dtype, &shape, part) });
    Ok((runnable, inputs.collect::<TractResult<_>>()?))
}

fn logits(plan: &Arc<TypedRunnableModel>, input: &TValue) -> TractResult<Vec<f32>> {
    let outputs = plan.run(tvec!(input.clone()))?;
    Ok(outputs[0].to_plain_array_view::<f32>()?.iter().copied().collect())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, input, output, variant] = &arguments[..] else {
        return Err("usage: tract MODEL INPUT OUTPUT threads|pictures".into());
    };
    let threads = std::thread::available_parallelism()?.get();
    let parts = if variant == "pictures" { threads } else { 1 };
    if parts == 1 {
        set_default_executor(Executor::multithread(threads));
    }
    let (plan, inputs) = plan(Path::new(model), parts, &std::fs::read(input)?)?;
    let inputs: Vec<TValue> = inputs.into_iter().map(Into::into).collect();
    let run = || -> TractResult<Vec<f32>> {
        match &inputs[..] {
            [input] => logits(&plan, input),
            inputs => std::thread::scope(|scope| {
                let running: Vec<_> = inputs
                    .iter()
                    .map(|input| {
                        let input = input.clone().into_tensor();
                        let plan = &plan;
                        scope.spawn(move || logits(plan, &input.into()))
                    })
                    .collect();
                let parts = running.into_iter().map(|part| part.join().expect("a run does not panic"));
                Ok(parts.collect::<TractResult<Vec<_>>>()?.concat())
            }),
        }
    };
    std::fs::write(output, run()?.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())?;
    bursts::serve(|| run().map(drop).map_err(Into::into))
}
