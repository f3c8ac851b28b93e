//! Probable wrong labels, by confident learning (Northcutt, Jiang, Chuang, JAIR 70, 2021).
//!
//! A class's threshold is how probable the class is, on average, for the rows that bear its label; so classes that a classifier is
//! generally unsure of ask for less. A row of which another class reaches its threshold, and is the most probable of those that do,
//! is off the diagonal of the confident joint: a suspect, if its label is not the most probable class all the same. Where classes are many
//! and alike, a label can be all but impossible without another being sure; so a row whose label is less than half as probable as by chance
//! is a suspect too. Suspects are ranked by how improbable their label is. Probabilities must come from a classifier that did not learn
//! from the row.

use crate::Result;
use crate::calibrate::check;
use crate::metrics::argmax;

/// What rounding may take from a probability that is to reach a threshold.
const TOLERANCE: f32 = 1e-6;

/// A row whose label is probably wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suspect {
    /// The row.
    pub row: usize,
    /// The class that it probably is.
    pub suggested: usize,
    /// How improbable the label is: one minus its probability.
    pub score: f32,
    /// Whether it lies off the diagonal of the confident joint.
    pub confident: bool,
    /// Whether its label is less than half as probable as by chance.
    pub improbable: bool,
}

/// The rows whose labels are probably wrong, worst first, by probabilities (n × `classes`, row-major) from outside of the sample.
///
/// # Errors
/// No rows; labels out of range; probabilities that are not finite.
///
/// ```
/// let probabilities = [0.9, 0.1, 0.8, 0.2, 0.1, 0.9, 0.2, 0.8, 0.95, 0.05];
/// let found = percept_learn::confident::suspects(&probabilities, 2, &[0, 0, 1, 1, 1])?;
/// assert_eq!((found.len(), found[0].row, found[0].suggested), (1, 4, 0));
/// # Ok::<(), percept_learn::Error>(())
/// ```
pub fn suspects(probabilities: &[f32], classes: usize, labels: &[usize]) -> Result<Vec<Suspect>> {
    check(probabilities, classes, labels)?;
    let rows = || probabilities.chunks_exact(classes).zip(labels.iter().copied());
    let mut sums = vec![(0.0f64, 0usize); classes];
    for (row, label) in rows() {
        sums[label].0 += f64::from(row[label]);
        sums[label].1 += 1;
    }
    // Nothing is confidently of a class that no row bears.
    let threshold = |&(sum, count): &(f64, usize)| if count == 0 { f32::INFINITY } else { (sum / count as f64) as f32 };
    let thresholds: Vec<f32> = sums.iter().map(threshold).collect();
    let chance = 1.0 / classes as f32;
    let mut found = Vec::new();
    for (i, (row, label)) in rows().enumerate() {
        let reaches = |&k: &usize| row[k] >= thresholds[k] - TOLERANCE;
        let most = (0..classes).filter(reaches).reduce(|best, k| if row[k] > row[best] { k } else { best });
        let (answer, other) = (argmax(row), most.filter(|&k| k != label));
        let (confident, improbable) = (other.is_some(), row[label] < chance / 2.0);
        if answer != label && (confident || improbable) {
            let suggested = other.unwrap_or(answer);
            found.push(Suspect { row: i, suggested, score: 1.0 - row[label], confident, improbable });
        }
    }
    found.sort_by(|a, b| {
        let of_label = |suspect: &Suspect| probabilities[suspect.row * classes + labels[suspect.row]];
        of_label(a).total_cmp(&of_label(b))
    });
    Ok(found)
}
