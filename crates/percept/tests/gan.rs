//! A generator is trained, interrupted, resumed and asked for samples, through the program.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_percept"));
    command.args(arguments).env("PERCEPT_CACHE", folder.join("cache")).current_dir(folder).output().unwrap()
}

fn train(folder: &Path, out: &str, threads: &str) -> serde_json::Value {
    let arguments = ["gan", "train", "photos", "-o", out, "--size", "8", "--batch", "4", "--steps", "12"];
    let output = run(folder, &[&arguments[..], &["--seed", "5", "--format", "json", "--threads", threads]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Error lines of a run that must fail.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_same_seed_draws_the_same_pictures_at_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    common::photos(root);
    let metrics = train(root, "one", "1");
    assert_eq!((&metrics["pictures"], &metrics["channels"], &metrics["steps"]), (&120.into(), &3.into(), &12.into()));
    assert!(metrics["losses"].as_array().unwrap().iter().all(|point| point["generator"].as_f64().unwrap() > 0.0));
    train(root, "two", "2");
    for file in ["generator.onnx", "samples.png", "film.png"] {
        assert!(
            fs::read(root.join("one").join(file)).unwrap() == fs::read(root.join("two").join(file)).unwrap(),
            "{file}"
        );
    }
    let sample = |seed, out| {
        assert!(run(root, &["gan", "sample", "one/generator.onnx", "--seed", seed, "-o", out]).status.success());
        fs::read(root.join(out)).unwrap()
    };
    assert!(sample("5", "again.png") == fs::read(root.join("one/samples.png")).unwrap());
    assert!(sample("6", "others.png") != sample("5", "same.png"));
}

#[test]
fn an_interrupted_run_goes_on_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    common::photos(root);
    let arguments = ["gan", "train", "photos", "--size", "8", "--batch", "4", "--steps", "400", "-o"];
    let arguments = |out| [&arguments[..], &[out]].concat();
    let (status, said) = common::interrupted(root, &arguments("run"), "(generator)", "-TERM");
    assert!(!status.success() && said.contains("go on with `percept gan train --resume run`"), "{said}");
    for arguments in [vec!["gan", "train", "--resume", "run"], arguments("whole")] {
        let output = run(root, &arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for file in ["generator.onnx", "samples.png", "film.png"] {
        assert!(
            fs::read(root.join("run").join(file)).unwrap() == fs::read(root.join("whole").join(file)).unwrap(),
            "{file}"
        );
    }
}

#[test]
fn grey_pictures_stay_grey_and_the_shortest_run_leaves_all_files() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("grey")).unwrap();
    for i in 0..4_u8 {
        let ramp = |x, y| image::Luma([(x * 8 + y) as u8 ^ i]);
        image::GrayImage::from_fn(20, 16, ramp).save(root.join(format!("grey/{i}.png"))).unwrap();
    }
    let output = run(root, &["gan", "train", "grey", "--size", "12", "--batch", "2", "--time-limit", "0.1s"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut files: Vec<_> = fs::read_dir(root.join("gan")).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["config.toml", "film.png", "generator.onnx", "metrics.json", "samples.png"]);
    let model = percept_graph::onnx::Model::read(&root.join("gan/generator.onnx")).unwrap();
    assert_eq!(model.graph.value(model.graph.outputs()[0]).ty.to_string(), "f32[N, 1, 12, 12]");
}

#[test]
fn what_cannot_be_done_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    common::photos(root);
    let said = refused(root, &["gan", "train", "photos", "--size", "30"]);
    assert!(said.contains("pictures of 30 pixels cannot be drawn"), "{said}");
    let said = refused(root, &["gan", "train", "nothing"]);
    assert!(said.contains("nothing"), "{said}");
    let said = refused(root, &["gan", "train", "--resume", "gone"]);
    assert!(said.contains("there is no unfinished run gone"), "{said}");
    fs::write(root.join("model.onnx"), "no model").unwrap();
    let said = refused(root, &["gan", "sample", "model.onnx"]);
    assert!(said.contains("model.onnx"), "{said}");
    assert!(!root.join("gan").exists() && !root.join("gan.part").exists());
    fs::create_dir(root.join("gan.part")).unwrap();
    let said = refused(root, &["gan", "train", "photos", "--size", "8"]);
    assert!(said.contains("percept gan train --resume gan"), "{said}");
}
