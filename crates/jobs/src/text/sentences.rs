//! Training a classifier of sentences: lines that begin with a label become a network that labels further ones.
//!
//! It is measured on a file of its own, in folds each of which is held out once, or on a tenth of the sentences. The model that is left is one
//! that learned from all sentences, except for that file.

use super::fit::{Fit, answers};
use super::folds::held_out;
use super::words::{FILL, Labelled, Sentence, Words};
use super::{Plan, Source, told};
use crate::classifier::key;
use crate::event::{Event, Events, Phase};
use crate::folder::RunFolder;
use crate::learner::{Course, RATES, decide_rate};
use crate::report::labels::confusion_matrix;
use crate::{Error, Result, budget, format};
use percept_engine::Settings;
use percept_graph::onnx::Model;
use percept_graph::{Builder, Graph, Params};
use percept_learn::metrics::{self, ClassMetrics};
use percept_models::cache;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The words that a model knows, as a JSON list, in a model file's metadata.
pub(super) const WORDS: &str = "percept.words";
/// More epochs make it worse: the sentences are known by heart.
pub(super) const MOST_EPOCHS: u64 = 8;

/// The highest learning rate unless another is given or found.
pub(super) const LEARNING_RATE: f64 = 2e-3;

/// The settings of a classifier of sentences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The labelled sentences.
    pub text: PathBuf,
    /// Further ones to measure it on.
    pub test: Option<PathBuf>,
    /// How many folds are held out in turn; otherwise a tenth is held out once.
    pub folds: Option<usize>,
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// Seconds for everything; absent for as many epochs as are worth it.
    pub time_limit: Option<u64>,
    /// Features of a word.
    pub embedding: usize,
    /// How many words a filter reads, 5 at most.
    pub widths: Vec<usize>,
    /// Filters of each width.
    pub filters: usize,
    /// Share of the filters' answers that is dropped.
    pub dropout: f32,
    /// Share of the words that are taken for unknown ones while training.
    pub forget: f64,
    /// Sentences of a step.
    pub batch: usize,
    /// The highest learning rate; absent until it is found.
    pub learning_rate: Option<f64>,
    /// Weight decay of AdamW.
    pub weight_decay: f32,
    /// Times through the sentences; absent until the time limit has decided.
    pub epochs: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            text: PathBuf::new(),
            test: None,
            folds: None,
            seed: 0,
            time_limit: Some(900),
            embedding: 128,
            widths: vec![3, 4, 5],
            filters: 100,
            dropout: 0.5,
            forget: 0.1,
            batch: 50,
            learning_rate: Some(LEARNING_RATE),
            weight_decay: 0.01,
            epochs: None,
        }
    }
}

impl Config {
    /// What has to be so, and what to say if it is not.
    pub(super) fn checks(&self) -> Vec<(bool, &'static str)> {
        let size = |n: usize| (1..=4096).contains(&n);
        let share = |x: f64| (0.0..1.0).contains(&x);
        vec![
            (self.folds.is_none() || self.test.is_none(), "folds and test cannot both be given"),
            (size(self.embedding), "embedding must be at least 1 and at most 4096"),
            (!self.widths.is_empty() && self.widths.iter().all(|w| (1..=FILL).contains(w)), "widths must be 1 to 5"),
            (size(self.filters), "filters must be at least 1 and at most 4096"),
            (size(self.batch), "batch must be at least 1 and at most 4096"),
            (share(self.dropout.into()), "dropout must be at least 0 and below 1"),
            (share(self.forget), "forget must be at least 0 and below 1"),
            (self.learning_rate.is_none_or(|rate| rate > 0.0 && rate.is_finite()), "learning_rate must be positive"),
            (self.weight_decay >= 0.0 && self.weight_decay.is_finite(), "weight_decay must not be negative"),
            (self.epochs != Some(0), "epochs must be at least 1"),
        ]
    }
}

/// What a run found out: `metrics.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Metrics {
    /// Share of the sentences named right that were not learned from.
    pub accuracy: f64,
    /// Its 95 % interval (Wilson's).
    pub accuracy_ci95: [f64; 2],
    /// The sentences that this was measured on.
    pub sentences: usize,
    /// Which those were: `test file`, `10 folds` or `a tenth held out`.
    pub measured_on: String,
    /// Sentences that the model learned from.
    pub sentences_learned: usize,
    /// Classes.
    pub classes: usize,
    /// Different words.
    pub vocabulary: usize,
    /// Times through the sentences.
    pub epochs: u64,
    /// The names of the classes, in the order of all that follows.
    pub labels: Vec<String>,
    /// For each true class how often each class was named.
    pub confusion_matrix: Vec<Vec<usize>>,
    /// Precision, recall and F1 of each class.
    pub per_class: Vec<ClassMetrics>,
    /// Mean F1 of the classes.
    pub f1_macro: f64,
    /// Mean negative log-likelihood.
    pub nll: f64,
    /// Expected calibration error.
    pub ece: f64,
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Its folder.
    pub out: PathBuf,
    /// What it found out.
    pub metrics: Metrics,
}

/// Learns to label sentences.
pub(super) fn run(
    mut config: Config,
    source: &Source,
    folder: RunFolder,
    command: &str,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Trained> {
    let start = Instant::now();
    let Labelled { labels, sentences } = Labelled::read(source, None)?;
    let test_source = config.test.as_deref().map(Source::open).transpose()?;
    let test = test_source.as_ref().map(|file| Labelled::read(file, Some(&labels))).transpose()?;
    let folds = config.folds.unwrap_or(sentences.len().min(10));
    if !(2..=sentences.len()).contains(&folds) {
        let (file, count) = (config.text.display(), format::count(sentences.len() as u64));
        return Err(Error::Setting(format!("{file}: {count} sentences cannot be divided into {folds} folds")));
    }
    let texts = [&*source.text, test_source.as_ref().map_or("", |file| &*file.text)];
    folder.check_data("the text has", &texts.map(|text| cache::sha256(text.as_bytes())).join(" "))?;
    let (count, classes) = (format::count(sentences.len() as u64), labels.len());
    events(Event::Note { text: format!("{count} sentences of {classes} classes") });
    let measured = match (&test, config.folds) {
        (Some(_), _) => 0,
        (None, Some(folds)) => folds,
        (None, None) => 1,
    };
    let all: Vec<&Sentence> = sentences.iter().collect();
    let tested: Vec<&Sentence> = test.iter().flat_map(|test| &test.sentences).collect();
    let mut rate = config.learning_rate;
    let begin = || Fit::new(&config, &all, &[], classes, settings);
    decide_rate(&mut rate, LEARNING_RATE, &folder, begin, &mut *events)?;
    config.learning_rate = rate;
    if config.epochs.is_none() {
        let (fit, learner) = Fit::new(&config, &all, &[], classes, settings)?;
        let seconds = fit.seconds_of_epoch(learner)?;
        config.epochs = Some(planned(&config, seconds, measured + 1, start, &mut *events));
    }
    let plan = Plan::Sentences(config.clone());
    folder.record(&plan, command)?;
    let toml = plan.to_toml()?;
    let mut held = held_out(&config, &toml, &folder, &all, [measured, folds], classes, settings, &mut *events)?;

    let (mut fit, mut learner) = Fit::new(&config, &all, &tested, classes, settings)?;
    let checkpoint = folder.path().join("all.safetensors");
    let course = course(&config, &fit, ("Learning from all", "text"), &checkpoint, &toml);
    let (curve, learning) = course.run(&mut learner, &mut fit, &mut *events)?;
    held.timings.push(learning);
    let params = learner.weights.params()?;
    let Fit { graph, words, .. } = fit;
    if test.is_some() {
        held.rows = answers(&graph, &params, &words, &tested, settings)?;
        (held.sentences, held.curve) = (tested, curve);
    }
    let phase = Phase::start(events, "Writing the report", None, "files");
    let truth: Vec<usize> = held.sentences.iter().map(|sentence| sentence.label).collect();
    let figures = metrics::Metrics::new(&held.rows, classes, &truth)?;
    let metrics = Metrics {
        accuracy: figures.accuracy,
        accuracy_ci95: figures.accuracy_ci95,
        sentences: figures.images,
        measured_on: match measured {
            0 => "test file".into(),
            1 => "a tenth held out".into(),
            folds => format!("{folds} folds"),
        },
        sentences_learned: sentences.len(),
        classes,
        vocabulary: words.list().len(),
        epochs: config.epochs.unwrap_or(1),
        labels,
        confusion_matrix: confusion_matrix(&figures),
        per_class: figures.per_class.clone(),
        f1_macro: figures.f1_macro,
        nll: figures.nll,
        ece: figures.ece,
    };
    folder.write_json("metrics.json", &metrics)?;
    folder.write_json("curves.json", &held.curve)?;
    folder.write("labels.txt", (metrics.labels.join("\n") + "\n").as_bytes())?;
    let model = model(graph, params, &metrics.labels, &words)?.to_bytes()?;
    folder.write("model.onnx", &model)?;
    held.rates = folder.read_json(RATES);
    let report = told::report(source, &config, &metrics, figures, &held, [command, &toml], model.len() as u64);
    folder.write("report.html", report.html()?.as_bytes())?;
    folder.write("MODEL_CARD.md", report.model_card()?.as_bytes())?;
    phase.finish("");
    let out = folder.out().to_path_buf();
    folder.finish()?;
    Ok(Trained { out, metrics })
}

/// The epochs of each training that there is time for.
fn planned(config: &Config, seconds: f64, trainings: usize, start: Instant, events: Events<'_>) -> u64 {
    let left = config.time_limit.map(|limit| Duration::from_secs(limit).saturating_sub(start.elapsed()));
    let epochs = budget::affordable(trainings as f64 * seconds, left, [1, MOST_EPOCHS]);
    let often = if trainings > 1 { format!("{trainings} trainings of ") } else { String::new() };
    let epoch = format::duration(seconds);
    events(Event::Note { text: format!("{often}{epochs} epochs of about {epoch}") });
    epochs
}

/// One training: the curves have a point for each epoch.
pub(super) fn course<'a>(
    config: &Config,
    fit: &Fit<'_>,
    (name, curves): (&'static str, &'a str),
    checkpoint: &'a Path,
    toml: &'a str,
) -> Course<'a> {
    let epochs = config.epochs.unwrap_or(MOST_EPOCHS);
    let steps = epochs * fit.in_epoch();
    let learning_rate = config.learning_rate.unwrap_or(LEARNING_RATE);
    Course { name, curves, steps, learning_rate, points: epochs, checkpoint, settings: toml }
}

/// The model file: words in, probabilities out.
fn model(graph: Graph, params: Params, labels: &[String], words: &Words) -> Result<Model> {
    let net = Builder::from_graph(graph);
    let graph = net.finish(&[("probabilities", net.find("logits").softmax())])?;
    let json = |list: &[String]| serde_json::to_string(list).map_err(|e| Error::Setting(e.to_string()));
    let metadata = [(key::LABELS.into(), json(labels)?), (WORDS.into(), json(words.list())?)].into();
    Ok(Model { graph, params, metadata })
}
