//! A small training for tests of the whole program: its photos, its plan, and how it is run.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub)] // Each test takes what it needs.

use image::{Rgb, RgbImage};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// Two stages that differ in all that a checkpoint holds.
pub const CONFIG: &str = r#"
photos = "photos"
backbone = "efficientnet-lite0"
network = "lenet"
seed = 3
validation = 0.25
refit = true

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
mixup = 0.2
learning_rate = 2e-3
lowest_rate = 1.0
schedule = { warm_up = { share = 0.1, then = "cosine" } }
weight_decay = 1e-4
label_smoothing = 0.0
averaging = 0.0
patience = 0
batch_norm = { statistics = "batch", momentum = 0.9 }
optimizer = { name = "sgd", momentum = 0.9, nesterov = true }
"#;

/// Begins the program in a folder.
pub fn percept(folder: &Path, threads: usize, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_percept"))
        .args(arguments)
        .args(["--threads", &threads.to_string(), "--quiet"])
        .env("PERCEPT_CACHE", folder.join("cache"))
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for a run that must succeed.
pub fn finished(child: Child) -> ExitStatus {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.status
}

/// Draws small photos of three classes.
pub fn photos(folder: &Path) {
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

/// Runs the program until a line of what it says contains `words`, sends it a signal, and gives back what it said after.
pub fn interrupted(folder: &Path, arguments: &[&str], words: &str, signal: &str) -> (ExitStatus, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_percept"))
        .args(arguments)
        .env("PERCEPT_CACHE", folder.join("cache"))
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended without {words:?}");
    }
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    (child.wait().unwrap(), rest)
}
