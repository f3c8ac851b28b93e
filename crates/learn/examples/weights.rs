//! Weights between Percept and PyTorch, for `bench/weights/compare.py`:
//!
//! - `weights copy FROM.safetensors TO.safetensors` reads tensors and writes them again;
//! - `weights save NETWORK TO.safetensors INPUT OUTPUT` writes random weights, and what the network says with them;
//! - `weights load NETWORK FROM.safetensors INPUT OUTPUT` says it with the weights of a file.
//!
//! NETWORK is `lenet` or `resnet18`, of byte pictures, or `lstm` or `gru`, both of two layers, of little-endian f32. OUTPUT is little-endian f32.

use percept_engine::{Input, Network as Engine, Settings};
use percept_graph::{Builder, DType, Graph, Params, Recurrence, Tensor, ops};
use percept_learn::random::mixed;
use percept_learn::weights;
use percept_models::{Network, initialize};
use std::error::Error;
use std::fs;

const CLASSES: usize = 10;
/// Sequences at once, and the features of a step.
const SEQUENCES: [usize; 2] = [3, 6];
const HIDDEN: usize = 8;

/// The network with the shape of its input for so many bytes.
fn network(name: &str, bytes: usize) -> Result<(Graph, Vec<usize>), Box<dyn Error>> {
    let size = match name {
        "lenet" => 28,
        "resnet18" => 97,
        _ => return recurrent(name, bytes),
    };
    let graph = Network::find(name)?.build(size, CLASSES)?;
    Ok((graph, vec![bytes / (size * size * 3), size, size, 3]))
}

/// Two layers, of GRUs in both directions, and a linear one on what they say at each step.
fn recurrent(name: &str, bytes: usize) -> Result<(Graph, Vec<usize>), Box<dyn Error>> {
    let net = Builder::new(name);
    let [batch, features] = SEQUENCES;
    let mut x = net.input("x", DType::F32, ["T".into(), batch.into(), features.into()]);
    for layer in 0..2 {
        let given = Recurrence::default().layer(layer);
        x = match name {
            "lstm" => x.lstm(name, HIDDEN, given).sequence,
            "gru" => x.gru(name, HIDDEN, given.bidirectional()).sequence,
            _ => return Err(format!("{name:?} is none of lenet, resnet18, lstm and gru").into()),
        };
    }
    let width = if name == "gru" { 2 * HIDDEN } else { HIDDEN };
    let rows = ops::Reshape { shape: vec![(-1).into(), width.into()], allowzero: false };
    let graph = net.finish(&[("scores", x.apply(rows, &[]).linear("fc", CLASSES))])?;
    Ok((graph, vec![bytes / (4 * batch * features), batch, features]))
}

/// First values, but normalisations as if they had learned.
fn random(graph: &Graph) -> Result<Params, Box<dyn Error>> {
    let mut params = initialize(graph, 1)?;
    for (place, (name, tensor)) in params.iter_mut().enumerate() {
        let near = match name.rsplit_once('.') {
            Some((layer, "weight" | "running_var")) if layer.contains("bn") || layer.ends_with("downsample.1") => 1.0,
            Some((layer, "bias" | "running_mean")) if layer.contains("bn") || layer.ends_with("downsample.1") => 0.0,
            _ => continue,
        };
        let noise = |i: u64| (mixed(place as u64, i) >> 40) as f32 / (1u32 << 24) as f32 - 0.5;
        let values = (0..tensor.shape()[0] as u64).map(|i| near + noise(i)).collect();
        *tensor = Tensor::f32(tensor.shape(), values)?;
    }
    Ok(params)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (how, name, file, input, output) = match arguments[..] {
        ["copy", from, to] => {
            let (params, metadata) = weights::read_with_metadata(from.as_ref())?;
            return Ok(weights::write(to.as_ref(), &params, &metadata)?);
        }
        [how @ ("save" | "load"), name, file, input, output] => (how, name, file, input, output),
        _ => return Err("usage: weights copy FROM TO, or weights save|load NETWORK FILE INPUT OUTPUT".into()),
    };
    let bytes = fs::read(input)?;
    let (graph, shape) = network(name, bytes.len())?;
    let params = if how == "save" { random(&graph)? } else { weights::load(file.as_ref(), &graph)? };
    if how == "save" {
        weights::save(file.as_ref(), &graph, &params)?;
    }
    let numbers: Vec<f32> = bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let input = if shape.len() == 4 { Input::U8(&bytes) } else { Input::F32(&numbers) };
    let mut engine = Engine::new(&graph, &params, Settings::detect()?)?;
    let plan = engine.run(&[(&shape, input)])?;
    Ok(fs::write(output, plan.output(0).1.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())?)
}
