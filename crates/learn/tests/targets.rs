//! AUC, regression figures and ridge regression against scikit-learn and slow formulas; `golden/targets.py` wrote the values.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use percept_engine::Settings;
use percept_learn::features::Matrix;
use percept_learn::logistic::Options;
use percept_learn::metrics::{Auc, Binary, Regression, auc, roc};
use percept_learn::ridge::{self, Samples};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    delong: Vec<DeLong>,
    binary: Figures,
    regression: Numbers,
    features: Vec<f32>,
    values: Vec<f32>,
    weights: Vec<f32>,
    ridge: Vec<Ridge>,
}

#[derive(Deserialize)]
struct DeLong {
    scores: Vec<f64>,
    positive: Vec<bool>,
    #[serde(flatten)]
    expected: Auc,
}

#[derive(Deserialize)]
struct Figures {
    probabilities: Vec<f64>,
    accuracy: f64,
    sensitivity: f64,
    specificity: f64,
    brier: f64,
    ece: f64,
}

#[derive(Deserialize)]
struct Numbers {
    predicted: Vec<f64>,
    truth: Vec<f64>,
    metrics: Regression,
}

#[derive(Deserialize)]
struct Ridge {
    c: f64,
    coefficients: Vec<f64>,
    intercept: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/targets.json")).unwrap()
}

fn near(name: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{name}: {found} instead of {expected}");
}

#[test]
fn areas_and_their_intervals_agree_with_all_pairs() {
    let golden = golden();
    for DeLong { scores, positive, expected } in &golden.delong {
        let found = auc(scores, positive).unwrap();
        near("auc", found.auc, expected.auc);
        near("auc_se", found.auc_se, expected.auc_se);
        near("low end", found.auc_ci95[0], expected.auc_ci95[0]);
        near("high end", found.auc_ci95[1], expected.auc_ci95[1]);
        // The area under the corners is the same.
        let curve = roc(scores, positive);
        let area: f64 = curve.windows(2).map(|w| (w[1][0] - w[0][0]) * (w[0][1] + w[1][1]) / 2.0).sum();
        near("area under the curve", area, expected.auc);
    }
    // What Stata's roctab prints for the ratings of Hanley and McNeil.
    let hanley = &golden.delong[2];
    let found = auc(&hanley.scores, &hanley.positive).unwrap();
    assert!((found.auc - 0.8932).abs() < 5e-5 && (found.auc_se - 0.0307).abs() < 5e-5, "{found:?}");
}

#[test]
fn areas_without_a_variance_have_an_interval_all_the_same() {
    let apart = auc(&[0.1, 0.2, 0.8, 0.9, 0.95], &[false, false, true, true, true]).unwrap();
    assert_eq!((apart.auc, apart.auc_ci95[1]), (1.0, 1.0));
    assert!((apart.auc_ci95[0] - 0.3424).abs() < 1e-3, "{apart:?}");
    let single = auc(&[0.5, 0.2, 0.8], &[true, false, false]).unwrap();
    assert!(single.auc_ci95[0] < 0.3 && single.auc_ci95[1] > 0.7, "{single:?}");
    let tied = auc(&[0.5; 4], &[true, false, true, false]).unwrap();
    assert_eq!(tied.auc, 0.5);
    assert!(
        auc(&[0.5], &[true]).is_err() && auc(&[f64::NAN, 0.0], &[true, false]).is_err() && auc(&[0.5], &[]).is_err()
    );
}

#[test]
fn figures_of_yes_and_no_agree_with_scikit_learn() {
    let golden = golden();
    let (expected, positive) = (&golden.binary, &golden.delong[0].positive);
    let found = Binary::new(&expected.probabilities, positive).unwrap();
    near("accuracy", found.accuracy, expected.accuracy);
    near("sensitivity", found.sensitivity, expected.sensitivity);
    near("specificity", found.specificity, expected.specificity);
    near("brier", found.brier, expected.brier);
    near("ece", found.ece, expected.ece);
    let one_kind = Binary::new(&[0.2, 0.9], &[true, true]).unwrap();
    assert!(one_kind.auc.is_none() && one_kind.sensitivity == 0.5);
    assert!(Binary::new(&[], &[]).is_err());
    let json: serde_json::Value = serde_json::to_value(&found).unwrap();
    assert!(json["auc"].is_number() && json["auc_ci95"].is_array(), "{json}");
}

#[test]
fn figures_of_numbers_agree_with_scikit_learn() {
    let Numbers { predicted, truth, metrics: expected } = golden().regression;
    let found = Regression::new(&predicted, &truth).unwrap();
    assert_eq!(found.images, expected.images);
    for (name, found, expected) in [
        ("r2", found.r2, expected.r2),
        ("r2 low", found.r2_ci95[0], expected.r2_ci95[0]),
        ("r2 high", found.r2_ci95[1], expected.r2_ci95[1]),
        ("mae", found.mae, expected.mae),
        ("mae low", found.mae_ci95[0], expected.mae_ci95[0]),
        ("mae high", found.mae_ci95[1], expected.mae_ci95[1]),
        ("rmse", found.rmse, expected.rmse),
        ("bias", found.bias, expected.bias),
        ("correlation", found.correlation, expected.correlation),
    ] {
        near(name, found, expected);
    }
    let flat = Regression::new(&[1.0, 2.0], &[3.0, 3.0]).unwrap();
    assert!(flat.r2.is_nan() && flat.mae == 1.5);
    assert!(Regression::new(&[], &[]).is_err() && Regression::new(&[f64::NAN], &[1.0]).is_err());
}

#[test]
fn ridge_regression_agrees_with_scikit_learn() {
    let golden = golden();
    let settings = Settings::detect().unwrap();
    let features = Matrix::new(golden.features.clone(), 6).unwrap();
    let samples = Samples { features: &features, values: &golden.values, weights: Some(&golden.weights) };
    for Ridge { c, coefficients, intercept } in &golden.ridge {
        let options = Options { c: *c, tolerance: 1e-7, ..Options::default() };
        let found = ridge::fit(&settings, &samples, &options).unwrap();
        for (found, expected) in found.coefficients.iter().zip(coefficients) {
            assert!((f64::from(*found) - expected).abs() < 1e-4, "C = {c}: {found} instead of {expected}");
        }
        assert!((f64::from(found.intercept[0]) - intercept).abs() < 1e-3);
    }
}

#[test]
fn the_penalty_is_chosen_on_rows_that_were_held_out() {
    let golden = golden();
    let settings = Settings::detect().unwrap();
    let [train, check] = [0..40, 40..80].map(|rows: std::ops::Range<usize>| {
        let features = Matrix::new(golden.features[6 * rows.start..6 * rows.end].to_vec(), 6).unwrap();
        (features, golden.values[rows].to_vec())
    });
    let samples = |part: &'static str| {
        let (features, values) = if part == "train" { &train } else { &check };
        (features, values)
    };
    let of = |part| Samples { features: samples(part).0, values: samples(part).1, weights: None };
    let path = ridge::path();
    let found = ridge::select(&settings, &of("train"), &of("check"), &path).unwrap();
    let mse = |options: &Options| {
        let weights = ridge::fit(&settings, &of("train"), options).unwrap();
        let predicted = weights.logits(&settings, &check.0).unwrap();
        predicted.iter().zip(&check.1).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / 40.0
    };
    let best = path.iter().map(mse).fold(f64::INFINITY, f64::min);
    assert!((found.mse - best).abs() < 1e-3 * best, "{} instead of {best}", found.mse);
    assert!(ridge::select(&settings, &of("train"), &of("check"), &[]).is_err());
    assert!(ridge::fit(&settings, &Samples { values: &[1.0], ..of("train") }, &path[0]).is_err());
}
