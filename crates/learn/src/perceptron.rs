//! Rosenblatt's perceptron: weights change only where the answer is wrong, by what the unit saw. There is no gradient and no learning rate.
//!
//! Rosenblatt, "The Perceptron: A Probabilistic Model for Information Storage and Organization in the Brain", Psychological Review 65(6),
//! 1958, and the error correction of his *Principles of Neurodynamics*, 1962. His random association units come before it: any features do.
//!
//! For two classes there is one unit: where it is wrong, the row is added to its weights or taken away. For more there is a unit for each
//! class, and the one with the highest sum answers: where that is wrong, the row is added to the unit of the class and taken away from the one
//! that answered. Kesler's construction (Nilsson, *Learning Machines*, 1965) makes that the rule of a single unit in a larger space.
//!
//! If planes can tell the classes apart, the mistakes come to an end: at most `(R/γ)²` for one unit, where no row is longer than R and all are at
//! least γ from some plane (Novikoff, "On Convergence Proofs on Perceptrons", 1962). Otherwise, as for exclusive or (Minsky and Papert,
//! *Perceptrons*, 1969), they never do: [`logistic`](crate::logistic) regression finds the plane that errs least.

use crate::features::{CHUNK, Features};
use crate::logistic::Weights;
use crate::{Error, Result};

/// A perceptron that learns row by row.
///
/// ```
/// use percept_learn::perceptron::Perceptron;
///
/// let and = [([0.0, 0.0], 0), ([0.0, 1.0], 0), ([1.0, 0.0], 0), ([1.0, 1.0], 1)];
/// let mut perceptron = Perceptron::new(2, 2)?;
/// for _ in 0..10 {
///     for (row, label) in &and {
///         perceptron.learn(row, *label)?;
///     }
/// }
/// assert!(and.iter().all(|(row, label)| perceptron.predict(row) == Some(*label)));
/// # Ok::<(), percept_learn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Perceptron {
    width: usize,
    classes: usize,
    /// A row for each unit: its weights, and last that of an input which is always 1.
    units: Vec<f64>,
}

impl Perceptron {
    /// Weights of zero, for rows of `width` features.
    ///
    /// # Errors
    /// No features, or fewer than two classes.
    pub fn new(width: usize, classes: usize) -> Result<Self> {
        if width == 0 {
            return Err(Error::Empty("features"));
        }
        Error::check_setting("the number of classes", classes as f64, classes > 1, "at least 2")?;
        let units = if classes == 2 { 1 } else { classes };
        Ok(Self { width, classes, units: vec![0.0; units * (width + 1)] })
    }

    /// The class of a row; `None` if two of them stand equal, as at the beginning, or the row has another width.
    pub fn predict(&self, row: &[f32]) -> Option<usize> {
        let (first, second) = self.highest(row);
        (row.len() == self.width && first.1 > second.1).then_some(first.0)
    }

    /// Learns from a row, and says whether that was needed: the answer was wrong, or there was none.
    ///
    /// # Errors
    /// A row of another width or with features that are not finite, a label that names no class.
    pub fn learn(&mut self, row: &[f32], label: usize) -> Result<bool> {
        Error::check_size("features of the row", row.len(), self.width)?;
        Error::check_labels(&[label], self.classes)?;
        if let Some(column) = row.iter().position(|x| !x.is_finite()) {
            return Err(Error::NotFinite { row: 0, column, value: row[column] });
        }
        Ok(self.correct(row, label))
    }

    /// The same for a row and label that are known to be right.
    fn correct(&mut self, row: &[f32], label: usize) -> bool {
        let (first, second) = self.highest(row);
        if first.0 == label && first.1 > second.1 {
            return false;
        }
        let rival = if first.0 == label { second.0 } else { first.0 };
        if self.classes == 2 {
            self.add(0, row, if label == 1 { 1.0 } else { -1.0 });
        } else {
            self.add(label, row, 1.0);
            self.add(rival, row, -1.0);
        }
        true
    }

    /// The two classes whose sums are highest, with these; the first of equals comes first.
    fn highest(&self, row: &[f32]) -> ((usize, f64), (usize, f64)) {
        let sum = |unit: &[f64]| {
            unit.iter().zip(row.iter().chain(&[1.0])).map(|(weight, x)| weight * f64::from(*x)).sum::<f64>()
        };
        let mut sums = self.units.chunks_exact(self.width + 1).map(sum).enumerate();
        if self.classes == 2 {
            let sum = sums.next().map_or(0.0, |(_, sum)| sum);
            return if sum > 0.0 { ((1, sum), (0, -sum)) } else { ((0, -sum), (1, sum)) };
        }
        let nobody = (0, f64::NEG_INFINITY);
        sums.fold((nobody, nobody), |(first, second), next| match next.1 {
            sum if sum > first.1 => (next, first),
            sum if sum > second.1 => (first, next),
            _ => (first, second),
        })
    }

    fn add(&mut self, unit: usize, row: &[f32], sign: f64) {
        let weights = &mut self.units[unit * (self.width + 1)..][..self.width + 1];
        weights.iter_mut().zip(row.iter().chain(&[1.0])).for_each(|(weight, x)| *weight += sign * f64::from(*x));
    }

    /// The same classifier with logits, as a last layer of a network: two classes have the unit's sum with either sign.
    pub fn weights(&self) -> Weights {
        let unit = |class: usize| match self.classes {
            2 => (&self.units[..], if class == 1 { 1.0 } else { -1.0 }),
            _ => (&self.units[class * (self.width + 1)..][..self.width + 1], 1.0),
        };
        let weight = |class, place: usize| {
            let (weights, sign) = unit(class);
            (sign * weights[place]) as f32
        };
        let places = (0..self.width).flat_map(|place| (0..self.classes).map(move |class| (class, place)));
        Weights {
            width: self.width,
            classes: self.classes,
            coefficients: places.map(|(class, place)| weight(class, place)).collect(),
            intercept: (0..self.classes).map(|class| weight(class, self.width)).collect(),
        }
    }
}

/// What [`fit`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The perceptron after the last row.
    pub perceptron: Perceptron,
    /// How often it was wrong and learned, in all.
    pub mistakes: usize,
    /// How often it went over the rows.
    pub passes: usize,
    /// Whether the last time was without mistake: it tells all rows apart.
    pub converged: bool,
}

/// Goes over the rows in their order until none is mistaken, but at most `passes` times.
///
/// ```
/// use percept_learn::{features::Matrix, perceptron::fit};
///
/// let rows = Matrix::new(vec![0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], 2)?;
/// let or = fit(&rows, &[0, 1, 1, 1], 2, 100)?;
/// assert!(or.converged && or.perceptron.predict(&[0.9, 0.8]) == Some(1));
/// let exclusive_or = fit(&rows, &[0, 1, 1, 0], 2, 100)?;
/// assert!(!exclusive_or.converged && exclusive_or.mistakes >= 100);
/// # Ok::<(), percept_learn::Error>(())
/// ```
///
/// # Errors
/// No rows, labels or features out of range, with the row; features that cannot be read.
pub fn fit(features: &dyn Features, labels: &[usize], classes: usize, passes: usize) -> Result<Fit> {
    let (rows, width) = (features.rows(), features.width());
    Error::check_size("labels", labels.len(), rows)?;
    Error::check_labels(labels, classes)?;
    if rows == 0 {
        return Err(Error::Empty("samples to learn from"));
    }
    let mut fit = Fit { perceptron: Perceptron::new(width, classes)?, mistakes: 0, passes: 0, converged: false };
    let mut values = vec![0.0; CHUNK.min(rows) * width];
    while fit.passes < passes && !fit.converged {
        let before = fit.mistakes;
        for (chunk, labels) in labels.chunks(CHUNK).enumerate() {
            let values = &mut values[..labels.len() * width];
            features.read(chunk * CHUNK, values)?;
            if let Some(place) = values.iter().position(|x| !x.is_finite()) {
                let (row, column) = (chunk * CHUNK + place / width, place % width);
                return Err(Error::NotFinite { row, column, value: values[place] });
            }
            for (row, &label) in values.chunks_exact(width).zip(labels) {
                fit.mistakes += usize::from(fit.perceptron.correct(row, label));
            }
        }
        fit.passes += 1;
        fit.converged = fit.mistakes == before;
    }
    Ok(fit)
}
