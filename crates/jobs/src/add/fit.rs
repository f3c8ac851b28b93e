//! The weights of the new class.

use crate::features::Extracted;
use crate::score::Score;
use crate::{Error, Result};
use percept_engine::Settings;
use percept_learn::features::{Features, Subset};
use percept_learn::logistic::{self, Further, Samples, Weights};

/// Inverse strengths of the penalty, of which the first is taken that names all new pictures right: see [`logistic::Options`]. A model that
/// made no mistake in training is so sure of its classes that it takes more than the first.
const PATH: [f64; 4] = [0.1, 1.0, 10.0, 100.0];
/// An old answer changes only if the new class is so many times as probable. The photos of the old classes are those that the network learned
/// from, so it is surer of them than of new ones: what they say of how many answers change is too good.
const ODDS: f64 = 12.0;
/// Share of the photos of the old classes that may change their answer, as fits without them see it.
const CHANGED: f64 = 0.002;
/// Neighbours among the photos, often of one scene, that stay on one side when halves are asked about each other.
const BLOCK: usize = 8;

/// The old classes' photos and the new one's, as the last layer sees them.
pub(super) struct Sides<'a> {
    settings: &'a Settings,
    weights: &'a Weights,
    temperature: f64,
    old: &'a Extracted,
    new: &'a Extracted,
    per_picture: usize,
    /// For each old photo, then for each row of the new class: what its old logits say, divided by the temperature.
    said: Vec<Said>,
}

/// What the old classes say to a row.
#[derive(Clone, Copy)]
struct Said {
    class: usize,
    logit: f64,
    /// The logarithm of the sum of the exponentials of all logits.
    offset: f64,
}

/// The classifier with the new class.
pub(super) struct Fit {
    pub(super) weights: Weights,
    pub(super) changed: Vec<Change>,
    pub(super) left_one_out: Option<usize>,
}

/// An old photo that is now taken for the new class.
pub(super) struct Change {
    /// Its place among the photos.
    pub(super) row: usize,
    pub(super) before: usize,
    pub(super) before_probability: f64,
    pub(super) probability: f64,
}

/// Rows of one table behind those of another.
struct Joined<'a>(&'a dyn Features, &'a dyn Features);

impl Features for Joined<'_> {
    fn rows(&self) -> usize {
        self.0.rows() + self.1.rows()
    }

    fn width(&self) -> usize {
        self.0.width()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> percept_learn::Result<()> {
        let width = self.width();
        let first = self.0.rows().saturating_sub(start).min(out.len() / width);
        let (ours, theirs) = out.split_at_mut(first * width);
        if first > 0 {
            self.0.read(start, ours)?;
        }
        match theirs.is_empty() {
            true => Ok(()),
            false => self.1.read((start + first).saturating_sub(self.0.rows()), theirs),
        }
    }
}

impl<'a> Sides<'a> {
    pub(super) fn new(
        weights: &'a Weights,
        temperature: f64,
        old: &'a Extracted,
        new: &'a Extracted,
        views: u32,
        settings: &'a Settings,
    ) -> Result<Self> {
        let logits = weights.logits(settings, &Joined(&old.file, &new.file))?;
        let said = |row: &[f32]| {
            let class = (0..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
            let scaled = |k: usize| f64::from(row[k]) / temperature;
            let logit = scaled(class);
            Said { class, logit, offset: logit + (0..row.len()).map(|k| (scaled(k) - logit).exp()).sum::<f64>().ln() }
        };
        let said = logits.chunks_exact(weights.classes.max(1)).map(said).collect();
        Ok(Self { settings, weights, temperature, old, new, per_picture: 1 + views as usize, said })
    }

    fn olds(&self) -> usize {
        self.old.photos.len()
    }

    fn pictures(&self) -> usize {
        self.new.photos.len()
    }

    /// Fits on some of the old photos and some of the new pictures. The new class counts as much as an average old one.
    fn on(&self, c: f64, old: impl Fn(usize) -> bool, new: impl Fn(usize) -> bool) -> Result<Further> {
        let olds: Vec<usize> = (0..self.olds()).filter(|&row| old(row)).collect();
        let news: Vec<usize> =
            (0..self.pictures() * self.per_picture).filter(|row| new(row / self.per_picture)).collect();
        let weight = olds.len() as f32 / self.weights.classes as f32 / news.len().max(1) as f32;
        let labels: Vec<usize> = olds.iter().map(|_| 0).chain(news.iter().map(|_| 1)).collect();
        let weights: Vec<f32> = olds.iter().map(|_| 1.0).chain(news.iter().map(|_| weight)).collect();
        let offsets = olds.iter().copied().chain(news.iter().map(|row| self.olds() + row));
        let offsets: Vec<f64> = offsets.map(|row| self.said[row].offset).collect();
        let (olds, news) = (Subset::new(&self.old.file, olds)?, Subset::new(&self.new.file, news)?);
        let features = Joined(&olds, &news);
        let samples = Samples { features: &features, labels: &labels, weights: Some(&weights) };
        let options = logistic::Options { c, ..logistic::Options::default() };
        Ok(logistic::further(self.settings, &samples, &offsets, &options)?)
    }

    /// By how much each old photo prefers the new class; negative if it does not.
    fn margins(&self, further: &Further) -> Result<Vec<f64>> {
        let logits = further.logits(self.settings, &self.old.file)?;
        Ok(logits.iter().zip(&self.said).map(|(&logit, said)| f64::from(logit) - said.logit).collect())
    }

    /// How much the bias is lowered: until hardly an old photo, and no confident one, changes its answer in a fit without it.
    fn lowered(&self, c: f64) -> Result<f64> {
        let half = |row: usize| (row / BLOCK).is_multiple_of(2);
        let of_second = self.margins(&self.on(c, half, |_| true)?)?;
        let of_first = self.margins(&self.on(c, |row| !half(row), |_| true)?)?;
        let margin = |row: usize| if half(row) { of_first[row] } else { of_second[row] };
        let mut margins: Vec<f64> = (0..self.olds()).map(margin).collect();
        let confident = (0..self.olds()).filter(|&row| self.said[row].probability() >= super::CONFIDENT);
        let most = confident.map(|row| margins[row]).fold(0.0, f64::max);
        margins.sort_by(|a, b| b.total_cmp(a));
        let allowed = (CHANGED * margins.len() as f64) as usize;
        Ok(margins.get(allowed).copied().unwrap_or(0.0).max(most) + ODDS.ln())
    }

    /// How many new pictures a class names right.
    fn right(&self, further: &Further, lowered: f64, pictures: &[usize]) -> Result<usize> {
        let rows: Vec<usize> = pictures.iter().map(|picture| picture * self.per_picture).collect();
        let logits = further.logits(self.settings, &Subset::new(&self.new.file, rows.clone())?)?;
        let old = rows.iter().map(|row| self.said[self.olds() + row].logit);
        Ok(logits.iter().zip(old).filter(|&(&logit, old)| f64::from(logit) - lowered > old).count())
    }

    /// The strength of the penalty, how much the bias is lowered, and the class.
    fn choose(&self) -> Result<(f64, f64, Further)> {
        let pictures: Vec<usize> = (0..self.pictures()).collect();
        let mut best: Option<(usize, (f64, f64, Further))> = None;
        for c in PATH {
            let (lowered, further) = (self.lowered(c)?, self.on(c, |_| true, |_| true)?);
            let right = self.right(&further, lowered, &pictures)?;
            if best.as_ref().is_none_or(|(most, _)| right > *most) {
                best = Some((right, (c, lowered, further)));
            }
            if right == pictures.len() {
                break;
            }
        }
        best.map(|(_, chosen)| chosen).ok_or_else(|| Error::Setting("there is no picture to learn from".into()))
    }

    /// The classifier with the new class, which old photos it takes, and how many new pictures are named right without themselves.
    pub(super) fn fit(&self) -> Result<Fit> {
        let (c, lowered, further) = self.choose()?;
        let margins = self.margins(&further)?;
        let changed = (0..self.olds()).filter(|&row| margins[row] > lowered).map(|row| {
            let said = self.said[row];
            let logit = said.logit + margins[row] - lowered;
            let (before, before_probability) = (said.class, said.probability());
            Change { row, before, before_probability, probability: 1.0 / (1.0 + (said.offset - logit).exp()) }
        });
        let changed = changed.collect();
        Ok(Fit { weights: self.with(&further, lowered), changed, left_one_out: self.left_one_out(c, lowered)? })
    }

    /// The weights of all classes; the temperature divides all logits alike.
    fn with(&self, further: &Further, lowered: f64) -> Weights {
        let scaled = |x: f64| (x * self.temperature) as f32;
        let rows = self.weights.coefficients.chunks_exact(self.weights.classes.max(1)).zip(&further.coefficients);
        let coefficients = rows.flat_map(|(row, &new)| row.iter().copied().chain([scaled(new.into())])).collect();
        let mut intercept = self.weights.intercept.clone();
        intercept.push(scaled(f64::from(further.intercept) - lowered));
        Weights { width: self.weights.width, classes: self.weights.classes + 1, coefficients, intercept }
    }

    /// How many of the new pictures are named right by a class that was fitted without them; nothing for a single one.
    fn left_one_out(&self, c: f64, lowered: f64) -> Result<Option<usize>> {
        if self.pictures() < 2 {
            return Ok(None);
        }
        let one = |picture| self.right(&self.on(c, |_| true, |other| other != picture)?, lowered, &[picture]);
        (0..self.pictures()).map(one).sum::<Result<usize>>().map(Some)
    }

    /// The score of known for all classes, of which the old photos have these.
    pub(super) fn score(&self, classes: impl Iterator<Item = usize>) -> Result<Score> {
        let new = self.weights.classes;
        let labels: Vec<usize> = classes.chain((0..self.new.file.rows()).map(|_| new)).collect();
        let features = Joined(&self.old.file, &self.new.file);
        Score::fit(self.settings, &Samples { features: &features, labels: &labels, weights: None }, new + 1)
    }

    /// The new pictures without their views.
    pub(super) fn plain(&self) -> Result<Subset<'_>> {
        let rows = (0..self.pictures()).map(|picture| picture * self.per_picture).collect();
        Ok(Subset::new(&self.new.file, rows)?)
    }
}

impl Said {
    /// The probability of the most probable class.
    fn probability(self) -> f64 {
        (self.logit - self.offset).exp()
    }
}
