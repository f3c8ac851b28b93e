//! Knowing what is not known, and adding it: a small network is trained, asked about other pictures, and taught a further class.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

mod common;

use image::{Rgb, RgbImage};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn percept(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_percept"));
    command.args(args).arg("--quiet").env("PERCEPT_CACHE", folder.join("cache")).current_dir(folder).output().unwrap()
}

#[track_caller]
fn json(folder: &Path, args: &[&str]) -> Value {
    let output = percept(folder, &[args, &["--format", "json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn refuses(folder: &Path, args: &[&str], words: &[&str]) {
    let output = percept(folder, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: ") && words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
}

/// Draws `count` photos of a class into a folder.
fn draw(folder: &Path, class: &str, count: u32) {
    fs::create_dir_all(folder).unwrap();
    for i in 0..count {
        let value = |x: u32, y: u32| match class {
            "dots" => (x / 3 + y / 3 + i) % 2 * 200,
            "bars" => (x + i) / 4 % 2 * 220,
            "ramp" => (x * 5 + y + i * 3) % 256,
            "lines" => (y + i) / 4 % 2 * 220,
            "blank" => 128,
            "rings" => ((x.abs_diff(14).pow(2) + y.abs_diff(14).pow(2)) / 24 + i) % 2 * 240,
            _ => (x * 7919 + y * 104_729 + i * 31).wrapping_mul(2_654_435_761) >> 24,
        };
        let pixel = |x, y| Rgb([value(x, y) as u8, (i * 6) as u8, (value(x, y) / 2) as u8]);
        RgbImage::from_fn(28, 28, pixel).save(folder.join(format!("{i}.png"))).unwrap();
    }
}

fn trained(unknown: Option<&str>) -> tempfile::TempDir {
    let made = tempfile::tempdir().unwrap();
    let folder = made.path();
    for class in ["dots", "bars", "ramp", "lines"] {
        draw(&folder.join("photos").join(class), class, 30);
    }
    let mut config = common::CONFIG.to_string();
    if let Some(unknown) = unknown {
        config = config.replace("seed = 3", &format!("seed = 3\nunknown = \"{unknown}\""));
        draw(&folder.join(unknown), "noise", 20);
        draw(&folder.join("photos/None_of_the_above"), "rings", 20);
    }
    fs::write(folder.join("config.toml"), config).unwrap();
    let output = percept(folder, &["train", "--config", "config.toml", "--out", "run"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    made
}

#[test]
fn a_model_knows_what_it_does_not_know_and_learns_it() {
    let made = trained(None);
    let folder = made.path();
    let metrics: Value = serde_json::from_slice(&fs::read(folder.join("run/metrics.json")).unwrap()).unwrap();
    let threshold = metrics["known"]["threshold"].as_f64().unwrap();
    assert!(metrics["known"]["known_rejected"].as_f64().unwrap() <= 0.05, "{}", metrics["known"]);
    assert_eq!(metrics["known"]["left_out"]["rounds"], 4);
    assert!(metrics["known"]["left_out"]["auroc"].as_f64().unwrap() > 0.5, "{}", metrics["known"]);
    assert!(metrics["calibration"]["cross_fitted"] == true && metrics["calibration"]["before"]["ece"].is_f64());
    let report = fs::read_to_string(folder.join("run/report.html")).unwrap();
    assert!(report.contains("none of these") && report.contains("of classes that were left out"));

    // One picture of each kind.
    let named = json(folder, &["predict", "run/model.onnx", "photos/dots/1.png"]);
    assert_eq!((&named[0]["known"], &named[0]["classes"][0]["label"]), (&true.into(), &"dots".into()));
    assert!(named[0]["known_score"].as_f64().unwrap() >= threshold);
    draw(&folder.join("others"), "rings", 30);
    let measured = json(folder, &["evaluate", "run/model.onnx", "photos", "--unknown", "others"]);
    let known = &measured["known"];
    assert_eq!((&known["known"], &known["unknown"]), (&120.into(), &30.into()));
    assert!(known["auroc"].as_f64().unwrap() > 0.9, "{known}");
    assert!(measured["calibration"]["cross_fitted"] == false);
    let unknown = json(folder, &["predict", "run/model.onnx", "others"]);
    let strange = unknown.as_array().unwrap().iter().position(|one| one["known"] == false).unwrap();
    let picture = unknown[strange]["picture"].as_str().unwrap();
    let output = percept(folder, &["predict", "run/model.onnx", picture, "--top", "1"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("none of these"), "{output:?}");
    refuses(folder, &["evaluate", "run/model.onnx", "photos", "--unknown", "nowhere"], &["nowhere"]);
    refuses(folder, &["evaluate", "run/model.onnx", "photos", "--targets", "a.csv"], &["leave --targets away"]);

    // The other verbs take the second output in their stride.
    for args in [
        &["bench", "run/model.onnx", "--check", "--time", "0.05s"][..],
        &["bench", "run/model.onnx", "--train", "--time", "0.05s"],
    ] {
        json(folder, args);
    }

    learns(folder, threshold);
}

/// Adds a class to the model and looks at what it says then.
fn learns(folder: &Path, threshold: f64) {
    draw(&folder.join("new"), "blank", 30);
    let before = json(folder, &["predict", "run/model.onnx", "photos"]);
    let few: Vec<String> = (0..5).map(|i| format!("new/{}.png", 5 * i)).collect();
    let few: Vec<&str> = few.iter().map(String::as_str).collect();
    let add = |name: &str, out: &str| [&["add", "run/model.onnx", name][..], &few, &["-o", out]].concat().join(" ");
    let args = add("blank", "new.onnx");
    let added = json(folder, &args.split(' ').collect::<Vec<_>>());
    assert_eq!((&added["pictures"], &added["old_photos"]), (&5.into(), &120.into()));
    assert!(added["left_one_out"].as_u64().unwrap() <= 5 && added["known"].as_u64().unwrap() <= 5, "{added}");
    assert!(fs::read_to_string(folder.join("new.html")).unwrap().contains("blank"));

    let after = json(folder, &["predict", "new.onnx", "photos"]);
    let (mut changed, mut flipped) = (0, 0);
    for (before, after) in before.as_array().unwrap().iter().zip(after.as_array().unwrap()) {
        let (old, new) = (&before["classes"][0]["label"], &after["classes"][0]["label"]);
        assert!(old == new || new == "blank", "{before} became {after}");
        changed += usize::from(old != new);
        flipped += usize::from(before["known"] != after["known"]);
    }
    assert_eq!(added["changed"].as_array().unwrap().len(), changed);
    assert!(flipped <= 12, "{flipped} of 120 old photos are known before or after only");
    // This small network has seen four classes only, so a fifth is hard to tell; but what it learned from it must know.
    let learned = json(folder, &[&["predict", "new.onnx", "--top", "1"][..], &few].concat());
    let right = learned.as_array().unwrap().iter().filter(|one| one["classes"][0]["label"] == "blank").count();
    assert!(right >= 4, "{right} of 5: {learned}");
    let known = learned.as_array().unwrap().iter().filter(|one| one["known"] == true).count();
    assert_eq!(added["known"], known);
    let score = |one: &Value| one["known_score"].as_f64().unwrap();
    assert!(learned.as_array().unwrap().iter().all(|one| (score(one) >= threshold) == (one["known"] == true)));

    let refuse = |name: &str, out: &str, words: &[&str]| {
        let args = add(name, out);
        refuses(folder, &args.split(' ').collect::<Vec<_>>(), words);
    };
    refuse("dots", "other.onnx", &["dots", "already"]);
    refuse("None_of_the_above", "other.onnx", &["None_of_the_above"]);
    refuse("blank", "new.onnx", &["new.onnx exists already"]);
    refuses(folder, &["add", "run/model.onnx", "x", "missing.png", "-o", "x.onnx"], &["missing.png"]);
    fs::write(folder.join("broken.png"), b"\x89PNG\r\n\x1a\nbroken").unwrap();
    refuses(folder, &["add", "run/model.onnx", "x", "broken.png", "-o", "x.onnx"], &["broken.png"]);
    refuses(folder, &["add", "new.onnx", "x", "new/1.png", "-o", "x.onnx"], &["blank", "--photos"]);
    fs::create_dir(folder.join("alone")).unwrap();
    fs::rename(folder.join("new.onnx"), folder.join("alone/new.onnx")).unwrap();
    refuses(folder, &["add", "alone/new.onnx", "x", "new/1.png", "-o", "x.onnx"], &["config.toml", "--photos"]);
    assert!(!folder.join("x.onnx").exists() && !folder.join("x.html").exists());
}

#[test]
fn unknown_pictures_are_no_class_and_set_the_threshold() {
    let made = trained(Some("else"));
    let folder = made.path();
    assert_eq!(fs::read_to_string(folder.join("run/labels.txt")).unwrap(), "bars\ndots\nlines\nramp\n");
    let metrics: Value = serde_json::from_slice(&fs::read(folder.join("run/metrics.json")).unwrap()).unwrap();
    let known = &metrics["known"];
    assert_eq!(known["unknown"], 20, "half of the pictures of both folders");
    assert!(known["auroc"].as_f64().unwrap() > 0.8 && known["known_rejected"].as_f64().unwrap() <= 0.1, "{known}");
    let measured = json(folder, &["evaluate", "run/model.onnx", "photos"]);
    assert_eq!((&measured["images"], &measured["known"]["unknown"]), (&120.into(), &20.into()));
}
