//! Model files that are wrong in every way: an error, never a panic.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use percept_graph::onnx::Model;
use percept_graph::{Builder, DType, Params, Tensor};
use proptest::prelude::*;

fn small() -> Vec<u8> {
    let net = Builder::new("small");
    let x = net.input("x", DType::F32, ["N".into(), 2.into(), 4.into(), 4.into()]);
    let y = x.conv("conv", 3, 3, |conv| conv.padding(1)).batch_norm("norm", 1e-3).relu6().max_pool(2, 2);
    let y = y.flatten().linear("head", 2).softmax();
    let graph = net.finish(&[("y", y)]).unwrap();
    let zeros = |value: &percept_graph::Value| {
        let shape = value.ty.concrete().unwrap();
        let count = shape.iter().product();
        (value.name.clone(), Tensor::f32(shape, vec![0.5; count]).unwrap())
    };
    let params: Params = graph.parameters().map(zeros).collect();
    Model { graph, params, metadata: [("labels".into(), "[\"a\",\"b\"]".into())].into() }.to_bytes().unwrap()
}

#[test]
fn a_model_survives_the_way_out_and_back() {
    let bytes = small();
    let model = Model::from_bytes(&bytes).unwrap();
    assert_eq!(model.metadata["labels"], "[\"a\",\"b\"]");
    assert_eq!(model.graph.value(model.graph.outputs()[0]).ty.to_string(), "f32[N, 2]");
    assert_eq!(model.to_bytes().unwrap(), bytes);
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_a_shorter_model() {
    let bytes = small();
    let whole = Model::from_bytes(&bytes).unwrap();
    for end in 0..bytes.len() {
        // Metadata comes last, so a cut between its messages leaves a valid network.
        if let Ok(model) = Model::from_bytes(&bytes[..end]) {
            assert_eq!(model.graph.nodes().len(), whole.graph.nodes().len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = small();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = Model::from_bytes(&bytes);
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Model::from_bytes(&bytes);
    }
}

#[test]
fn many_empty_messages_are_refused_before_they_are_decoded() {
    // A graph of two million empty nodes: four megabytes that would become hundreds.
    let nodes = [0x0a, 0x00].repeat(2_000_000);
    let mut bytes = vec![0x42, 0x02, 0x10, 0x11, 0x3a];
    let mut len = nodes.len();
    while len >= 0x80 {
        bytes.push(len as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes.extend(nodes);
    let message = Model::from_bytes(&bytes).unwrap_err().to_string();
    assert!(message.contains("more than the 500000 that are read"), "{message}");
}

#[test]
fn files_that_are_no_models_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.onnx");
    std::fs::write(&path, "just text").unwrap();
    for (path, reason) in [
        (path, "is not an ONNX file"),
        (folder.path().into(), "is not a file"),
        ("no/such.onnx".into(), "cannot be read"),
    ] {
        let message = Model::read(&path).unwrap_err().to_string();
        assert!(message.starts_with(&path.display().to_string()) && message.contains(reason), "{message}");
    }
}
