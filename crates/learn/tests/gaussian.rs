//! Class means and their shared covariance against numpy; `golden/gaussian.py` wrote the values.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use percept_engine::Settings;
use percept_learn::features::Matrix;
use percept_learn::gaussian::Gaussians;
use percept_learn::logistic::Samples;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    width: usize,
    classes: usize,
    features: Vec<f32>,
    labels: Vec<usize>,
    apart: Vec<f64>,
}

/// `vector · matrix`, whose rows are as long as the vector.
fn times(vector: &[f64], matrix: &[f64]) -> Vec<f64> {
    let columns = matrix.len() / vector.len();
    (0..columns).map(|j| vector.iter().enumerate().map(|(i, x)| x * matrix[i * columns + j]).sum()).collect()
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-3 * (1.0 + expected), "{found}, numpy says {expected}");
}

#[test]
fn distances_agree_with_numpy() {
    let golden: Golden = serde_json::from_str(include_str!("golden/gaussian.json")).unwrap();
    let (width, classes) = (golden.width, golden.classes);
    let features = Matrix::new(golden.features.clone(), width).unwrap();
    let samples = Samples { features: &features, labels: &golden.labels, weights: None };
    let found = Gaussians::fit(&Settings::detect().unwrap(), &samples, classes).unwrap();
    // The discriminants have fewer dimensions, and the means in them are as far apart.
    let space = found.discriminants();
    assert_eq!(space.dims, classes - 1);
    for (i, expected) in golden.apart.iter().enumerate() {
        let [a, b] = [i / classes, i % classes].map(|class| &space.means[class * space.dims..][..space.dims]);
        near(a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum(), *expected);
    }
    // What a class mean is projected to is where it is said to lie.
    for class in 0..classes {
        let mean = &found.means[class * width..][..width];
        let from_centre: Vec<f64> = mean.iter().zip(&found.centre).map(|(mean, centre)| mean - centre).collect();
        let place = times(&from_centre, &space.projection);
        place.iter().zip(&space.means[class * space.dims..]).for_each(|(x, y)| assert!((x - y).abs() < 1e-6));
    }
}

#[test]
fn a_class_without_rows_and_rows_without_differences_are_refused() {
    let settings = Settings::detect().unwrap();
    let features = Matrix::new(vec![1.0; 12], 3).unwrap();
    let samples = Samples { features: &features, labels: &[0, 0, 1, 1], weights: None };
    assert!(Gaussians::fit(&settings, &samples, 2).is_err());
    assert!(Gaussians::fit(&settings, &samples, 3).is_err());
}
