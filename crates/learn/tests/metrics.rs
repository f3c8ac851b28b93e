//! Metrics and calibration against scikit-learn and SciPy; `golden/metrics.py` wrote the values.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use percept_learn::calibrate::{debiased, nll, temperature};
use percept_learn::metrics::{ConfusionMatrix, MeanLoss, Metrics, Perplexity, TopK, auc, wilson};
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

#[test]
fn batch_by_batch_is_as_all_at_once() {
    let golden = golden();
    let classes = golden.metrics.classes;
    let (mut accuracy, mut top5, mut matrix) = (TopK::accuracy(), TopK::new(5), ConfusionMatrix::new(classes));
    let (mut loss, mut perplexity) = (MeanLoss::default(), Perplexity::default());
    assert!(accuracy.compute().is_none() && loss.compute().is_none() && perplexity.compute().is_none());
    // The last batch is shorter.
    for (scores, labels) in golden.probabilities.chunks(50 * classes).zip(golden.labels.chunks(50)) {
        accuracy.update(scores, classes, labels).unwrap();
        top5.update(scores, classes, labels).unwrap();
        matrix.update(scores, labels).unwrap();
        let nll = labels.iter().enumerate().map(|(i, &label)| -scores[i * classes + label].max(f32::EPSILON).ln());
        let mean = nll.sum::<f32>() / labels.len() as f32;
        loss.update(mean, labels.len());
        perplexity.update(mean, labels.len());
    }
    // All labels of a batch may be ignored.
    loss.update(f32::NAN, 0);
    near("accuracy", accuracy.compute().unwrap(), golden.metrics.accuracy);
    near("top 5", top5.compute().unwrap(), golden.metrics.top5);
    near("loss", loss.compute().unwrap(), golden.metrics.nll);
    near("perplexity", perplexity.compute().unwrap().ln(), golden.metrics.nll);
    assert_eq!(matrix.compute(), golden.metrics.confusion);
    let before = (accuracy, matrix.clone());
    assert!(accuracy.update(&[0.5, 0.5], 2, &[2]).is_err());
    assert!(accuracy.update(&[0.5], 2, &[0]).is_err());
    assert!(matrix.update(&[f32::NAN; 7], &[0]).is_err());
    assert_eq!((accuracy, matrix), before);
}

#[test]
fn the_area_under_the_curve_is_the_share_of_pairs_in_order() {
    let score = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 28);
    let (higher, lower): (Vec<f64>, Vec<f64>) =
        ((0..70).map(|i| score(i) + 3.0).collect(), (70..150).map(score).collect());
    let pairs = higher.iter().flat_map(|a| lower.iter().map(move |b| (a, b)));
    let wins: f64 = pairs
        .map(|(a, b)| {
            if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            }
        })
        .sum();
    let is_higher: Vec<bool> = (0..150).map(|i| i < 70).collect();
    let found = auc(&[&higher[..], &lower].concat(), &is_higher).unwrap();
    near("auc", found.auc, wins / (70.0 * 80.0));
    assert!(auc(&higher, &is_higher[..70]).is_err());
}

#[test]
fn the_debiased_error_of_a_calibrated_model_is_small_where_the_plain_one_is_not() {
    // Drawn so that they are right as often as they say, from a generator of Knuth's.
    let mut state = 1u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 24) as f64
    };
    let mut squares = [0.0; 2];
    for _ in 0..50 {
        let mut one = |_| {
            let p = draw() / 2.0 + 0.5;
            (p, draw() < p)
        };
        let calibrated: Vec<(f64, bool)> = (0..150).map(&mut one).collect();
        squares[0] += debiased(&calibrated).powi(2) / 50.0;
        let sure: Vec<(f64, bool)> = calibrated.iter().map(|&(p, right)| (p.min(0.7) + 0.3, right)).collect();
        squares[1] += debiased(&sure).powi(2) / 50.0;
    }
    // Ten predictions a bin would give a plain error of about the root of 0.19 / 10.
    assert!(squares[0].sqrt() < 0.08 && squares[1].sqrt() > 0.15, "{squares:?}");
    assert!(debiased(&[(0.5, true); 29]).is_nan());
}
