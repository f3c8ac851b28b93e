//! How a model was trained, as the report and the model card tell it.

use super::{Report, curves};
use crate::finetune::Epoch;
use serde::Serialize;

/// What a model is before any of its stages.
const HEAD: &str = "Classifier on top";

/// A training of a network, and whether it helped.
#[derive(Clone, Debug, Serialize)]
pub struct Stage {
    /// What was trained: "Classifier on top", "Top blocks", "Whole network".
    pub name: String,
    /// Accuracy on the photos held out.
    pub accuracy: f64,
    /// The best accuracy on them before this stage; absent if it was the first.
    pub before: Option<f64>,
    /// Whether what it came to was better, and so was gone on with.
    pub kept: bool,
    /// Wall-clock time.
    pub seconds: f64,
    /// Its learning curve.
    pub epochs: Vec<Epoch>,
}

/// A line of the table of stages.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    name: &'a str,
    epochs: Option<usize>,
    accuracy: f64,
    gain: Option<String>,
    seconds: Option<f64>,
    fate: &'static str,
    curves: Vec<String>,
}

impl Report {
    /// The stages, after the classifier on top if they were compared with it.
    pub(super) fn stage_rows(&self) -> Vec<Row<'_>> {
        let model = self.stages.iter().rposition(|stage| stage.kept);
        let fate = |i: Option<usize>, kept: bool| match kept {
            true if i == model => "kept: this is the model",
            true => "kept, then improved on",
            false => "not kept",
        };
        let head = self.stages.first().filter(|first| first.name != HEAD).and_then(|first| first.before);
        let head = head.map(|accuracy| Row {
            name: HEAD,
            epochs: None,
            accuracy,
            gain: None,
            seconds: None,
            fate: fate(None, true),
            curves: Vec::new(),
        });
        let mut rows: Vec<Row<'_>> = head.into_iter().collect();
        for (i, stage) in self.stages.iter().enumerate() {
            rows.push(Row {
                name: &stage.name,
                epochs: Some(stage.epochs.len()).filter(|&epochs| epochs > 0),
                accuracy: stage.accuracy,
                gain: stage.before.map(|before| points(stage.accuracy - before)),
                seconds: Some(stage.seconds),
                fate: fate(Some(i), stage.kept),
                curves: curves::curves(stage),
            });
        }
        rows
    }

    /// Epochs of the stages that the model went through.
    pub(super) fn epochs(&self) -> usize {
        self.stages.iter().filter(|stage| stage.kept).map(|stage| stage.epochs.len()).sum()
    }

    /// What went on learning: in all stages, or in those that were kept.
    pub(super) fn learners(&self, kept: bool) -> String {
        let mut names: Vec<String> = Vec::new();
        for stage in self.stages.iter().filter(|stage| (stage.kept || !kept) && stage.name != HEAD) {
            let name = format!("the {}", stage.name.to_lowercase());
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(", then ")
    }

    /// What the photos held out were used for beside measuring, in a sentence.
    pub(super) fn chosen(&self) -> String {
        let candidates = [
            (!self.from_scratch, "the strength of regularisation"),
            (self.best_epoch, "the epoch to end with"),
            (self.stage_rows().len() > 1, "the stage that is kept"),
        ];
        let chosen: Vec<&str> = candidates.into_iter().filter(|(was, _)| *was).map(|(_, what)| what).collect();
        match chosen.join(", ") {
            none if none.is_empty() => "The temperature was chosen on the same photos, which flatters the stated \
                                        probabilities a little, but not the accuracy."
                .into(),
            some => format!(
                "T{} and the temperature were chosen on the same photos, which flatters the figures a little.",
                &some[1..]
            ),
        }
    }
}

/// A difference of accuracies in percentage points, with its sign.
fn points(difference: f64) -> String {
    let points = format!("{:+.1}", 100.0 * difference);
    match &points[..] {
        "+0.0" | "-0.0" => "±0.0".into(),
        _ if !difference.is_finite() => "–".into(),
        _ => points.replace('-', "−"),
    }
}

#[cfg(test)]
mod tests {
    use super::points;

    #[test]
    fn a_gain_has_a_sign_that_rounding_leaves_true() {
        assert_eq!([0.0312, -0.005, -0.0001, 0.0001, f64::NAN].map(points), ["+3.1", "−0.5", "±0.0", "±0.0", "–"]);
    }
}
