//! Knowing when a picture shows none of the classes: a score in the model file, and the threshold that it is held against.

use percept_learn::metrics::auc;
use serde::{Deserialize, Serialize};

/// The name of the output of a model file that says how known a picture is, `f32[N, 1]`: the higher, the more like the classes.
pub const OUTPUT: &str = "known_score";
/// The class folder whose pictures show none of the classes.
pub const NONE: &str = "None_of_the_above";

/// What a model file says about its score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Under this score the answer is "none of these".
    pub threshold: f64,
    /// How pictures of classes that were left out are told from those held out; absent where that could not be measured.
    pub left_out: Option<LeftOut>,
}

/// What leaving out classes in turn gave: each class is unknown in one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Rounds of leaving out.
    pub rounds: usize,
    /// Mean over the rounds of what each gave.
    #[serde(flatten)]
    pub separation: Separation,
}

/// How well a score and its threshold tell pictures of the classes from others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Separation {
    /// Pictures of the classes.
    pub known: usize,
    /// Share of them that is taken for none of the classes.
    pub known_rejected: Option<f64>,
    /// Pictures of something else.
    pub unknown: usize,
    /// Share of them that is taken for one of the classes.
    pub unknown_accepted: Option<f64>,
    /// The area under the ROC curve: the probability that a picture of the classes scores higher than one of something else.
    pub auroc: Option<f64>,
    /// Share of the pictures of something else that is taken for one of the classes where 95 % of those of the classes are (FPR95).
    pub fpr95: Option<f64>,
}

impl Separation {
    /// Measures scores of pictures of the classes and of others.
    pub fn new(known: &[f32], unknown: &[f32], threshold: f64) -> Self {
        let accepted = |scores: &[f32], threshold: f64| {
            let hits = scores.iter().filter(|&&score| f64::from(score) >= threshold).count();
            (!scores.is_empty()).then(|| hits as f64 / scores.len() as f64)
        };
        let mut sorted = known.to_vec();
        sorted.sort_by(f32::total_cmp);
        let fifth = sorted.get(known.len() / 20).map(|&score| f64::from(score));
        let scores: Vec<f64> = known.iter().chain(unknown).map(|&score| score.into()).collect();
        let is_known: Vec<bool> = (0..scores.len()).map(|i| i < known.len()).collect();
        Self {
            known: known.len(),
            known_rejected: accepted(known, threshold).map(|share| 1.0 - share),
            unknown: unknown.len(),
            unknown_accepted: accepted(unknown, threshold),
            // Without pictures of both kinds there is none.
            auroc: auc(&scores, &is_known).ok().map(|found| found.auc),
            fpr95: fifth.and_then(|fifth| accepted(unknown, fifth)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_side_they_are_called_after() {
        let known: Vec<f32> = (0..20).map(|i| i as f32 / 20.0 + 0.3).collect();
        let found = Separation::new(&known, &[0.1, 0.32, 0.5, 0.1], 0.4);
        assert_eq!((found.known, found.unknown, found.unknown_accepted, found.fpr95), (20, 4, Some(0.25), Some(0.25)));
        assert!((found.known_rejected.unwrap() - 0.1).abs() < 1e-9);
        let none = Separation::new(&known, &[], 0.4);
        assert_eq!((none.unknown_accepted, none.auroc, none.fpr95), (None, None, None));
    }
}
