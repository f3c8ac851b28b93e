//! Numbers for tests: parameters and inputs that depend on a seed alone, and the comparison with the reference.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.
#![allow(dead_code)] // Each test file uses its part.

use percept_engine::reference::{self, Array};
use percept_engine::{Input, Network, Settings};
use percept_graph::{DType, Graph, Params, Tensor};

/// Numbers in −1..1 that look random (SplitMix64).
pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Parameters that keep activations near one: scaled by the number of inputs; variances are positive.
pub(crate) fn params(graph: &Graph, seed: u64) -> Params {
    let mut params = Params::new();
    for (i, value) in graph.parameters().enumerate() {
        let shape = value.ty.concrete().unwrap();
        let fan_in: usize = shape[1..].iter().product::<usize>().max(1);
        let scale = if shape.len() > 1 { (3.0 / fan_in as f32).sqrt() } else { 0.5 };
        let mut data = numbers(seed + i as u64, shape.iter().product());
        data.iter_mut().for_each(|x| *x *= scale);
        if value.name.contains("var") {
            data.iter_mut().for_each(|x| *x += 1.0);
        }
        params.insert(value.name.clone(), Tensor::f32(shape, data).unwrap());
    }
    params
}

/// Runs the network planned and by reference; the largest difference relative to the spread of the reference's output.
pub(crate) fn difference(graph: &Graph, params: &Params, shapes: &[&[usize]], seed: u64, settings: &Settings) -> f64 {
    let mut network = Network::new(graph, params, settings.clone()).unwrap();
    let count = |shape: &[usize]| shape.iter().product();
    let floats: Vec<_> = shapes.iter().enumerate().map(|(i, s)| numbers(seed ^ i as u64, count(s))).collect();
    let bytes: Vec<Vec<u8>> = floats.iter().map(|v| v.iter().map(|x| ((x + 1.0) * 127.5) as u8).collect()).collect();
    let is_u8 = |i: usize| graph.value(graph.inputs()[i]).ty.dtype == DType::U8;
    let inputs: Vec<_> = (0..shapes.len())
        .map(|i| (shapes[i], if is_u8(i) { Input::U8(&bytes[i]) } else { Input::F32(&floats[i]) }))
        .collect();
    let arrays: Vec<_> = (0..shapes.len())
        .map(|i| Array {
            dtype: graph.value(graph.inputs()[i]).ty.dtype,
            shape: shapes[i].to_vec(),
            data: match is_u8(i) {
                true => bytes[i].iter().map(|&x| x.into()).collect(),
                false => floats[i].iter().map(|&x| x.into()).collect(),
            },
        })
        .collect();
    let expected = reference::run(graph, params, &arrays).unwrap();
    // Twice, so that a slot that one run leaves dirty shows in the next.
    network.run(&inputs).unwrap();
    let plan = network.run(&inputs).unwrap();
    let mut worst = 0.0f64;
    for (i, expected) in expected.iter().enumerate() {
        let (shape, found) = plan.output(i);
        assert_eq!(shape, expected.shape);
        let spread = expected.data.iter().fold(1e-3f64, |max, x| max.max(x.abs()));
        for (x, y) in expected.data.iter().zip(found) {
            worst = worst.max((x - f64::from(*y)).abs() / spread);
        }
    }
    worst
}
