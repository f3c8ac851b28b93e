//! Classes as normal distributions with means of their own and a covariance that they share: where they lie in the space of features.
//!
//! A covariance of 1,280 features cannot be estimated from a few hundred photos, so it is shrunk towards a multiple of the identity by as
//! much as the number of rows asks for: the oracle approximating shrinkage of Chen, Wiesel, Eldar and Hero 2010, *Shrinkage Algorithms for
//! MMSE Covariance Estimation*, eq. 23.

use crate::kernels::fold_chunks;
use crate::logistic::Samples;
use crate::{Error, Result};
use percept_engine::Settings;
use percept_engine::kernels::gradient::{Outer, SLACK, add_outer};

/// Class means and what they share.
#[derive(Clone, Debug)]
pub struct Gaussians {
    /// Number of features.
    pub width: usize,
    /// Number of classes.
    pub classes: usize,
    /// The mean of the class means.
    pub centre: Vec<f64>,
    /// Classes × width.
    pub means: Vec<f64>,
    /// The lower triangle of the Cholesky factor of the shrunk covariance within classes: width × width, row-major.
    factor: Vec<f64>,
}

impl Gaussians {
    /// Fits them to rows, each of a class from 0 up to `classes`.
    ///
    /// # Errors
    /// A class without a row, features that cannot be read or are all alike.
    pub fn fit(settings: &Settings, samples: &Samples<'_>, classes: usize) -> Result<Self> {
        let (rows, width) = (samples.features.rows(), samples.features.width());
        Error::check_size("labels", samples.labels.len(), rows)?;
        Error::check_labels(samples.labels, classes)?;
        let means = means(settings, samples, classes)?;
        let centre = (0..width).map(|i| (0..classes).map(|c| means[c * width + i]).sum::<f64>() / classes as f64);
        let centre = centre.collect();
        let mut covariance = scatter(settings, samples, &means)?;
        let freedom = rows.saturating_sub(classes).max(1) as f64;
        covariance.iter_mut().for_each(|x| *x /= freedom);
        shrink(&mut covariance, width, freedom);
        cholesky(&mut covariance, width)?;
        Ok(Self { width, classes, centre, means, factor: covariance })
    }

    /// The linear discriminants (Fisher): a space of at most `classes − 1` dimensions in which the covariance within classes is the identity
    /// and no distance between class means is lost.
    pub fn discriminants(&self) -> Discriminants {
        let (n, k) = (self.width, self.classes);
        let mut whitened = vec![0.0; k * n];
        for (class, row) in whitened.chunks_exact_mut(n).enumerate() {
            let mean = &self.means[class * n..][..n];
            row.iter_mut().zip(mean.iter().zip(&self.centre)).for_each(|(x, (mean, centre))| *x = mean - centre);
            forward(&self.factor, row);
        }
        let row = |i: usize| &whitened[i * n..][..n];
        let mut gram: Vec<f64> = (0..k * k).map(|i| dot(row(i / k), row(i % k))).collect();
        let (values, vectors) = eigen(&mut gram, k);
        let largest = values.iter().copied().fold(0.0, f64::max);
        let kept: Vec<usize> = (0..k).filter(|&i| values[i] > 1e-9 * largest).collect();
        let dims = kept.len();
        let (mut projection, mut means) = (vec![0.0; n * dims], vec![0.0; k * dims]);
        for (j, &i) in kept.iter().enumerate() {
            let length = values[i].sqrt();
            let mut axis = vec![0.0; n];
            for class in 0..k {
                let share = vectors[class * k + i] / length;
                axis.iter_mut().zip(row(class)).for_each(|(sum, x)| *sum += share * x);
                means[class * dims + j] = vectors[class * k + i] * length;
            }
            backward(&self.factor, &mut axis);
            (0..n).for_each(|feature| projection[feature * dims + j] = axis[feature]);
        }
        Discriminants { dims, projection, means }
    }
}

/// A space in which classes are told apart.
#[derive(Clone, Debug)]
pub struct Discriminants {
    /// Its dimensions.
    pub dims: usize,
    /// Width × dims, row-major: a row of features, less the centre, is multiplied by it.
    pub projection: Vec<f64>,
    /// Where the class means lie: classes × dims.
    pub means: Vec<f64>,
}

/// The mean of each class.
fn means(settings: &Settings, samples: &Samples<'_>, classes: usize) -> Result<Vec<f64>> {
    let width = samples.features.width();
    let parts = fold_chunks(
        settings,
        samples.features,
        || vec![0.0; classes * width],
        |sums, rows, values| {
            for (row, values) in rows.zip(values.chunks_exact(width)) {
                if let Some(column) = values.iter().position(|x| !x.is_finite()) {
                    return Err(Error::NotFinite { row, column, value: values[column] });
                }
                let sums = &mut sums[samples.labels[row] * width..][..width];
                sums.iter_mut().zip(values).for_each(|(sum, &x)| *sum += f64::from(x));
            }
            Ok(())
        },
    )?;
    let mut sums = vec![0.0; classes * width];
    parts.iter().for_each(|part| sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += x));
    let mut counts = vec![0usize; classes];
    samples.labels.iter().for_each(|&label| counts[label] += 1);
    for (sums, &count) in sums.chunks_exact_mut(width).zip(&counts) {
        if count == 0 {
            return Err(Error::Empty("rows of a class"));
        }
        sums.iter_mut().for_each(|x| *x /= count as f64);
    }
    Ok(sums)
}

/// The sum over all rows of the outer product of what is left of a row without its class's mean.
fn scatter(settings: &Settings, samples: &Samples<'_>, means: &[f64]) -> Result<Vec<f64>> {
    let width = samples.features.width();
    let start = || (vec![0.0f32; width * width], Vec::new());
    let parts = fold_chunks(settings, samples.features, start, |(sums, behind), rows, values| {
        for (row, values) in rows.clone().zip(values.chunks_exact_mut(width)) {
            let mean = &means[samples.labels[row] * width..][..width];
            values.iter_mut().zip(mean).for_each(|(x, mean)| *x = (f64::from(*x) - mean) as f32);
        }
        behind.clear();
        behind.extend_from_slice(values);
        behind.resize(values.len() + SLACK, 0.0f32);
        add_outer(settings.isa, &Outer::dense(rows.len(), values, width, behind, width), sums);
        Ok(())
    })?;
    let mut all = vec![0.0; width * width];
    parts.iter().for_each(|(part, _)| all.iter_mut().zip(part).for_each(|(sum, &x)| *sum += f64::from(x)));
    Ok(all)
}

/// Shrinks a covariance with so many degrees of freedom towards a multiple of the identity.
fn shrink(covariance: &mut [f64], n: usize, freedom: f64) {
    let trace: f64 = (0..n).map(|i| covariance[i * n + i]).sum();
    let square = trace * trace;
    let squares = dot(covariance, covariance);
    let size = n as f64;
    let excess = (freedom + 1.0 - 2.0 / size) * (squares - square / size);
    let share = (1.0 - 2.0 / size) * squares + square;
    let share = if excess > 0.0 { (share / excess).min(1.0) } else { 1.0 };
    covariance.iter_mut().for_each(|x| *x *= 1.0 - share);
    (0..n).for_each(|i| covariance[i * n + i] += share * trace / size);
}

/// Replaces a symmetric matrix by its lower Cholesky factor.
fn cholesky(a: &mut [f64], n: usize) -> Result<()> {
    for i in 0..n {
        let (above, row) = a.split_at_mut(i * n);
        for j in 0..i {
            let other = &above[j * n..][..n];
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        let square = row[i] - dot(&row[..i], &row[..i]);
        if square.is_nan() || square <= 0.0 {
            return Err(Error::Empty("differences between the rows of a class"));
        }
        row[i] = square.sqrt();
        row[i + 1..n].fill(0.0);
    }
    Ok(())
}

/// Solves `L y = x` in place.
fn forward(factor: &[f64], x: &mut [f64]) {
    let n = x.len();
    for i in 0..n {
        x[i] = (x[i] - dot(&factor[i * n..][..i], &x[..i])) / factor[i * n + i];
    }
}

/// Solves `Lᵀ y = x` in place.
fn backward(factor: &[f64], x: &mut [f64]) {
    let n = x.len();
    for i in (0..n).rev() {
        x[i] /= factor[i * n + i];
        let value = x[i];
        x[..i].iter_mut().zip(&factor[i * n..][..i]).for_each(|(x, l)| *x -= value * l);
    }
}

/// Eigenvalues of a symmetric matrix, and its eigenvectors as the columns of a second one, by Jacobi's rotations.
pub(crate) fn eigen(a: &mut [f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    for _ in 0..60 {
        let off: f64 = (0..n * n).filter(|i| i / n != i % n).map(|i| a[i] * a[i]).sum();
        if off <= 1e-24 * dot(a, a) {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(a, &mut vectors, n, p, q);
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), vectors)
}

/// Makes the entry in row `p` and column `q` zero.
fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    let entry = a[p * n + q];
    if entry == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * entry);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for i in 0..n {
        let (x, y) = (a[i * n + p], a[i * n + q]);
        (a[i * n + p], a[i * n + q]) = (c * x - s * y, s * x + c * y);
    }
    for i in 0..n {
        let (x, y) = (a[p * n + i], a[q * n + i]);
        (a[p * n + i], a[q * n + i]) = (c * x - s * y, s * x + c * y);
        let (x, y) = (vectors[i * n + p], vectors[i * n + q]);
        (vectors[i * n + p], vectors[i * n + q]) = (c * x - s * y, s * x + c * y);
    }
}

/// The product of two rows, in eight sums, so that the compiler may use vector instructions.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    a.zip(b).for_each(|(a, b)| sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b));
    sums.iter().sum::<f64>() + rest
}
