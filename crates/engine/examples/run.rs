//! Runs an ONNX model on a file of numbers: what the scripts in `bench` drive.
//!
//! `cargo run --release -p percept-engine --example run -- MODEL.onnx INPUT OUTPUT [--bursts]`
//!
//! INPUT holds the elements of the model's one input as they lie in memory: f32 (little-endian), or bytes if the model takes bytes.
//! If the batch is a symbol, it follows from the file's length. OUTPUT receives the first output as f32. With `--bursts` it then is a
//! contender of `bench/peers`: for each line of standard input, a number of seconds, it runs that long and prints the milliseconds of each run.

#[path = "../../../bench/peers/rust/bursts.rs"]
mod bursts;

use percept_engine::{Input, Network, Settings};
use percept_graph::{Bindings, DType, TensorType, onnx::Model};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: run MODEL.onnx INPUT OUTPUT [--bursts]";

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
    bursts: bool,
}

fn arguments() -> Result<Arguments> {
    let mut bursts = false;
    let mut files = Vec::new();
    for argument in std::env::args_os().skip(1) {
        match argument == "--bursts" {
            true => bursts = true,
            false => files.push(PathBuf::from(argument)),
        }
    }
    let [model, input, output] = <[_; 3]>::try_from(files).map_err(|_| USAGE)?;
    Ok(Arguments { model, input, output, bursts })
}

fn run() -> Result<()> {
    let Arguments { model: path, input: input_path, output: output_path, bursts } = arguments()?;
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
    if bursts {
        bursts::serve(|| network.run(&[(&shape, data)]).map(drop).map_err(Box::<dyn std::error::Error>::from))?;
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
