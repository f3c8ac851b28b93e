//! The heads on frozen features: for each question logistic or ridge regression, with a penalty of its own.

use super::super::Run;
use super::super::head::SEARCH_VIEWS;
use super::Fitted;
use crate::Result;
use crate::event::{Events, Phase};
use crate::features::Extracted;
use crate::frozen::Frozen;
use crate::targets::{Head, Heads, Question};
use percept_engine::Settings;
use percept_learn::features::Subset;
use percept_learn::logistic::{self, Options, Weights};
use percept_learn::ridge;
use std::ops::ControlFlow;

/// The penalty where no photo held out has an answer to choose by.
const UNCHOSEN: f64 = 1e-2;

/// The rows of some photos, of which a question has answers.
struct Rows<'a> {
    rows: Subset<'a>,
    labels: Vec<usize>,
    values: Vec<f32>,
    weights: Vec<f32>,
}

/// Where the rows of photos lie.
struct Places<'a> {
    features: &'a Extracted,
    per_photo: usize,
}

impl<'a> Places<'a> {
    /// The plain photo and `views` views of each of some photos whose answer is known.
    fn rows(&self, question: &Question, photos: &[usize], views: u32) -> Result<Rows<'a>> {
        let views = 1 + views as usize;
        let (mut rows, mut labels, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (place, photo) in self.features.photos.iter().enumerate().filter(|(_, i)| photos.binary_search(i).is_ok()) {
            let Some(answer) = question.answer(*photo) else { continue };
            rows.extend(place * self.per_photo..place * self.per_photo + views);
            labels.extend(std::iter::repeat_n(answer as usize, views));
            values.extend(std::iter::repeat_n(answer as f32, views));
        }
        let weights = vec![1.0 / views as f32; rows.len()];
        Ok(Rows { rows: Subset::new(&self.features.file, rows)?, labels, values, weights })
    }

    /// The rows of the plain photos, in the photos' order.
    fn plain(&self, photos: &[usize]) -> Result<Subset<'a>> {
        let places = self.features.photos.iter().enumerate().filter(|(_, i)| photos.binary_search(i).is_ok());
        Ok(Subset::new(&self.features.file, places.map(|(place, _)| place * self.per_photo).collect())?)
    }
}

impl<'a> Rows<'a> {
    fn classes(&self) -> logistic::Samples<'_> {
        logistic::Samples { features: &self.rows, labels: &self.labels, weights: Some(&self.weights) }
    }

    fn numbers(&self) -> ridge::Samples<'_> {
        ridge::Samples { features: &self.rows, values: &self.values, weights: Some(&self.weights) }
    }
}

/// The options that suit the photos held out best.
fn choose(settings: &Settings, question: &Question, train: &Rows<'_>, check: &Rows<'_>) -> Result<Options> {
    if check.labels.is_empty() {
        return Ok(Options { c: UNCHOSEN, ..Options::default() });
    }
    if question.is_number() {
        return Ok(ridge::select(settings, &train.numbers(), &check.numbers(), &ridge::path())?.options);
    }
    let mut watch = |_: &logistic::Progress| ControlFlow::Continue(());
    let (train, check) = (train.classes(), check.classes());
    let found = logistic::select(settings, &train, &check, question.width(), &logistic::path(), &mut watch)?;
    Ok(Options { c: found.trials[found.best].options.c, ..Options::default() })
}

fn fitted(settings: &Settings, question: &Question, rows: &Rows<'_>, options: &Options) -> Result<Weights> {
    if question.is_number() {
        return Ok(ridge::fit(settings, &rows.numbers(), options)?);
    }
    let mut watch = |_: &logistic::Progress| ControlFlow::Continue(());
    Ok(logistic::fit(settings, &rows.classes(), question.width(), options, None, &mut watch)?.weights)
}

/// Fits a head for each question on the photos to learn from, and once more on all unless the user divided them.
pub(super) fn fit(
    run: &Run<'_>,
    frozen: &Frozen,
    features: &Extracted,
    [training, held_out]: [&[usize]; 2],
    events: Events<'_>,
) -> Result<Fitted> {
    let views = run.config.views.unwrap_or(0);
    let places = Places { features, per_photo: 1 + views as usize };
    let mut all = [training, held_out].concat();
    all.sort_unstable();
    let questions = run.questions.iter().flat_map(|questions| &questions.0);
    let mut phase = Phase::start(events, "Fitting heads", Some(questions.clone().count() as u64), "questions");
    let plain = places.plain(held_out)?;
    let (mut heads, mut raw, mut said) = (Vec::new(), Vec::new(), Vec::new());
    for (question, done) in questions.zip(1..) {
        let few = places.rows(question, training, views.min(SEARCH_VIEWS))?;
        let options = choose(run.settings, question, &few, &places.rows(question, held_out, 0)?)?;
        let checked = fitted(run.settings, question, &places.rows(question, training, views)?, &options)?;
        let last = match run.divided() {
            true => checked.clone(),
            false => fitted(run.settings, question, &places.rows(question, &all, views)?, &options)?,
        };
        raw.push((question.width(), checked.logits(run.settings, &plain)?));
        said.push((question.width(), last.logits(run.settings, &plain)?));
        heads.push(Head::of(&last));
        phase.progress(done);
    }
    phase.finish("");
    let mut params = frozen.params.clone();
    let graph = Heads(heads).on(frozen.graph.clone(), &mut params)?;
    let [raw, said] = [raw, said].map(|columns| together(&columns, held_out.len()));
    Ok(Fitted { graph, params, said, raw })
}

/// Rows of what stands in tables of so many columns side by side.
fn together(tables: &[(usize, Vec<f32>)], rows: usize) -> Vec<f32> {
    let row = |i: usize| tables.iter().flat_map(move |(width, table)| &table[i * width..(i + 1) * width]);
    (0..rows).flat_map(row).copied().collect()
}
