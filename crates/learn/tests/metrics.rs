//! Metrics and calibration against scikit-learn and SciPy; `golden/metrics.py` wrote the values.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use percept_learn::calibrate::{nll, temperature};
use percept_learn::metrics::{Metrics, wilson};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    logits: Vec<f32>,
    probabilities: Vec<f32>,
    labels: Vec<usize>,
    metrics: Metrics,
    wilson: Vec<(usize, usize, [f64; 2])>,
    temperature: f64,
    nll_at: Vec<(f64, f64)>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/metrics.json")).unwrap()
}

fn near(name: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{name}: {found} instead of {expected}");
}

#[test]
fn every_figure_agrees_with_scikit_learn() {
    let golden = golden();
    let expected = golden.metrics;
    let found = Metrics::new(&golden.probabilities, expected.classes, &golden.labels).unwrap();
    assert_eq!((found.images, found.confusion), (expected.images, expected.confusion));
    near("accuracy", found.accuracy, expected.accuracy);
    near("low end", found.accuracy_ci95[0], expected.accuracy_ci95[0]);
    near("high end", found.accuracy_ci95[1], expected.accuracy_ci95[1]);
    near("top5", found.top5, expected.top5);
    near("f1_macro", found.f1_macro, expected.f1_macro);
    near("nll", found.nll, expected.nll);
    near("ece", found.ece, expected.ece);
    for (class, expected) in found.per_class.iter().zip(&expected.per_class) {
        assert_eq!(class.support, expected.support);
        near("precision", class.precision, expected.precision);
        near("recall", class.recall, expected.recall);
        near("f1", class.f1, expected.f1);
    }
    for (bin, expected) in found.reliability.iter().zip(&expected.reliability) {
        assert_eq!(bin.count, expected.count);
        near("confidence", bin.confidence, expected.confidence);
        near("accuracy of a bin", bin.accuracy, expected.accuracy);
    }
}

#[test]
fn intervals_agree_with_scipy() {
    for (successes, trials, [low, high]) in golden().wilson {
        let found = wilson(successes, trials).unwrap();
        near("low end", found[0], low);
        near("high end", found[1], high);
    }
    assert!(wilson(0, 0).is_err() && wilson(2, 1).is_err());
}

#[test]
fn the_temperature_is_where_scipy_finds_it() {
    let golden = golden();
    let classes = golden.metrics.classes;
    let found = temperature(&golden.logits, classes, &golden.labels).unwrap();
    assert!((found / golden.temperature - 1.0).abs() < 1e-5, "{found} instead of {}", golden.temperature);
    for (at, expected) in golden.nll_at {
        near("nll", nll(&golden.logits, classes, &golden.labels, at).unwrap(), expected);
    }
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    assert!(Metrics::new(&[], 2, &[]).is_err());
    assert!(Metrics::new(&[0.5, 0.5], 2, &[2]).is_err());
    assert!(Metrics::new(&[0.5, f32::NAN], 2, &[0]).is_err());
    assert!(Metrics::new(&[0.5], 2, &[0]).is_err());
}
