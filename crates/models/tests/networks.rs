//! The networks next to torchvision's: names, shapes and what they say, with weights and a picture that formulas give.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use percept_engine::{Input, Network as Engine, Settings};
use percept_graph::{Graph, Params, Tensor, TensorType};
use percept_models::{NETWORKS, Network};
use serde_json::Value;
use std::collections::BTreeMap;

fn golden() -> BTreeMap<String, Value> {
    serde_json::from_str(include_str!("golden/torchvision.json")).unwrap()
}

/// What `fill` in golden/torchvision_names.py says.
fn filled(name: &str, ty: &TensorType) -> Tensor {
    let shape = ty.concrete().unwrap();
    let seed: u32 = name.bytes().map(u32::from).sum();
    let noise = |i: u32| {
        let z = i.wrapping_mul(2_654_435_761).wrapping_add(seed);
        let z = (z ^ (z >> 15)).wrapping_mul(2_246_822_519);
        f64::from((z ^ (z >> 13)) >> 8) / f64::from(1 << 23) - 1.0
    };
    let value = |i: u32| match &shape[1..] {
        [] if name.ends_with("running_var") || name.ends_with("weight") => 1.0 + 0.5 * noise(i),
        [] => 0.1 * noise(i),
        inner => noise(i) * (6.0 / inner.iter().product::<usize>() as f64).sqrt(),
    };
    let values = (0..shape.iter().product::<usize>() as u32).map(|i| value(i) as f32).collect();
    Tensor::f32(shape.clone(), values).unwrap()
}

fn logits(graph: &Graph, params: &Params, size: usize) -> Vec<f32> {
    let level = |y: usize, x: usize, c: usize| ((x * (c + 1) + y * 3 + x * y / 64 + c * 85) % 256) as u8;
    let picture: Vec<u8> = (0..size * size * 3).map(|i| level(i / 3 / size, i / 3 % size, i % 3)).collect();
    let mut engine = Engine::new(graph, params, Settings::detect().unwrap()).unwrap();
    let plan = engine.run(&[(&[1, size, size, 3], Input::U8(&picture))]).unwrap();
    plan.output(0).1.to_vec()
}

#[test]
fn parameters_have_the_names_and_shapes_of_torchvision() {
    let golden = golden();
    for (name, size, classes) in
        [("resnet20", 32, 5), ("resnet18", 224, 1000), ("resnet34", 224, 1000), ("mobilenetv2", 224, 1000)]
    {
        let graph = Network::find(name).unwrap().build(size, classes).unwrap();
        let shape = |ty: &TensorType| ty.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
        let ours: BTreeMap<_, _> = graph.parameters().map(|value| (value.name.clone(), shape(&value.ty))).collect();
        let theirs = serde_json::from_value(golden[name]["parameters"].clone()).unwrap();
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn logits_agree_with_pytorch() {
    for (name, golden) in golden() {
        for (size, expected) in golden["logits"].as_object().unwrap() {
            let expected: Vec<f32> = serde_json::from_value(expected.clone()).unwrap();
            let size = size.parse().unwrap();
            let graph = Network::find(&name).unwrap().build(size, expected.len()).unwrap();
            let params = graph.parameters().map(|value| (value.name.clone(), filled(&value.name, &value.ty))).collect();
            let found = logits(&graph, &params, size);
            let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            let close = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4 * largest);
            assert!(close && found.len() == expected.len(), "{name} at {size}: {found:?}, PyTorch says {expected:?}");
        }
    }
}

#[test]
fn a_network_says_a_number_for_each_class() {
    for network in &NETWORKS {
        for size in [network.size, 32, 64, 65] {
            let graph = network.build(size, 7).unwrap();
            assert_eq!(graph.value(graph.outputs()[0]).ty.to_string(), "f32[N, 7]", "{} at {size}", network.name);
        }
    }
}
