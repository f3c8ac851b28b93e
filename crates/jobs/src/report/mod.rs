//! The report and the model card: what a person reads about a model.
//!
//! The report is one HTML file that needs nothing else: pictures are `data:` URIs, charts are SVG, and a content security policy
//! forbids everything from elsewhere. Templates escape whatever comes from file names, since those are anybody's.

mod charts;
mod curves;
pub mod gan;
pub mod labels;
pub mod language;
mod lines;
mod rates;
mod stages;
pub mod targets;

pub(crate) use charts::{confusion, reliability};
pub use rates::learning_rates;
pub use stages::Stage;

use crate::calibration::Calibration;
use crate::evaluate::KnownMeasured;
use crate::event::Timing;
use crate::{Error, Result, format};
use base64::{Engine, engine::general_purpose::STANDARD};
use image::codecs::jpeg::JpegEncoder;
use image::{RgbImage, imageops};
use minijinja::value::{Kwargs, Serde};
use minijinja::{AutoEscape, Environment, Value, context};
use percept_learn::metrics::Metrics;
use percept_photos::scan::Skipped;
use serde::{Serialize, Serializer};

/// Skipped files that the report lists.
const LISTED: usize = 200;

/// Everything that the report and the model card say.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What the model is for: the name of the photos' folder.
    pub title: String,
    /// The command line that made it.
    pub command: String,
    /// The `config.toml` that makes it again.
    pub config: String,
    /// The network.
    pub network: String,
    /// Licence of the weights that it began with.
    pub licence: String,
    /// Whether it began from zero.
    pub from_scratch: bool,
    /// Whether its own layers learned from the photos, and not just a classifier on top of them.
    pub retrained: bool,
    /// The trainings of its layers, in order.
    pub stages: Vec<Stage>,
    /// Whether a training could go back to the epoch that suits the photos held out best.
    pub best_epoch: bool,
    /// Whether the user said which photos to hold out.
    pub divided: bool,
    /// Names of the classes.
    pub labels: Vec<String>,
    /// Length in pixels to which a photo's shorter side is resized.
    pub resize: u32,
    /// Side in pixels of the centre square that the model gets.
    pub input: u32,
    /// Size of the model file.
    pub bytes: u64,
    /// What the latency was measured on, such as `2 threads, avx512`.
    pub machine: String,
    /// Photos that the model learned from, and those held out from them.
    pub photos: usize,
    /// Scenes that they show; 0 if that was not looked at.
    pub scenes: usize,
    /// Augmented views of each that the classifier on top learned from.
    pub views: u32,
    /// Whether the accuracy was measured on a part that the user set aside for testing, on which nothing was chosen.
    pub tested: bool,
    /// Whether the photos measured on went into the last fit, after they were measured on.
    pub refitted: bool,
    /// How well it does on photos it was not fitted on.
    pub metrics: Metrics,
    /// How far its probabilities can be believed.
    pub calibration: Option<Calibration>,
    /// How well it knows when a photo shows none of its classes; absent if it cannot tell.
    pub known: Option<KnownMeasured>,
    /// Median time in milliseconds for one picture.
    pub latency_ms_p50: f64,
    /// 99th percentile of that.
    pub latency_ms_p99: f64,
    /// A small picture of each class.
    pub examples: Vec<Picture>,
    /// Augmented views, to look at.
    pub sheet: Vec<Picture>,
    /// The most confident mistakes, most confident first.
    pub mistakes: Vec<Mistake>,
    /// Where the model looks, on a photo of each class.
    pub looks: Vec<Look>,
    /// Files that were left out.
    #[serde(skip)]
    pub skipped: Vec<Skipped>,
    /// Wall-clock time of each phase.
    pub timings: Vec<Timing>,
    /// What could make it better, a sentence each.
    pub hints: Vec<String>,
}

/// A wrong answer.
#[derive(Debug, Serialize)]
pub struct Mistake {
    /// The picture.
    pub picture: Picture,
    /// What of it speaks for the answer, and what for the truth; absent for a network without a feature map.
    pub heats: Option<[Picture; 2]>,
    /// Its path.
    pub path: String,
    /// What it shows.
    pub truth: String,
    /// What the model said.
    pub predicted: String,
    /// The probability that it gave to that.
    pub probability: f32,
}

/// A photo under what of it speaks for its class.
#[derive(Debug, Serialize)]
pub struct Look {
    /// The class.
    pub label: String,
    /// The photo under its heat map.
    pub picture: Picture,
}

/// A small JPEG, which the page carries as a `data:` URI.
#[derive(Clone, Debug, Default)]
pub struct Picture(
    /// The file's bytes.
    pub Vec<u8>,
);

impl Picture {
    /// The middle of a picture, so many pixels wide and high; nothing if it cannot be encoded.
    pub(crate) fn small(picture: &RgbImage, side: u32) -> Self {
        let square = picture.width().min(picture.height());
        let (x, y) = ((picture.width() - square) / 2, (picture.height() - square) / 2);
        Self::new(&imageops::thumbnail(&*imageops::crop_imm(picture, x, y, square, square), side, side))
    }

    /// All of a picture; nothing if it cannot be encoded.
    pub(crate) fn new(picture: &RgbImage) -> Self {
        let mut bytes = Vec::new();
        match picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 80)) {
            Ok(()) => Self(bytes),
            Err(_) => Self::default(),
        }
    }
}

impl Serialize for Picture {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("data:image/jpeg;base64,{}", STANDARD.encode(&self.0)))
    }
}

impl Report {
    /// The report as one HTML file.
    pub fn html(&self) -> Result<String> {
        self.render("report.html", include_str!("report.html"))
    }

    /// The model card as Markdown.
    pub fn model_card(&self) -> Result<String> {
        Ok(self.render("model_card.md", include_str!("model_card.md"))? + "\n")
    }

    fn render(&self, name: &'static str, template: &'static str) -> Result<String> {
        let context = context! {
            rows => Serde(class_rows(&self.metrics, &self.labels, &self.examples)),
            confused => Serde(confused(&self.metrics, &self.labels)),
            stage_rows => Serde(self.stage_rows()),
            epochs => self.epochs(),
            learners => self.learners(false),
            kept_learners => self.learners(true),
            chosen => self.chosen(),
            reliability => charts::reliability(&self.metrics.reliability, "photos"),
            confusion => charts::confusion(&self.metrics.confusion, &self.labels),
            skipped => Serde(listed(&self.skipped)),
            skipped_count => self.skipped.len(),
            seconds => self.timings.iter().map(|timing| timing.seconds).sum::<f64>(),
            ..Value::from(Serde(self))
        };
        render(name, template, context)
    }
}

/// The classes, worst first; those of which nothing was measured last. Examples of all of them, or none.
fn class_rows<'a>(metrics: &Metrics, labels: &'a [String], examples: &'a [Picture]) -> Vec<Row<'a>> {
    let row = |(i, class): (usize, &percept_learn::metrics::ClassMetrics)| Row {
        label: &labels[i],
        example: examples.get(i).filter(|picture| !picture.0.is_empty()),
        precision: class.precision,
        recall: class.recall,
        f1: class.f1,
        support: class.support,
    };
    let mut rows: Vec<_> = metrics.per_class.iter().enumerate().map(row).collect();
    rows.sort_by(|a, b| (a.support == 0).cmp(&(b.support == 0)).then(a.f1.total_cmp(&b.f1)));
    rows
}

/// The pairs that are confused most: truth, answer, how often.
fn confused<'a>(metrics: &Metrics, labels: &'a [String]) -> Vec<(&'a str, &'a str, usize)> {
    let mut cells: Vec<_> = metrics.confusion.iter().filter(|cell| cell.label != cell.predicted).collect();
    cells.sort_by_key(|cell| std::cmp::Reverse(cell.count));
    let pair = |cell: &&percept_learn::metrics::Confusion| (&*labels[cell.label], &*labels[cell.predicted], cell.count);
    cells.iter().take(10).map(pair).collect()
}

/// A page or card from its template: in the style and with the spelling of numbers that all share.
pub(crate) fn render(name: &'static str, template: &'static str, context: Value) -> Result<String> {
    let mut environment = Environment::new();
    // Markdown may contain HTML, so both are escaped alike.
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_filter("percent", format::percent);
    environment.add_filter("percent_range", |range: Vec<f64>| match range[..] {
        [low, high] => format::percent_range([low, high]),
        _ => String::new(),
    });
    environment.add_filter("bytes", format::bytes);
    environment.add_filter("count", format::count);
    environment.add_filter("duration", format::duration);
    environment.add_filter("in_words", format::in_words);
    environment.add_filter("cell", |text: &str| text.replace(['|', '\n', '\r'], " "));
    environment.add_filter("visible", |text: &str| match text {
        " " => "␣".into(),
        _ => text.replace('\n', "⏎").replace('\t', "⇥"),
    });
    environment.add_function("head", head);
    environment.add_global("version", env!("CARGO_PKG_VERSION"));
    let rendered = environment
        .add_template("parts.html", include_str!("parts.html"))
        .and_then(|()| environment.add_template(name, template))
        .and_then(|()| environment.get_template(name)?.render(context));
    rendered.map_err(|e| Error::Setting(format!("{name} cannot be written: {e:#}")))
}

/// The beginning of a page, up to where a style of its own may follow: it takes nothing from elsewhere, and scripts only if it has `scripts`.
fn head(title: &str, options: Kwargs) -> std::result::Result<Value, minijinja::Error> {
    let scripts =
        if options.get::<Option<bool>>("scripts")?.unwrap_or(false) { "; script-src 'unsafe-inline'" } else { "" };
    options.assert_all_used()?;
    let (title, style) = (minijinja::HtmlEscape(title), include_str!("style.css"));
    Ok(Value::from_safe_string(format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'{scripts}">
<title>{title}</title>
<style>
{style}</style>"#
    )))
}

/// The files that were left out, as far as a page lists them: path and reason.
fn listed(skipped: &[Skipped]) -> Vec<(String, &str)> {
    skipped.iter().take(LISTED).map(|skipped| (skipped.path.display().to_string(), &*skipped.reason)).collect()
}

/// A line of the table of classes.
#[derive(Serialize)]
struct Row<'a> {
    label: &'a str,
    example: Option<&'a Picture>,
    precision: f64,
    recall: f64,
    f1: f64,
    support: usize,
}
