//! `percept text` as a user runs it, on small texts.

#![allow(clippy::unwrap_used)]

mod common;

use percept_graph::onnx::Model;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn percept(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_percept")).args(args).current_dir(folder).output().unwrap()
}

#[track_caller]
fn done(args: &[&str], folder: &Path) -> String {
    let output = percept(args, folder);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(args: &[&str], folder: &Path, words: &[&str]) {
    let output = percept(args, folder);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("error: ") && words.iter().all(|word| last.contains(word)), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_song_of_one_line_is_learned_and_sung() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("song.txt"), "über die Brücke geht es hin und her\n".repeat(80)).unwrap();
    let train = |out: &str, args: &[&str]| {
        done(&[&["text", "train", "song.txt", "--hidden", "48", "--format", "json", "-o", out], args].concat(), root)
    };
    let metrics = train("a", &["--steps", "250"]);
    assert_eq!(metrics.trim(), fs::read_to_string(root.join("a/metrics.json")).unwrap().trim());
    let metrics: Value = serde_json::from_str(&metrics).unwrap();
    // 17 characters: 2.8 nats if it knew nothing.
    assert!(metrics["nats_per_character"].as_f64().unwrap() < 0.3, "{metrics}");
    assert_eq!(
        (&metrics["characters"], &metrics["vocabulary"], &metrics["steps"]),
        (&287.into(), &17.into(), &250.into())
    );
    let config = fs::read_to_string(root.join("a/config.toml")).unwrap();
    assert!(config.contains("steps = 250") && config.contains("hidden = 48"), "{config}");

    // The same seed makes the same bits at any number of threads, another seed others.
    train("b", &["--steps", "9", "--threads", "1"]);
    train("c", &["--steps", "9"]);
    train("d", &["--steps", "9", "--seed", "1"]);
    done(&["text", "train", "--config", "b/config.toml", "-o", "e", "--tensorboard", "curves"], root);
    let model = |run: &str| fs::read(root.join(run).join("model.onnx")).unwrap();
    assert!(model("b") == model("c") && model("c") != model("d") && model("b") == model("e"));
    assert_eq!(fs::read_dir(root.join("curves")).unwrap().count(), 1);

    // A learning rate that is found is written down, and repeated without a search.
    train("f", &["--steps", "9", "--find-rate"]);
    done(&["text", "train", "--config", "f/config.toml", "-o", "g"], root);
    assert!(model("f") == model("g") && model("f") != model("b"));
    let searched = |run: &str| fs::read_to_string(root.join(run).join("report.html")).unwrap().contains("suggested: ");
    assert!(searched("f") && !searched("g") && root.join("f/rates.json").is_file());

    // It is better than who counts characters, and the report says so.
    let guesses = ["uniform", "unigram", "bigram"].map(|guess| metrics["guesses"][guess].as_f64().unwrap());
    assert!(guesses.is_sorted_by(|a, b| a > b) && guesses[2] > 0.5, "{metrics}");
    let report = fs::read_to_string(root.join("a/report.html")).unwrap();
    for words in ["Temperature 0.5", "pairs of characters", "What it expects", "<polyline", "steps = 250"] {
        assert!(report.contains(words), "{words}");
    }
    let card = fs::read_to_string(root.join("a/MODEL_CARD.md")).unwrap();
    assert!(card.contains("pipeline_tag: text-generation") && card.contains("| chance | 2.833 |"), "{card}");
    let left: Vec<_> = fs::read_dir(root.join("a")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left.len(), 7, "{left:?}");
    let Model { graph, metadata, .. } = Model::read(&root.join("a/model.onnx")).unwrap();
    assert_eq!((graph.inputs().len(), graph.outputs().len()), (5, 5));
    assert!(metadata["percept.labels"].contains("\"ü\""));

    let sing = |args: &[&str]| done(&[&["text", "sample", "a/model.onnx", "--length", "60"], args].concat(), root);
    let sung = sing(&["--prompt", "über die ", "--temperature", "0.1"]);
    assert!(sung.starts_with("über die Brücke geht es hin und her\nüber"), "{sung}");
    assert_eq!(sung.chars().count(), 9 + 60 + 1);
    let [one, again, other] = ["5", "5", "6"].map(|seed| sing(&["--temperature", "3", "--seed", seed]));
    assert!(one == again && one != other);
}

#[test]
fn what_cannot_be_learned_or_written_is_one_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("short.txt"), "too short").unwrap();
    fs::write(root.join("no.onnx"), "no model").unwrap();
    fs::write(root.join("song.txt"), "la la la lu\n".repeat(20)).unwrap();
    refused(&["text", "train", "short.txt"], root, &["short.txt", "9 characters"]);
    refused(&["text", "train", "missing.txt"], root, &["missing.txt"]);
    refused(&["text", "train", "/dev/zero"], root, &["/dev/zero is not a file"]);
    // It takes no room on the disk.
    let huge = fs::File::create(root.join("huge.txt")).unwrap();
    huge.set_len(1 << 40).unwrap();
    refused(&["text", "train", "huge.txt"], root, &["huge.txt is over 256 MB"]);
    fs::remove_file(root.join("huge.txt")).unwrap();
    refused(&["text", "train", "song.txt", "-o", "no.onnx"], root, &["no.onnx exists already"]);
    refused(&["text", "sample", "no.onnx"], root, &["no.onnx"]);
    assert_eq!(fs::read_dir(root).unwrap().count(), 3);
    done(&["text", "train", "song.txt", "--time-limit", "1s", "-q"], root);
    refused(&["text", "sample", "run/model.onnx", "--prompt", "lalo"], root, &["'o'"]);
    refused(&["text", "sample", "run/model.onnx", "--temperature=-1"], root, &["temperature"]);
}

#[test]
fn lines_that_begin_with_a_label_become_a_classifier() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let line = |i: usize| {
        let (label, word) = if i.is_multiple_of(2) { ("good", "splendid") } else { ("bad", "dreadful") };
        format!("{label} film {} was {word} , scene {}\n", i % 7, i % 5)
    };
    fs::write(root.join("lines.txt"), (0..200).map(line).collect::<String>()).unwrap();
    fs::write(root.join("test.txt"), "good Splendid !\nbad a DREADFUL bore\nbad dreadful\n").unwrap();
    fs::write(root.join("other.txt"), "good splendid\nodd dreadful\n").unwrap();
    let train = |args: &[&str]| {
        let all = [&["text", "train", "lines.txt", "--epochs", "30", "--format", "json"], args].concat();
        serde_json::from_str::<Value>(&done(&all, root)).unwrap()
    };
    let metrics = train(&["--folds", "2", "-o", "folds"]);
    assert_eq!(
        (&metrics["accuracy"], &metrics["sentences"], &metrics["measured_on"]),
        (&1.0.into(), &200.into(), &"2 folds".into())
    );
    let metrics = train(&["--test", "test.txt", "-o", "test", "--threads", "1"]);
    assert_eq!((&metrics["accuracy"], &metrics["sentences"]), (&1.0.into(), &3.into()));
    // Both learned from all lines, in the same way.
    let model = |run: &str| fs::read(root.join(run).join("model.onnx")).unwrap();
    assert!(model("folds") == model("test"));

    // Another time, with an end after the first fold.
    let args = ["text", "train", "--config", "folds/config.toml", "-o", "broken"];
    let (status, said) = common::interrupted(root, &args, "fold 1 of 2", "-INT");
    assert!(!status.success() && said.contains("go on with `percept text train --resume broken`"), "{said}");
    refused(&["text", "train", "lines.txt", "-o", "broken"], root, &["`percept text train --resume broken`"]);
    done(&["text", "train", "--resume", "broken"], root);
    assert!(model("folds") == model("broken"));
    let report = fs::read_to_string(root.join("broken/report.html")).unwrap();
    for words in ["all sentences: in 2 folds", "The most confident mistakes", "Reliability", "<polyline"] {
        assert!(report.contains(words), "{words}");
    }
    assert_eq!(fs::read_to_string(root.join("broken/labels.txt")).unwrap(), "bad\ngood\n");

    let said =
        done(&["text", "predict", "folds/model.onnx", "A splendid goulash", "dreadful", "--format", "json"], root);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said[0]["classes"][0]["label"], &said[1]["classes"][0]["label"]), (&"good".into(), &"bad".into()));
    assert_eq!(said[0]["unknown"], serde_json::json!(["a", "goulash"]));
    let sum: f64 = (0..2).map(|i| said[0]["classes"][i]["probability"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5);

    refused(&["text", "train", "lines.txt", "--test", "other.txt"], root, &["other.txt, line 2", "\"odd\""]);
    refused(&["text", "train", "lines.txt", "--folds", "201"], root, &["lines.txt", "201 folds"]);
    refused(&["text", "train", "lines.txt", "--steps", "6"], root, &["--steps", "--epochs"]);
    refused(&["text", "sample", "folds/model.onnx"], root, &["folds/model.onnx", "no character model"]);
    done(&["text", "train", "lines.txt", "--labels", "none", "--steps", "1"], root);
    refused(&["text", "predict", "run/model.onnx", "x"], root, &["run/model.onnx", "no classifier of sentences"]);
}
