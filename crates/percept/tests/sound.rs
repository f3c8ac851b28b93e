//! Recordings, as a user has them: train, repeat, predict, and what cannot be used.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A 16-bit WAV file at 8 kHz: 0.3 s of a tone that is 0 for the class "hum" and rises for others.
fn wav(path: &Path, hertz: f32, rise: f32, n: u32) {
    let sample = |i: u32| {
        let t = i as f32 / 8000.0;
        let phase = std::f32::consts::TAU * (hertz + rise * t) * t + n as f32;
        (9000.0 * phase.sin()) as i16
    };
    let data: Vec<u8> = (0..2400).flat_map(|i| sample(i).to_le_bytes()).collect();
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend([8000u32, 16000].iter().flat_map(|x| x.to_le_bytes()));
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    fs::write(path, bytes).unwrap();
}

/// Three classes and two speakers, who differ in pitch, and a plan of few steps.
fn recordings(root: &Path) {
    fs::create_dir(root.join("tones")).unwrap();
    for (class, hertz, rise) in [("low", 300.0, 0.0), ("high", 2000.0, 0.0), ("siren", 400.0, 3000.0)] {
        for (speaker, pitch) in [("ann", 1.0), ("bob", 1.1)] {
            for n in 0..9 {
                let path = root.join("tones").join(format!("{class}_{speaker}_{n}.wav"));
                wav(&path, hertz * pitch + 5.0 * n as f32, rise, n);
            }
        }
    }
    let plan = "recordings = \"tones\"\nseed = 1\nsteps = 60\nbatch = 16\nlearning_rate = 5e-3\nweight_decay = 1e-2\n";
    fs::write(root.join("plan.toml"), plan).unwrap();
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
fn tones_are_told_apart_with_the_same_bits_at_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    recordings(root);
    fs::write(root.join("tones/low_ann_77.wav"), "RIFF0000WAVEfmt ").unwrap();
    let metrics =
        json(&["sound", "train", "--config", "plan.toml", "-o", "one", "--threads", "1", "--format", "json"], root);
    let again =
        ["sound", "train", "--config", "one/config.toml", "-o", "two", "--threads", "2", "--tensorboard", "curves"];
    assert!(run(&again, root).status.success());
    let [one, two] = ["one", "two"].map(|run| fs::read(root.join(run).join("model.onnx")).unwrap());
    assert!(one == two, "the models of one and of two threads differ");

    assert_eq!((&metrics["recordings"], &metrics["learned"]), (&9.into(), &45.into()));
    assert!(metrics["accuracy"].as_f64().unwrap() > 0.85, "{metrics}");
    assert_eq!(metrics["labels"], serde_json::json!(["high", "low", "siren"]));
    let matrix = metrics["confusion_matrix"].as_array().unwrap();
    let cells = matrix.iter().flat_map(|row| row.as_array().unwrap()).map(|cell| cell.as_u64().unwrap());
    assert_eq!((matrix.len(), cells.sum::<u64>()), (3, 9));
    assert!(metrics["speakers"]["ann"]["recordings"].as_u64().unwrap() > 0);
    assert!(metrics["left_out_files"][0]["file"].as_str().unwrap().ends_with("low_ann_77.wav"));
    let written: Value = serde_json::from_slice(&fs::read(root.join("one/metrics.json")).unwrap()).unwrap();
    assert_eq!(written, metrics);

    let predict = |files: &[&str]| run(&[&["sound", "predict", "one/model.onnx"], files].concat(), root);
    let said = json(
        &["sound", "predict", "one/model.onnx", "tones/siren_bob_3.wav", "tones/high_ann_0.wav", "--format=json"],
        root,
    );
    assert_eq!((&said[0]["label"], &said[1]["label"]), (&"siren".into(), &"high".into()), "{said}");
    assert!(said[0]["probability"].as_f64().unwrap() > 0.4 && said[0]["classes"].as_array().unwrap().len() == 3);
    let mixed = predict(&["tones/high_ann_0.wav", "tones/low_ann_77.wav", "--format=json"]);
    let error = String::from_utf8_lossy(&mixed.stderr);
    assert_eq!(mixed.status.code(), Some(1));
    assert!(error.contains("low_ann_77.wav: damaged") && error.contains("1 of the recordings"), "{error}");
    assert_eq!(serde_json::from_slice::<Value>(&mixed.stdout).unwrap()[0]["label"], "high");
    // Text for people is what one gets without asking, as with other verbs.
    let plain = predict(&["tones/high_ann_0.wav"]);
    assert!(plain.stdout.is_empty() && String::from_utf8_lossy(&plain.stderr).contains("%  high"));

    let report = fs::read_to_string(root.join("one/report.html")).unwrap();
    for words in
        ["Speakers", "What it hears", "data:image&#x2f;jpeg;base64,", "low_ann_77.wav", "<polyline", "steps = 60"]
    {
        assert!(report.contains(words), "{words}");
    }
    let card = fs::read_to_string(root.join("one/MODEL_CARD.md")).unwrap();
    assert!(card.contains("pipeline_tag: audio-classification") && card.contains("| siren |"), "{card}");
    assert_eq!(fs::read_to_string(root.join("one/labels.txt")).unwrap(), "high\nlow\nsiren\n");
    assert_eq!(fs::read_dir(root.join("curves")).unwrap().count(), 1);
    let left: Vec<_> = fs::read_dir(root.join("one")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left.len(), 7, "{left:?}");
}

#[test]
fn folders_are_classes_and_a_speaker_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    recordings(root);
    let plan = fs::read_to_string(root.join("plan.toml")).unwrap();
    fs::write(root.join("out.toml"), plan.replace("steps = 60", "steps = 2\nleave_out = \"bob\"")).unwrap();
    let metrics = json(&["sound", "train", "--config", "out.toml", "-o", "bob", "--format", "json"], root);
    assert_eq!(
        (&metrics["recordings"], &metrics["left_out"], &metrics["learned"]),
        (&27.into(), &"bob".into(), &27.into())
    );

    for class in ["low", "high", "siren"] {
        fs::create_dir_all(root.join("folders").join(class)).unwrap();
        for n in 0..6 {
            let from = root.join("tones").join(format!("{class}_ann_{n}.wav"));
            fs::copy(from, root.join("folders").join(class).join(format!("{n}.wav"))).unwrap();
        }
    }
    let args = ["sound", "train", "folders", "-o", "run", "--time-limit", "1s", "--format", "json", "--quiet"];
    let metrics = json(&args, root);
    assert_eq!((&metrics["recordings"], metrics["speakers"].as_object().unwrap().len()), (&3.into(), 0));
    assert!(metrics["steps"].as_u64().unwrap() > 0);
}

#[test]
fn what_cannot_be_used_is_one_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    recordings(root);
    let refused = |args: &[&str], code: i32, words: &[&str]| {
        let output = run(&[&["sound"], args].concat(), root);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
        assert!(!root.join("run").exists());
    };
    refused(&["train"], 2, &["RECORDINGS"]);
    refused(&["train", "none"], 1, &["none does not exist: give a folder or a tar of recordings"]);
    refused(&["train", "plan.toml"], 1, &["plan.toml is neither a folder"]);
    refused(&["train", "tones", "--leave-out", "eve"], 1, &["no speaker \"eve\": ann, bob"]);
    refused(&["train", "--resume", "other"], 1, &["there is no unfinished run other"]);
    refused(&["train", "tones", "-o", "tones"], 1, &["tones exists already"]);
    fs::create_dir(root.join("empty")).unwrap();
    refused(&["train", "empty"], 1, &["empty is empty"]);
    fs::create_dir_all(root.join("alone/one")).unwrap();
    fs::copy(root.join("tones/low_ann_0.wav"), root.join("alone/one/low_ann_0.wav")).unwrap();
    refused(&["train", "alone"], 1, &["one class alone, \"low\""]);
    fs::write(root.join("bad.toml"), "recordings = \"tones\"\nstep = 3\n").unwrap();
    refused(&["train", "--config", "bad.toml"], 1, &["bad.toml", "step"]);
    refused(&["predict", "plan.toml", "tones/low_ann_0.wav"], 1, &["plan.toml"]);
}
