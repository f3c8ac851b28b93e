//! `percept add`: a further class from a few pictures, in seconds.
//!
//! The network stays as it is, and so do the logits of the old classes: the new class gets a row of weights of its own, fitted on views of its
//! pictures against the photos of the old classes. So an answer can only change to the new class. How easily is a matter of its bias, which is
//! lowered until hardly a photo of the old classes is taken by it. What a photo says that was fitted on is too good, so for that the weights are
//! fitted on each half of the old photos and asked about the other.

mod fit;
mod page;

use crate::classifier::key;
use crate::event::{Event, Events, Phase};
use crate::features::{Extracted, Extractor};
use crate::frozen::{Frozen, Origin};
use crate::known::{Known, NONE};
use crate::layer::last_layer;
use crate::{Config, Error, Result, format, output, package, photos};
use fit::Sides;
use percept_engine::Settings;
use percept_graph::onnx::Model;
use percept_graph::write_file;
use percept_learn::logistic::Weights;
use percept_photos::augment::Augment;
use percept_photos::resize::Preprocess;
use percept_photos::scan::{DataSet, Part, Picture, Skipped};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A further class.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// Its pictures: files, folders and archives.
    pub pictures: Vec<PathBuf>,
    /// The photos that the model was made from; absent for those that the `config.toml` beside the model names.
    pub photos: Option<PathBuf>,
    /// Views of each picture to learn from, beside the picture itself.
    pub views: u32,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Added {
    /// The name of the new class.
    pub label: String,
    /// The new model.
    pub model: PathBuf,
    /// The page about it.
    pub report: PathBuf,
    /// Pictures of the new class that were learned from.
    pub pictures: usize,
    /// Views of each, beside the picture itself.
    pub views: u32,
    /// How many of its pictures are named right by a class that was fitted without them; absent for a single picture.
    pub left_one_out: Option<usize>,
    /// How many of its pictures are taken for known; absent if the model cannot tell.
    pub known: Option<usize>,
    /// Photos of the old classes that were asked again.
    pub old_photos: usize,
    /// Those whose answer changed, all of them to the new class.
    pub changed: Vec<Changed>,
    /// How many of these had been answered with a probability of 0.9 or more.
    pub confident_changed: usize,
    /// Wall-clock time.
    pub seconds: f64,
    /// Pictures that were left out, and why.
    #[serde(serialize_with = "crate::evaluate::skipped_as_text")]
    pub skipped: Vec<Skipped>,
}

/// An old photo that is now taken for the new class.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// The photo.
    pub picture: PathBuf,
    /// Its class.
    pub label: String,
    /// What the model said before.
    pub before: String,
    /// How sure it was.
    pub before_probability: f64,
    /// How sure it is now that it is the new class.
    pub probability: f64,
}

/// A probability from which on an answer is confident.
const CONFIDENT: f64 = 0.9;

/// What is needed of a model file.
struct Opened {
    below: Frozen,
    weights: Weights,
    labels: Vec<String>,
    temperature: f64,
    known: Option<Known>,
    metadata: BTreeMap<String, String>,
}

/// Adds a class to a model of ours, and writes the new model and a page beside it.
///
/// # Errors
/// A model that is not of ours, a name that it has already, pictures that cannot be read, photos that are not those of the model, an output
/// that exists.
pub fn add(model: &Path, options: &Options, out: &Path, settings: &Settings, events: Events<'_>) -> Result<Added> {
    let start = Instant::now();
    let report = out.with_extension("html");
    output::absent(out)?;
    output::absent(&report)?;
    let opened = open(model, &options.name)?;
    let (data, augment) = old_photos(model, options, &opened, &mut *events)?;
    let (new, mut skipped) = new_pictures(options)?;

    let (old, new_rows) = look(&opened, &data, &new, &augment, options.views, settings, &mut *events)?;
    skipped.extend(new_rows.skipped.iter().cloned());
    let phase = Phase::start(&mut *events, "Fitting", None, "");
    let sides = Sides::new(&opened.weights, opened.temperature, &old, &new_rows, options.views, settings)?;
    let fitted = sides.fit()?;
    phase.finish(format!("{} of {} old answers change", fitted.changed.len(), format::count(old.photos.len() as u64)));

    let mut labels = opened.labels.clone();
    labels.push(options.name.clone());
    let classes = || old.photos.iter().map(|&photo| data.pictures[photo].class);
    let known = opened.known.as_ref().map(|known| sides.score(classes()).map(|score| (score, known))).transpose()?;
    let scores = known.as_ref().map(|(score, _)| score.of(settings, &sides.plain()?)).transpose()?;
    let known_pictures = scores
        .zip(opened.known.as_ref())
        .map(|(scores, known)| scores.iter().filter(|&&score| f64::from(score) >= known.threshold).count());
    let package = package::model(
        &opened.below,
        &fitted.weights,
        opened.temperature,
        &labels,
        known.as_ref().map(|(score, known)| (score, *known)),
    )?;
    // What else the file said is still true.
    let metadata = opened.metadata.clone().into_iter().chain(package.metadata).collect();
    let made = Model { metadata, ..package };
    let changed = fitted.changed.iter().map(|change| {
        let picture = &data.pictures[old.photos[change.row]];
        Changed {
            picture: picture.path.clone(),
            label: data.classes[picture.class].clone(),
            before: opened.labels[change.before].clone(),
            before_probability: change.before_probability,
            probability: change.probability,
        }
    });
    let changed: Vec<Changed> = changed.collect();
    let added = Added {
        label: options.name.clone(),
        model: out.into(),
        report: report.clone(),
        pictures: new_rows.photos.len(),
        views: options.views,
        left_one_out: fitted.left_one_out,
        known: known_pictures,
        old_photos: old.photos.len(),
        confident_changed: changed.iter().filter(|change| change.before_probability >= CONFIDENT).count(),
        changed,
        seconds: start.elapsed().as_secs_f64(),
        skipped,
    };
    let html = page::html(&added, &new, settings)?;
    write_file(out, &made.to_bytes()?).map_err(Error::io("write", out))?;
    write_file(&report, html.as_bytes()).map_err(Error::io("write", &report))?;
    if added.changed.len() * 200 > added.old_photos {
        let text = format!("more than one in 200 photos of the old classes is now taken for {}", options.name);
        events(Event::Warning { text });
    }
    Ok(Added { seconds: start.elapsed().as_secs_f64(), ..added })
}

/// Reads a model of ours; fails if it knows the name already.
fn open(path: &Path, name: &str) -> Result<Opened> {
    let Model { graph, params, metadata } = Model::read(path)?;
    let wrong = |reason: String| Error::model(path, reason);
    let said = |key: &str| {
        let reason = || wrong(format!("does not say its {key}: a class can be added to models that Percept made"));
        metadata.get(key).ok_or_else(reason)
    };
    let damaged = |key: &str, error: &dyn std::fmt::Display| wrong(format!("its {key} is damaged: {error}"));
    let labels: Vec<String> = serde_json::from_str(said(key::LABELS)?).map_err(|e| damaged(key::LABELS, &e))?;
    if name.trim().is_empty() || name == NONE {
        return Err(Error::Setting(format!("\"{name}\" cannot be the name of a class: choose another")));
    }
    if labels.iter().any(|label| label == name) {
        return Err(wrong(format!("has a class \"{name}\" already: choose another name")));
    }
    let preprocess: Preprocess =
        serde_json::from_str(said(key::PREPROCESS)?).map_err(|e| damaged(key::PREPROCESS, &e))?;
    let temperature: f64 = said(key::TEMPERATURE)?.parse().map_err(|e| damaged(key::TEMPERATURE, &e))?;
    let known: Option<Known> = metadata
        .get(key::KNOWN)
        .map(|json| serde_json::from_str(json))
        .transpose()
        .map_err(|e| damaged(key::KNOWN, &e))?;
    let layer = last_layer(&graph, &params).filter(|layer| layer.weights.classes == labels.len());
    let layer =
        layer.ok_or_else(|| wrong("does not end in a layer of its classes that a class can be added to".into()))?;
    let text = |key: &str| metadata.get(key).cloned().unwrap_or_else(|| "not stated".into());
    let origin = Origin { name: text(key::BACKBONE), preprocess, licence: text(key::LICENCE) };
    let below = Frozen::below(origin, &graph, &params, layer.features)?;
    Ok(Opened { below, weights: layer.weights, labels, temperature, known, metadata })
}

/// The photos that the model was made from, those of the test left out, and how views of them are drawn.
fn old_photos(model: &Path, options: &Options, opened: &Opened, events: Events<'_>) -> Result<(DataSet, Augment)> {
    let beside = model.with_file_name("config.toml");
    let config = beside.is_file().then(|| Config::read(&beside)).transpose()?;
    let root = match (&options.photos, &config) {
        (Some(photos), _) => photos.clone(),
        (None, Some(config)) if config.photos.exists() => config.photos.clone(),
        (None, Some(config)) => {
            let photos = config.photos.display();
            return Err(Error::Setting(format!(
                "{photos}, which {} names, is not there: give --photos with the photos that the model was made from",
                beside.display()
            )));
        }
        (None, None) => {
            return Err(Error::Setting(format!(
                "there is no {}: give --photos with the photos that the model was made from",
                beside.display()
            )));
        }
    };
    let (mut data, _) = photos::scan(&root, events)?;
    photos::take_unknown(&mut data);
    let place = |picture: &Picture| opened.labels.iter().position(|label| *label == data.classes[picture.class]);
    let missing = opened.labels.iter().find(|label| !data.classes.contains(label));
    if let Some(label) = missing {
        let text = format!("{} has no photos of \"{label}\", a class of the model: give --photos", root.display());
        return Err(Error::Setting(text));
    }
    let kept = data.pictures.iter().filter(|picture| picture.part != Some(Part::Test));
    let kept: Vec<Picture> =
        kept.filter_map(|picture| Some(Picture { class: place(picture)?, ..picture.clone() })).collect();
    let data = DataSet { classes: opened.labels.clone(), pictures: kept, ..data };
    let mut augment = config.map_or_else(Augment::default, |config| config.augment);
    augment.size = opened.below.origin.preprocess.crop();
    Ok((data, augment))
}

/// The pictures of the new class, as a data set.
fn new_pictures(options: &Options) -> Result<(DataSet, Vec<Skipped>)> {
    let (mut pictures, mut skipped) = (Vec::new(), Vec::new());
    for path in &options.pictures {
        let (listing, _) = photos::pictures(path)?;
        pictures.extend(listing.pictures);
        skipped.extend(listing.skipped);
    }
    pictures.sort();
    pictures.dedup();
    let picture = |(group, path)| Picture { path, class: 0, part: None, group };
    let pictures = pictures.into_iter().enumerate().map(picture).collect();
    Ok((DataSet { root: PathBuf::new(), classes: vec![options.name.clone()], pictures, skipped: Vec::new() }, skipped))
}

/// What the last layer reads of the old photos, and of the new pictures and their views.
fn look(
    opened: &Opened,
    data: &DataSet,
    new: &DataSet,
    augment: &Augment,
    views: u32,
    settings: &Settings,
    events: Events<'_>,
) -> Result<(Extracted, Extracted)> {
    let mut extractor = Extractor::new(&opened.below, augment, 0, settings)?;
    let all = |data: &DataSet| (0..data.pictures.len()).collect::<Vec<_>>();
    let rows = new.pictures.len() as u64 * (1 + u64::from(views));
    let mut phase = Phase::start(&mut *events, "Looking at the new pictures", Some(rows), "views");
    let found = extractor.extract(new, &all(new), views, &mut phase)?;
    phase.finish(format!("{} of {} pictures", format::count(rows), found.photos.len()));
    if found.photos.is_empty() {
        let reason = found.skipped.first().map_or_else(
            || "there is none".into(),
            |skipped| format!("{}: {}", skipped.path.display(), skipped.reason),
        );
        return Err(Error::Setting(format!("no picture of \"{}\" can be used: {reason}", new.classes[0])));
    }
    let count = data.pictures.len() as u64;
    let mut phase = Phase::start(events, "Looking at the old photos", Some(count), "photos");
    let old = extractor.extract(data, &all(data), 0, &mut phase)?;
    phase.finish(format::count(old.photos.len() as u64));
    if old.photos.is_empty() {
        return Err(Error::Setting(format!("none of the photos in {} can be read", data.root.display())));
    }
    Ok((old, found))
}
