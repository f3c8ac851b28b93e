//! A training that is interrupted says how to go on, and dies of the signal.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt;

#[test]
fn an_interrupted_run_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    common::photos(root);
    fs::write(root.join("plan.toml"), common::CONFIG).unwrap();
    let runs: [(&[&str], &str, &str, i32); 4] = [
        (&["train", "--config", "plan.toml", "--out", "run"], "Epoch 1 of 30", "-INT", 2),
        (&["train", "--resume", "run"], "Epoch ", "-TERM", 15),
        (&["train", "--resume", "run.part/"], "Epoch ", "-INT", 2),
        (&["train", "--config", "plan.toml", "--out", "deep/er"], "Epoch 1 of 30", "-TERM", 15),
    ];
    for (arguments, words, signal, number) in runs {
        let (status, said) = common::interrupted(root, arguments, words, signal);
        let run = if arguments.len() == 3 { "run" } else { arguments[4] };
        let expected = format!("interrupted: go on with `percept train --resume {run}`");
        assert_eq!(said.lines().last(), Some(&*expected), "{said}");
        assert_eq!(status.signal(), Some(number));
    }
}
