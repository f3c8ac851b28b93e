//! Each operator at several opsets, as `golden/make.py` had onnxruntime compute it: read, run by reference, run planned, written again.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use base64::Engine;
use percept_engine::reference::{self, Array};
use percept_engine::{Input, Network, Settings};
use percept_graph::onnx::Model;
use percept_graph::{DType, Op};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    model: String,
    inputs: Vec<Packed>,
    outputs: Vec<Packed>,
}

#[derive(Deserialize)]
struct Packed {
    shape: Vec<usize>,
    f32: String,
}

fn decode(text: &str) -> Vec<u8> {
    base64::prelude::BASE64_STANDARD.decode(text).unwrap()
}

impl Packed {
    fn values(&self) -> Vec<f32> {
        decode(&self.f32).as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("golden/operators.json")).unwrap()
}

fn assert_close(name: &str, how: &str, shape: &[usize], found: impl Iterator<Item = f64>, expected: &Packed) {
    assert_eq!(shape, expected.shape, "{name}, {how}");
    let expected = expected.values();
    let found: Vec<_> = found.collect();
    assert_eq!(found.len(), expected.len(), "{name}, {how}");
    let spread = expected.iter().fold(1.0f32, |max, x| max.max(x.abs()));
    for (i, (x, y)) in found.iter().zip(&expected).enumerate() {
        let close = (x - f64::from(*y)).abs() <= 1e-5 * f64::from(spread);
        assert!(close, "{name}, {how}: element {i} is {x}, onnxruntime says {y}");
    }
}

fn inputs(case: &Case, model: &Model) -> Vec<Array> {
    let ids = model.graph.inputs().iter();
    let array = |(packed, &id): (&Packed, _)| Array {
        dtype: model.graph.value(id).ty.dtype,
        shape: packed.shape.clone(),
        data: packed.values().into_iter().map(f64::from).collect(),
    };
    case.inputs.iter().zip(ids).map(array).collect()
}

#[test]
fn the_reference_agrees_with_onnxruntime() {
    let cases = cases();
    let mut seen = std::collections::BTreeSet::new();
    for case in &cases {
        let model = Model::from_bytes(&decode(&case.model)).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        seen.extend(model.graph.nodes().iter().map(|node| node.op.name()));
        let outputs = reference::run(&model.graph, &model.params, &inputs(case, &model));
        for (found, expected) in outputs.unwrap_or_else(|e| panic!("{}: {e}", case.name)).iter().zip(&case.outputs) {
            assert_close(&case.name, "reference", &found.shape, found.data.iter().copied(), expected);
        }
    }
    let missing: Vec<_> = Op::NAMES.iter().filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

#[test]
fn the_planner_agrees_with_onnxruntime() {
    let settings = Settings::detect().unwrap();
    for case in cases() {
        let model = Model::from_bytes(&decode(&case.model)).unwrap();
        let mut network = Network::new(&model.graph, &model.params, settings.clone()).unwrap();
        let arrays = inputs(&case, &model);
        let floats: Vec<Vec<f32>> = case.inputs.iter().map(Packed::values).collect();
        let bytes: Vec<Vec<u8>> = floats.iter().map(|values| values.iter().map(|&x| x as u8).collect()).collect();
        let integers: Vec<Vec<i32>> = floats.iter().map(|values| values.iter().map(|&x| x as i32).collect()).collect();
        let given: Vec<_> = (0..arrays.len())
            .map(|i| match arrays[i].dtype {
                DType::I32 => (&arrays[i].shape[..], Input::I32(&integers[i])),
                DType::U8 => (&arrays[i].shape[..], Input::U8(&bytes[i])),
                _ => (&arrays[i].shape[..], Input::F32(&floats[i])),
            })
            .collect();
        let plan = network.run(&given).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        for (i, expected) in case.outputs.iter().enumerate() {
            let (shape, values) = plan.output(i);
            assert_close(&case.name, "planned", shape, values.iter().map(|&x| x.into()), expected);
        }
    }
}

#[test]
fn what_is_written_is_read_as_the_same_network() {
    for case in cases() {
        let model = Model::from_bytes(&decode(&case.model)).unwrap();
        let bytes = match model.to_bytes() {
            Ok(bytes) => bytes,
            // What opset 17 cannot express is refused with the opset that could.
            Err(e) => {
                assert!(e.to_string().contains(" opset 1"), "{}: {e}", case.name);
                continue;
            }
        };
        if let Some(folder) = std::env::var_os("PERCEPT_TEST_MODELS") {
            let name = case.name.replace(|c: char| !c.is_alphanumeric(), "_");
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}.onnx")), &bytes).unwrap();
        }
        let again = Model::from_bytes(&bytes).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let ops = |model: &Model| model.graph.nodes().iter().map(|node| node.op.clone()).collect::<Vec<_>>();
        assert_eq!((ops(&again), &again.params), (ops(&model), &model.params), "{}", case.name);
        assert_eq!(again.to_bytes().unwrap(), bytes, "{}", case.name);
    }
}
