//! Runs an ONNX model on a file of numbers: what the scripts in `bench` drive.
//!
//! `cargo run --release -p percept-engine --example run -- MODEL.onnx INPUT OUTPUT [--repeat N]`
//!
//! INPUT holds the elements of the model's one input as they lie in memory: f32 (little-endian), or bytes if the model takes bytes.
//! If the batch is a symbol, it follows from the file's length. OUTPUT receives the first output as f32. With `--repeat` the model is
//! run N more times, and a JSON line on standard output gives the milliseconds of each.

use percept_engine::{Input, Network, Settings};
use percept_graph::{Bindings, DType, TensorType, onnx::Model};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "usage: run MODEL.onnx INPUT OUTPUT [--repeat N]";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

struct Arguments {
    model: PathBuf,
    input: PathBuf,
    output: PathBuf,
    repeat: usize,
}

fn arguments() -> Result<Arguments> {
    let mut repeat = 0;
    let mut files = Vec::new();
    let mut given = std::env::args_os().skip(1);
    while let Some(argument) = given.next() {
        if argument == "--repeat" {
            let number = given.next().and_then(|text| text.to_str()?.parse().ok());
            repeat = number.ok_or("--repeat needs a number")?;
        } else {
            files.push(PathBuf::from(argument));
        }
    }
    let [model, input, output] = <[_; 3]>::try_from(files).map_err(|_| USAGE)?;
    Ok(Arguments { model, input, output, repeat })
}

fn run() -> Result<()> {
    let Arguments { model: path, input: input_path, output: output_path, repeat } = arguments()?;
    let model = Model::read(&path)?;
    let &[input] = model.graph.inputs() else {
        return Err(format!("the model has {} inputs, not 1", model.graph.inputs().len()).into());
    };
    let ty = &model.graph.value(input).ty;
    let bytes = std::fs::read(&input_path).map_err(|e| format!("{}: {e}", input_path.display()))?;
    let shape = shape(ty, bytes.len()).map_err(|reason| format!("{}: {reason}", input_path.display()))?;
    let floats: Vec<f32>;
    let data = match ty.dtype {
        DType::U8 => Input::U8(&bytes),
        DType::F32 => {
            floats = bytes.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
            Input::F32(&floats)
        }
        other => return Err(format!("the model takes {other}; only f32 and u8 are supported").into()),
    };

    let mut network = Network::new(&model.graph, &model.params, Settings::detect()?)?;
    let output: Vec<u8> = {
        let (_, values) = network.run(&[(&shape, data)])?.output(0);
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    };
    std::fs::write(&output_path, output).map_err(|e| format!("{}: {e}", output_path.display()))?;
    if repeat > 0 {
        let mut times = Vec::with_capacity(repeat);
        for _ in 0..repeat {
            let begin = Instant::now();
            network.run(&[(&shape, data)])?;
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        println!("{}", serde_json::json!({ "ms": times }));
    }
    Ok(())
}

/// The input's shape, its batch as large as a file of so many bytes holds.
fn shape(ty: &TensorType, bytes: usize) -> std::result::Result<Vec<usize>, String> {
    let mut sizes: Vec<_> = ty.shape.iter().map(|dim| dim.eval(&Bindings::new())).collect();
    if let Some(i) = sizes.iter().skip(1).position(Option::is_none) {
        return Err(format!("the model takes {ty}: only the first axis may be a symbol, not {}", ty.shape[i + 1]));
    }
    let known = sizes.iter().flatten().try_fold(ty.dtype.size(), |product, &size| product.checked_mul(size));
    let known = known.filter(|&known| known > 0).ok_or(format!("the model takes {ty}, which has no usable size"))?;
    let batch = bytes / known;
    let fixed = sizes.first().is_none_or(Option::is_some);
    if batch == 0 || !bytes.is_multiple_of(known) || (fixed && batch != 1) {
        return Err(format!("{bytes} bytes do not fill the model's input {ty}"));
    }
    if !fixed {
        sizes[0] = Some(batch);
    }
    sizes.into_iter().collect::<Option<_>>().ok_or(format!("the model takes {ty}, whose size is not known"))
}
