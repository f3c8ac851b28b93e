//! A run that is killed at any moment goes on, and ends with the bits of a run that was left alone.
//!
//! `PERCEPT_KILLS` sets how many runs are killed (12 unless told); a hundred were, when this was written.

#![allow(clippy::unwrap_used)]

mod common;

use common::{CONFIG, finished, percept, photos};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// A number that looks random, the same in every run of the test.
fn draw(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 11) as f64 / (1u64 << 53) as f64
}

#[test]
fn a_run_killed_at_any_moment_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    photos(root);
    fs::write(root.join("plan.toml"), CONFIG).unwrap();
    let start = Instant::now();
    finished(percept(root, 2, &["train", "--config", "plan.toml", "--out", "whole"]));
    let took = start.elapsed().as_secs_f64();
    let expected = fs::read(root.join("whole/model.onnx")).unwrap();

    let kills: usize = std::env::var("PERCEPT_KILLS").map_or(12, |text| text.parse().unwrap());
    let (mut killed, mut seed, mut runs) = (0, 1, 0);
    while killed < kills {
        let out = format!("run{runs}");
        let mut arguments = vec!["train", "--config", "plan.toml", "--out", &out];
        loop {
            let mut child = percept(root, 1 + runs % 3, &arguments);
            std::thread::sleep(Duration::from_secs_f64(took * draw(&mut seed)));
            if killed < kills && child.try_wait().unwrap().is_none() {
                let signal = ["-KILL", "-INT", "-TERM"][killed % 3];
                let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
                killed += usize::from(sent.success());
            }
            if child.wait_with_output().unwrap().status.success() {
                break;
            }
            if root.join(format!("{out}.part/config.toml")).is_file() {
                arguments = vec!["train", "--resume", &out];
            } else if root.join(&out).is_dir() {
                break;
            }
        }
        assert!(
            fs::read(root.join(&out).join("model.onnx")).unwrap() == expected,
            "the models differ after {killed} kills"
        );
        let left: Vec<_> = fs::read_dir(root.join(&out)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), fs::read_dir(root.join("whole")).unwrap().count(), "{left:?}");
        runs += 1;
    }
}

#[test]
fn an_unfinished_run_is_neither_replaced_nor_confused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    photos(root);
    fs::create_dir(root.join("run.part")).unwrap();
    fs::write(root.join("run.part/config.toml"), CONFIG).unwrap();
    fs::write(root.join("run.part/data.sha256"), "other").unwrap();
    for (arguments, words) in [
        (["train", "photos"], "go on with `percept train --resume run`"),
        (["train", "--resume=run"], "the photos have changed since run began"),
        (["train", "--resume=run.part/"], "the photos have changed since run began"),
        (["train", "--resume=other"], "there is no unfinished run other"),
    ] {
        let output = percept(root, 1, &arguments).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{words:?} in {said}");
    }
    assert_eq!(fs::read_to_string(root.join("run.part/config.toml")).unwrap(), CONFIG);
}
