//! Candle: `candle WEIGHTS.safetensors NETWORK INPUT OUTPUT`, a contender of `bench/peers`, with the ResNets of candle-transformers.

#[path = "../../bursts.rs"]
mod bursts;

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::resnet;
use std::error::Error;

const SIDE: usize = 224;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [weights, network, input, output] = &arguments[..] else {
        return Err("usage: candle WEIGHTS NETWORK INPUT OUTPUT".into());
    };
    let device = Device::Cpu;
    let weights = VarBuilder::from_buffered_safetensors(std::fs::read(weights)?, DType::F32, &device)?;
    let model = match network.as_str() {
        "resnet18" => resnet::resnet18(1000, weights)?,
        "resnet50" => resnet::resnet50(1000, weights)?,
        other => return Err(format!("candle-transformers has no {other}").into()),
    };
    let bytes = std::fs::read(input)?;
    let floats: Vec<f32> = bytes.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
    let batch = floats.len() / (3 * SIDE * SIDE);
    let pictures = Tensor::from_vec(floats, (batch, 3, SIDE, SIDE), &device)?;
    let logits = model.forward(&pictures)?.flatten_all()?.to_vec1::<f32>()?;
    std::fs::write(output, logits.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())?;
    bursts::serve(|| model.forward(&pictures).map(drop).map_err(Into::into))
}
