//! A run that is killed at any moment goes on, and ends with the bits of a run that was left alone.
//!
//! `PERCEPT_KILLS` sets how many runs are killed (12 unless told); a hundred were, when this was written.

#![allow(clippy::unwrap_used)]

use image::{Rgb, RgbImage};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const CONFIG: &str = r#"
photos = "photos"
backbone = "efficientnet-lite0"
network = "lenet"
seed = 3
validation = 0.25

[augment]
size = 28
flip = false
area = [0.75, 1.0]
aspect = 1.15
rotation = 10.0
perspective = 0.03
brightness = 0.25
contrast = 0.2
saturation = 0.2
white_balance = 0.08
defocus = { probability = 0.0, range = [0.7, 2.0] }
motion = { probability = 0.0, range = [2.0, 6.0] }
noise = { probability = 0.0, range = [3.0, 12.0] }
jpeg = { probability = 0.0, range = [30.0, 80.0] }
occlusion = { probability = 0.0, range = [0.02, 0.12] }

[[stages]]
epochs = 30
batch = 16
learning_rate = 1e-3
lowest_rate = 0.5
schedule = "one_cycle"
weight_decay = 1e-2
label_smoothing = 0.1
averaging = 0.9
patience = 12
batch_norm = { statistics = "frozen" }
optimizer = { name = "adamw", beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 }

[[stages]]
epochs = 12
batch = 8
learning_rate = 1e-2
lowest_rate = 1.0
schedule = { cosine = { warm_up = 0.1 } }
weight_decay = 1e-4
label_smoothing = 0.0
averaging = 0.0
patience = 0
batch_norm = { statistics = "batch", momentum = 0.9 }
optimizer = { name = "sgd", momentum = 0.9, nesterov = true }
"#;

fn percept(folder: &Path, threads: usize, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_percept"))
        .args(arguments)
        .args(["--threads", &threads.to_string(), "--quiet"])
        .env("PERCEPT_CACHE", folder.join("cache"))
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finished(child: Child) -> ExitStatus {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.status
}

fn photos(folder: &Path) {
    for (class, scale) in ["dots", "bars", "ramp"].iter().zip([1u32, 2, 3]) {
        let root = folder.join("photos").join(class);
        fs::create_dir_all(&root).unwrap();
        for i in 0..40u32 {
            let value = |x: u32, y: u32| match scale {
                1 => (x / 3 + y / 3 + i) % 2 * 200,
                2 => (x + i) / 4 % 2 * 220,
                _ => (x * 5 + y + i * 3) % 256,
            };
            let pixel = |x, y| Rgb([value(x, y) as u8, (i * 6) as u8, (value(x, y) / 2) as u8]);
            RgbImage::from_fn(28, 28, pixel).save(root.join(format!("{i}.png"))).unwrap();
        }
    }
}

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
            } else {
                // Nothing was begun, or nothing is worth going on from.
                let _ = fs::remove_dir_all(root.join(format!("{out}.part")));
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
    fs::write(root.join("run.part/photos.sha256"), "other").unwrap();
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
