//! `percept explain` as a user runs it, on a model of somebody else's.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

mod common;

use image::{Rgb, RgbImage};
use percept_graph::onnx::Model;
use percept_graph::{Builder, DType, Params, Tensor};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn percept(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_percept")).args(args).current_dir(folder).output().unwrap()
}

/// Writes `red.onnx`, which takes floats, channels first, and gives a logit for "red" and one for "blue"; and `dense.onnx`, which has no
/// feature map.
fn models(folder: &Path) {
    let shape = || ["N".into(), 3.into(), 16.into(), 16.into()];
    let net = Builder::new("red");
    let x = net.input("x", DType::F32, shape());
    let logits = x.conv("conv", 2, 1, |conv| conv).relu().global_average_pool().flatten();
    let graph = net.finish(&[("logits", logits)]).unwrap();
    let params: Params = [
        ("conv.weight".to_string(), Tensor::f32([2, 3, 1, 1], vec![1.0, -1.0, -1.0, -1.0, -1.0, 1.0]).unwrap()),
        ("conv.bias".to_string(), Tensor::f32([2], vec![0.0, -1.0]).unwrap()),
    ]
    .into();
    fs::write(folder.join("red.onnx"), Model { graph, params, metadata: Default::default() }.to_bytes().unwrap())
        .unwrap();
    let net = Builder::new("dense");
    let x = net.input("x", DType::F32, shape());
    let graph = net.finish(&[("logits", x.flatten().linear("fc", 2))]).unwrap();
    let params: Params = [
        ("fc.weight".to_string(), Tensor::f32([2, 768], (0..1536).map(|i| (i % 7) as f32 * 1e-3).collect()).unwrap()),
        ("fc.bias".to_string(), Tensor::f32([2], vec![0.0; 2]).unwrap()),
    ]
    .into();
    fs::write(folder.join("dense.onnx"), Model { graph, params, metadata: Default::default() }.to_bytes().unwrap())
        .unwrap();
    fs::write(folder.join("labels.txt"), "red\nblue\n").unwrap();
    // A red square to the right on grey, and a blue one to the left.
    let colour = |x: u32, y: u32| match (x, y) {
        (220..280, 100..160) => Rgb([250, 0, 0]),
        (120..160, 40..80) => Rgb([0, 0, 250]),
        _ => Rgb([110; 3]),
    };
    RgbImage::from_fn(400, 200, colour).save(folder.join("photo.png")).unwrap();
}

#[test]
fn a_photo_gets_its_heat_maps_and_says_where_to_look() {
    let folder = tempfile::tempdir().unwrap();
    models(folder.path());
    let output = percept(&["explain", "red.onnx", "photo.png", "--labels", "labels.txt"], folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(output.stdout.is_empty());
    for words in [
        "photo.png: ",
        " red",
        "Grad-CAM   most at 2",
        "occlusion  most at",
        "is left when",
        "heat.png: the photo, Grad-CAM, occlusion",
    ] {
        assert!(said.contains(words), "{words:?} in {said}");
    }
    let heat = image::open(folder.path().join("heat.png")).unwrap().into_rgb8();
    assert_eq!(heat.dimensions(), (3 * 400 + 16, 208));
    // In the second panel the red square glows and the blue one does not.
    let panel = |x: u32, y: u32| heat.get_pixel(4 + 404 + x, 4 + y).0;
    assert!(panel(250, 130)[0] > 180 && panel(140, 60)[0] < 120, "{:?} {:?}", panel(250, 130), panel(140, 60));

    let args = ["explain", "red.onnx", "photo.png", "--labels", "labels.txt", "--class", "blue", "--format", "json"];
    let output = percept(&args, folder.path());
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["answer"]["label"], &found["explained"]["label"]), (&"red".into(), &"blue".into()));
    assert_eq!(found["size"], serde_json::json!([400, 200]));
    // The middle of 400 x 200, seven eighths of it.
    let seen = |key: &str| found["seen"][key].as_f64().unwrap();
    assert!((seen("width") - 178.0).abs() < 3.0 && (seen("x") - 111.0).abs() < 3.0, "{}", found["seen"]);
    assert_eq!((&found["grad_cam"]["rows"], &found["occlusion"]["columns"]), (&16.into(), &14.into()));
    assert!(!folder.path().join("heat.jpg").exists());
    let args = ["explain", "red.onnx", "photo.png", "--method", "occlusion", "-o", "heat.jpg", "--class", "1"];
    assert_eq!(percept(&args, folder.path()).status.code(), Some(0));
    assert_eq!(fs::read(folder.path().join("heat.jpg")).unwrap()[..3], [0xff, 0xd8, 0xff]);
}

#[test]
fn what_cannot_be_explained_is_one_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    models(root);
    fs::write(root.join("mine.png"), "precious").unwrap();
    fs::write(root.join("broken.jpg"), "hello").unwrap();
    let refused = |args: &[&str], code: i32, words: &[&str]| {
        let output = percept(&[&["explain"], args].concat(), root);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
        assert!(output.stdout.is_empty() && !root.join("heat.png").exists());
    };
    refused(&["red.onnx", "missing.jpg"], 1, &["cannot read missing.jpg"]);
    refused(&["red.onnx", "broken.jpg"], 1, &["broken.jpg", "not a JPEG"]);
    refused(&["missing.onnx", "photo.png"], 1, &["missing.onnx"]);
    refused(&["labels.txt", "photo.png"], 1, &["labels.txt"]);
    refused(
        &["red.onnx", "photo.png", "--labels", "labels.txt", "--class", "green"],
        1,
        &["\"green\"", "\"red\", \"blue\""],
    );
    refused(&["red.onnx", "photo.png", "-o", "mine.png"], 1, &["mine.png exists already"]);
    refused(&["red.onnx", "photo.png", "-o", "broken.jpg/heat.png"], 1, &["broken.jpg/heat.png"]);
    refused(&["dense.onnx", "photo.png", "--method", "grad-cam"], 1, &["no feature map", "--method occlusion"]);
    refused(&["red.onnx", "photo.png", "--method", "magic"], 2, &["magic", "grad-cam"]);
    refused(&["red.onnx"], 2, &["PICTURE"]);
    assert_eq!(fs::read(root.join("mine.png")).unwrap(), b"precious");

    let output = percept(&["explain", "dense.onnx", "photo.png"], root);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("Grad-CAM   left out: the network has no feature map"), "{said}");
    assert!(said.contains("heat.png: the photo, occlusion"), "{said}");
}

#[test]
fn the_report_of_a_training_shows_where_the_model_looks() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    common::photos(root);
    fs::write(root.join("config.toml"), common::CONFIG).unwrap();
    common::finished(common::percept(root, 2, &["train", "--config", "config.toml", "--out", "run"]));
    let html = fs::read_to_string(root.join("run/report.html")).unwrap();
    let looks = html.split("<h2>What it looks at</h2>").nth(1).unwrap().split("<h2>").next().unwrap();
    assert_eq!(looks.matches("<img").count(), 3, "a photo of each class");
    assert!(looks.contains("data:image") && looks.contains("ramp"));

    let output = percept(&["explain", "run/model.onnx", "photos/bars/3.png", "--format", "json"], root);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found["grad_cam"]["rows"].as_u64().unwrap() > 1, "{found}");
    assert_eq!(found["occlusion"]["values"].as_array().unwrap().len(), 14 * 14);
}
