//! The published networks with their weights: run with `-- --ignored` after `percept backbone pull`.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use percept_engine::{Input, Network, Settings};
use percept_graph::onnx::Model;
use percept_models::BACKBONES;
use std::collections::HashMap;

#[test]
#[ignore = "needs the pretrained weights"]
fn logits_agree_with_pytorch() {
    let golden: HashMap<String, Vec<f32>> = serde_json::from_str(include_str!("golden/logits.json")).unwrap();
    for backbone in &BACKBONES {
        let (graph, params) = backbone.load().unwrap();
        let size = backbone.scale.size;
        let level = |y: usize, x: usize, c: usize| ((x * (c + 1) + y * 3 + x * y / 64 + c * 85) % 256) as u8;
        let picture: Vec<u8> = (0..size * size * 3).map(|i| level(i / 3 / size, i / 3 % size, i % 3)).collect();
        // Through the file format, so that what is exported is what is compared.
        let model = Model::from_bytes(&Model { graph, params, ..Model::default() }.to_bytes().unwrap()).unwrap();
        let mut network = Network::new(&model.graph, &model.params, Settings::detect().unwrap()).unwrap();
        let plan = network.run(&[(&[1, size, size, 3], Input::U8(&picture))]).unwrap();
        let (_, logits) = plan.output(0);
        for (found, expected) in logits.iter().step_by(25).zip(&golden[backbone.name]) {
            assert!((found - expected).abs() < 1e-3, "{}: {found}, PyTorch says {expected}", backbone.name);
        }
    }
}
