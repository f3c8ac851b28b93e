//! A run whose disk is full ends with one sentence that names the file, and goes on when there is room again.
//!
//! The disk is full as soon as a file is longer than a limit (`ulimit -f`, whose signal is ignored), which needs no privileges.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use common::{CONFIG, finished, interrupted, percept, photos};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

/// What `ulimit -f` counts in.
const BLOCK: u64 = 512;

/// The program on a disk that takes files of so many bytes, rounded down to blocks.
fn limited(folder: &Path, bytes: u64, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", &(bytes / BLOCK).to_string()])
        .arg(env!("CARGO_BIN_EXE_percept"))
        .args(arguments)
        .args(["--threads", "2", "--quiet"])
        .env("PERCEPT_CACHE", folder.join("cache"))
        .current_dir(folder);
    command
}

/// The file of an unfinished run that could not be written, according to the only sentence that was said.
#[track_caller]
fn unwritten(output: &Output, part: &Path) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let file = said.strip_prefix("error: cannot write run.part/").unwrap_or_else(|| unreachable!("{said}"));
    let (file, reason) = file.split_once(": ").unwrap();
    assert!(reason.starts_with("File too large (os error 27)"), "{said}");
    assert_eq!(part.is_dir(), reason.contains("then go on with `percept train --resume run`"), "{said}");
    let left = fs::read_dir(part).into_iter().flatten().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.as_encoded_bytes().starts_with(b".")), "a temporary file stays");
    file.into()
}

#[test]
fn a_run_on_a_full_disk_names_the_file_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    photos(root);
    fs::write(root.join("plan.toml"), CONFIG).unwrap();
    finished(percept(root, 2, &["train", "--config", "plan.toml", "--out", "whole"]));
    let expected = fs::read(root.join("whole/model.onnx")).unwrap();
    let model = expected.len() as u64;

    let begin = ["train", "--config", "plan.toml", "--out", "run"];
    let resume = ["train", "--resume", "run"];
    let (out, part, checkpoint) = (root.join("run"), root.join("run.part"), root.join("run.part/stage-1.safetensors"));
    let with_limit = |bytes: u64, arguments: &[&str]| limited(root, bytes, arguments).output().unwrap();
    let mut unwritten_files = Vec::new();
    for bytes in [0, BLOCK, 16 * BLOCK, model, 3 * model] {
        let arguments = if part.is_dir() { &resume[..] } else { &begin };
        unwritten_files.push(unwritten(&with_limit(bytes, arguments), &part));
    }
    assert_eq!(unwritten_files[0], "data.sha256");
    assert_eq!(unwritten_files[1], "config.toml");
    assert!(unwritten_files[2..].iter().all(|file| file == "stage-1.safetensors"), "{unwritten_files:?}");

    // A checkpoint grows with the list of epochs, so each of these disks is full a few epochs later.
    interrupted(root, &resume, "Epoch 2 of", "-TERM");
    fs::create_dir(&out).unwrap();
    let mut times = 0;
    loop {
        let kept = fs::read(&checkpoint).unwrap();
        let output = with_limit(kept.len() as u64 + 2 * BLOCK, &resume);
        if String::from_utf8_lossy(&output.stderr).contains("run exists already") {
            break;
        }
        assert_eq!(unwritten(&output, &part), "stage-1.safetensors");
        assert!(fs::read(&checkpoint).unwrap().len() > kept.len(), "nothing was gained");
        times += 1;
    }
    assert!(times > 0);

    // All is trained, and only the folder in the way kept it from being finished.
    let mut late = Vec::new();
    for bytes in [0, 4 * BLOCK, 16 * BLOCK, model - BLOCK] {
        late.push(unwritten(&with_limit(bytes, &resume), &part));
    }
    assert_eq!([&*late[0], &late[3]], ["curves.json", "model.onnx"], "{late:?}");
    fs::remove_dir(&out).unwrap();
    finished(percept(root, 1, &resume));
    assert!(fs::read(out.join("model.onnx")).unwrap() == expected, "the models differ");
    assert_eq!(fs::read_dir(&out).unwrap().count(), fs::read_dir(root.join("whole")).unwrap().count());
}

#[test]
fn a_program_that_cannot_say_anything_ends_with_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    photos(root);
    let log = || File::create(root.join("log")).unwrap();
    for (arguments, code) in [(&["train", "missing"][..], 1), (&["backbone", "list"], 0)] {
        let status = limited(root, 0, arguments).stderr(log()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let listing = limited(root, 0, &["backbone", "list", "--format", "json"]).stdout(full()).output().unwrap();
    let said = String::from_utf8_lossy(&listing.stderr);
    assert!(said.starts_with("error: cannot write to standard output: No space left"), "{said}");
    let sheet = ["augment", "photos", "--views", "2", "--size", "32", "--preview", "sheet.png"];
    let output = limited(root, BLOCK, &sheet).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("error: cannot write sheet.png: File too large"), "{said}");
    let more = ["augment", "photos", "--views", "2", "--size", "64", "--out", "more"];
    let output = limited(root, BLOCK, &more).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("File too large"));
    assert_eq!(fs::read_dir(root).unwrap().count(), 2, "photos and log");
}
