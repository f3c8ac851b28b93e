//! What a classifier says of sentences that were held out: in folds, each of which is held out once.

use super::fit::{Fit, answers};
use super::sentences::{Config, course};
use super::words::Sentence;
use crate::event::{Event, Events, Timing};
use crate::folder::RunFolder;
use crate::learner::Point;
use crate::{Result, format};
use percept_engine::Settings;
use percept_learn::checkpoint;
use percept_learn::metrics::Metrics;
use percept_learn::optim::RateCurve;
use percept_learn::random::mixed;
use serde::{Deserialize, Serialize};

/// Sentences that were held out, and what was said of them.
#[derive(Default)]
pub(super) struct Held<'a> {
    pub(super) sentences: Vec<&'a Sentence>,
    /// Probabilities, a row for each.
    pub(super) rows: Vec<f32>,
    /// The curves of the first training.
    pub(super) curve: Vec<Point>,
    /// The search for a learning rate, if there was one.
    pub(super) rates: Option<RateCurve>,
    pub(super) timings: Vec<Timing>,
}

/// What is kept of a fold that is over, beside its probabilities.
#[derive(Serialize, Deserialize)]
struct Over {
    settings: String,
    curve: Vec<Point>,
    seconds: f64,
}

/// What is said of so many of the folds when they are held out in turn.
#[expect(clippy::too_many_arguments)]
pub(super) fn held_out<'a>(
    config: &Config,
    toml: &str,
    folder: &RunFolder,
    sentences: &[&'a Sentence],
    [measured, folds]: [usize; 2],
    classes: usize,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Held<'a>> {
    // The order in which the seed puts them says which fold each belongs to.
    let mut order: Vec<usize> = (0..sentences.len()).collect();
    order.sort_by_key(|&i| mixed(config.seed, i as u64));
    let (mut held_out, mut seconds) = (Held::default(), 0.0);
    for fold in 0..measured {
        let part = |held: bool| {
            let chosen = order.iter().enumerate().filter(|(place, _)| (place % folds == fold) == held);
            chosen.map(|(_, &i)| sentences[i]).collect::<Vec<_>>()
        };
        let (learned, held) = (part(false), part(true));
        let path = |what: &str| folder.path().join(format!("fold-{}-{what}.safetensors", fold + 1));
        let done = checkpoint::load::<Over>(&path("said"))?.filter(|(over, _)| over.settings == toml);
        let said = done.and_then(|(over, mut lists)| Some((over, lists.remove("probabilities")?)));
        let (over, rows) = match said.filter(|(_, rows)| rows.len() == held.len() * classes) {
            Some(said) => said,
            None => {
                // The curves are of the first fold.
                let seen = if fold == 0 { &held[..] } else { &[] };
                let (mut fit, mut learner) = Fit::new(config, &learned, seen, classes, settings)?;
                let (training, curves) = (path("training"), format!("text/fold-{}", fold + 1));
                let course = course(config, &fit, ("Learning, some held out", &curves), &training, toml);
                let (curve, timing) = course.run(&mut learner, &mut fit, &mut *events)?;
                let rows = answers(&fit.graph, &learner.weights.params()?, &fit.words, &held, settings)?;
                let over = Over { settings: toml.into(), curve, seconds: timing.seconds };
                checkpoint::save(&path("said"), &over, &[("probabilities", &rows)])?;
                // It is large, and of no more use.
                let _ = std::fs::remove_file(training);
                (over, rows)
            }
        };
        let truth: Vec<usize> = held.iter().map(|sentence| sentence.label).collect();
        let share = format::percent(Metrics::new(&rows, classes, &truth)?.accuracy);
        let (number, count) = (fold + 1, format::count(held.len() as u64));
        events(Event::Note { text: format!("fold {number} of {measured}: {share} right of {count}") });
        held_out.sentences.extend(held);
        held_out.rows.extend(rows);
        seconds += over.seconds;
        if fold == 0 {
            held_out.curve = over.curve;
        }
    }
    if measured > 0 {
        held_out.timings.push(Timing { phase: "Learning, some held out", seconds });
    }
    Ok(held_out)
}
