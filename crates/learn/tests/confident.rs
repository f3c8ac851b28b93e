//! Probable wrong labels against cleanlab, by the authors of confident learning; `golden/confident.py` wrote the values.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use percept_learn::confident::suspects;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    classes: usize,
    labels: Vec<usize>,
    probabilities: Vec<f32>,
    suspects: Vec<usize>,
}

#[test]
fn suspects_and_their_order_are_those_of_cleanlab() {
    let golden: Golden = serde_json::from_str(include_str!("golden/confident.json")).unwrap();
    let found = suspects(&golden.probabilities, golden.classes, &golden.labels).unwrap();
    let confident = found.iter().filter(|suspect| suspect.confident);
    assert_eq!(confident.map(|suspect| suspect.row).collect::<Vec<_>>(), golden.suspects);
    assert!(found.len() > golden.suspects.len(), "improbable labels are suspects too");
    for suspect in &found {
        let probability = golden.probabilities[suspect.row * golden.classes + golden.labels[suspect.row]];
        assert!(suspect.suggested != golden.labels[suspect.row] && suspect.score == 1.0 - probability);
        assert!(suspect.confident || probability < 0.1);
    }
}

#[test]
fn a_class_without_a_row_is_not_confidently_suggested_and_bad_input_is_refused() {
    // Class 2 is probable, but nothing says how probable it is where it is right.
    let probabilities = [0.6, 0.1, 0.3, 0.2, 0.2, 0.6, 0.2, 0.7, 0.1];
    let found = suspects(&probabilities, 3, &[0, 0, 1]).unwrap();
    assert!(found.is_empty(), "{found:?}");
    assert!(suspects(&[], 3, &[]).is_err());
    assert!(suspects(&[0.5, 0.5], 2, &[2]).is_err());
    assert!(suspects(&[0.5, f32::NAN], 2, &[0]).is_err());
}
