//! Burn: `burn flex|ndarray forward|training WEIGHTS.safetensors INPUT LABELS OUTPUT`, a contender of `bench/peers` for EfficientNet-Lite0.
//!
//! The pictures are normalised before anything is timed, unlike the other contenders' whose file says so.

#[path = "../../bursts.rs"]
mod bursts;
mod lite;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::store::{ModuleSnapshot, PyTorchToBurnAdapter, SafetensorsStore};
use burn::tensor::{Device, Int, Tensor, TensorData};
use lite::Lite;
use std::error::Error;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SIDE: usize = 224;
const RATE: f64 = 1e-4;
const LOSSES: usize = 3;

/// Normalised pictures `[N, 3, SIDE, SIDE]` from bytes `[N, SIDE, SIDE, 3]`.
fn pictures(bytes: &[u8], device: &Device) -> Tensor<4> {
    let floats: Vec<f32> = bytes.iter().map(|&x| (f32::from(x) - 127.0) / 128.0).collect();
    let batch = floats.len() / (3 * SIDE * SIDE);
    let pictures =
        Tensor::<4>::from_data(TensorData::new(floats, [batch, SIDE, SIDE, 3]), device).permute([0, 3, 1, 2]);
    // A copy in the order of the axes: the permuted view would be copied in each run.
    Tensor::from_data(pictures.into_data(), device)
}

fn write(path: &str, values: &[f32]) -> Result<()> {
    Ok(std::fs::write(path, values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())?)
}

fn forward(model: &Lite, pictures: &Tensor<4>, output: &str) -> Result<()> {
    write(output, &model.forward(pictures.clone()).into_data().try_to_vec::<f32>().map_err(|e| format!("{e:?}"))?)?;
    bursts::serve(|| {
        model.forward(pictures.clone()).into_data();
        Ok(())
    })
}

fn training(model: Lite, pictures: &Tensor<4>, labels: &Tensor<1, Int>, device: &Device, output: &str) -> Result<()> {
    let momentum = MomentumConfig { momentum: 0.9, dampening: 0.0, nesterov: false };
    let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
    let mut model = Some(model);
    let mut step = || -> Result<f32> {
        let current = model.take().ok_or("a step failed before")?;
        let logits = current.forward(pictures.clone());
        let loss = CrossEntropyLossConfig::new().init(device).forward(logits, labels.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &current);
        model = Some(optimizer.step(RATE, current, gradients));
        Ok(loss.into_scalar::<f32>())
    };
    write(output, &(0..LOSSES).map(|_| step()).collect::<Result<Vec<_>>>()?)?;
    bursts::serve(|| step().map(drop))
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [backend, mode, weights, input, labels, output] = &arguments[..] else {
        return Err("usage: burn flex|ndarray forward|training WEIGHTS INPUT LABELS OUTPUT".into());
    };
    #[allow(deprecated)]
    let mut device = if backend == "ndarray" { Device::ndarray() } else { Device::flex() };
    if mode == "training" {
        device = device.autodiff();
    }
    let mut model = Lite::new(SIDE, &device);
    let mut store = SafetensorsStore::from_file(weights).with_from_adapter(PyTorchToBurnAdapter).allow_partial(true);
    let loaded = model.load_from(&mut store).map_err(|e| e.to_string())?;
    if !loaded.missing.is_empty() {
        return Err(format!("weights are missing: {:?}", loaded.missing).into());
    }
    let pictures = pictures(&std::fs::read(input)?, &device);
    if mode == "forward" {
        return forward(&model, &pictures, output);
    }
    let labels: Vec<i32> =
        std::fs::read(labels)?.as_chunks().0.iter().map(|&chunk| i32::from_le_bytes(chunk)).collect();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels.clone(), [labels.len()]), &device);
    training(model, &pictures, &labels, &device, output)
}
