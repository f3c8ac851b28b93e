//! The classifier on features against its definition, and bad input.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use percept_engine::Settings;
use percept_learn::features::{FeatureFile, FeatureWriter, Features, Matrix};
use percept_learn::logistic::{Options, Samples, fit, further, path, select};
use serde::Deserialize;
use std::ops::ControlFlow;

#[derive(Deserialize)]
struct Golden {
    width: usize,
    classes: usize,
    c: f64,
    features: Vec<f32>,
    labels: Vec<usize>,
    probabilities: Vec<f64>,
}

fn go_on(_: &percept_learn::logistic::Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn softmax(row: &[f32]) -> Vec<f64> {
    let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
    row.iter().map(|&x| f64::from(x).exp() / sum).collect()
}

#[test]
fn probabilities_agree_with_scikit_learn() {
    let golden: Golden = serde_json::from_str(include_str!("golden/logistic.json")).unwrap();
    let settings = Settings::detect().unwrap();
    let features = Matrix::new(golden.features, golden.width).unwrap();
    let samples = Samples { features: &features, labels: &golden.labels, weights: None };
    let options = Options { c: golden.c, max_iterations: 500, tolerance: 1e-7 };
    let fit = fit(&settings, &samples, golden.classes, &options, None, &mut go_on).unwrap();
    let logits = fit.weights.logits(&settings, &features).unwrap();
    let found: Vec<f64> = logits.chunks_exact(golden.classes).flat_map(softmax).collect();
    for (x, y) in found.iter().zip(&golden.probabilities) {
        assert!((x - y).abs() < 1e-4, "{x}, scikit-learn says {y}");
    }
}

fn blobs(rows: usize, width: usize) -> (Matrix, Vec<usize>) {
    let value = |i: usize, j: usize| {
        ((i * 7919 + j * 104_729) % 1000) as f32 / 500.0 - 1.0 + if i % 3 == j % 3 { 0.8 } else { 0.0 }
    };
    let features = (0..rows).flat_map(|i| (0..width).map(move |j| value(i, j))).collect();
    (Matrix::new(features, width).unwrap(), (0..rows).map(|i| i % 3).collect())
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let (features, labels) = blobs(1500, 20);
    let samples = Samples { features: &features, labels: &labels, weights: None };
    let run = |threads| {
        let settings = Settings::detect().unwrap().with_threads(threads).unwrap();
        fit(&settings, &samples, 3, &Options::default(), None, &mut go_on).unwrap().weights
    };
    let one = run(1);
    assert!(run(2) == one && run(3) == one);
}

#[test]
fn the_penalty_is_chosen_on_validation_rows_and_the_search_can_be_repeated() {
    let settings = Settings::detect().unwrap();
    let ((train, train_labels), (check, check_labels)) = (blobs(90, 30), blobs(240, 30));
    let train = Samples { features: &train, labels: &train_labels, weights: None };
    let check = Samples { features: &check, labels: &check_labels, weights: None };
    let found = select(&settings, &train, &check, 3, &path(), &mut go_on).unwrap();
    let best = found.trials.iter().map(|t| t.nll).fold(f64::INFINITY, f64::min);
    assert_eq!(found.trials[found.best].nll, best);
    let again: Vec<Options> = found.trials.iter().map(|t| t.options).collect();
    let repeated = select(&settings, &train, &check, 3, &again, &mut go_on).unwrap();
    assert_eq!((repeated.weights, repeated.best), (found.weights, found.best));
}

#[test]
fn separable_rows_do_not_diverge_and_a_missing_class_is_never_the_answer() {
    let settings = Settings::detect().unwrap();
    let features = Matrix::new(vec![-1.0, -2.0, 1.0, 2.0], 1).unwrap();
    let samples = Samples { features: &features, labels: &[0, 0, 2, 2], weights: None };
    let options = Options { c: 1e6, ..Options::default() };
    let weights = fit(&settings, &samples, 3, &options, None, &mut go_on).unwrap().weights;
    let logits = weights.logits(&settings, &features).unwrap();
    assert!(logits.iter().all(|x| x.is_finite()));
    assert!(logits.chunks(3).all(|row| row[1] < row[0].max(row[2])));
}

#[test]
fn bad_rows_are_named() {
    let settings = Settings::detect().unwrap();
    let nan = Matrix::new(vec![0.0, f32::NAN], 1).unwrap();
    let good = Matrix::new(vec![0.0, 1.0], 1).unwrap();
    let cases: [(&Matrix, &[usize], &str); 3] =
        [(&nan, &[0, 1], "row 1"), (&good, &[0, 2], "row 1 has label 2"), (&good, &[0], "labels: 1 instead of 2")];
    for (features, labels, expected) in cases {
        let samples = Samples { features, labels, weights: None };
        let error = fit(&settings, &samples, 2, &Options::default(), None, &mut go_on).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn features_come_back_from_disk_and_other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features");
    let mut writer = FeatureWriter::create(&path, "key", 2).unwrap();
    writer.append(&[1.0, -2.5]).unwrap();
    writer.append(&[0.0, 65504.0, 3.0, 4.0]).unwrap();
    assert!(!path.exists(), "the file has its name before it is whole");
    writer.finish().unwrap();
    let file = FeatureFile::open(&path, "key").unwrap();
    let mut rows = [0.0; 4];
    file.read(1, &mut rows).unwrap();
    assert_eq!((file.rows(), file.width(), rows), (3, 2, [0.0, 65504.0, 3.0, 4.0]));
    assert!(FeatureFile::open(&path, "other").err().unwrap().to_string().contains("not of \"other\""));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(FeatureFile::open(&path, "key").is_err());
    let mut writer = FeatureWriter::create(&path, "key", 1).unwrap();
    assert!(writer.append(&[1e9]).is_err() || writer.finish().is_err());
}

#[test]
fn a_further_class_is_a_regression_with_offsets() {
    let settings = Settings::detect().unwrap();
    // At the minimum the residuals of a weighted regression with a free intercept add up to nothing.
    let (features, classes) = blobs(600, 9);
    let labels: Vec<usize> = classes.iter().map(|&class| usize::from(class == 2)).collect();
    let weights: Vec<f32> = labels.iter().map(|&label| if label == 1 { 0.25 } else { 1.0 }).collect();
    let offsets: Vec<f64> = (0..600).map(|i| f64::from(i % 5) / 2.0).collect();
    let samples = Samples { features: &features, labels: &labels, weights: Some(&weights) };
    let options = Options { c: 10.0, max_iterations: 300, tolerance: 1e-9 };
    let found = further(&settings, &samples, &offsets, &options).unwrap();
    let logits = found.logits(&settings, &features).unwrap();
    let residual = |i: usize| {
        let p = 1.0 / (1.0 + (offsets[i] - f64::from(logits[i])).exp());
        f64::from(weights[i]) * (p - labels[i] as f64)
    };
    assert!((0..600).map(residual).sum::<f64>().abs() < 1e-2);
    let right = (0..600).filter(|&i| (f64::from(logits[i]) > offsets[i]) == (labels[i] == 1)).count();
    assert!(right > 450, "{right} of 600");
    assert!(further(&settings, &samples, &offsets[1..], &options).is_err());
}
