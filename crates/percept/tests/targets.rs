//! Several questions about a picture, as a user asks them: train, go on, evaluate, predict.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

mod common;

use common::{CONFIG, finished, interrupted, percept, photos};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Asks for the pattern of the photos (a class), whether they are green (yes or no) and how green (a number); some answers are missing, and
/// one column says the same of all.
fn table(root: &Path) {
    photos(root);
    let mut text = String::from("image,pattern,very green,greenness,same\n");
    for pattern in ["dots", "bars", "ramp"] {
        for i in 0..40 {
            let class = if i % 9 == 0 { "" } else { pattern };
            let green = if i % 7 == 0 { "NA" } else { ["no", "yes"][usize::from(i >= 20)] };
            let number = if i % 5 == 0 { String::new() } else { format!("{:.1}", f64::from(i) * 2.5 + 100.0) };
            writeln!(text, "photos/{pattern}/{i}.png,{class},{green},{number},x").unwrap();
        }
    }
    fs::write(root.join("table.csv"), text).unwrap();
    let plan = CONFIG.replace("photos = \"photos\"", "photos = \"photos\"\ntargets = \"table.csv\"");
    fs::write(root.join("plan.toml"), plan.replace("mixup = 0.2\n", "")).unwrap();
}

fn run(args: &[&str], root: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_percept")).args(args).current_dir(root).output().unwrap()
}

fn json(args: &[&str], root: &Path) -> Value {
    let output = run(args, root);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn one_network_answers_all_questions_of_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    table(root);
    finished(percept(root, 1, &["train", "--config", "plan.toml", "--out", "one"]));
    finished(percept(root, 2, &["train", "--config", "plan.toml", "--out", "two"]));
    let [one, two] = ["one", "two"].map(|run| fs::read(root.join(run).join("model.onnx")).unwrap());
    assert!(one == two, "the models of one and of two threads differ");
    let resumed = ["train", "--config", "plan.toml", "--out", "three"];
    let (status, _) = interrupted(root, &resumed, "Epoch 9 of 30", "-INT");
    assert!(!status.success());
    finished(percept(root, 2, &["train", "--resume", "three"]));
    assert!(
        fs::read(root.join("three/model.onnx")).unwrap() == one,
        "the model of a run that was gone on with differs"
    );

    let figures = json(&["evaluate", "one/model.onnx", "table.csv", "--format", "json"], root);
    let targets = &figures["targets"];
    assert_eq!((figures["pictures"].as_u64(), targets["same"].as_object()), (Some(120), None));
    let number = |target: &str, name: &str| targets[target][name].as_f64().unwrap();
    assert_eq!((&targets["pattern"]["kind"], &targets["pattern"]["missing"]), (&"class".into(), &15.into()));
    assert!(number("pattern", "accuracy") > 0.9, "{targets}");
    assert_eq!(targets["very green"]["labels"], serde_json::json!(["no", "yes"]));
    assert!(number("very green", "auc") > 0.9, "{targets}");
    assert_eq!(targets["greenness"]["images"], 96);
    assert!(number("greenness", "r2") > 0.7 && number("greenness", "mae") < 15.0, "{targets}");

    let photo = "photos/bars/33.png";
    let said = json(&["predict", "one/model.onnx", photo, "--top", "2", "--format", "json"], root);
    let answers = &said[0]["targets"];
    assert_eq!((&said[0]["picture"], &answers["pattern"]["label"]), (&photo.into(), &"bars".into()));
    assert_eq!(answers["pattern"]["classes"].as_array().unwrap().len(), 2);
    assert_eq!((&answers["very green"]["label"], &answers["very green"]["yes"]), (&"yes".into(), &"yes".into()));
    let value = answers["greenness"]["value"].as_f64().unwrap();
    assert!((value - 182.5).abs() < 30.0 && answers["greenness"]["within90"].as_f64().unwrap() > 0.0, "{answers}");

    let report = fs::read_to_string(root.join("one/report.html")).unwrap();
    assert!(report.contains("Heat map of very green") && report.contains("R², ") && report.contains("AUC, "));
    assert!(fs::read_to_string(root.join("one/MODEL_CARD.md")).unwrap().contains("Output `very_green`"));
    let metrics: Value = serde_json::from_slice(&fs::read(root.join("one/metrics.json")).unwrap()).unwrap();
    assert_eq!(metrics["targets"]["greenness"]["kind"], "number");
    let other = run(&["evaluate", "one/model.onnx", "table.csv", "--unknown", "photos"], root);
    let said = String::from_utf8_lossy(&other.stderr);
    assert_eq!((other.status.code(), said.contains("leave --unknown away")), (Some(1), true), "{said}");
    let other = run(&["bench", "one/model.onnx", "--check"], root);
    assert_eq!(other.status.code(), Some(0), "{}", String::from_utf8_lossy(&other.stderr));
}

#[test]
fn what_cannot_be_asked_is_one_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    table(root);
    let refused = |args: &[&str], code: i32, words: &[&str]| {
        let output = run(args, root);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
        assert!(!root.join("run").exists() && !root.join("run.part").exists());
    };
    let network = ["--network", "lenet", "--from-scratch"];
    let train = |table: &'static str| [&["train", "photos", "--targets", table], &network[..]].concat();
    refused(&train("none.csv"), 1, &["none.csv does not exist"]);
    fs::write(root.join("bad.csv"), "image,age\nphotos/dots/1.png,4\nphotos/dots/2.png,5,6\n").unwrap();
    refused(&train("bad.csv"), 1, &["bad.csv, line 3"]);
    fs::write(root.join("same.csv"), "image,age\nphotos/dots/1.png,4\nphotos/dots/2.png,4\n").unwrap();
    refused(&train("same.csv"), 1, &["nothing that can be learned", "\"age\" has one answer alone"]);
    fs::write(root.join("few.csv"), "image,age\nphotos/dots/1.png,4\n").unwrap();
    refused(&train("few.csv"), 1, &["\"age\""]);
    refused(&["train", "photos", "--targets", "table.csv", "--config", "plan.toml"], 2, &["--config"]);
    refused(&["train", "photos", "--targets", "table.csv", "--unknown", "photos"], 2, &["--unknown"]);
}
