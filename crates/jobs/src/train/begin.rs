//! How a run begins, whatever is asked of its photos.

use super::{Run, network};
use crate::event::{Events, Timing};
use crate::finetune::Answers;
use crate::frozen::Frozen;
use crate::targets::Questions;
use crate::{Config, Result, backbone};
use percept_engine::Settings;
use percept_photos::scan::DataSet;
use std::time::{Duration, Instant};

/// More photos held out say hardly more, and are missed by the training: of 5,000 an accuracy of 90 % is known to 0.8 points.
const MOST_HELD_OUT: f64 = 5000.0;

impl<'a> Run<'a> {
    /// A run on photos that were found, and the frozen network if it has one. The clock starts when its weights are here.
    pub(super) fn begin(
        config: Config,
        data: DataSet,
        questions: Option<Questions>,
        timings: Vec<Timing>,
        settings: &'a Settings,
        events: Events<'_>,
    ) -> Result<(Self, Option<Frozen>)> {
        let frozen = match &config.network {
            Some(_) => None,
            None => {
                backbone::fetch_missing(&config.backbone, &mut *events)?;
                Some(Frozen::open(&config.backbone)?)
            }
        };
        let origin = match (&frozen, &config.network) {
            (Some(frozen), _) => frozen.origin.clone(),
            (None, name) => network::origin(name.as_deref().unwrap_or_default())?,
        };
        let undecided = config.stages.is_none() || frozen.is_some() && config.head.is_none() && questions.is_none();
        let limit = config.time_limit.filter(|_| undecided).map(Duration::from_secs);
        let unknown = DataSet { pictures: Vec::new(), skipped: Vec::new(), ..data.clone() };
        let mut run = Run {
            config,
            data,
            unknown,
            questions,
            origin,
            settings,
            deadline: limit.map(|limit| Instant::now() + limit),
            timings,
            planned: false,
            retrained: false,
            refitted: false,
            stages: Vec::new(),
            scenes: 0,
            unreadable: Vec::new(),
        };
        if run.config.stages.is_none() {
            let most = MOST_HELD_OUT / run.learned().len().max(1) as f64;
            run.config.validation = run.config.validation.min(most);
        }
        let size = run.origin.preprocess.crop();
        run.config.augment.size = size;
        if frozen.is_none() && run.config.stages.is_none() {
            run.config.augment = network::of_small(&run.config.augment, size);
        }
        Ok((run, frozen))
    }

    /// What a network is to say of the photos.
    pub(super) fn answers(&self) -> Answers<'_> {
        self.questions.as_ref().map_or(Answers::Classes(&self.data), Answers::Questions)
    }
}
