//! What is learned from: recordings, a new version of each in every epoch.

use super::mel::Mel;
use super::model::{Model, Sound};
use super::order::shuffled;
use super::results::said;
use super::scan::Found;
use super::{Clip, Config, augment, network};
use crate::learner::{Checked, Learner, Lesson};
use crate::{Result, parallel};
use percept_engine::{Input, Settings};
use percept_learn::metrics::Metrics;
use percept_learn::random::mixed;
use percept_learn::trainer::BatchNorm;
use percept_models::initialize;
use std::time::Instant;

/// Steps that are timed, after one that makes the plan.
const TIMED: u32 = 5;
/// Recordings held apart that a point of the curves looks at, about.
const CHECKED: usize = 256;

/// Recordings, and a network's lesson of them.
pub(super) struct Examples<'a> {
    config: &'a Config,
    found: &'a Found,
    clips: &'a [Clip],
    learned: &'a [usize],
    /// Some of those that are held apart.
    apart: Vec<usize>,
    sound: &'a Sound,
    mel: Mel,
    /// An epoch and its order.
    order: (u64, Vec<usize>),
    settings: &'a Settings,
}

impl<'a> Examples<'a> {
    pub(super) fn new(
        config: &'a Config,
        found: &'a Found,
        clips: &'a [Clip],
        [learned, apart]: &'a [Vec<usize>; 2],
        sound: &'a Sound,
        settings: &'a Settings,
    ) -> Result<(Self, Learner)> {
        let graph = network::training(sound.mel.bands, sound.frames, found.classes.len())?;
        let first = initialize(&graph, config.seed)?;
        let (statistics, decay) = (BatchNorm::Batch { momentum: 0.9 }, config.weight_decay);
        let learner = Learner::new(&graph, &first, statistics, decay, None, settings)?;
        let apart = apart.iter().step_by(apart.len().div_ceil(CHECKED).max(1)).copied().collect();
        let (mel, order) = (Mel::new(&sound.mel), (u64::MAX, Vec::new()));
        Ok((Self { config, found, clips, learned, apart, sound, mel, order, settings }, learner))
    }

    /// Steps of an epoch.
    pub(super) fn in_epoch(&self) -> u64 {
        self.learned.len().div_ceil(self.config.batch) as u64
    }

    /// The spectrograms and labels of a step: epochs follow one another without a gap, so all steps have one size.
    fn batch(&mut self, step: u64) -> (Vec<f32>, Vec<i64>) {
        let (count, batch, seed) = (self.learned.len() as u64, self.config.batch as u64, self.config.seed);
        let places = step * batch..(step + 1) * batch;
        let drawn: Vec<(usize, u64)> = places
            .map(|place| {
                let epoch = place / count;
                if self.order.0 != epoch {
                    self.order = (epoch, shuffled(self.learned.len(), seed, epoch));
                }
                let i = self.order.1[(place % count) as usize];
                (i, mixed(mixed(seed, epoch), i as u64))
            })
            .collect();
        let versions = parallel::map(&self.settings.pool, &drawn, |&(i, key), _| {
            augment::version(&self.mel, &self.clips[self.learned[i]].samples, self.sound.frames, key)
        });
        let label = |&(i, _): &(usize, u64)| self.found.recordings[self.learned[i]].class as i64;
        (versions.concat(), drawn.iter().map(label).collect())
    }

    /// How long a step takes.
    pub(super) fn seconds(mut self, mut learner: Learner) -> Result<f64> {
        self.step(&mut learner, 0.0)?;
        let start = Instant::now();
        (0..TIMED).try_for_each(|_| self.step(&mut learner, 0.0).map(drop))?;
        Ok(start.elapsed().as_secs_f64() / f64::from(TIMED))
    }
}

impl Lesson for Examples<'_> {
    fn step(&mut self, learner: &mut Learner, rate: f64) -> Result<f32> {
        let step = learner.taken();
        let (spectrograms, labels) = self.batch(step);
        let shape = [self.config.batch, 1, self.sound.mel.bands, self.sound.frames];
        let inputs = [(&shape[..], Input::F32(&spectrograms)), (&shape[..1], Input::I64(&labels))];
        learner.learn(&inputs, step, rate)
    }

    fn check(&mut self, learner: &Learner) -> Result<Checked> {
        let params = learner.weights.params()?;
        let mut model = Model::new(self.sound, &params, &self.found.classes, self.settings)?;
        let rows = said(&mut model, self.clips, &self.apart, self.settings, &mut |_| ())?;
        let truth: Vec<usize> = self.apart.iter().map(|&i| self.found.recordings[i].class).collect();
        let metrics = Metrics::new(&rows, self.found.classes.len(), &truth)?;
        Ok(Checked { nll: Some(metrics.nll), accuracy: Some(metrics.accuracy) })
    }
}
