//! Whitening: directions in which rows of numbers vary alike and independently of each other.

use crate::gaussian::eigen;
use crate::{Error, Result};

/// The matrix, `width × width`, row-major, whose products with rows of `width` numbers have a covariance of 1 and none between each other,
/// the direction of the most varying first. `epsilon` is added to the variances: directions that hardly vary are not blown up.
///
/// It holds the eigenvectors of the rows' covariance, each divided by the root of its eigenvalue. Each has its largest entry positive.
///
/// ```
/// use percept_learn::whiten::whitening;
///
/// // The sum of two numbers varies, their difference does much less.
/// let rows = [1.0, 1.1, -1.0, -1.1, 3.0, 2.9, -3.0, -2.9];
/// let matrix = whitening(&rows, 2, 0.0)?;
/// let products: Vec<f32> = rows.chunks(2).map(|row| matrix[0] * row[0] + matrix[1] * row[1]).collect();
/// assert!((products.iter().map(|x| x * x).sum::<f32>() / 4.0 - 1.0).abs() < 1e-5);
/// assert!(matrix[0] > 0.0 && matrix[2] * matrix[3] < 0.0 && matrix[2].abs() > 5.0 * matrix[0]);
/// # Ok::<(), percept_learn::Error>(())
/// ```
///
/// # Errors
/// Fewer than two rows, or numbers that are no whole rows.
pub fn whitening(rows: &[f32], width: usize, epsilon: f64) -> Result<Vec<f32>> {
    let count = rows.len() / width.max(1);
    Error::check_size("numbers of rows", rows.len(), count * width)?;
    if count < 2 {
        return Err(Error::Network("whitening needs at least two rows".into()));
    }
    let mut means = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        means.iter_mut().zip(row).for_each(|(mean, &x)| *mean += f64::from(x) / count as f64);
    }
    let mut covariance = vec![0.0; width * width];
    for row in rows.chunks_exact(width) {
        for (i, line) in covariance.chunks_exact_mut(width).enumerate() {
            let own = f64::from(row[i]) - means[i];
            line.iter_mut()
                .zip(row.iter().zip(&means))
                .for_each(|(sum, (&x, mean))| *sum += own * (f64::from(x) - mean) / count as f64);
        }
    }
    let (values, vectors) = eigen(&mut covariance, width);
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let row = |i: usize| {
        let column = |k: usize| vectors[k * width + i];
        let largest = (0..width).map(column).fold(0.0_f64, |most, x| if x.abs() > most.abs() { x } else { most });
        let factor = largest.signum() / (values[i].max(0.0) + epsilon).sqrt().max(f64::MIN_POSITIVE);
        (0..width).map(|k| (factor * column(k)) as f32).collect::<Vec<_>>()
    };
    Ok(order.into_iter().flat_map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_whitened_varies_alike_and_apart(width in 1usize..7, rows in prop::collection::vec(-1.0f32..1.0, 7 * 40)) {
            // Columns that depend on each other.
            let rows: Vec<f32> = rows[..width * 40]
                .chunks_exact(width)
                .flat_map(|row| (0..width).map(|i| 3.0 * row[i] + row[..i].iter().sum::<f32>()).collect::<Vec<_>>())
                .collect();
            let matrix = whitening(&rows, width, 0.0).unwrap();
            let product = |row: &[f32], i: usize| -> f64 {
                row.iter().zip(&matrix[i * width..][..width]).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum()
            };
            let column = |i: usize| rows.chunks_exact(width).map(|row| product(row, i)).collect::<Vec<_>>();
            for (a, b) in (0..width).flat_map(|a| (0..width).map(move |b| (a, b))) {
                let (x, y) = (column(a), column(b));
                let [mean_x, mean_y] = [&x, &y].map(|list| list.iter().sum::<f64>() / 40.0);
                let covariance = x.iter().zip(&y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / 40.0;
                prop_assert!((covariance - f64::from(u8::from(a == b))).abs() < 1e-3, "{covariance} of {a} and {b}");
            }
        }
    }

    #[test]
    fn rows_that_do_not_vary_are_not_blown_up_and_too_few_are_an_error() {
        let still = whitening(&[2.0, 5.0, 2.0, 5.0], 2, 1e-4).unwrap();
        assert!(still.iter().all(|x| x.abs() <= 100.01), "{still:?}");
        assert!(whitening(&[1.0, 2.0], 2, 0.0).is_err());
        assert!(whitening(&[1.0, 2.0, 3.0], 2, 0.0).is_err());
    }
}
