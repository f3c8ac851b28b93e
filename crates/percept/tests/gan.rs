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
    assert_eq!(metrics["classes"], serde_json::json!([["bars", 40], ["dots", 40], ["ramp", 40]]));
    assert!(metrics["losses"].as_array().unwrap().iter().all(|point| point["generator"].as_f64().unwrap() > 0.0));
    train(root, "two", "2");
    for file in ["generator.onnx", "samples.png", "film.png"] {
        assert!(
            fs::read(root.join("one").join(file)).unwrap() == fs::read(root.join("two").join(file)).unwrap(),
            "{file}"
        );
    }
    let sample = |seed, out| {
        assert!(run(root, &["gan", "sample", "one", "--seed", seed, "-o", out]).status.success());
        fs::read(root.join(out)).unwrap()
    };
    assert!(sample("5", "again.png") == fs::read(root.join("one/samples.png")).unwrap());
    assert!(sample("6", "others.png") != sample("5", "same.png"));
    let config = ["gan", "train", "--config", "one/config.toml", "-o", "repeated"];
    let output = run(root, &config);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let [one, repeated] = ["one", "repeated"].map(|run| fs::read(root.join(run).join("generator.onnx")).unwrap());
    assert!(one == repeated);
}

#[test]
fn a_class_is_drawn_if_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    common::photos(root);
    train(root, "run", "1");
    let sample = |arguments: &[&str]| {
        let output = run(root, &[&["gan", "sample", "run/generator.onnx"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    sample(&["-n", "4", "-o", "all"]);
    sample(&["-n", "4", "-o", "ramps", "--class", "ramp"]);
    sample(&["-n", "4", "-o", "ramps.png", "--class", "ramp"]);
    // In turn: bars, dots, ramp, bars. The third is of the same noise and class in both.
    let files = ["all/bars/00000.png", "all/dots/00001.png", "all/ramp/00002.png", "all/bars/00003.png"];
    let [bars, dots, ramp, _] = files.map(|file| fs::read(root.join(file)).unwrap());
    let ramps: Vec<_> = (0..4).map(|i| fs::read(root.join(format!("ramps/ramp/{i:05}.png"))).unwrap()).collect();
    assert!(ramps[2] == ramp && ramps[0] != bars && ramps[1] != dots);
    let said = refused(root, &["gan", "sample", "run", "--class", "stripes", "-o", "no.png"]);
    assert!(said.contains("no class \"stripes\"; those of the generator are \"bars\", \"dots\", \"ramp\""), "{said}");
    let said = refused(root, &["gan", "sample", "run", "-o", "ramps"]);
    assert!(said.contains("ramps exists already"), "{said}");
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
    let losses = |run| {
        let metrics = fs::read_to_string(root.join(run).join("metrics.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&metrics).unwrap()["losses"].clone()
    };
    assert_eq!(losses("run"), losses("whole"));
    let report = fs::read_to_string(root.join("run/report.html")).unwrap();
    assert!(report.contains("--steps 400 -o run"), "the command that began it, not the one that ended it");
}

#[test]
fn sub_folders_are_no_classes_if_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    common::photos(root);
    let arguments = ["gan", "train", "photos", "--size", "8", "--batch", "4", "--steps", "1", "--no-classes"];
    let output = run(root, &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let model = percept_graph::onnx::Model::read(&root.join("gan/generator.onnx")).unwrap();
    assert_eq!((model.graph.inputs().len(), model.metadata.len()), (1, 0));
}

#[test]
fn changed_pictures_and_a_run_at_work_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    common::photos(root);
    let arguments = ["gan", "train", "photos", "--size", "8", "--batch", "4", "--steps", "20000", "-o", "run"];
    common::interrupted(root, &arguments, "(generator)", "-KILL");
    let photo = root.join("photos/bars/0.png");
    fs::rename(root.join("photos/dots/0.png"), &photo).unwrap();
    let said = refused(root, &["gan", "train", "--resume", "run"]);
    assert!(said.contains("the pictures have changed since run began"), "{said}");
    let lock = fs::File::create(root.join("run.part/lock")).unwrap();
    lock.lock().unwrap();
    let said = refused(root, &["gan", "train", "--resume", "run"]);
    assert!(said.contains("another process is at work on run"), "{said}");
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
    let arguments = ["gan", "train", "grey", "--size", "12", "--batch", "2", "--time-limit", "0.1s"];
    let output = run(root, &[&arguments[..], &["--tensorboard", "board"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut files: Vec<_> = fs::read_dir(root.join("gan")).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    let expected =
        ["MODEL_CARD.md", "config.toml", "film.png", "generator.onnx", "metrics.json", "report.html", "samples.png"];
    assert_eq!(files, expected);
    let config = fs::read_to_string(root.join("gan/config.toml")).unwrap();
    assert!(config.lines().any(|line| line.starts_with("steps = ")), "what was decided is written down: {config}");
    let page = fs::read_to_string(root.join("gan/report.html")).unwrap();
    assert!(page.contains("percept gan train grey --size 12") && page.matches("png;base64,").count() == 2);
    assert_eq!(fs::read_dir(root.join("board")).unwrap().count(), 1);
    let said = refused(root, &["gan", "sample", "gan", "--class", "grey"]);
    assert!(said.contains("has no classes to choose from"), "{said}");
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
    fs::write(root.join("gan.part/config.toml"), "photos = \"photos\"").unwrap();
    let said = refused(root, &["gan", "train", "photos", "--size", "8"]);
    assert!(said.contains("percept gan train --resume gan"), "{said}");
    let said = refused(root, &["gan", "train", "--resume", "gan"]);
    assert!(said.contains("config.toml") && said.contains("missing field"), "{said}");
}
