//! The report and the model card of a generator of pictures.

use super::lines::Lines;
use super::{listed, render};
use crate::gan::{Metrics, Point};
use crate::{Error, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use minijinja::value::Serde;
use minijinja::{Value, context};
use percept_photos::Skipped;
use serde::Serialize;
use std::f64::consts::LN_2;
use std::path::Path;

/// Everything that they say.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What is drawn: the name of the pictures' folder.
    pub title: String,
    /// The command line that made it.
    pub command: String,
    /// The `config.toml` that makes it again.
    pub config: String,
    /// How it went.
    pub metrics: Metrics,
    /// Numbers that a picture is drawn from.
    pub noise: usize,
    /// Size of the model file.
    pub bytes: u64,
    /// What was drawn over the course of the training.
    pub film: Png,
    /// What the finished generator draws.
    pub samples: Png,
    /// Files that were left out.
    #[serde(skip)]
    pub skipped: Vec<Skipped>,
}

/// A sheet of pictures, which the page carries as a `data:` URI.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Png(String);

impl Png {
    /// Reads a file.
    ///
    /// # Errors
    /// One that cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        Ok(Self(format!("data:image/png;base64,{}", STANDARD.encode(bytes))))
    }
}

impl Report {
    /// The report as one HTML file.
    pub fn html(&self) -> Result<String> {
        render("gan.html", include_str!("gan.html"), self.context())
    }

    /// The model card as Markdown.
    pub fn model_card(&self) -> Result<String> {
        Ok(render("gan_card.md", include_str!("gan_card.md"), self.context())? + "\n")
    }

    fn context(&self) -> Value {
        let chart = |title, guessing, loss: fn(&Point) -> f64| {
            let points = &self.metrics.losses;
            let curve = points.iter().map(|point| (point.step as f64, loss(point))).collect();
            let axis = ("step", points.last().map_or(0.0, |point| point.step as f64));
            let (curves, levels) = (vec![("loss", curve)], vec![("guessing", guessing)]);
            Lines { title, unit: "", decimals: 3, axis, curves, levels }.svg()
        };
        let charts = [
            chart("Loss of the discriminator", 2.0 * LN_2, |point| point.discriminator),
            chart("Loss of the generator", LN_2, |point| point.generator),
        ];
        context! {
            charts => charts.into_iter().flatten().collect::<Vec<_>>(),
            skipped => Serde(listed(&self.skipped)),
            skipped_count => self.skipped.len(),
            ..Value::from(Serde(self))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_the_page_and_all_is_there() {
        let nasty = "<script>alert(1)</script>|\n# no";
        let point = |step| Point { step, discriminator: 1.3, generator: 0.8 };
        let metrics = Metrics {
            pictures: 1200,
            classes: vec![(nasty.into(), 700), ("b".into(), 500)],
            size: 28,
            channels: 1,
            discriminator_parameters: 1,
            generator_parameters: 2,
            steps: 2,
            batch: 64,
            seconds: 60.0,
            losses: vec![point(1), point(2)],
        };
        let [film, samples] = ["film", "samples"].map(|name| Png(format!("data:image/png;base64,{name}")));
        let skipped = vec![Skipped { path: nasty.into(), reason: "damaged".into() }];
        let [title, command, config] = [nasty, nasty, nasty].map(String::from);
        let report = Report { title, command, config, metrics, noise: 100, bytes: 1000, film, samples, skipped };
        let (page, card) = (report.html().unwrap(), report.model_card().unwrap());
        for text in [&page, &card] {
            assert!(!text.contains("<script>") && text.contains("&lt;script&gt;"), "{text}");
        }
        assert!(!card.contains("\n# no"), "{card}");
        assert!(page.contains("base64,film") && page.contains("base64,samples") && page.matches("<svg").count() == 2);
        assert!(page.contains("guessing: 1.386") && page.contains("1,200"), "{page}");
        assert!(!page.contains("http://") && !page.contains("https://"), "nothing is loaded from elsewhere");
    }
}
