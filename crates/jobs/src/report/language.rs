//! The report and the model card of a model that writes.

use super::lines::Lines;
use super::render;
use crate::Result;
use crate::event::Timing;
use crate::learner::Point;
use crate::text::language::Metrics;
use minijinja::context;
use minijinja::value::Serde;
use percept_learn::optim::RateCurve;
use serde::Serialize;

/// Everything that they say.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The name of the text.
    pub title: String,
    /// The verb that makes such models.
    pub verb: &'static str,
    /// The command line that made it.
    pub command: String,
    /// The `config.toml` that makes it again.
    pub config: String,
    /// The network, in words.
    pub network: String,
    /// Size of the model file.
    pub bytes: u64,
    /// The figures.
    pub metrics: Metrics,
    /// The learning curves.
    pub curve: Vec<Point>,
    /// The search for a learning rate, if there was one.
    #[serde(skip)]
    pub rates: Option<RateCurve>,
    /// What it writes.
    pub samples: Vec<Sample>,
    /// What it expected of the text held out.
    pub expected: Vec<Expected>,
    /// Wall-clock time of each phase.
    pub timings: Vec<Timing>,
}

/// What a model writes at a temperature.
#[derive(Debug, Serialize)]
pub struct Sample {
    /// What logits were divided by.
    pub temperature: f64,
    /// The text.
    pub text: String,
}

/// What was expected at a place of a text.
#[derive(Debug, Serialize)]
pub struct Expected {
    /// What the model had read.
    pub before: String,
    /// What came.
    pub came: char,
    /// How probable that seemed.
    pub probability: f32,
    /// What seemed most probable, and how much.
    pub best: Vec<(char, f32)>,
}

impl Report {
    /// The report as HTML.
    ///
    /// # Errors
    /// None but mistakes in the template.
    pub fn html(&self) -> Result<String> {
        self.render("language.html", include_str!("language.html"))
    }

    /// The model card as Markdown.
    ///
    /// # Errors
    /// None but mistakes in the template.
    pub fn model_card(&self) -> Result<String> {
        Ok(self.render("language_card.md", include_str!("language_card.md"))? + "\n")
    }

    fn render(&self, name: &'static str, template: &'static str) -> Result<String> {
        let bits = |nats: f64| nats / std::f64::consts::LN_2;
        let guesses = &self.metrics.guesses;
        let compared = [
            ("this model", self.metrics.nats_per_character, "what it read before, as far back as its states reach"),
            ("pairs of characters", guesses.bigram, "the one character before"),
            ("single characters", guesses.unigram, "how often each character is"),
            ("chance", guesses.uniform, "nothing: all characters alike"),
        ];
        let compared = compared.map(|(name, nats, knows)| (name, knows, nats, bits(nats), nats.exp()));
        let context = context! {
            compared => Serde(compared),
            chart => self.chart(),
            rates => self.rates.as_ref().and_then(super::learning_rates),
            seconds => self.timings.iter().map(|timing| timing.seconds).sum::<f64>(),
            ..minijinja::Value::from(Serde(self))
        };
        render(name, template, context)
    }

    fn chart(&self) -> Option<String> {
        let Metrics { epochs, steps, guesses, .. } = &self.metrics;
        let x = |point: &Point| point.step as f64 * epochs / (*steps).max(1) as f64;
        let held_out = self.curve.iter().filter_map(|point| Some((x(point), point.held_out?)));
        Lines {
            title: "Nats for a character",
            unit: "",
            decimals: 3,
            axis: ("times through the text", *epochs),
            curves: vec![
                ("learned from", self.curve.iter().map(|point| (x(point), point.loss)).collect()),
                ("held out", held_out.collect()),
            ],
            levels: vec![("pairs of characters", guesses.bigram)],
        }
        .svg()
    }
}
