//! Integers as inputs: what they look up, in which order they lie, and those that name nothing.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

mod common;

use common::numbers;
use percept_engine::reference::{self, Array};
use percept_engine::simd::Isa;
use percept_engine::{Input, Network, Settings};
use percept_graph::{Builder, DType, Graph, Params, Tensor, TensorData, ops};

fn table(rows: usize, columns: usize) -> Params {
    [("embed.weight".to_string(), Tensor::f32([rows, columns], numbers(1, rows * columns)).unwrap())].into()
}

/// Runs on each instruction set at one thread and at three, and compares with the reference.
fn agrees(graph: &Graph, params: &Params, shape: &[usize], ids: &[i64]) {
    let array = Array { dtype: DType::I64, shape: shape.to_vec(), data: ids.iter().map(|&id| id as f64).collect() };
    let expected = reference::run(graph, params, &[array]).unwrap();
    for (isa, threads) in Isa::available().into_iter().flat_map(|isa| [1, 3].map(|threads| (isa, threads))) {
        let settings = Settings { isa, ..Settings::detect().unwrap() }.with_threads(threads).unwrap();
        let mut network = Network::new(graph, params, settings).unwrap();
        let plan = network.run(&[(shape, Input::I64(ids))]).unwrap();
        for (i, expected) in expected.iter().enumerate() {
            let (shape, found) = plan.output(i);
            assert_eq!(shape, expected.shape);
            assert!(found.iter().zip(&expected.data).all(|(x, y)| (f64::from(*x) - y).abs() < 1e-5), "output {i}");
        }
    }
}

#[test]
fn integers_are_looked_up_in_whatever_shape_they_are_brought() {
    let net = Builder::new("net");
    let ids = net.input("ids", DType::I64, ["N".into(), "T".into(), 1.into()]);
    let flat = ids.apply(ops::Squeeze { axes: Some(vec![2]) }, &[]);
    let rows = flat.embedding("embed", 30, 5);
    let columns = flat.transpose(&[1, 0]).embedding("embed", 30, 5);
    let same = flat.flatten().cast(DType::I32).apply(ops::Identity, &[]).embedding("embed", 30, 5).relu();
    let graph = net.finish(&[("rows", rows), ("columns", columns), ("same", same)]).unwrap();
    let ids: Vec<_> = (0..21).map(|i| i * 7 % 60 - 30).collect();
    agrees(&graph, &table(30, 5), &[3, 7, 1], &ids);
    agrees(&graph, &table(30, 5), &[1, 1, 1], &[-30]);
    agrees(&graph, &table(30, 5), &[0, 4, 1], &[]);
}

#[test]
fn a_batch_in_parts_looks_up_the_same() {
    let net = Builder::new("net");
    let ids = net.input("ids", DType::I64, ["N".into(), 6.into()]);
    let y = ids.embedding("embed", 100, 40).apply(ops::ReduceMean { axes: Some(vec![1]), keepdims: false }, &[]);
    let graph = net.finish(&[("y", y)]).unwrap();
    let ids: Vec<_> = (0..37 * 6).map(|i| i * i % 200 - 100).collect();
    agrees(&graph, &table(100, 40), &[37, 6], &ids);
}

#[test]
fn integers_of_the_network_itself_pick_entries() {
    let net = Builder::new("net");
    let ids = net.constant(Tensor::new([2, 2], TensorData::I64(vec![0, -1, 2, 2])).unwrap());
    let x = net.input("ids", DType::I64, ["N".into()]).embedding("embed", 9, 3);
    let graph = net.finish(&[("y", x.apply(ops::Gather { axis: 1 }, &[ids.transpose(&[1, 0])]))]).unwrap();
    agrees(&graph, &table(9, 3), &[4], &[8, 0, -9, 5]);
}

#[test]
fn an_integer_that_names_nothing_is_an_error_of_the_run() {
    let net = Builder::new("net");
    let y = net.input("words", DType::I64, ["N".into(), 2.into()]).embedding("embed", 10, 3);
    let graph = net.finish(&[("y", y)]).unwrap();
    let mut network = Network::new(&graph, &table(10, 3), Settings::detect().unwrap()).unwrap();
    for odd in [10, -11, i64::MAX, i64::MIN] {
        // Three rows run in one piece or in parts, according to the number of threads.
        let words = [0, 1, 2, odd, -10, 9];
        let error = network.run(&[(&[3, 2], Input::I64(&words))]).map(drop).unwrap_err().to_string();
        let expected =
            format!("input \"words\": holds {odd}, which is not among the 10 entries that \"embed\" looks up");
        assert_eq!(error, expected);
    }
    assert!(network.run(&[(&[3, 2], Input::I64(&[0, 1, 2, 3, -10, 9]))]).is_ok());
    let error = network.run(&[(&[1, 2], Input::F32(&[0.0, 1.0]))]).map(drop).unwrap_err().to_string();
    assert!(error.contains("needs 2 elements of i64"), "{error}");
}

#[test]
fn constants_that_name_nothing_are_errors_of_the_plan() {
    let net = Builder::new("net");
    let ids = net.constant(Tensor::new([1], TensorData::I64(vec![7])).unwrap());
    let x = net.input("x", DType::F32, ["N".into(), 3.into()]);
    let graph = net.finish(&[("y", x.apply(ops::Gather { axis: 1 }, &[ids]))]).unwrap();
    let mut network = Network::new(&graph, &Params::new(), Settings::detect().unwrap()).unwrap();
    let error = network.run(&[(&[1, 3], Input::F32(&[1.0, 2.0, 3.0]))]).map(drop).unwrap_err().to_string();
    assert!(error.contains("looks up 7, which is not among 3 entries"), "{error}");
}
