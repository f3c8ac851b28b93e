//! `percept check` as a user runs it: what it finds, what its plan does, and that training heeds it.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use image::{Rgb, RgbImage, imageops};
use percept_graph::onnx::Model;
use percept_graph::{Builder, DType, Params, Tensor};
use percept_photos::synthesise::{draw, products};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn percept(args: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_percept"));
    command.args(args).current_dir(folder).env("PERCEPT_CACHE", folder.join("cache")).output().unwrap()
}

/// Runs the program, which must succeed, and gives back its JSON.
#[track_caller]
fn json(args: &[&str], folder: &Path) -> Value {
    let output = percept(&[args, &["--format", "json"]].concat(), folder);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn refuses(args: &[&str], folder: &Path, code: i32, words: &[&str]) {
    let output = percept(args, folder);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
    assert!(output.stdout.is_empty());
}

fn save(picture: &RgbImage, path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture.save(path).unwrap();
}

/// A photo whose colours say what class it is of.
fn tinted(class: usize, seed: u64) -> RgbImage {
    let mut photo = draw(&products()[seed as usize % 12], 128, seed * 3 + class as u64);
    for pixel in photo.pixels_mut() {
        for (channel, value) in pixel.0.iter_mut().enumerate() {
            *value = if channel == class { 128 + *value / 2 } else { *value / 2 };
        }
    }
    photo
}

/// `photos/{red,green,blue}` with ten photos each.
fn colours(folder: &Path) {
    for (class, name) in ["red", "green", "blue"].iter().enumerate() {
        for i in 0..10 {
            save(&tinted(class, i), &folder.join(format!("photos/{name}/{i:02}.png")));
        }
    }
}

/// A network that sees colours, as a backbone.
fn backbone(path: &Path) {
    let net = Builder::new("colours");
    let x = net.input("image", DType::U8, ["N".into(), 64.into(), 64.into(), 3.into()]).cast(DType::F32);
    let x = x.transpose(&[0, 3, 1, 2]) / net.constant(Tensor::scalar(255.0));
    let logits = x.conv("conv", 8, 3, |conv| conv.padding(1)).global_average_pool().flatten().linear("fc", 2);
    let graph = net.finish(&[("logits", logits)]).unwrap();
    let mut params = Params::new();
    for value in graph.parameters() {
        let shape = value.ty.concrete().unwrap();
        let data = (0..shape.iter().product()).map(|i: usize| (i * 37 % 19) as f32 / 19.0 - 0.5).collect();
        params.insert(value.name.clone(), Tensor::f32(shape, data).unwrap());
    }
    Model { graph, params, ..Model::default() }.write(path).unwrap();
}

/// Every file below a folder with its content.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.is_dir() {
                true => folders.push(entry),
                false => {
                    let name = entry.strip_prefix(folder).unwrap().display().to_string();
                    all.insert(name, fs::read(entry).unwrap());
                }
            }
        }
    }
    all
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// The photos of `colours` with something wrong of every kind that pixels show.
fn damaged(root: &Path) {
    colours(root);
    let photos = root.join("photos");
    fs::copy(photos.join("red/00.png"), photos.join("red/copy of 00.png")).unwrap();
    let resized = imageops::resize(&tinted(1, 3), 90, 90, imageops::FilterType::Lanczos3);
    save(&resized, &photos.join("green/small.jpg"));
    let cropped = imageops::crop_imm(&tinted(2, 5), 6, 3, 120, 124).to_image();
    save(&cropped, &photos.join("red/05-.jpg"));
    save(&RgbImage::from_pixel(128, 128, Rgb([9, 9, 9])), &photos.join("blue/black.png"));
    save(&imageops::thumbnail(&tinted(2, 77), 20, 20), &photos.join("blue/tiny.png"));
    let whole = fs::read(photos.join("red/01.png")).unwrap();
    fs::write(photos.join("red/cut.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(photos.join("red/notes.txt"), "not a photo").unwrap();
}

#[test]
fn pixels_tell_copies_damage_and_blanks() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    damaged(root);
    let before = content(&root.join("photos"));
    let found = json(&["check", "photos", "--pixels-only"], root);
    assert_eq!(content(&root.join("photos")), before, "checking changed something");
    assert_eq!(found["pictures"], 36);
    let duplicates: Vec<_> = found["duplicates"].as_array().unwrap().iter().map(texts).collect();
    let expected = [
        ["photos/blue/05.png", "photos/red/05-.jpg"],
        ["photos/green/03.png", "photos/green/small.jpg"],
        ["photos/red/00.png", "photos/red/copy of 00.png"],
    ];
    assert_eq!(duplicates, expected);
    assert_eq!(found["contradictions"].as_array().unwrap().len(), 1);
    assert_eq!(found["contradictions"][0]["exact"], false);
    assert_eq!(found["contradictions"][0]["pictures"][1]["label"], "red");
    assert_eq!(texts(&found["blank"]), ["photos/blue/black.png"]);
    let tiny = found["tiny"].as_array().unwrap().iter().find(|tiny| tiny["picture"] == "photos/blue/tiny.png").unwrap();
    assert_eq!((&tiny["width"], &tiny["height"]), (&20.into(), &20.into()));
    let unreadable: Vec<_> = found["unreadable"].as_array().unwrap().iter().map(|file| &file["picture"]).collect();
    assert_eq!(unreadable, ["photos/red/notes.txt", "photos/red/cut.png"]);
    assert_eq!((&found["labels_judged"], found["suspects"].as_array().unwrap().len()), (&false.into(), 0));
    let page = fs::read_to_string(root.join("percept-check/report.html")).unwrap();
    assert!(page.contains("small.jpg") && page.contains("in two classes"));
    assert!(!page.contains("://") && !page.contains("<script"), "the page needs something from elsewhere");

    let again = percept(&["check", "photos", "--pixels-only"], root);
    let said = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(0), "{said}");
    assert!(again.stdout.is_empty() && root.join("percept-check-2/plan.csv").is_file());
    for words in [
        "In two classes",
        "photos/blue/05.png = photos/red/05-.jpg",
        "2  files cannot be used",
        "1  picture is in two classes",
        "percept-check-2",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    refuses(&["check", "photos", "--out", "percept-check"], root, 1, &["percept-check exists already"]);
}

#[test]
fn a_plan_is_applied_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    damaged(root);
    let before = content(&root.join("photos"));
    json(&["check", "photos", "--pixels-only", "-o", "found"], root);
    let fixed = json(&["check", "--fix", "found/plan.csv"], root);
    // Who is right of two classes nobody knows without a network: both go.
    assert_eq!((&fixed["excluded"], &fixed["moved"], &fixed["done_before"]), (&6.into(), &0.into(), &0.into()));
    let excluded = content(&root.join("photos.excluded"));
    let names =
        ["blue/05.png", "blue/black.png", "green/small.jpg", "red/05-.jpg", "red/copy of 00.png", "red/cut.png"];
    assert_eq!(excluded.keys().collect::<Vec<_>>(), names);
    let clean = json(&["check", "photos", "--pixels-only", "-o", "clean"], root);
    assert_eq!((texts(&clean["blank"]).len(), clean["duplicates"].as_array().unwrap().len()), (0, 0));

    let again = json(&["check", "--fix", "found/plan.csv"], root);
    assert_eq!((&again["done_before"], &again["undo"]), (&6.into(), &Value::Null));
    let undone = json(&["check", "--fix", "found/plan-undo.csv"], root);
    assert_eq!((&undone["restored"], &undone["excluded"]), (&6.into(), &0.into()));
    assert_eq!(content(&root.join("photos")), before);

    // As if the program had been killed after the first rename, either way.
    let (inside, outside) = (root.join("photos/blue/black.png"), root.join("photos.excluded/blue/black.png"));
    fs::rename(&inside, &outside).unwrap();
    let finished = json(&["check", "--fix", "found/plan.csv"], root);
    assert_eq!((&finished["excluded"], &finished["done_before"]), (&5.into(), &1.into()));
    assert!(finished["undo"].as_str().unwrap().ends_with("plan-undo.csv"), "the same plan has the same reverse");
    fs::rename(&outside, &inside).unwrap();
    let undone = json(&["check", "--fix", "found/plan-undo.csv"], root);
    assert_eq!((&undone["restored"], &undone["done_before"]), (&5.into(), &1.into()));
    assert_eq!(content(&root.join("photos")), before);
}

#[test]
fn labels_that_do_not_fit_are_found_and_moved() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    colours(root);
    backbone(&root.join("net.onnx"));
    fs::rename(root.join("photos/red/04.png"), root.join("photos/blue/was-red.png")).unwrap();
    save(&imageops::crop_imm(&tinted(1, 2), 5, 5, 123, 120).to_image(), &root.join("photos/blue/02-.jpg"));
    let found = json(&["check", "photos", "--backbone", "net.onnx"], root);
    assert_eq!(found["labels_judged"], true);
    let suspects = found["suspects"].as_array().unwrap();
    assert_eq!(suspects[0]["picture"], "photos/blue/was-red.png", "{suspects:?}");
    assert_eq!((&suspects[0]["label"], &suspects[0]["suggested"]), (&"blue".into(), &"red".into()));
    assert!(suspects[0]["score"].as_f64().unwrap() > 0.5);
    assert!(suspects.iter().all(|suspect| suspect["picture"] != "photos/blue/02-.jpg"), "it is a contradiction");
    assert_eq!(found["contradictions"][0]["believed"], "green");
    let again = json(&["check", "photos", "--backbone", "net.onnx", "--threads", "1"], root);
    assert_eq!(again["suspects"], found["suspects"], "threads change the answer");

    let plan = fs::read_to_string(root.join("percept-check/plan.csv")).unwrap();
    let keep = |line: &&str| !line.starts_with("move,") || line.contains("was-red");
    fs::write(root.join("mine.csv"), plan.lines().filter(keep).collect::<Vec<_>>().join("\n")).unwrap();
    let fixed = json(&["check", "--fix", "mine.csv"], root);
    assert_eq!((&fixed["moved"], &fixed["excluded"]), (&1.into(), &1.into()), "{plan}");
    assert!(root.join("photos/red/was-red.png").is_file());
    assert!(root.join("photos.excluded/blue/02-.jpg").is_file());
}

#[test]
fn training_leaves_near_contradictions_and_leaks_out() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    colours(root);
    backbone(&root.join("net.onnx"));
    save(&imageops::crop_imm(&tinted(1, 2), 5, 5, 123, 120).to_image(), &root.join("photos/blue/02-.jpg"));
    let args = ["train", "photos", "--backbone", "net.onnx", "--views", "0", "--out", "run", "--time-limit", "20s"];
    let trained = json(&args, root);
    let skipped = trained["skipped"].as_array().unwrap();
    let out: Vec<_> = skipped.iter().map(|file| file["picture"].as_str().unwrap()).collect();
    assert_eq!(out, ["photos/blue/02-.jpg", "photos/green/02.png"]);
    let reason = skipped[0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("nearly the same picture as photos/green/02.png") && reason.contains("\"green\""),
        "{reason}"
    );

    let rename = |from: &str, to: &str| {
        fs::create_dir_all(root.join(to).parent().unwrap()).unwrap();
        fs::rename(root.join(from), root.join(to)).unwrap();
    };
    fs::remove_file(root.join("photos/blue/02-.jpg")).unwrap();
    for class in ["red", "green", "blue"] {
        rename(&format!("photos/{class}/09.png"), &format!("divided/val/{class}/09.png"));
        rename(&format!("photos/{class}/08.png"), &format!("divided/test/{class}/08.png"));
        rename(&format!("photos/{class}"), &format!("divided/train/{class}"));
    }
    let leak = imageops::resize(&tinted(0, 8), 100, 100, imageops::FilterType::CatmullRom);
    save(&leak, &root.join("divided/train/red/leak.jpg"));
    let found = json(&["check", "divided", "--pixels-only"], root);
    let parts: Vec<_> = found["leaks"][0]["pictures"].as_array().unwrap().iter().map(|p| &p["part"]).collect();
    assert_eq!(parts, ["train", "test"]);
    let plan = fs::read_to_string(root.join("percept-check/plan.csv")).unwrap();
    assert!(plan.contains("exclude,train/red/leak.jpg,"), "{plan}");
    let args = ["train", "divided", "--backbone", "net.onnx", "--views", "0", "--out", "run2", "--time-limit", "20s"];
    let trained = json(&args, root);
    let skipped = trained["skipped"].as_array().unwrap();
    assert_eq!((skipped.len(), &skipped[0]["picture"]), (1, &"divided/train/red/leak.jpg".into()));
    assert!(skipped[0]["reason"].as_str().unwrap().contains("kept to check with"));
}

#[test]
fn plans_that_cannot_be_applied_move_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["a/1.png", "a/2.png", "b/1.png"] {
        save(&tinted(0, name.len() as u64), &root.join("photos").join(name));
    }
    let before = content(&root.join("photos"));
    let place = root.join("photos").canonicalize().unwrap();
    let fails = |lines: &str, words: &[&str]| {
        let plan = format!("action,picture,to,reason\nfolder,{},,\nmove,a/2.png,b/2.png,\n{lines}\n", place.display());
        fs::write(root.join("plan.csv"), plan).unwrap();
        refuses(&["check", "--fix", "plan.csv"], root, 1, &[&["plan.csv", "line 4"], words].concat());
        assert_eq!(content(&root.join("photos")), before);
        assert!(!root.join("plan-undo.csv").exists() && !root.join("photos.excluded").exists());
    };
    fails("move,a/1.png,b/1.png,", &["b/1.png exists already", "nothing was moved"]);
    fails("move,a/1.png,c/1.png,", &["there is no folder", "photos/c"]);
    fails("move,a/1.png,1.png,", &["no class folder"]);
    fails("move,a/1.png,../1.png,", &["within the folder"]);
    fails("exclude,/etc/passwd,,", &["within the folder"]);
    fails("exclude,a/3.png,,", &["does not exist"]);
    fails("exclude,a/2.png,,", &["another line"]);
    fails("exclude,a,,", &["is a folder"]);
    fails("delete,a/1.png,,", &["\"delete\" is no action"]);
    fs::write(root.join("plan.csv"), "move,a/1.png,b/3.png,\n").unwrap();
    refuses(&["check", "--fix", "plan.csv"], root, 1, &["no line \"folder\""]);
    refuses(&["check", "--fix", "missing.csv"], root, 1, &["missing.csv"]);
}

#[test]
fn what_cannot_be_checked_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    refuses(&["check"], root, 2, &["PHOTOS"]);
    refuses(&["check", "photos", "--fix", "plan.csv"], root, 2, &["--fix"]);
    refuses(&["check", "missing"], root, 1, &["missing does not exist"]);
    fs::create_dir(root.join("empty")).unwrap();
    refuses(&["check", "empty", "--pixels-only"], root, 1, &["empty", "sub-folder"]);
    assert!(!root.join("percept-check").exists());
    // One class has no labels to judge, but pixels.
    save(&tinted(0, 1), &root.join("one/a/1.png"));
    save(&tinted(0, 2), &root.join("one/a/2.png"));
    backbone(&root.join("net.onnx"));
    let found = json(&["check", "one", "--backbone", "net.onnx"], root);
    assert_eq!((&found["pictures"], &found["labels_judged"]), (&2.into(), &false.into()));
    // A table has labels that no move corrects.
    fs::write(root.join("table.csv"), "image,label\none/a/1.png,x\none/a/2.png,y\none/a/1.png,y\n").unwrap();
    let found = json(&["check", "table.csv", "--pixels-only", "--out", "of-table"], root);
    assert_eq!((&found["plan"], found["contradictions"].as_array().unwrap().len()), (&Value::Null, 1));
    assert!(!root.join("of-table/plan.csv").exists());
}
