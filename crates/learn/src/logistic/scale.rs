//! Standardisation: mean 0 and standard deviation 1 for every feature, so that one penalty suits all of them and L-BFGS converges
//! quickly.

use crate::features::Features;
use crate::kernels::fold_chunks;
use crate::{Error, Result};
use percept_engine::Settings;

/// A feature whose deviation is below this share of its mean is rounding noise and taken as constant.
const CONSTANT: f64 = 1e-6;

/// How to standardise each feature.
pub(crate) struct Scale {
    pub(crate) mean: Vec<f64>,
    pub(crate) deviation: Vec<f64>,
    mean_f32: Vec<f32>,
    inverse: Vec<f32>,
}

impl Scale {
    /// The weighted mean and (population) standard deviation of each feature, in one pass, which also finds values that are not finite.
    pub(crate) fn of(
        settings: &Settings,
        features: &dyn Features,
        weight: impl Fn(usize) -> f32 + Sync,
    ) -> Result<Scale> {
        let width = features.width();
        let sums = fold_chunks(
            settings,
            features,
            || (0.0, vec![0.0; width], vec![0.0; width]),
            |(total, sums, squares), rows, values| {
                for (row, values) in rows.zip(values.chunks_exact(width)) {
                    let weight = f64::from(weight(row));
                    let mut finite = true;
                    for ((x, sum), square) in values.iter().zip(sums.iter_mut()).zip(squares.iter_mut()) {
                        let x = f64::from(*x);
                        finite &= x.is_finite();
                        *sum += weight * x;
                        *square += weight * x * x;
                    }
                    if !finite {
                        let column = values.iter().position(|x| !x.is_finite()).unwrap_or_default();
                        return Err(Error::NotFinite { row, column, value: values[column] });
                    }
                    *total += weight;
                }
                Ok(())
            },
        )?;
        let (mut total, mut mean, mut square) = (0.0f64, vec![0.0; width], vec![0.0; width]);
        for (weight, sums, squares) in sums {
            total += weight;
            mean.iter_mut().zip(sums).for_each(|(a, b)| *a += b);
            square.iter_mut().zip(squares).for_each(|(a, b)| *a += b);
        }
        mean.iter_mut().chain(&mut square).for_each(|x| *x /= total);
        let deviation = mean.iter().zip(square).map(|(mean, square)| {
            let deviation = (square - mean * mean).max(0.0).sqrt();
            if deviation <= CONSTANT * mean.abs() { 0.0 } else { deviation }
        });
        Ok(Scale::new(mean.clone(), deviation.collect()))
    }

    fn new(mean: Vec<f64>, deviation: Vec<f64>) -> Scale {
        let inverse = deviation.iter().map(|&d| if d > 0.0 { (1.0 / d) as f32 } else { 0.0 }).collect();
        Scale { mean_f32: mean.iter().map(|&m| m as f32).collect(), inverse, mean, deviation }
    }

    /// Standardises rows in place; constant features become 0.
    pub(crate) fn apply(&self, values: &mut [f32]) {
        for row in values.chunks_exact_mut(self.mean.len()) {
            for ((x, mean), inverse) in row.iter_mut().zip(&self.mean_f32).zip(&self.inverse) {
                *x = (*x - mean) * inverse;
            }
        }
    }
}
