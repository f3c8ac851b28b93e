//! What classifiers that did not learn from a picture say that it is: wrong labels, and classes that cannot be told apart.
//!
//! Logistic regression on frozen features, cross-validated in five folds. Copies and scenes stay in one fold, or a burst under a wrong
//! label would vouch for itself; nothing is learned from pictures that contradict their copies. A class that is a single scene cannot be judged.

use crate::classifier::cooled_softmax;
use crate::event::{Events, Phase};
use crate::features::Extracted;
use crate::train::scenes;
use crate::{Result, format, parallel};
use percept_engine::Settings;
use percept_learn::calibrate::temperature;
use percept_learn::confident::{self, Suspect};
use percept_learn::features::Subset;
use percept_learn::logistic::{self, Options, Samples, Weights};
use percept_learn::metrics::wilson;
use percept_photos::scan::DataSet;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;

/// Parts of which each is judged by a classifier of the others.
const FOLDS: usize = 5;
/// Fewer pictures of a class say nothing about what it can be told from.
const FEW: usize = 3;

/// What was said about the pictures.
pub(super) struct Judged {
    /// Positions of the pictures, in the order of the rows.
    pub(super) photos: Vec<usize>,
    /// Out-of-sample probabilities, pictures × classes.
    pub(super) probabilities: Vec<f32>,
    classes: usize,
    row: HashMap<usize, usize>,
    /// Labels that may be wrong, worst first; `row` is a position in the data set.
    pub(super) suspects: Vec<Suspect>,
    /// Classes that the classifiers cannot tell apart.
    pub(super) alike: Vec<Pair>,
}

/// Two classes that cannot be told apart.
pub(super) struct Pair {
    pub(super) classes: [usize; 2],
    /// Pictures of the two that are given the right one of both labels, and all.
    pub(super) right: usize,
    pub(super) pictures: usize,
}

/// Judges every picture that has features, and lets those of one scene share their group.
pub(super) fn judge(
    data: &mut DataSet,
    features: &Extracted,
    contradicted: &HashSet<usize>,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Option<Judged>> {
    scenes::join(data, features, 0, settings)?;
    let photos = &features.photos;
    let labels: Vec<usize> = photos.iter().map(|&i| data.pictures[i].class).collect();
    let trusted: Vec<bool> = photos.iter().map(|i| !contradicted.contains(i)).collect();
    let (folds, judgeable) = folds(data, photos, &trusted);
    let Some(probabilities) = cross_validate(data, features, &labels, &trusted, &folds, settings, events)? else {
        return Ok(None);
    };
    let classes = data.classes.len();
    let rows: Vec<usize> = (0..photos.len()).filter(|&row| trusted[row] && judgeable[labels[row]]).collect();
    let mut suspects = Vec::new();
    if !rows.is_empty() {
        let values: Vec<f32> = rows.iter().flat_map(|&row| of_row(&probabilities, classes, row)).copied().collect();
        let labels: Vec<usize> = rows.iter().map(|&row| labels[row]).collect();
        suspects = confident::suspects(&values, classes, &labels)?;
        suspects.iter_mut().for_each(|suspect| suspect.row = photos[rows[suspect.row]]);
    }
    let alike = alike(&probabilities, classes, &labels, &rows, settings)?;
    let row = photos.iter().enumerate().map(|(row, &photo)| (photo, row)).collect();
    Ok(Some(Judged { photos: photos.clone(), probabilities, classes, row, suspects, alike }))
}

fn of_row(probabilities: &[f32], classes: usize, row: usize) -> &[f32] {
    &probabilities[row * classes..][..classes]
}

/// The fold of each row, and which classes have pictures in several.
///
/// Groups go, largest first, where their class has the fewest pictures.
fn folds(data: &DataSet, photos: &[usize], trusted: &[bool]) -> (Vec<usize>, Vec<bool>) {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (row, &photo) in photos.iter().enumerate() {
        groups.entry(data.pictures[photo].group).or_default().push(row);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.sort_by_key(|rows| std::cmp::Reverse(rows.len()));
    let mut folds = vec![0; photos.len()];
    let mut filled = vec![[0usize; FOLDS]; data.classes.len()];
    let mut all = [0usize; FOLDS];
    for rows in groups {
        let class = data.pictures[photos[rows[0]]].class;
        let fold = (0..FOLDS).min_by_key(|&fold| (filled[class][fold], all[fold])).unwrap_or(0);
        for &row in &rows {
            folds[row] = fold;
            all[fold] += 1;
            filled[data.pictures[photos[row]].class][fold] += usize::from(trusted[row]);
        }
    }
    let several = |filled: &[usize; FOLDS]| filled.iter().filter(|&&pictures| pictures > 0).count() > 1;
    (folds, filled.iter().map(several).collect())
}

/// Probabilities of every row from a classifier that did not learn from its fold; nothing if there is too little to learn from.
fn cross_validate(
    data: &DataSet,
    features: &Extracted,
    labels: &[usize],
    trusted: &[bool],
    folds: &[usize],
    settings: &Settings,
    events: Events<'_>,
) -> Result<Option<Vec<f32>>> {
    let classes = data.classes.len();
    let mut logits = vec![0.0; labels.len() * classes];
    let mut chosen = None;
    let mut phase = Phase::start(events, "Judging labels", Some(FOLDS as u64), "folds");
    for fold in 0..FOLDS {
        let of = |keep: &dyn Fn(usize) -> bool| (0..labels.len()).filter(|&row| keep(row)).collect::<Vec<_>>();
        let held = of(&|row| folds[row] == fold);
        let learned = of(&|row| folds[row] != fold && trusted[row]);
        let seen: HashSet<usize> = learned.iter().map(|&row| labels[row]).collect();
        if held.is_empty() {
            continue;
        }
        if seen.len() < 2 {
            phase.finish("too few pictures");
            return Ok(None);
        }
        let weights = fit(features, labels, &held, &learned, classes, &mut chosen, settings)?;
        let found = weights.logits(settings, &Subset::new(&features.file, held.clone())?)?;
        for (row, found) in held.into_iter().zip(found.chunks_exact(classes)) {
            logits[row * classes..][..classes].copy_from_slice(found);
        }
        phase.progress(fold as u64 + 1);
    }
    let rows: Vec<usize> = (0..labels.len()).filter(|&row| trusted[row]).collect();
    let values: Vec<f32> = rows.iter().flat_map(|&row| of_row(&logits, classes, row)).copied().collect();
    let labels: Vec<usize> = rows.iter().map(|&row| labels[row]).collect();
    cooled_softmax(&mut logits, classes, temperature(&values, classes, &labels)?);
    phase.finish(format!("{} pictures, each by a classifier that had not seen it", format::count(folds.len() as u64)));
    Ok(Some(logits))
}

/// A classifier that learned from some rows; the first fit also chooses the penalty, on the rows held out.
fn fit(
    features: &Extracted,
    labels: &[usize],
    held: &[usize],
    learned: &[usize],
    classes: usize,
    chosen: &mut Option<Options>,
    settings: &Settings,
) -> Result<Weights> {
    let of = |rows: &[usize]| rows.iter().map(|&row| labels[row]).collect::<Vec<_>>();
    let (rows, learned_labels) = (Subset::new(&features.file, learned.to_vec())?, of(learned));
    let train = Samples { features: &rows, labels: &learned_labels, weights: None };
    let watch = &mut |_: &logistic::Progress| ControlFlow::Continue(());
    if let Some(options) = chosen {
        return Ok(logistic::fit(settings, &train, classes, options, None, watch)?.weights);
    }
    let (rows, held_labels) = (Subset::new(&features.file, held.to_vec())?, of(held));
    let check = Samples { features: &rows, labels: &held_labels, weights: None };
    let found = logistic::select(settings, &train, &check, classes, &logistic::path(), watch)?;
    *chosen = Some(Options { c: found.trials[found.best].options.c, ..Options::default() });
    Ok(found.weights)
}

/// Pairs of classes of which one is said no more often, beyond chance, of its own pictures than of the other's.
///
/// Between the two alone, whichever is more probable is said. The difference of the two shares has a 95 % interval (Newcombe, Statistics
/// in Medicine 1998, method 10, from Wilson's); the pair is alike if it includes zero.
fn alike(
    probabilities: &[f32],
    classes: usize,
    labels: &[usize],
    rows: &[usize],
    settings: &Settings,
) -> Result<Vec<Pair>> {
    let mut of: Vec<Vec<usize>> = vec![Vec::new(); classes];
    rows.iter().for_each(|&row| of[labels[row]].push(row));
    let all: Vec<usize> = (0..classes).filter(|&class| of[class].len() >= FEW).collect();
    let pairs = parallel::map(&settings.pool, &all, |&a, _| {
        let later = all.iter().copied().filter(|&b| b > a);
        let compared = later.map(|b| {
            let says_a = |&&row: &&usize| {
                let row = of_row(probabilities, classes, row);
                row[a] > row[b]
            };
            let [first, second] = [a, b].map(|class| of[class].iter().filter(says_a).count());
            let (n, m) = (of[a].len(), of[b].len());
            let ([low, _], [_, high]) = (wilson(first, n)?, wilson(second, m)?);
            let (p, q) = (first as f64 / n as f64, second as f64 / m as f64);
            let least = p - q - ((p - low).powi(2) + (high - q).powi(2)).sqrt();
            let pair = Pair { classes: [a, b], right: first + m - second, pictures: n + m };
            Ok((least <= 0.0).then_some(pair))
        });
        compared.collect::<Result<Vec<_>>>()
    });
    let mut alike: Vec<Pair> = pairs.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().flatten().collect();
    alike.sort_by(|a, b| (a.right * b.pictures).cmp(&(b.right * a.pictures)));
    Ok(alike)
}

impl Judged {
    /// What is said about a picture that could be read.
    pub(super) fn of(&self, position: usize) -> Option<&[f32]> {
        self.row.get(&position).map(|&row| of_row(&self.probabilities, self.classes, row))
    }

    /// The class that is most probable for copies together.
    pub(super) fn believed(&self, copies: &[usize]) -> Option<usize> {
        let rows: Vec<&[f32]> = copies.iter().filter_map(|&copy| self.of(copy)).collect();
        let sum = |class: usize| rows.iter().map(|row| row[class]).sum::<f32>();
        let best = (0..self.classes).max_by(|&a, &b| sum(a).total_cmp(&sum(b)));
        best.filter(|_| !rows.is_empty())
    }

    /// The picture of a class that is most surely of it.
    pub(super) fn example(&self, data: &DataSet, class: usize) -> Option<usize> {
        let of_class = self.photos.iter().copied().filter(|&photo| data.pictures[photo].class == class);
        let sure = |photo: usize| self.of(photo).map_or(0.0, |row| row[class]);
        of_class.max_by(|&a, &b| sure(a).total_cmp(&sure(b)))
    }
}
