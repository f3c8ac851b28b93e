//! One training of a classifier of sentences.

use super::sentences::Config;
use super::words::{NONE, Sentence, Words};
use crate::Result;
use crate::classifier::cooled_softmax;
use crate::learner::{Checked, Learner, Lesson};
use percept_engine::{Input, Network, Settings};
use percept_graph::{Builder, DType, Graph, Params};
use percept_learn::loss::{CrossEntropy, cross_entropy};
use percept_learn::metrics::Metrics;
use percept_learn::random::mixed;
use percept_learn::trainer::BatchNorm;
use percept_models::init::{Init, initialize_with};
use percept_models::text::Sentences;
use std::time::Instant;

/// Sentences are filled up to a multiple of so many words, so that few plans serve all batches.
const MULTIPLE: usize = 16;
/// Words begin uniform within so much of 0, as in Kim's paper.
const SPREAD: f64 = 0.25;
/// Steps that are timed before the number of epochs is chosen.
const TIMED: usize = 12;
/// Sentences held out that a point of the curves looks at, about.
const CHECKED: usize = 1000;
/// Sentences that are labelled at once.
const AT_ONCE: usize = 64;

/// Numbers of words, `[sentences, length]`, and the length.
pub(super) fn filled(rows: &[Vec<i64>]) -> (Vec<i64>, usize) {
    let length = rows.iter().map(Vec::len).max().unwrap_or(0).next_multiple_of(MULTIPLE);
    let fill = |row: &Vec<i64>| std::iter::repeat_n(NONE, length - row.len());
    (rows.iter().flat_map(|row| row.iter().copied().chain(fill(row))).collect(), length)
}

/// The probabilities, a row for each sentence, that a network of [`Sentences`] gives.
pub(super) fn answers(
    graph: &Graph,
    params: &Params,
    words: &Words,
    sentences: &[&Sentence],
    settings: &Settings,
) -> Result<Vec<f32>> {
    let mut network = Network::new(graph, params, settings.clone())?;
    let mut order: Vec<usize> = (0..sentences.len()).collect();
    order.sort_by_key(|&i| sentences[i].words.len());
    let mut said = Vec::new();
    for chunk in order.chunks(AT_ONCE) {
        let rows: Vec<_> = chunk.iter().map(|&i| words.encode(&sentences[i].words, |_| false)).collect();
        let (text, length) = filled(&rows);
        let (shape, scores) = network.run(&[(&[rows.len(), length], Input::I64(&text))])?.output(0);
        let classes = shape[1];
        said.resize(sentences.len() * classes, 0.0);
        for (&i, row) in chunk.iter().zip(scores.chunks(classes)) {
            let out = &mut said[i * classes..][..classes];
            out.copy_from_slice(row);
            cooled_softmax(out, classes, 1.0);
        }
    }
    Ok(said)
}

/// What a network learns from sentences, and how far it is in them.
pub(super) struct Fit<'a> {
    config: &'a Config,
    sentences: &'a [&'a Sentence],
    /// Sentences that were held out; none to look at nothing.
    held: Vec<&'a Sentence>,
    classes: usize,
    pub(super) words: Words,
    /// From words to logits.
    pub(super) graph: Graph,
    /// An epoch and its batches.
    order: Option<(u64, Vec<Vec<usize>>)>,
    settings: &'a Settings,
}

impl<'a> Fit<'a> {
    pub(super) fn new(
        config: &'a Config,
        sentences: &'a [&'a Sentence],
        held: &[&'a Sentence],
        classes: usize,
        settings: &'a Settings,
    ) -> Result<(Self, Learner)> {
        let words = Words::of(sentences.iter().copied());
        let Config { embedding, filters, dropout, ref widths, .. } = *config;
        let table = Sentences { words: words.count(), embedding, widths: widths.clone(), filters, dropout, classes };
        let graph = table.build()?;
        let rule = |name: &str, _: &[usize]| (name == "embed.weight").then_some(Init::Uniform(SPREAD));
        let params = initialize_with(&graph, config.seed, rule)?;
        let net = Builder::from_graph(graph.clone());
        let labels = net.input("labels", DType::I64, ["N".into()]);
        let loss = net.finish(&[("loss", cross_entropy(net.find("logits"), labels, CrossEntropy::default()))])?;
        let learner = Learner::new(&loss, &params, BatchNorm::Frozen, config.weight_decay, None, settings)?;
        let held = held.iter().step_by(held.len().div_ceil(CHECKED).max(1)).copied().collect();
        Ok((Self { config, sentences, held, classes, words, graph, order: None, settings }, learner))
    }

    /// The sentences of each step of an epoch: those of a step are about as long as each other, the steps are in any order.
    fn batches(&self, epoch: u64) -> Vec<Vec<usize>> {
        let seed = mixed(self.config.seed, epoch);
        let length = |i: usize| self.sentences[i].words.len().div_ceil(MULTIPLE / 2);
        let mut order: Vec<usize> = (0..self.sentences.len()).collect();
        order.sort_by_key(|&i| (length(i), mixed(seed, i as u64)));
        let mut batches: Vec<_> = order.chunks(self.config.batch).map(<[usize]>::to_vec).collect();
        batches.sort_by_key(|batch| mixed(seed, !(batch[0] as u64)));
        batches
    }

    /// The steps of an epoch.
    pub(super) fn in_epoch(&self) -> u64 {
        self.sentences.len().div_ceil(self.config.batch) as u64
    }

    fn learn(&self, learner: &mut Learner, batch: &[usize], rate: f64) -> Result<f32> {
        let place = mixed(self.config.seed, learner.taken());
        let forget = |i: usize, word: usize| {
            let drawn = mixed(mixed(place, i as u64), word as u64) >> 11;
            (drawn as f64 / (1u64 << 53) as f64) < self.config.forget
        };
        let encode = |&i: &usize| self.words.encode(&self.sentences[i].words, |word| forget(i, word));
        let (text, length) = filled(&batch.iter().map(encode).collect::<Vec<_>>());
        let labels: Vec<i64> = batch.iter().map(|&i| self.sentences[i].label as i64).collect();
        let inputs = [(&[batch.len(), length][..], Input::I64(&text)), (&[batch.len()], Input::I64(&labels))];
        learner.learn(&inputs, place, rate)
    }

    /// How long an epoch takes.
    pub(super) fn seconds_of_epoch(self, mut learner: Learner) -> Result<f64> {
        let batches = self.batches(0);
        let timed = TIMED.min(batches.len());
        // The first round makes the plans.
        for batch in &batches[..timed] {
            self.learn(&mut learner, batch, 0.0)?;
        }
        let start = Instant::now();
        for batch in &batches[..timed] {
            self.learn(&mut learner, batch, 0.0)?;
        }
        Ok(start.elapsed().as_secs_f64() / timed as f64 * batches.len() as f64)
    }
}

impl Lesson for Fit<'_> {
    fn step(&mut self, learner: &mut Learner, rate: f64) -> Result<f32> {
        let (epoch, place) = (learner.taken() / self.in_epoch(), learner.taken() % self.in_epoch());
        let (_, batches) = match self.order.take() {
            Some(order) if order.0 == epoch => self.order.insert(order),
            _ => self.order.insert((epoch, self.batches(epoch))),
        };
        let batch = std::mem::take(&mut batches[place as usize]);
        self.learn(learner, &batch, rate)
    }

    fn check(&mut self, learner: &Learner) -> Result<Checked> {
        if self.held.is_empty() {
            return Ok(Checked::default());
        }
        let params = learner.weights.params()?;
        let said = answers(&self.graph, &params, &self.words, &self.held, self.settings)?;
        let truth: Vec<usize> = self.held.iter().map(|sentence| sentence.label).collect();
        let metrics = Metrics::new(&said, self.classes, &truth)?;
        Ok(Checked { nll: Some(metrics.nll), accuracy: Some(metrics.accuracy) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    /// What stands beside a sentence in a batch has no part in its answer.
    #[test]
    fn a_sentence_has_the_same_scores_however_it_is_filled_up() {
        let sentences = ["a b c d", "b"].map(|text| Sentence { text: text.into(), words: words(text), label: 0 });
        let all: Vec<_> = sentences.iter().collect();
        let config = Config { embedding: 3, filters: 2, ..Config::default() };
        let settings = Settings::detect().unwrap();
        let (fit, learner) = Fit::new(&config, &all, &[], 3, &settings).unwrap();
        let params = learner.weights.params().unwrap();
        let mut network = Network::new(&fit.graph, &params, settings.clone()).unwrap();
        let row = fit.words.encode(&sentences[0].words, |_| false);
        let mut scores = |length: usize| {
            let row: Vec<i64> = row.iter().copied().chain(std::iter::repeat(NONE)).take(length).collect();
            network.run(&[(&[1, length], Input::I64(&row))]).unwrap().output(0).1.to_vec()
        };
        let plain = scores(row.len());
        for length in [row.len() + 1, 32, 100] {
            assert!(plain.iter().zip(scores(length)).all(|(x, y)| (x - y).abs() < 1e-6));
        }
    }
}
