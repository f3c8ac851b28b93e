//! `percept train`: a folder of photos becomes a recogniser.
//!
//! The frozen part of a pretrained network runs once over every view of every photo; on what it says, a classifier is fitted. A part
//! of the photos is held out: on it the penalty and the temperature are chosen and the accuracy is measured. Then, unless the user
//! made that division himself, the classifier is fitted once more on all photos, since a photo is worth more as an example than as
//! a test that is over.
//!
//! Then, time allowing, the top blocks of the network are trained on what the frozen lower part makes of the photos, and after them the
//! whole network; each is kept if the photos held out say that it is better, and the last that was is repeated on all photos.
//!
//! Everything is made in `NAME.part` beside the output, which gets its name when it is whole. Every decision is written down there before
//! it is acted on, and how far a training is too, so that an interrupted run goes on as if nothing had been.

mod begin;
mod head;
mod known;
mod looks;
mod network;
mod plan;
mod results;
pub(crate) mod scenes;
mod sides;
mod summary;
pub mod targets;
mod top;

use crate::evaluate::Evaluation;
use crate::event::{Events, Phase, Timing};
use crate::features::{Extracted, Extractor};
use crate::folder::RunFolder;
use crate::frozen::{Frozen, Origin};
use crate::report::Stage;
use crate::targets::Questions;
use crate::{Config, Error, Result, format, near, photos};
use head::Fitted;
use network::Stages;
use percept_engine::Settings;
use percept_photos::scan::{DataSet, Skipped};
use percept_photos::split::{Split, split};
use sides::fingerprint;
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
    /// Pictures of anything else.
    unknown: DataSet,
    /// What is asked of the photos, if it is not their classes.
    questions: Option<Questions>,
    origin: Origin,
    settings: &'a Settings,
    /// When the time is up; absent if every decision is made.
    deadline: Option<Instant>,
    timings: Vec<Timing>,
    /// Whether the number of views was a matter of time.
    planned: bool,
    /// Whether the model is a network that was trained as a whole.
    retrained: bool,
    /// Photos that cannot be decoded.
    unreadable: Vec<Skipped>,
    /// Whether that network learned from all photos after it was measured.
    refitted: bool,
    /// How each training of the network went.
    stages: Vec<Stage>,
    /// How many scenes the photos show.
    scenes: usize,
}

/// Trains a recogniser on `config.photos` and makes the folder `out`.
///
/// What `config` leaves open is decided so that all is done within its time limit, counted from when the backbone's weights are here.
/// `command` is what the report says it was made with.
///
/// # Errors
/// Photos that cannot be learned from, weights that cannot be had, an output that exists or cannot be written.
pub fn train(config: Config, out: &Path, command: &str, settings: &Settings, events: Events<'_>) -> Result<Trained> {
    config.augment.check()?;
    run(config, RunFolder::create(out, "train")?, out, command, settings, events)
}

/// What a run that was gone on with made: of classes, or of several questions.
#[derive(Debug)]
pub enum Resumed {
    /// A classifier.
    Classes(Box<Trained>),
    /// A model that answers the questions of a table.
    Targets(Box<targets::Trained>),
}

/// Goes on with the run that was to make `out`, which was interrupted: the same model comes of it.
///
/// # Errors
/// No such run, photos that have changed since, and as [`train`] or [`targets::train`].
pub fn resume(out: &Path, settings: &Settings, events: Events<'_>) -> Result<Resumed> {
    let (folder, config, command) = RunFolder::resume(out, Config::read)?;
    match config.targets {
        None => run(config, folder, out, &command, settings, events).map(|trained| Resumed::Classes(trained.into())),
        Some(_) => targets::run(config, folder, out, &command, settings, events)
            .map(|trained| Resumed::Targets(trained.into())),
    }
}

fn run(
    config: Config,
    folder: RunFolder,
    out: &Path,
    command: &str,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Trained> {
    let (mut data, timings) = photos::scan(&config.photos, &mut *events)?;
    let mut unknown = photos::take_unknown(&mut data);
    if let Some(path) = &config.unknown {
        photos::add_unknown(&mut unknown, path)?;
    }
    data.check_trainable()?;
    folder.check_data("the photos have", &fingerprint(&[&data, &unknown], &settings.pool)?)?;
    let (mut run, frozen) = Run::begin(config, data, None, timings, settings, &mut *events)?;
    run.unknown = unknown;
    let looked = near::settle(&mut run.data, settings, &mut *events)?;
    run.timings.push(looked);
    let photos = run.learned();
    let (features, fitted) = match &frozen {
        Some(frozen) => {
            run.fit_head(frozen, &photos, &folder, command, &mut *events).map(|(a, b)| (Some(a), Some(b)))?
        }
        None => (None, None),
    };
    let fitted = run.train_network(&photos, features.as_ref(), fitted, &folder, command, &mut *events)?;
    let evaluation =
        results::write_all(&mut run, frozen.as_ref().zip(features.as_ref()), fitted, &folder, command, events)?;
    folder.finish()?;
    Ok(Trained { out: out.to_path_buf(), config: run.config, evaluation })
}

impl Run<'_> {
    /// The classifier on top of the frozen part, and the features that it was fitted on.
    fn fit_head(
        &mut self,
        frozen: &Frozen,
        photos: &[usize],
        folder: &RunFolder,
        command: &str,
        events: Events<'_>,
    ) -> Result<(Extracted, Fitted)> {
        let features = self.look(frozen, photos, folder, command, &mut *events)?;
        if !self.divided() {
            self.find_scenes(&features, &mut *events)?;
        }
        let Split { validation, .. } = split(&self.data, self.config.validation, self.config.seed);
        let fitted = head::fit(self, &features, &validation, events)?;
        folder.record(&self.config, command)?;
        Ok((features, fitted))
    }

    /// What the frozen part says of photos and views of them, once it is decided how many and what follows.
    fn look(
        &mut self,
        frozen: &Frozen,
        photos: &[usize],
        folder: &RunFolder,
        command: &str,
        events: Events<'_>,
    ) -> Result<Extracted> {
        let augment = self.config.augment.clone();
        let mut extractor = Extractor::new(frozen, &augment, self.config.seed, self.settings)?;
        if self.config.stages.is_none() {
            let Split { train: training, validation } = split(&self.data, self.config.validation, self.config.seed);
            let stages = Stages::new(self, &training, &validation)?;
            let planned = match stages {
                Some(stages) => network::plan(self, &stages, &mut *events)?,
                None => (Vec::new(), false),
            };
            (self.config.stages, self.config.refit) = (Some(planned.0), planned.1);
            // Views would take the time of the better stage.
            if self.config.stages.as_ref().is_some_and(|stages| !stages.is_empty()) && self.config.views.is_none() {
                self.config.views = Some(0);
            }
        }
        let views = match (self.config.views, self.config.time_limit) {
            (Some(views), _) => views,
            (None, None) => plan::MOST,
            (None, Some(limit)) => {
                self.planned = true;
                let limit = Duration::from_secs(limit);
                let left = self.left().unwrap_or(limit);
                plan::views(&mut extractor, &self.data, photos, [limit, left], &mut *events)?
            }
        };
        self.config.views = Some(views);
        folder.record(&self.config, command)?;
        let rows = photos.len() as u64 * (1 + u64::from(views));
        let mut phase = Phase::start(&mut *events, "Looking at views", Some(rows), "views");
        let features = extractor.extract(&self.data, photos, views, &mut phase)?;
        let text = format!("{} of {} photos", format::count(rows), format::count(photos.len() as u64));
        self.timings.push(phase.finish(text));
        self.unreadable.clone_from(&features.skipped);
        Ok(features)
    }

    /// The best of the classifier on top and what training the whole network comes to.
    fn train_network(
        &mut self,
        photos: &[usize],
        features: Option<&Extracted>,
        fitted: Option<Fitted>,
        folder: &RunFolder,
        command: &str,
        events: Events<'_>,
    ) -> Result<Fitted> {
        let [photos, held_out] = self.sides(photos, features, &mut *events)?;
        let Some(stages) = Stages::new(self, &photos, &held_out)? else {
            return fitted.ok_or_else(|| Error::Setting("there is nothing to train".into()));
        };
        self.decide(&stages, folder, command, &mut *events)?;
        stages.run(self, fitted, folder, events)
    }

    /// Decides which trainings there is time for, if that is open, and writes it down.
    fn decide(&mut self, stages: &Stages<'_>, folder: &RunFolder, command: &str, events: Events<'_>) -> Result<()> {
        if self.config.stages.is_none() {
            let (recipes, refit) = network::plan(self, stages, events)?;
            (self.config.stages, self.config.refit) = (Some(recipes), refit);
        }
        folder.record(&self.config, command)
    }

    /// The time left; absent if it does not matter.
    fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}
