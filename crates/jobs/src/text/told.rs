//! What the report says of a classifier of sentences.

use super::folds::Held;
use super::sentences::{Config, Metrics};
use super::{Source, VERB};
use crate::format;
use crate::report::labels::{self, Mistake, Report, Things};
use percept_learn::metrics;

/// Mistakes that the report shows.
const SHOWN: usize = 40;

pub(super) fn report(
    source: &Source,
    config: &Config,
    metrics: &Metrics,
    figures: metrics::Metrics,
    held: &Held<'_>,
    [command, toml]: [&str; 2],
    bytes: u64,
) -> Report {
    let wrong = labels::mistakes(&held.rows, metrics.classes, held.sentences.iter().map(|sentence| sentence.label));
    let mistake = |(i, predicted, probability): (usize, usize, f32)| Mistake {
        picture: None,
        text: held.sentences[i].text.clone(),
        truth: metrics.labels[held.sentences[i].label].clone(),
        predicted: metrics.labels[predicted].clone(),
        probability,
    };
    let widths: Vec<String> = config.widths.iter().map(usize::to_string).collect();
    let count = |n: usize| format::count(n as u64);
    Report {
        title: source.title(),
        verb: VERB,
        things: Things { one: "sentence", many: "sentences" },
        task: "text-classification",
        command: command.into(),
        config: toml.into(),
        network: format!(
            "convolutions over {} words, {} filters of each width, over {} features of each word",
            widths.join(", "),
            config.filters,
            config.embedding
        ),
        measured_on: match &*metrics.measured_on {
            "test file" => "They are those of a file of their own, on which nothing was learned or chosen.".into(),
            "a tenth held out" => "They are a tenth of all, held out while a model learned from the others. The model in \
                                   this folder then learned from all in the same way."
                .into(),
            folds => format!(
                "They are all sentences: in {folds} each was held out once, while a model learned from the others. The model \
                 in this folder then learned from all in the same way."
            ),
        },
        curve_of: match (&*metrics.measured_on, config.folds) {
            (_, Some(_)) => "Of the first fold.",
            ("test file", _) => "Of the model in this folder.",
            _ => "Of the training with a tenth held out.",
        },
        curve: held.curve.clone(),
        rates: held.rates.clone(),
        axis: ("epoch", metrics.epochs as f64),
        learned: metrics.sentences_learned,
        bytes,
        tiles: vec![(count(metrics.vocabulary), "different words".into()), (metrics.epochs.to_string(), "epochs".into())],
        input: "the numbers of a sentence's words (int64), N × length, as percept.words in the metadata has them: the first \
                word is 2, 0 is no word, 1 any other; four 0 stand before the first word and five behind the last"
            .into(),
        labels: metrics.labels.clone(),
        metrics: figures,
        groups: Vec::new(),
        examples: Vec::new(),
        mistakes: wrong.into_iter().take(SHOWN).map(mistake).collect(),
        skipped: Vec::new(),
        timings: held.timings.clone(),
    }
}
