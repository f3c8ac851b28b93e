//! The weights of the new class.

use crate::features::Extracted;
use crate::Result;
use percept_engine::Settings;
use percept_learn::features::{Features, Subset};
use percept_learn::logistic::{self, Further, Samples, Weights};

/// Strength of the penalty: see [`logistic::Options`].
const C: f64 = 1e-2;
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
    fn on(&self, old: impl Fn(usize) -> bool, new: impl Fn(usize) -> bool) -> Result<Further> {
        let olds: Vec<usize> = (0..self.olds()).filter(|&row| old(row)).collect();
        let news: Vec<usize> = (0..self.pictures() * self.per_picture).filter(|row| new(row / self.per_picture)).collect();
        let weight = olds.len() as f32 / self.weights.classes as f32 / news.len().max(1) as f32;
        let labels: Vec<usize> = olds.iter().map(|_| 0).chain(news.iter().map(|_| 1)).collect();
        let weights: Vec<f32> = olds.iter().map(|_| 1.0).chain(news.iter().map(|_| weight)).collect();
        let offsets = olds.iter().copied().chain(news.iter().map(|row| self.olds() + row));
        let offsets: Vec<f64> = offsets.map(|row| self.said[row].offset).collect();
        let (olds, news) = (Subset::new(&self.old.file, olds)?, Subset::new(&self.new.file, news)?);
        let features = Joined(&olds, &news);
        let samples = Samples { features: &features, labels: &labels, weights: Some(&weights) };
        let options = logistic::Options { c: C, ..logistic::Options::default() };
        Ok(logistic::further(self.settings, &samples, &offsets, &options)?)
    }

    /// By how much each old photo prefers the new class; negative if it does not.
    fn margins(&self, further: &Further) -> Result<Vec<f64>> {
        let logits = further.logits(self.settings, &self.old.file)?;
        Ok(logits.iter().zip(&self.said).map(|(&logit, said)| f64::from(logit) - said.logit).collect())
    }

    /// How much the bias is lowered: until hardly an old photo, and no confident one, changes its answer in a fit without it.
    fn lowered(&self) -> Result<f64> {
        let half = |row: usize| row / BLOCK % 2 == 0;
        let of_second = self.margins(&self.on(half, |_| true)?)?;
        let of_first = self.margins(&self.on(|row| !half(row), |_| true)?)?;
        let margin = |row: usize| if half(row) { of_first[row] } else { of_second[row] };
        let mut margins: Vec<f64> = (0..self.olds()).map(margin).collect();
        let confident = (0..self.olds()).filter(|&row| self.said[row].probability() >= super::CONFIDENT);
        let most = confident.map(|row| margins[row]).fold(0.0, f64::max);
        margins.sort_by(|a, b| b.total_cmp(a));
        let allowed = (CHANGED * margins.len() as f64) as usize;
        Ok(margins.get(allowed).copied().unwrap_or(0.0).max(most))
    }

    /// The classifier with the new class, and which old photos it takes.
    pub(super) fn fit(&self) -> Result<(Fit, f64)> {
        let lowered = self.lowered()?;
        let further = self.on(|_| true, |_| true)?;
        let margins = self.margins(&further)?;
        let changed = (0..self.olds()).filter(|&row| margins[row] > lowered).map(|row| {
            let said = self.said[row];
            let logit = said.logit + margins[row] - lowered;
            let (before, before_probability) = (said.class, said.probability());
            Change { row, before, before_probability, probability: 1.0 / (1.0 + (said.offset - logit).exp()) }
        });
        let changed = changed.collect();
        Ok((Fit { weights: self.with(&further, lowered), changed }, lowered))
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
    pub(super) fn left_one_out(&self, lowered: f64) -> Result<Option<usize>> {
        if self.pictures() < 2 {
            return Ok(None);
        }
        let mut right = 0;
        for picture in 0..self.pictures() {
            let further = self.on(|_| true, |other| other != picture)?;
            let row = picture * self.per_picture;
            let logit = further.logits(self.settings, &Subset::new(&self.new.file, vec![row])?)?;
            let said = self.said[self.olds() + row];
            right += usize::from(logit.iter().any(|&logit| f64::from(logit) - lowered > said.logit));
        }
        Ok(Some(right))
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
