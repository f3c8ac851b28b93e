//! How good the answers to each question are.

use super::{Model, Target};
use crate::classifier::BATCH;
use crate::event::{Events, Phase};
use crate::{Error, Result, parallel};
use image::RgbImage;
use percept_engine::Settings;
use percept_learn::metrics::{Binary, Metrics, Regression};
use percept_photos::decode;
use percept_photos::scan::{DataSet, Skipped};
use percept_photos::table::{self, Answers, Kind};
use serde::{Serialize, Serializer};
use std::path::{Path, PathBuf};

/// Figures of a model on pictures whose answers a table knows.
#[derive(Debug, Serialize)]
pub struct Evaluation {
    /// Number of pictures that were looked at.
    pub pictures: usize,
    /// For each question its figures, by name.
    #[serde(serialize_with = "by_name")]
    pub targets: Vec<Figures>,
    /// Questions of the model that the table does not ask, or has no answer to.
    pub not_asked: Vec<String>,
    /// Pictures that were left out, and why.
    #[serde(serialize_with = "crate::evaluate::skipped_as_text")]
    pub skipped: Vec<Skipped>,
    /// What was said and what is true, for reports.
    #[serde(skip)]
    pub answered: Answered,
}

/// The figures of a question.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// The question.
    #[serde(skip)]
    pub name: String,
    /// Pictures without a known answer.
    pub missing: usize,
    /// The figures; `kind` in JSON says which there are.
    #[serde(flatten)]
    pub of: ByKind,
}

/// What is measured of a kind of question.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ByKind {
    /// Of a class.
    Class {
        /// The labels, in the order of the figures.
        labels: Vec<String>,
        /// Accuracy and the rest.
        #[serde(flatten)]
        metrics: Metrics,
    },
    /// Of yes or no.
    YesNo {
        /// What is called no and yes.
        labels: [String; 2],
        /// AUC and the rest.
        #[serde(flatten)]
        metrics: Binary,
    },
    /// Of a number.
    Number(Regression),
}

/// What was said of pictures, and what is true.
#[derive(Debug, Default)]
pub struct Answered {
    /// The pictures.
    pub pictures: Vec<PathBuf>,
    /// A row for each: the outputs of all questions one after the other.
    pub rows: Vec<f32>,
    /// For each question the true answers, NaN where they are not known.
    pub truth: Vec<Vec<f64>>,
}

fn by_name<S: Serializer>(figures: &[Figures], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(figures.iter().map(|figures| (&figures.name, figures)))
}

impl Answered {
    /// The outputs of a question and its known true answers, for pictures where these are known.
    pub fn of(&self, targets: &[Target], question: usize) -> (Vec<&[f32]>, Vec<f64>) {
        let begin: usize = targets[..question].iter().map(Target::width).sum();
        let all: usize = targets.iter().map(Target::width).sum();
        let said = self.rows.chunks_exact(all).map(|row| &row[begin..begin + targets[question].width()]);
        said.zip(self.truth[question].iter().copied()).filter(|(_, truth)| !truth.is_nan()).unzip()
    }
}

/// Measures what was said; questions without a known answer are only named.
pub(crate) fn measured(targets: &[Target], answered: Answered, skipped: Vec<Skipped>) -> Result<Evaluation> {
    let (mut figures, mut not_asked) = (Vec::new(), Vec::new());
    for (i, target) in targets.iter().enumerate() {
        let (said, truth) = answered.of(targets, i);
        if truth.is_empty() {
            not_asked.push(target.name.clone());
            continue;
        }
        let first = || said.iter().map(|row| f64::from(row[0])).collect::<Vec<_>>();
        let of = match &target.kind {
            Kind::Class { labels } => {
                let classes: Vec<usize> = truth.iter().map(|&label| label as usize).collect();
                ByKind::Class { labels: labels.clone(), metrics: Metrics::new(&said.concat(), labels.len(), &classes)? }
            }
            Kind::YesNo { labels } => {
                let yes: Vec<bool> = truth.iter().map(|&label| label == 1.0).collect();
                ByKind::YesNo { labels: labels.clone(), metrics: Binary::new(&first(), &yes)? }
            }
            Kind::Number => ByKind::Number(Regression::new(&first(), &truth)?),
        };
        figures.push(Figures { name: target.name.clone(), missing: answered.pictures.len() - truth.len(), of });
    }
    Ok(Evaluation { pictures: answered.pictures.len(), targets: figures, not_asked, skipped, answered })
}

/// What a model says of the pictures of a data set at these positions, and what is true; pictures that cannot be decoded go to `skipped`.
pub(crate) fn answered(
    model: &mut Model,
    data: &DataSet,
    positions: &[usize],
    answers: &[Answers],
    settings: &Settings,
    skipped: &mut Vec<Skipped>,
    events: Events<'_>,
) -> Result<Answered> {
    let mut found = Answered { truth: vec![Vec::new(); answers.len()], ..Answered::default() };
    let mut phase = Phase::start(events, "Evaluating", Some(positions.len() as u64), "photos");
    for (chunk, done) in positions.chunks(4 * BATCH).zip(1..) {
        let prepared = parallel::map(&settings.pool, chunk, |&i, _| {
            decode::open(&data.pictures[i].path).map(|picture| model.prepare(&picture))
        });
        let mut pictures: Vec<RgbImage> = Vec::with_capacity(chunk.len());
        for (&i, result) in chunk.iter().zip(prepared) {
            match result {
                Ok(picture) => {
                    pictures.push(picture);
                    found.pictures.push(data.pictures[i].path.clone());
                    found.truth.iter_mut().zip(answers).for_each(|(truth, of)| truth.push(of.values[i]));
                }
                Err(e) => skipped.push(Skipped { path: data.pictures[i].path.clone(), reason: e.reason() }),
            }
        }
        found.rows.extend(model.answers(&pictures)?);
        phase.progress((done * 4 * BATCH).min(positions.len()) as u64);
    }
    phase.finish(format!("{} photos", crate::format::count(found.pictures.len() as u64)));
    Ok(found)
}

/// Measures a model on the pictures of a table, whose columns are matched to the model's questions by name; `photos` is where its paths
/// begin, the table's own folder if absent.
///
/// # Errors
/// A table that cannot be read, asks none of the model's questions, or has no picture that can be decoded.
pub fn evaluate(
    model: &mut Model,
    table: &Path,
    photos: Option<&Path>,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Evaluation> {
    let folder = table.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let read = table::read(table, photos.unwrap_or(folder))?;
    let positions: Vec<usize> = (0..read.data.pictures.len()).collect();
    let mut answers = Vec::new();
    for target in &model.targets {
        let unknown = || Answers {
            name: target.name.clone(),
            kind: target.kind.clone(),
            values: vec![f64::NAN; positions.len()],
        };
        answers.push(read.answers_to(&target.name, &target.kind)?.unwrap_or_else(unknown));
    }
    if answers.iter().all(|answers| answers.values.iter().all(|value| value.is_nan())) {
        let names: Vec<&str> = model.targets.iter().map(|target| &*target.name).collect();
        let text = format!("{} answers none of the model's questions: {}", table.display(), names.join(", "));
        return Err(Error::Setting(text));
    }
    let mut skipped = read.data.skipped.clone();
    let found = answered(model, &read.data, &positions, &answers, settings, &mut skipped, events)?;
    if found.pictures.is_empty() {
        let reason = skipped.first().map_or("there is none".into(), |s| format!("{}: {}", s.path.display(), s.reason));
        return Err(Error::Setting(format!("{} has no picture to evaluate on: {reason}", table.display())));
    }
    measured(&model.targets, found, skipped)
}
