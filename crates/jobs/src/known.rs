//! Knowing when a picture shows none of the classes: a score in the model file, and the threshold that it is held against.

use percept_learn::metrics::auroc;
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
}

impl Separation {
    /// Measures scores of pictures of the classes and of others.
    pub fn new(known: &[f32], unknown: &[f32], threshold: f64) -> Self {
        let share = |scores: &[f32], counts: fn(f64, f64) -> bool| {
            let hits = scores.iter().filter(|&&score| counts(score.into(), threshold)).count();
            (!scores.is_empty()).then(|| hits as f64 / scores.len() as f64)
        };
        Self {
            known: known.len(),
            known_rejected: share(known, |score, threshold| score < threshold),
            unknown: unknown.len(),
            unknown_accepted: share(unknown, |score, threshold| score >= threshold),
            auroc: Some(auroc(known, unknown)).filter(|area| area.is_finite()),
        }
    }
}
