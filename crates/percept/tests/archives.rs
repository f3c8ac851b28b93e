//! Photos in an archive are to every verb what they are in a folder.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

fn output_of(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_percept"))
        .args(arguments)
        .env("PERCEPT_CACHE", folder.join("cache"))
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    (String::from_utf8(output.stdout).unwrap(), said)
}

fn evaluation(folder: &Path, photos: &str) -> serde_json::Map<String, serde_json::Value> {
    let (json, _) = output_of(folder, &["evaluate", "run/model.onnx", photos, "--format", "json"]);
    let mut figures: serde_json::Map<_, _> = serde_json::from_str(&json).unwrap();
    figures.retain(|name, _| !name.starts_with("latency"));
    figures
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for class in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        for file in fs::read_dir(class).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.strip_prefix(folder).unwrap().to_str().unwrap().into();
            files.insert(name, fs::read(file).unwrap());
        }
    }
    files
}

/// Grey pictures of 28 × 28 and their labels, which are indices.
fn idx_pair(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let header = |sizes: &[u32]| -> Vec<u8> {
        let sizes_in_bytes = sizes.iter().flat_map(|size| size.to_be_bytes());
        [0, 0, 8, sizes.len() as u8].into_iter().chain(sizes_in_bytes).collect()
    };
    let pixels = (0..12 * 28 * 28_u32).map(|i| (i / 784 * 20 + i % 97) as u8);
    let images = [header(&[12, 28, 28]), pixels.collect()].concat();
    let labels = [header(&[12]), (0..12).map(|i| i % 3).collect()].concat();
    fs::write(folder.join("images-idx3-ubyte"), images).unwrap();
    fs::write(folder.join("labels-idx1-ubyte"), labels).unwrap();
}

#[test]
fn every_verb_takes_archives_as_it_takes_folders() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    common::photos(root);
    fs::write(root.join("plan.toml"), common::CONFIG.replace("epochs = 30", "epochs = 2")).unwrap();
    output_of(root, &["train", "--config", "plan.toml"]);
    let mut tar = tar::Builder::new(File::create(root.join("photos.tar")).unwrap());
    tar.append_dir_all("photos", root.join("photos")).unwrap();
    tar.finish().unwrap();

    let (_, said) = output_of(root, &["evaluate", "run/model.onnx", "photos.tar"]);
    assert!(said.contains("Unpacking photos: 120 files ("), "{said}");
    let figures = evaluation(root, "photos.tar");
    assert_eq!(figures, evaluation(root, "photos"));
    assert_eq!(figures["images"], 120);
    idx_pair(&root.join("digits"));
    let digits = evaluation(root, "digits");
    assert_eq!((&digits["images"], &digits), (&12.into(), &evaluation(root, "digits/labels-idx1-ubyte")));

    let augment = |photos, out| output_of(root, &["augment", photos, "--views", "2", "--size", "32", "--out", out]);
    augment("photos", "from-folder");
    augment("photos.tar", "from-tar");
    let views = contents(&root.join("from-tar"));
    assert!(views.len() == 360 && views == contents(&root.join("from-folder")));
    let preview = |photos, out| output_of(root, &["augment", photos, "--views", "2", "--size", "32", "--preview", out]);
    preview("photos", "folder.png");
    preview("photos.tar", "tar.png");
    assert!(fs::read(root.join("folder.png")).unwrap() == fs::read(root.join("tar.png")).unwrap());

    let predict = |photos| output_of(root, &["predict", "run/model.onnx", photos, "--format", "json"]).0;
    assert_eq!(predict("photos.tar"), predict("photos").replace("\"photos/", "\"photos.tar/"));
}
