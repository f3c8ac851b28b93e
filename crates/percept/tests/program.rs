//! The whole program, as a user runs it: exit codes, what it says, what it leaves.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use image::{GrayImage, Rgb, RgbImage};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn percept(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_percept")).args(args).current_dir(folder).output().unwrap()
}

/// Fails unless the program ended with `code` and one line that has all of `words`, and left nothing in the folder but `left`.
#[track_caller]
fn refuses(args: &[&str], folder: &Path, code: i32, words: &[&str]) {
    let before = listing(folder);
    let output = percept(args, folder);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(code == 2 || errors.len() == 1, "{said}");
    assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
    assert!(output.stdout.is_empty());
    assert_eq!(listing(folder), before);
}

fn listing(folder: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

fn photo(path: &Path, seed: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let pixel = |x: u32, y: u32| Rgb([seed.wrapping_mul(40), (x * 3) as u8 ^ seed, (y * 5) as u8]);
    RgbImage::from_fn(40, 30, pixel).save(path).unwrap();
}

fn two_classes(folder: &Path) {
    for i in 0..4 {
        photo(&folder.join(format!("photos/a/{i}.png")), i);
        photo(&folder.join(format!("photos/b/{i}.png")), i + 100);
    }
}

#[test]
fn photos_that_cannot_be_learned_from_are_one_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("empty")).unwrap();
    photo(&root.join("one/a/1.png"), 1);
    photo(&root.join("one/a/2.png"), 2);
    photo(&root.join("few/a/1.png"), 1);
    photo(&root.join("few/b/1.png"), 2);
    photo(&root.join("few/b/2.png"), 3);
    fs::create_dir_all(root.join("text/a")).unwrap();
    fs::write(root.join("text/a/notes.txt"), "hello").unwrap();
    fs::write(root.join("text/a/fake.jpg"), "hello").unwrap();
    refuses(&["train", "empty"], root, 1, &["empty", "sub-folder"]);
    refuses(&["train", "one"], root, 1, &["only one class", "\"a\""]);
    refuses(&["train", "few"], root, 1, &["\"a\"", "1 different picture"]);
    refuses(&["train", "text"], root, 1, &["no picture that can be used"]);
    refuses(&["train", "missing"], root, 1, &["missing does not exist"]);
}

#[test]
fn outputs_are_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    two_classes(folder.path());
    fs::create_dir(folder.path().join("run")).unwrap();
    fs::write(folder.path().join("run/mine"), "precious").unwrap();
    fs::write(folder.path().join("sheet.png"), "precious").unwrap();
    refuses(&["train", "photos"], folder.path(), 1, &["run exists already"]);
    refuses(&["augment", "photos", "--out", "run"], folder.path(), 1, &["run exists already"]);
    refuses(&["augment", "photos", "--preview", "sheet.png"], folder.path(), 1, &["sheet.png exists already"]);
    refuses(&["train", "photos", "--out", "sheet.png/run"], folder.path(), 1, &["sheet.png/run"]);
    assert_eq!(fs::read(folder.path().join("run/mine")).unwrap(), b"precious");
    assert_eq!(fs::read(folder.path().join("sheet.png")).unwrap(), b"precious");
}

#[test]
fn what_is_not_a_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    two_classes(folder.path());
    fs::write(folder.path().join("model.onnx"), "not a model").unwrap();
    for verb in ["evaluate", "predict"] {
        refuses(&[verb, "model.onnx", "photos"], folder.path(), 1, &["model.onnx"]);
    }
    refuses(&["bench", "model.onnx"], folder.path(), 1, &["model.onnx"]);
    refuses(&["bench", "missing.onnx"], folder.path(), 1, &["missing.onnx"]);
    refuses(&["train", "photos", "--backbone", "vgg"], folder.path(), 1, &["vgg", "efficientnet-lite0"]);
}

#[test]
fn wrong_usage_is_code_2() {
    let folder = tempfile::tempdir().unwrap();
    for args in
        [&["train"][..], &["fly"], &["train", "x", "--time-limit", "soon"], &["train", "x", "--views", "-1"], &[]]
    {
        let output = percept(args, folder.path());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn augmenting_keeps_photos_and_skips_what_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    two_classes(folder.path());
    fs::write(folder.path().join("photos/a/broken.png"), b"\x89PNG\r\n\x1a\nbroken").unwrap();
    // Four bits of nothing: a small file of 900 million pixels.
    let mut huge = Vec::new();
    let header = [&30_000u32.to_be_bytes()[..], &30_000u32.to_be_bytes(), &[1, 0, 0, 0, 0]].concat();
    huge.extend(b"\x89PNG\r\n\x1a\n");
    chunk(&mut huge, b"IHDR", &header);
    chunk(&mut huge, b"IDAT", &[0; 100]);
    fs::write(folder.path().join("photos/b/huge.png"), huge).unwrap();
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"photos/b/\xff.png");
        GrayImage::new(9, 9).save_with_format(folder.path().join(name), image::ImageFormat::Png).unwrap();
    }
    let args = ["augment", "photos", "--views", "3", "--out", "more", "--size", "32"];
    let output = percept(&args, folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("broken.png") && said.contains("huge.png"), "{said}");
    assert_eq!(listing(&folder.path().join("more/a")).len(), 16);
    let sheet =
        percept(&["augment", "photos/a/..", "--views", "3", "--preview", "sheet.png", "--size", "32"], folder.path());
    let said = String::from_utf8_lossy(&sheet.stderr);
    assert_eq!(sheet.status.code(), Some(0), "{said}");
    assert_eq!(image::open(folder.path().join("sheet.png")).unwrap().width(), 4 + 4 * 36);
}

fn chunk(to: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    let body = [&name[..], data].concat();
    let mut crc = u32::MAX;
    for byte in &body {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    to.extend((data.len() as u32).to_be_bytes());
    to.extend(body);
    to.extend((!crc).to_be_bytes());
}

/// Needs the weights: run it after `percept backbone pull`.
#[test]
#[ignore = "needs the pretrained weights"]
fn the_demo_makes_a_recogniser_that_is_good_and_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let output = percept(&["demo", "--format", "json"], folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let run = folder.path().join("percept-demo/run");
    let metrics: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&metrics["images"], &metrics["classes"]), (&240.into(), &12.into()));
    assert!(metrics["accuracy"].as_f64().unwrap() > 0.9, "{}", metrics["accuracy"]);
    let labels = fs::read_to_string(run.join("labels.txt")).unwrap();
    assert_eq!(labels.lines().count(), 12);
    assert!(fs::read_to_string(run.join("report.html")).unwrap().contains("moolu-oat"));
    assert!(fs::read_to_string(run.join("MODEL_CARD.md")).unwrap().contains("apache-2.0"));

    let model = "percept-demo/run/model.onnx";
    let photo = "percept-demo/photos/test/moolu-oat/000.jpg";
    let output = percept(&["predict", model, photo, "--top", "2", "--format", "json"], folder.path());
    let named: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(named[0]["picture"], photo);
    assert_eq!(named[0]["classes"].as_array().unwrap().len(), 2);
    assert!(named[0]["classes"][0]["label"].as_str().unwrap().starts_with("moolu"));

    let output = percept(&["predict", model, "nosuch.jpg"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("error: nosuch.jpg: it does not exist\n"), "{said}");

    let output = percept(&["train", "--config", "percept-demo/run/config.toml", "--out", "again", "-q"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read(run.join("model.onnx")).unwrap() == fs::read(folder.path().join("again/model.onnx")).unwrap());
}
