//! `percept train`: a folder of photos becomes a recogniser.
//!
//! The frozen part of a pretrained network runs once over every view of every photo; on what it says, a classifier is fitted. A part
//! of the photos is held out: on it the penalty and the temperature are chosen and the accuracy is measured. Then, unless the user
//! made that division himself, the classifier is fitted once more on all photos, since a photo is worth more as an example than as
//! a test that is over.
//!
//! Everything is made in a hidden folder beside the output, which gets its name when it is whole.

mod head;
mod plan;
mod results;
mod scenes;
mod summary;

use crate::evaluate::Evaluation;
use crate::event::{Event, Events, Phase, Timing};
use crate::features::{Extracted, Extractor};
use crate::frozen::Frozen;
use crate::output::Folder;
use crate::{Config, Result, backbone, format};
use percept_engine::Settings;
use percept_photos::scan::{self, DataSet, Part, Picture};
use percept_photos::split::{Split, split};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a run made.
#[derive(Debug)]
pub struct Trained {
    /// The folder with the model and the report.
    pub out: PathBuf,
    /// The settings as decided.
    pub config: Config,
    /// Figures on photos that the classifier was not fitted on.
    pub evaluation: Evaluation,
}

/// What the steps of a run share.
struct Run<'a> {
    config: Config,
    data: DataSet,
    frozen: Frozen,
    settings: &'a Settings,
    /// When the time is up; absent if every decision is made.
    deadline: Option<Instant>,
    timings: Vec<Timing>,
    /// Whether the number of views was a matter of time.
    planned: bool,
    /// How many scenes the photos show.
    scenes: usize,
}

/// Trains a classifier on `config.photos` and writes the folder `out`.
///
/// What `config` leaves open is decided so that all is done within `limit`, counted from when the backbone's weights are here.
/// `command` is what the report says it was made with.
///
/// # Errors
/// Photos that cannot be learned from, weights that cannot be had, an output that exists or cannot be written.
pub fn train(
    config: Config,
    out: &Path,
    limit: Duration,
    command: &str,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Trained> {
    config.augment.check()?;
    let folder = Folder::create(out)?;
    let mut timings = Vec::new();
    let phase = Phase::start(&mut *events, "Reading photos", None, "photos");
    let data = scan::scan(&config.photos)?;
    data.check_trainable()?;
    timings.push(phase.finish(summary(&data)));
    backbone::fetch_missing(&config.backbone, &mut *events)?;
    let frozen = Frozen::open(&config.backbone)?;
    let deadline = config.head.is_none().then(|| Instant::now() + limit);
    let mut run = Run { config, data, frozen, settings, deadline, timings, planned: false, scenes: 0 };
    run.config.augment.size = run.frozen.preprocess.crop();
    let learned = |picture: &Picture| picture.part != Some(Part::Test);
    let photos: Vec<usize> = (0..run.data.pictures.len()).filter(|&i| learned(&run.data.pictures[i])).collect();

    let augment = run.config.augment.clone();
    let mut extractor = Extractor::new(&run.frozen, &augment, run.config.seed, settings)?;
    let views = match run.config.views {
        Some(views) => views,
        None => plan::views(&mut extractor, &run.data, &photos, limit, &mut *events)?,
    };
    run.planned = run.config.views.is_none();
    run.config.views = Some(views);
    folder.write("config.toml", run.config.to_toml()?.as_bytes())?;
    let rows = photos.len() as u64 * (1 + u64::from(views));
    let mut phase = Phase::start(&mut *events, "Looking at views", Some(rows), "views");
    let features = extractor.extract(&run.data, &photos, views, &mut phase)?;
    run.timings.push(phase.finish(format!("{} of {} photos", format::count(rows), format::count(photos.len() as u64))));

    if !run.divided() {
        run.find_scenes(&features, &mut *events)?;
    }
    let Split { validation, .. } = split(&run.data, run.config.validation, run.config.seed);
    let fitted = head::fit(&mut run, &features, &validation, &mut *events)?;
    let evaluation = results::write_all(&mut run, &features, fitted, &folder, command, events)?;
    folder.finish()?;
    Ok(Trained { out: out.to_path_buf(), config: run.config, evaluation })
}

fn summary(data: &DataSet) -> String {
    let skipped = match data.skipped.len() {
        0 => String::new(),
        n => format!(", {} left out", format::count(n as u64)),
    };
    format!("{} of {} classes{skipped}", format::count(data.pictures.len() as u64), data.classes.len())
}

/// The pictures of one part.
fn of_part(data: &DataSet, part: Part) -> DataSet {
    let pictures = data.pictures.iter().filter(|picture| picture.part == Some(part)).cloned().collect();
    DataSet { root: data.root.clone(), classes: data.classes.clone(), pictures, skipped: Vec::new() }
}

impl Run<'_> {
    /// Whether the user said which photos to check with.
    fn divided(&self) -> bool {
        self.data.pictures.iter().any(|picture| picture.part == Some(Part::Validation))
    }

    /// Whether the user set photos aside to test with.
    fn tested(&self) -> bool {
        self.data.pictures.iter().any(|picture| picture.part == Some(Part::Test))
    }

    /// Sees to it that photos of one scene stay on one side of the split.
    fn find_scenes(&mut self, features: &Extracted, events: Events<'_>) -> Result<()> {
        let phase = Phase::start(&mut *events, "Telling scenes apart", None, "scenes");
        let alone = scenes::join(&mut self.data, features, self.config.views.unwrap_or(0), self.settings)?;
        let scenes: HashSet<usize> = features.photos.iter().map(|&i| self.data.pictures[i].group).collect();
        self.scenes = scenes.len();
        let photos = format::count(features.photos.len() as u64);
        self.timings.push(phase.finish(format!("{} in {photos} photos", format::count(scenes.len() as u64))));
        if !alone.is_empty() {
            let text = format!(
                "all photos of {} look like one scene, so accuracy on them says little: add photos taken elsewhere",
                in_short(&alone)
            );
            events(Event::Warning { text });
        }
        Ok(())
    }

    /// The time left; absent if it does not matter.
    fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// Some names and how many more there are.
fn in_short(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(5).map(|name| format!("\"{name}\"")).collect();
    let more = if names.len() > 5 { format!(" and {} more classes", names.len() - 5) } else { String::new() };
    shown.join(", ") + &more
}
