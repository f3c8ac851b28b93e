//! One training of a classifier of sentences.

use super::sentences::Config;
use super::words::{NONE, Sentence, Words};
use crate::Result;
use crate::event::Phase;
use crate::learner::Learner;
use percept_engine::{Input, Network, Settings};
use percept_graph::{Builder, DType, Graph, Params};
use percept_learn::loss::{CrossEntropy, cross_entropy};
use percept_learn::optim::Schedule;
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
/// Sentences that are labelled at once.
const AT_ONCE: usize = 64;

/// Numbers of words, `[sentences, length]`, and the length.
pub(super) fn filled(rows: &[Vec<i64>]) -> (Vec<i64>, usize) {
    let length = rows.iter().map(Vec::len).max().unwrap_or(0).next_multiple_of(MULTIPLE);
    let fill = |row: &Vec<i64>| std::iter::repeat_n(NONE, length - row.len());
    (rows.iter().flat_map(|row| row.iter().copied().chain(fill(row))).collect(), length)
}

/// What a network of [`Sentences`] takes for the most probable class of each.
pub(super) fn answers(
    graph: &Graph,
    params: &Params,
    words: &Words,
    sentences: &[&Sentence],
    settings: &Settings,
) -> Result<Vec<usize>> {
    let mut network = Network::new(graph, params, settings.clone())?;
    let mut order: Vec<usize> = (0..sentences.len()).collect();
    order.sort_by_key(|&i| sentences[i].words.len());
    let mut said = vec![0; sentences.len()];
    for chunk in order.chunks(AT_ONCE) {
        let rows: Vec<_> = chunk.iter().map(|&i| words.encode(&sentences[i].words, |_| false)).collect();
        let (text, length) = filled(&rows);
        let (shape, scores) = network.run(&[(&[rows.len(), length], Input::I64(&text))])?.output(0);
        for (&i, row) in chunk.iter().zip(scores.chunks(shape[1])) {
            said[i] = (0..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
        }
    }
    Ok(said)
}

/// A network while it learns from some sentences.
pub(super) struct Fit<'a> {
    config: &'a Config,
    sentences: &'a [&'a Sentence],
    words: Words,
    graph: Graph,
    learner: Learner,
}

impl<'a> Fit<'a> {
    pub(super) fn new(
        config: &'a Config,
        sentences: &'a [&'a Sentence],
        classes: usize,
        settings: &Settings,
    ) -> Result<Self> {
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
        Ok(Self { config, sentences, words, graph, learner })
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

    /// The steps of so many epochs.
    pub(super) fn steps(&self, epochs: u64) -> u64 {
        epochs * self.sentences.len().div_ceil(self.config.batch) as u64
    }

    fn learn(&mut self, batch: &[usize], rate: f64) -> Result<f32> {
        let place = mixed(self.config.seed, self.learner.taken());
        let forget = |i: usize, word: usize| {
            let drawn = mixed(mixed(place, i as u64), word as u64) >> 11;
            (drawn as f64 / (1u64 << 53) as f64) < self.config.forget
        };
        let encode = |&i: &usize| self.words.encode(&self.sentences[i].words, |word| forget(i, word));
        let (text, length) = filled(&batch.iter().map(encode).collect::<Vec<_>>());
        let labels: Vec<i64> = batch.iter().map(|&i| self.sentences[i].label as i64).collect();
        let inputs = [(&[batch.len(), length][..], Input::I64(&text)), (&[batch.len()], Input::I64(&labels))];
        self.learner.learn(&inputs, place, rate)
    }

    /// How long an epoch takes.
    pub(super) fn seconds_of_epoch(mut self) -> Result<f64> {
        let batches = self.batches(0);
        let timed = TIMED.min(batches.len());
        // The first round makes the plans.
        for batch in &batches[..timed] {
            self.learn(batch, 0.0)?;
        }
        let start = Instant::now();
        for batch in &batches[..timed] {
            self.learn(batch, 0.0)?;
        }
        Ok(start.elapsed().as_secs_f64() / timed as f64 * batches.len() as f64)
    }

    /// Takes all steps; gives back the network, from words to logits.
    pub(super) fn run(mut self, epochs: u64, phase: &mut Phase<'_>) -> Result<(Graph, Params, Words)> {
        let total = self.steps(epochs);
        for epoch in 0..epochs {
            for batch in self.batches(epoch) {
                let step = self.learner.taken();
                let rate = self.config.learning_rate * Schedule::OneCycle.factor(step, total);
                let loss = self.learn(&batch, rate)?;
                phase.metric("text/loss", step + 1, loss.into());
                phase.progress(step + 1);
            }
        }
        let params = self.learner.weights.params()?;
        Ok((self.graph, params, self.words))
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    /// What stands beside a sentence in a batch has no part in its answer.
    #[test]
    fn a_sentence_has_the_same_scores_however_it_is_filled_up() {
        let sentences = ["a b c d", "b"].map(|text| Sentence { words: words(text), label: 0 });
        let all: Vec<_> = sentences.iter().collect();
        let config = Config { embedding: 3, filters: 2, ..Config::default() };
        let settings = Settings::detect().unwrap();
        let fit = Fit::new(&config, &all, 3, &settings).unwrap();
        let mut network = Network::new(&fit.graph, &fit.learner.weights.params().unwrap(), settings).unwrap();
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
