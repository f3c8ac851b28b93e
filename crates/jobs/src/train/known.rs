//! Fitting the score of known, setting its threshold, and saying what it is worth.
//!
//! What the score needs is fitted on the photos that were learned from; its threshold is set on those held out, because a network is surer of
//! what it has learned than of anything new. What really new classes score is measured by leaving out classes in turn: the score is fitted
//! without them and asked about their photos held out. The last fit is on all photos, like that of the classifier.

use super::Run;
use super::head::{self, Learned, Whole};
use crate::event::{Event, Events, Phase};
use crate::features::{Extracted, Extractor};
use crate::format;
use crate::frozen::Frozen;
use crate::known::{Known, LeftOut, Separation};
use crate::layer::last_layer;
use crate::score::Score;
use crate::{Error, Result};
use percept_graph::{Graph, Params};
use percept_learn::features::Subset;
use percept_learn::logistic::Samples;
use percept_photos::scan::{DataSet, Part, Picture};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Rounds of leaving out classes, or one for each class where there are fewer.
const ROUNDS: usize = 5;
/// With fewer classes there are too few to leave any out.
const LEAST_CLASSES: usize = 4;
/// Share of the photos held out that the threshold rejects, where no unknown pictures say otherwise.
const REJECTED: f64 = 0.05;
/// The largest share that it rejects where they do.
const MOST_REJECTED: f64 = 0.1;

/// What the last layer of a model reads of the photos.
struct Seen<'a> {
    /// Rows of the photos: `stride` for each, the plain one first.
    features: &'a Extracted,
    stride: usize,
    /// What it reads of pictures of anything else.
    unknown: Option<&'a Extracted>,
}

/// What the last layer of a network reads.
struct Read {
    features: Extracted,
    unknown: Option<Extracted>,
}

impl Read {
    fn seen(&self) -> Seen<'_> {
        Seen { features: &self.features, stride: 1, unknown: self.unknown.as_ref() }
    }
}

/// What the last layer of a network reads of all photos but those of the test; nothing if its last layer is none that we know.
fn read_by(run: &Run<'_>, graph: &Graph, params: &Params, events: Events<'_>) -> Result<Option<Read>> {
    let Some(layer) = last_layer(graph, params) else { return Ok(None) };
    let below = Frozen::below(run.origin.clone(), graph, params, layer.features)?;
    let unreadable: HashSet<&Path> = run.unreadable.iter().map(|skipped| skipped.path.as_path()).collect();
    let learned = |picture: &Picture| picture.part != Some(Part::Test) && !unreadable.contains(&*picture.path);
    let photos: Vec<usize> = (0..run.data.pictures.len()).filter(|&i| learned(&run.data.pictures[i])).collect();
    let features = look(run, &below, &run.data, &photos, &mut *events)?;
    let unknown = unknown(run, &below, events)?;
    Ok(Some(Read { features, unknown }))
}

/// What a network makes of the pictures of anything else; nothing if there are none.
fn unknown(run: &Run<'_>, below: &Frozen, events: Events<'_>) -> Result<Option<Extracted>> {
    let all: Vec<usize> = (0..run.unknown.pictures.len()).collect();
    let looked = (!all.is_empty()).then(|| look(run, below, &run.unknown, &all, events)).transpose()?;
    Ok(looked.filter(|looked| !looked.photos.is_empty()))
}

fn look(run: &Run<'_>, below: &Frozen, data: &DataSet, photos: &[usize], events: Events<'_>) -> Result<Extracted> {
    let mut phase = Phase::start(events, "Looking at the photos again", Some(photos.len() as u64), "photos");
    let augment = run.config.augment.clone();
    let mut extractor = Extractor::new(below, &augment, run.config.seed, run.settings)?;
    let looked = extractor.extract(data, photos, 0, &mut phase)?;
    phase.finish(format::count(looked.photos.len() as u64));
    Ok(looked)
}

/// The score of a model.
pub(super) struct OfModel {
    pub(super) score: Score,
    pub(super) fitted: Fitted,
    /// What it says to the plain photos, by their positions in the data set.
    pub(super) said: HashMap<usize, f32>,
}

/// The score of a model and what it is worth; nothing if the model's last layer or its photos allow none, which is said.
pub(super) fn of_model(
    run: &Run<'_>,
    frozen: Option<(&Frozen, &Extracted)>,
    fitted: &mut head::Fitted,
    events: Events<'_>,
) -> Result<Option<OfModel>> {
    match try_model(run, frozen, fitted, &mut *events) {
        Err(Error::Learn(error)) => {
            events(Event::Warning { text: format!("the model will not say that a picture is unknown: {error}") });
            Ok(None)
        }
        result => result,
    }
}

fn try_model(
    run: &Run<'_>,
    frozen: Option<(&Frozen, &Extracted)>,
    fitted: &mut head::Fitted,
    events: Events<'_>,
) -> Result<Option<OfModel>> {
    match (&fitted.learned, frozen) {
        (Learned::Head(_), Some((frozen, features))) => {
            let stride = 1 + run.config.views.unwrap_or(0) as usize;
            let unknown = unknown(run, frozen, events)?;
            let seen = Seen { features, stride, unknown: unknown.as_ref() };
            let known = seen.measure(run, &fitted.held_out)?;
            seen.last(run, known).map(Some)
        }
        (Learned::Network(whole), _) => {
            let Some(read) = read_by(run, &whole.graph, &whole.params, events)? else { return Ok(None) };
            let known = match fitted.known.take() {
                Some(known) => known,
                None => read.seen().measure(run, &fitted.held_out)?,
            };
            read.seen().last(run, known).map(Some)
        }
        (Learned::Head(_), None) => Ok(None),
    }
}

/// What the score of a network is worth, before the network learns from the photos held out too.
pub(super) fn before_refit(
    run: &Run<'_>,
    whole: &Whole,
    held_out: &[usize],
    events: Events<'_>,
) -> Result<Option<Fitted>> {
    let read = read_by(run, &whole.graph, &whole.params, events)?;
    match read.map(|read| read.seen().measure(run, held_out)).transpose() {
        // Said when it is tried again.
        Err(Error::Learn(_)) => Ok(None),
        result => result,
    }
}

/// A threshold, and what it is worth.
pub(super) struct Fitted {
    pub(super) known: Known,
    /// What the photos held out and the unknown pictures that did not set the threshold say.
    pub(super) measured: Separation,
}

impl Seen<'_> {
    /// The score for the photos at these positions, of classes that `class` renames.
    fn score(&self, run: &Run<'_>, keep: impl Fn(usize) -> Option<usize>, classes: usize) -> Result<Score> {
        let labels: Vec<usize> = self.features.photos.iter().filter_map(|&photo| keep(photo)).collect();
        let rows = self.rows(|photo| keep(photo).is_some())?;
        let samples = Samples { features: &rows, labels: &labels, weights: None };
        Score::fit(run.settings, &samples, classes)
    }

    /// The plain rows of some photos.
    fn rows(&self, keep: impl Fn(usize) -> bool) -> Result<Subset<'_>> {
        let photos = self.features.photos.iter().enumerate().filter(|&(_, &photo)| keep(photo));
        Ok(Subset::new(&self.features.file, photos.map(|(i, _)| i * self.stride).collect())?)
    }

    /// The score for all photos but those that stay unseen because the user set them aside.
    fn last(&self, run: &Run<'_>, fitted: Fitted) -> Result<OfModel> {
        let pictures = &run.data.pictures;
        let seen = |photo: usize| (pictures[photo].part != Some(Part::Validation)).then(|| pictures[photo].class);
        let score = self.score(run, seen, run.data.classes.len())?;
        let said = score.of(run.settings, &self.rows(|_| true)?)?;
        let said = self.features.photos.iter().copied().zip(said).collect();
        Ok(OfModel { score, fitted, said })
    }

    /// Fits without the photos held out, sets the threshold on them, and measures.
    fn measure(&self, run: &Run<'_>, held_out: &[usize]) -> Result<Fitted> {
        let held_out: HashSet<usize> = held_out.iter().copied().collect();
        let class = |photo: usize| run.data.pictures[photo].class;
        let score =
            self.score(run, |photo| (!held_out.contains(&photo)).then(|| class(photo)), run.data.classes.len())?;
        let known = score.of(run.settings, &self.rows(|photo| held_out.contains(&photo))?)?;
        let (mut setting, mut measuring) = (Vec::new(), Vec::new());
        if let Some(unknown) = &self.unknown {
            let scores = score.of(run.settings, &unknown.file)?;
            (0..).zip(scores).for_each(|(i, score)| if i % 2 == 0 { &mut setting } else { &mut measuring }.push(score));
        }
        let threshold = threshold(&known, &setting)?;
        let measured = Separation::new(&known, &measuring, threshold);
        Ok(Fitted { known: Known { threshold, left_out: self.leave_out(run, &held_out)? }, measured })
    }

    /// What is measured by leaving out classes in turn.
    fn leave_out(&self, run: &Run<'_>, held_out: &HashSet<usize>) -> Result<Option<LeftOut>> {
        let classes = run.data.classes.len();
        let rounds = ROUNDS.min(classes);
        if classes < LEAST_CLASSES {
            return Ok(None);
        }
        let class = |photo: usize| run.data.pictures[photo].class;
        let (mut found, mut photos) = (Vec::new(), 0);
        for round in 0..rounds {
            let left = |photo: usize| class(photo) % rounds == round;
            // How many classes before one are left out.
            let place = |class: usize| class - (class + rounds - 1 - round) / rounds;
            let keep = |photo: usize| (!left(photo) && !held_out.contains(&photo)).then(|| place(class(photo)));
            let score = self.score(run, keep, place(classes))?;
            let scores = |which: &dyn Fn(usize) -> bool| {
                score.of(run.settings, &self.rows(|photo| held_out.contains(&photo) && which(photo))?)
            };
            let (known, unknown) = (scores(&|photo| !left(photo))?, scores(&left)?);
            if !known.is_empty() && !unknown.is_empty() {
                found.push(Separation::new(&known, &unknown, threshold(&known, &[])?));
                photos += unknown.len();
            }
        }
        if found.is_empty() {
            return Ok(None);
        }
        let mean =
            |of: fn(&Separation) -> Option<f64>| Some(found.iter().filter_map(of).sum::<f64>() / found.len() as f64);
        let separation = Separation {
            known: held_out.len(),
            known_rejected: mean(|round| round.known_rejected),
            unknown: photos,
            unknown_accepted: mean(|round| round.unknown_accepted),
            auroc: mean(|round| round.auroc),
            fpr95: mean(|round| round.fpr95),
        };
        Ok(Some(LeftOut { rounds: found.len(), separation }))
    }
}

/// Under which score a picture counts as unknown.
///
/// Without unknown pictures it is the one that rejects one known picture in twenty. With them it is the one that makes the mean of the two
/// shares of wrong answers smallest, of those that reject at most one known picture in ten.
fn threshold(known: &[f32], unknown: &[f32]) -> Result<f64> {
    let mut sorted = known.to_vec();
    sorted.sort_by(f32::total_cmp);
    let at = |share: f64| sorted.get((share * sorted.len() as f64) as usize).copied();
    let least =
        at(REJECTED).ok_or_else(|| Error::Setting("no photo was held out to set the threshold of known on".into()))?;
    if unknown.is_empty() {
        return Ok(least.into());
    }
    let most = at(MOST_REJECTED).unwrap_or(least);
    let wrong = |threshold: f32| {
        let rejected = known.iter().filter(|&&score| score < threshold).count() as f64 / known.len() as f64;
        rejected + unknown.iter().filter(|&&score| score >= threshold).count() as f64 / unknown.len() as f64
    };
    let candidates = sorted.iter().copied().filter(|&score| score <= most);
    let best = candidates.min_by(|&a, &b| wrong(a).total_cmp(&wrong(b)));
    Ok(best.unwrap_or(least).into())
}
