//! Training a classifier of sentences: lines that begin with a label become a network that labels further ones.
//!
//! It is measured on a file of its own, in folds each of which is held out once, or on a tenth of the sentences. The model that is left is one
//! that learned from all sentences, except for that file.

use super::fit::{Fit, answers};
use super::plan;
use super::words::{Labelled, Sentence, Words};
use crate::classifier::key;
use crate::event::{Event, Events, Phase};
use crate::output::Folder;
use crate::{Error, Result, format};
use percept_engine::Settings;
use percept_graph::onnx::Model;
use percept_graph::{Builder, Graph, Params};
use percept_learn::metrics::wilson;
use percept_learn::random::mixed;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The words that a model knows, as a JSON list, in a model file's metadata.
pub(super) const WORDS: &str = "percept.words";
/// More epochs make it worse: the sentences are known by heart.
pub(super) const MOST_EPOCHS: u64 = 8;

/// The settings of a classifier of sentences: `config.toml`.
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
    /// The highest learning rate.
    pub learning_rate: f64,
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
            learning_rate: 2e-3,
            weight_decay: 0.01,
            epochs: None,
        }
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
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Its folder.
    pub out: PathBuf,
    /// What it found out.
    pub metrics: Metrics,
}

/// Learns to label sentences. Makes the folder `out` with `model.onnx`, `metrics.json` and `config.toml`.
///
/// # Errors
/// A file that cannot be read or has lines without a label, labels in the test file that were not learned, an output that is there already.
pub fn train(mut config: Config, out: &Path, settings: &Settings, events: Events<'_>) -> Result<Trained> {
    let start = Instant::now();
    let folder = Folder::create(out)?;
    let Labelled { labels, sentences } = Labelled::read(&config.text, None)?;
    let test = config.test.as_deref().map(|file| Labelled::read(file, Some(&labels))).transpose()?;
    let folds = config.folds.unwrap_or(sentences.len().min(10));
    if !(2..=sentences.len()).contains(&folds) {
        let (file, count) = (config.text.display(), format::count(sentences.len() as u64));
        return Err(Error::Setting(format!("{file}: {count} sentences cannot be divided into {folds} folds")));
    }
    let (count, classes) = (format::count(sentences.len() as u64), labels.len());
    events(Event::Note { text: format!("{count} sentences of {classes} classes") });
    let measured = match (&test, config.folds) {
        (Some(_), _) => 0,
        (None, Some(folds)) => folds,
        (None, None) => 1,
    };
    let all: Vec<&Sentence> = sentences.iter().collect();
    let epochs = match config.epochs {
        Some(epochs) => epochs,
        None => {
            let seconds = Fit::new(&config, &all, classes, settings)?.seconds_of_epoch()?;
            let trainings = (measured + 1) as f64;
            let left = config.time_limit.map(|limit| Duration::from_secs(limit).saturating_sub(start.elapsed()));
            let (epochs, text) = plan::epochs(seconds, trainings, MOST_EPOCHS, left);
            events(Event::Note { text });
            epochs
        }
    };
    config.epochs = Some(epochs);
    let toml = toml::to_string(&config).map_err(|e| Error::Setting(e.to_string()))?;
    folder.write("config.toml", toml.as_bytes())?;

    let (mut right, mut asked) = held_out(&config, &all, [measured, folds], classes, settings, &mut *events)?;
    let fit = Fit::new(&config, &all, classes, settings)?;
    let mut phase = Phase::start(&mut *events, "Learning from all", Some(fit.steps(epochs)), "steps");
    let (graph, params, words) = fit.run(epochs, &mut phase)?;
    phase.finish("");
    if let Some(test) = &test {
        let held: Vec<&Sentence> = test.sentences.iter().collect();
        right = count_right(&graph, &params, &words, &held, settings)?;
        asked = held.len();
    }
    let metrics = Metrics {
        accuracy: right as f64 / asked as f64,
        accuracy_ci95: wilson(right, asked)?,
        sentences: asked,
        measured_on: match measured {
            0 => "test file".into(),
            1 => "a tenth held out".into(),
            folds => format!("{folds} folds"),
        },
        sentences_learned: sentences.len(),
        classes,
        vocabulary: words.list().len(),
        epochs,
    };
    let json = serde_json::to_vec_pretty(&metrics).map_err(|e| Error::Setting(e.to_string()))?;
    folder.write("metrics.json", &json)?;
    model(graph, params, &labels, &words)?.write(&folder.path().join("model.onnx"))?;
    folder.finish()?;
    Ok(Trained { out: out.into(), metrics })
}

/// How many sentences are named right, of how many, if so many of the folds are held out in turn.
fn held_out(
    config: &Config,
    sentences: &[&Sentence],
    [measured, folds]: [usize; 2],
    classes: usize,
    settings: &Settings,
    events: Events<'_>,
) -> Result<(usize, usize)> {
    // The order in which the seed puts them says which fold each belongs to.
    let mut order: Vec<usize> = (0..sentences.len()).collect();
    order.sort_by_key(|&i| mixed(config.seed, i as u64));
    let (mut right, mut asked) = (0, 0);
    for fold in 0..measured {
        let part = |held: bool| {
            let chosen = order.iter().enumerate().filter(|(place, _)| (place % folds == fold) == held);
            chosen.map(|(_, &i)| sentences[i]).collect::<Vec<_>>()
        };
        let (learned, held) = (part(false), part(true));
        let fit = Fit::new(config, &learned, classes, settings)?;
        let epochs = config.epochs.unwrap_or(MOST_EPOCHS);
        let mut phase = Phase::start(&mut *events, "Learning, some held out", Some(fit.steps(epochs)), "steps");
        let (graph, params, words) = fit.run(epochs, &mut phase)?;
        let found = count_right(&graph, &params, &words, &held, settings)?;
        let share = format::percent(found as f64 / held.len() as f64);
        phase.finish(format!("{} of {measured}, {share} right of {}", fold + 1, format::count(held.len() as u64)));
        right += found;
        asked += held.len();
    }
    Ok((right, asked))
}

fn count_right(
    graph: &Graph,
    params: &Params,
    words: &Words,
    sentences: &[&Sentence],
    settings: &Settings,
) -> Result<usize> {
    let said = answers(graph, params, words, sentences, settings)?;
    Ok(said.iter().zip(sentences).filter(|(answer, sentence)| **answer == sentence.label).count())
}

/// The model file: words in, probabilities out.
fn model(graph: Graph, params: Params, labels: &[String], words: &Words) -> Result<Model> {
    let net = Builder::from_graph(graph);
    let graph = net.finish(&[("probabilities", net.find("logits").softmax())])?;
    let json = |list: &[String]| serde_json::to_string(list).map_err(|e| Error::Setting(e.to_string()));
    let metadata = [(key::LABELS.into(), json(labels)?), (WORDS.into(), json(words.list())?)].into();
    Ok(Model { graph, params, metadata })
}
