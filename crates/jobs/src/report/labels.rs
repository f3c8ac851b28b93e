//! The report and the model card of a model that names things other than photos: sentences, recordings.

use super::lines::Lines;
use super::{Picture, charts, class_rows, confused, listed, render};
use crate::Result;
use crate::event::Timing;
use crate::learner::Point;
use minijinja::context;
use minijinja::value::Serde;
use percept_learn::metrics::Metrics;
use percept_learn::optim::RateCurve;
use percept_photos::scan::Skipped;
use serde::Serialize;

/// Everything that they say.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What the model is for: the name of what it learned from.
    pub title: String,
    /// The verb that makes such models.
    pub verb: &'static str,
    /// What it names.
    pub things: Things,
    /// The task's name on model hubs.
    pub task: &'static str,
    /// The command line that made it.
    pub command: String,
    /// The `config.toml` that makes it again.
    pub config: String,
    /// The network, in words.
    pub network: String,
    /// What was measured on, a sentence or two.
    pub measured_on: String,
    /// Which training the curves are of, a sentence.
    pub curve_of: &'static str,
    /// The learning curves.
    pub curve: Vec<Point>,
    /// The search for a learning rate, if there was one.
    #[serde(skip)]
    pub rates: Option<RateCurve>,
    /// What their horizontal axis counts, and where it ends.
    pub axis: (&'static str, f64),
    /// Things that it learned from.
    pub learned: usize,
    /// Size of the model file.
    pub bytes: u64,
    /// Further figures: the number, and what it is.
    pub tiles: Vec<(String, String)>,
    /// What the model file takes.
    pub input: String,
    /// Names of the classes.
    pub labels: Vec<String>,
    /// How well it does on things that it did not learn from.
    pub metrics: Metrics,
    /// The same for parts of them, such as speakers: name, number, share that is right, its interval.
    pub groups: Vec<(String, usize, f64, [f64; 2])>,
    /// One thing of each class as a picture, and its class.
    pub examples: Vec<(Picture, String)>,
    /// The most confident mistakes, most confident first.
    pub mistakes: Vec<Mistake>,
    /// Files that were left out.
    #[serde(skip)]
    pub skipped: Vec<Skipped>,
    /// Wall-clock time of each phase.
    pub timings: Vec<Timing>,
}

/// What a model names.
#[derive(Debug, Serialize)]
pub struct Things {
    /// One of them.
    pub one: &'static str,
    /// More than one.
    pub many: &'static str,
}

/// A wrong answer.
#[derive(Debug, Serialize)]
pub struct Mistake {
    /// A picture of the thing, if it has one.
    pub picture: Option<Picture>,
    /// The sentence, or the name of the file.
    pub text: String,
    /// What it is.
    pub truth: String,
    /// What the model said.
    pub predicted: String,
    /// The probability that it gave to that.
    pub probability: f32,
}

impl Report {
    /// The report as HTML.
    ///
    /// # Errors
    /// None but mistakes in the template.
    pub fn html(&self) -> Result<String> {
        self.render("labels.html", include_str!("labels.html"))
    }

    /// The model card as Markdown.
    ///
    /// # Errors
    /// None but mistakes in the template.
    pub fn model_card(&self) -> Result<String> {
        Ok(self.render("labels_card.md", include_str!("labels_card.md"))? + "\n")
    }

    fn render(&self, name: &'static str, template: &'static str) -> Result<String> {
        let context = context! {
            rows => Serde(class_rows(&self.metrics, &self.labels, &[])),
            confused => Serde(confused(&self.metrics, &self.labels)),
            charts => self.charts(),
            reliability => charts::reliability(&self.metrics.reliability, self.things.many),
            confusion => charts::confusion(&self.metrics.confusion, &self.labels),
            skipped => Serde(listed(&self.skipped)),
            skipped_count => self.skipped.len(),
            rates => self.rates.as_ref().and_then(super::learning_rates),
            seconds => self.timings.iter().map(|timing| timing.seconds).sum::<f64>(),
            ..minijinja::Value::from(Serde(self))
        };
        render(name, template, context)
    }

    /// Loss and accuracy.
    fn charts(&self) -> Vec<String> {
        let steps = self.curve.last().map_or(1, |point| point.step);
        let x = |point: &Point| point.step as f64 * self.axis.1 / steps as f64;
        let (axis, levels) = (self.axis, Vec::new());
        let held_out = self.curve.iter().filter_map(|point| Some((x(point), point.held_out?)));
        let loss = Lines {
            title: "Loss",
            unit: "",
            decimals: 3,
            axis,
            curves: vec![
                ("learned from", self.curve.iter().map(|point| (x(point), point.loss)).collect()),
                ("held out", held_out.collect()),
            ],
            levels: Vec::new(),
        };
        let accuracy = self.curve.iter().filter_map(|point| Some((x(point), 100.0 * point.accuracy?)));
        let accuracy = Lines {
            title: "Accuracy on what was held out",
            unit: "%",
            decimals: 1,
            axis,
            curves: vec![("accuracy", accuracy.collect())],
            levels,
        };
        [loss, accuracy].iter().filter_map(Lines::svg).collect()
    }
}

/// The things that were named wrongly: which, as what, and how probable that seemed; the surest first.
pub(crate) fn mistakes(
    probabilities: &[f32],
    classes: usize,
    truth: impl Iterator<Item = usize>,
) -> Vec<(usize, usize, f32)> {
    let mut wrong = Vec::new();
    for (i, (row, truth)) in probabilities.chunks_exact(classes.max(1)).zip(truth).enumerate() {
        // Of equals the first, as in the metrics.
        let best = (0..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
        if best != truth {
            wrong.push((i, best, row[best]));
        }
    }
    wrong.sort_by(|a, b| b.2.total_cmp(&a.2));
    wrong
}

/// For each true class how often each class was named.
pub(crate) fn confusion_matrix(metrics: &Metrics) -> Vec<Vec<usize>> {
    let mut matrix = vec![vec![0; metrics.classes]; metrics.classes];
    metrics.confusion.iter().for_each(|cell| matrix[cell.label][cell.predicted] = cell.count);
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sentences_are_only_text() {
        const NASTY: &str = "<script>alert(1)</script>|\"&";
        let metrics = Metrics::new(&[0.9, 0.1, 0.8, 0.2], 2, &[0, 1]).unwrap();
        assert_eq!(mistakes(&[0.9, 0.1, 0.8, 0.2], 2, [0, 1].into_iter()), [(1, 0, 0.8)]);
        assert_eq!(confusion_matrix(&metrics), [[1, 0], [1, 0]]);
        let mistake = |picture| Mistake {
            picture,
            text: NASTY.into(),
            truth: NASTY.into(),
            predicted: NASTY.into(),
            probability: 0.8,
        };
        let point = |step, loss| Point { step, loss, held_out: Some(loss), accuracy: None };
        let report = Report {
            title: NASTY.into(),
            verb: "text train",
            things: Things { one: "sentence", many: "sentences" },
            task: "text-classification",
            command: NASTY.into(),
            config: NASTY.into(),
            network: "a network".into(),
            measured_on: "They are others.".into(),
            curve_of: "Of this one.",
            curve: vec![point(5, 2.0), point(10, 1.0)],
            rates: None,
            axis: ("epoch", 2.0),
            learned: 10,
            bytes: 1000,
            tiles: vec![("7".into(), NASTY.into())],
            input: "numbers".into(),
            labels: vec![NASTY.into(), "b".into()],
            metrics,
            groups: vec![(NASTY.into(), 2, 0.5, [0.1, 0.9])],
            examples: vec![(Picture::default(), NASTY.into())],
            mistakes: vec![mistake(None), mistake(Some(Picture::default()))],
            skipped: vec![Skipped { path: NASTY.into(), reason: NASTY.into() }],
            timings: vec![Timing { phase: "Learning", seconds: 1.0 }],
        };
        let html = report.html().unwrap();
        assert!(html.matches("<script>").count() == 1 && html.contains("&lt;script&gt;"), "{html}");
        assert_eq!(html.matches("Loss: learned from from 2.000 to 1.000, held out from").count(), 1, "{html}");
        let card = report.model_card().unwrap();
        assert!(!card.contains("<script>") && card.lines().all(|line| line.matches('|').count() <= 5), "{card}");
        assert!(card.contains("| accuracy | 50.0%"), "{card}");
    }
}
