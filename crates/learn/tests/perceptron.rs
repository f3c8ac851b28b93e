//! The perceptron: Novikoff's bound on its mistakes, and what it cannot learn.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use percept_engine::Settings;
use percept_learn::features::Matrix;
use percept_learn::perceptron::{Perceptron, fit};
use proptest::prelude::*;

/// With the input that is always 1.
fn extended(row: &[f64]) -> Vec<f64> {
    [row, &[1.0]].concat()
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn length(a: &[f64]) -> f64 {
    product(a, a).sqrt()
}

/// Numbers that f32 holds, so that rows are the same on both sides.
fn numbers(count: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-64i32..=64).prop_map(|x| f64::from(x) / 16.0), count)
}

/// Rows and their labels by the units that tell them apart, each row with a margin; what the margin is, and how long rows are at most.
struct Apart {
    rows: Vec<Vec<f64>>,
    labels: Vec<usize>,
    margin: f64,
    radius: f64,
}

/// The rows that `units` tell apart by at least `least`. One unit decides by its sign; of several the highest sum decides, and the margin is that of
/// Kesler's construction: the lead over any other, by the length of all weights together.
fn apart(units: &[Vec<f64>], rows: Vec<Vec<f64>>, least: f64) -> Option<Apart> {
    let size = length(&units.concat());
    let lead = |row: &[f64]| {
        let mut sums: Vec<_> = units.iter().map(|unit| product(unit, &extended(row))).enumerate().collect();
        if let [(_, sum)] = sums[..] {
            return (usize::from(sum > 0.0), sum.abs() / size);
        }
        sums.sort_by(|a, b| b.1.total_cmp(&a.1));
        (sums[0].0, (sums[0].1 - sums[1].1) / size)
    };
    let rows: Vec<_> = rows.into_iter().filter(|row| lead(row).1 >= least).collect();
    let (labels, leads): (Vec<_>, Vec<_>) = rows.iter().map(|row| lead(row)).unzip();
    let margin = leads.into_iter().reduce(f64::min)?;
    let radius = rows.iter().map(|row| length(&extended(row))).fold(0.0, f64::max);
    Some(Apart { rows, labels, margin, radius })
}

fn matrix(rows: &[Vec<f64>]) -> Matrix {
    Matrix::new(rows.iter().flatten().map(|&x| x as f32).collect(), rows[0].len()).unwrap()
}

proptest! {
    /// A mistake adds a row, or for several classes a row twice (once added, once taken away), to weights that lie ever more in the
    /// direction of those that tell the rows apart.
    #[test]
    fn mistakes_end_and_are_no_more_than_novikoff_says(
        (classes, units, rows) in (2usize..5, 1usize..5).prop_flat_map(|(classes, width)| {
            let units = prop::collection::vec(numbers(width + 1), if classes == 2 { 1 } else { classes });
            (Just(classes), units, prop::collection::vec(numbers(width), 1..40))
        })
    ) {
        let Some(Apart { rows, labels, margin, radius }) = apart(&units, rows, 0.2) else { return Ok(()) };
        let added = if classes == 2 { 1.0 } else { 2.0 };
        let bound = added * (radius / margin).powi(2);
        let found = fit(&matrix(&rows), &labels, classes, bound as usize + 1).unwrap();
        prop_assert!(found.converged, "{} mistakes in {} passes", found.mistakes, found.passes);
        prop_assert!(found.mistakes as f64 <= bound, "{} mistakes, at most {bound}", found.mistakes);
        let logits = found.perceptron.weights().logits(&Settings::detect().unwrap(), &matrix(&rows)).unwrap();
        for ((row, &label), logits) in rows.iter().zip(&labels).zip(logits.chunks_exact(classes)) {
            let row: Vec<_> = row.iter().map(|&x| x as f32).collect();
            prop_assert_eq!(found.perceptron.predict(&row), Some(label));
            let highest = (0..classes).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            prop_assert_eq!(highest, Some(label));
        }
    }
}

#[test]
fn exclusive_or_is_never_learned_but_with_the_product_of_both() {
    let labels = [0, 1, 1, 0];
    let rows = |width: usize| -> Vec<Vec<f64>> {
        [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]].map(|row| row[..width].to_vec()).to_vec()
    };
    let found = fit(&matrix(&rows(2)), &labels, 2, 10_000).unwrap();
    assert!(!found.converged && found.passes == 10_000 && found.mistakes >= 10_000, "{found:?}");
    // What is added never grows without end all the same (Minsky and Papert's theorem of cycling).
    assert!(found.perceptron.weights().coefficients.iter().all(|weight| weight.abs() <= 4.0), "{found:?}");
    assert!(fit(&matrix(&rows(3)), &labels, 2, 100).unwrap().converged);
}

#[test]
fn a_right_answer_changes_nothing_and_a_wrong_one_moves_by_the_row() {
    let mut perceptron = Perceptron::new(2, 3).unwrap();
    assert_eq!(perceptron.predict(&[1.0, 2.0]), None);
    assert!(perceptron.learn(&[1.0, 2.0], 2).unwrap());
    let weights = perceptron.weights();
    assert_eq!(weights.coefficients, [-1.0, 0.0, 1.0, -2.0, 0.0, 2.0]);
    assert_eq!(weights.intercept, [-1.0, 0.0, 1.0]);
    assert!(!perceptron.learn(&[1.0, 2.0], 2).unwrap());
    assert_eq!(perceptron.weights(), weights);
}

#[test]
fn what_does_not_fit_is_named() {
    let message = |result: percept_learn::Result<bool>| result.unwrap_err().to_string();
    let mut perceptron = Perceptron::new(2, 2).unwrap();
    assert_eq!(message(perceptron.learn(&[1.0], 0)), "features of the row: 1 instead of 2");
    assert!(message(perceptron.learn(&[1.0, 2.0], 2)).contains("label 2, but there are 2 classes"));
    assert!(message(perceptron.learn(&[1.0, f32::NAN], 0)).contains("feature 1 of row 0 is NaN"));
    assert!(Perceptron::new(0, 2).is_err() && Perceptron::new(1, 1).is_err());
    let rows = Matrix::new(vec![1.0, f32::INFINITY], 1).unwrap();
    assert!(fit(&rows, &[0, 1], 2, 1).unwrap_err().to_string().contains("feature 0 of row 1 is inf"));
    assert!(fit(&rows, &[0], 2, 1).is_err() && fit(&Matrix::new(vec![], 1).unwrap(), &[], 2, 1).is_err());
}
