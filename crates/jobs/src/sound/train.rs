//! `percept sound train`: from recordings to a model that is measured on others.
//!
//! A step is timed first, and the number of steps follows from the time that is left; the one-cycle schedule then ends where the time does.
//! The recordings held apart choose nothing: they are looked at once, when the model is finished.

use super::mel::{self, Mel};
use super::model::{Model, Sound, package};
use super::order::{shuffled, split};
use super::results::{Evaluation, measure};
use super::scan::{Found, find};
use super::{Clip, Config, augment, network};
use crate::event::{Event, Events, Phase};
use crate::learner::Learner;
use crate::output::{Folder, absent};
use crate::{Error, Result, format, parallel};
use percept_engine::{Input, Settings};
use percept_graph::{Graph, Params};
use percept_learn::optim::Schedule;
use percept_learn::random::mixed;
use percept_learn::trainer::BatchNorm;
use percept_models::initialize;
use percept_photos::scan::Skipped;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Samples of all recordings together: one GiB.
const MAX_SAMPLES: usize = 1 << 28;
/// More epochs than these are hardly worth their time.
const MOST_EPOCHS: u64 = 80;
/// A small set needs so many steps nevertheless.
const LEAST_STEPS: u64 = 200;
/// Share of the time left that steps may take; the rest is for measuring.
const SHARE: f64 = 0.9;
/// Steps that are timed, after one that makes the plan.
const TIMED: u64 = 5;
/// The network takes as many frames as all but one recording of so many have.
const LONGER: usize = 50;
/// Frames that it takes at least and at most.
const FRAMES: [usize; 2] = [16, 400];

/// What a training came to.
pub struct Trained {
    /// The folder with model, metrics and configuration.
    pub out: PathBuf,
    /// How good the model is on recordings that it did not learn from.
    pub evaluation: Evaluation,
}

/// Trains a network on recordings and writes `model.onnx`, `labels.txt`, `metrics.json` and `config.toml` to a new folder.
///
/// # Errors
/// Recordings that cannot be learned from, or a folder that is there already or cannot be written.
pub fn train(mut config: Config, out: &Path, settings: &Settings, events: Events<'_>) -> Result<Trained> {
    let start = Instant::now();
    absent(out)?;
    let mut found = find(&config.recordings, &mut *events)?;
    let clips = read(&mut found, settings, &mut *events)?;
    let [learned, apart] = split(&found.recordings, &found.classes, config.leave_out.as_deref(), config.seed)?;
    let mel = mel::Settings::of_rate(clips[0].rate);
    let sound = Sound { frames: frames(&learned, &clips, &mel), mel };
    let folder = Folder::create(out)?;
    let examples = Examples {
        clips: learned.iter().map(|&i| &clips[i]).collect(),
        labels: learned.iter().map(|&i| found.recordings[i].class as i64).collect(),
        mel: Mel::new(&sound.mel),
        frames: sound.frames,
        batch: config.batch,
        seed: config.seed,
        settings,
    };
    let graph = network::training(examples.mel.settings().bands, examples.frames, found.classes.len())?;
    let first = initialize(&graph, config.seed)?;
    if config.steps.is_none() {
        let seconds = Run::new(&graph, &first, &config, &examples)?.seconds()?;
        let left = config.time_limit.map(|limit| limit as f64 - start.elapsed().as_secs_f64());
        config.steps = Some(planned(seconds, left, &examples, &mut *events));
    }
    // Before the first step, so that what was decided is known whatever happens.
    folder.write("config.toml", config.to_toml()?.as_bytes())?;
    let params = Run::new(&graph, &first, &config, &examples)?.learn(config.steps.unwrap_or(1), &mut *events)?;
    folder.write("model.onnx", &package(&sound, &params, &found.classes)?.to_bytes()?)?;
    folder.write("labels.txt", (found.classes.join("\n") + "\n").as_bytes())?;
    let mut model = Model::open(&folder.path().join("model.onnx"), settings)?;
    let evaluation = measure(&mut model, &found, &clips, [&learned, &apart], &config, settings, events)?;
    let json = serde_json::to_vec_pretty(&evaluation);
    folder.write("metrics.json", &json.map_err(|e| Error::Setting(format!("metrics cannot be written: {e}")))?)?;
    folder.finish()?;
    Ok(Trained { out: out.into(), evaluation })
}

/// Decodes all recordings, at the rate that most of them have; those that cannot be used are moved to the list of what was left out.
fn read(found: &mut Found, settings: &Settings, events: Events<'_>) -> Result<Vec<Clip>> {
    let mut phase = Phase::start(events, "Reading recordings", Some(found.recordings.len() as u64), "recordings");
    let (mut clips, mut kept, mut samples) = (Vec::new(), Vec::new(), 0);
    for chunk in found.recordings.chunks(256) {
        let read = parallel::map(&settings.pool, chunk, |recording, _| Clip::open(&recording.path));
        for (recording, clip) in chunk.iter().zip(read) {
            match clip {
                Ok(clip) => {
                    samples += clip.samples.len();
                    clips.push(clip);
                    kept.push(recording.clone());
                }
                Err(error) => {
                    phase.warning(format!("left out: {error}"));
                    found.skipped.push(Skipped { path: recording.path.clone(), reason: error.reason() });
                }
            }
        }
        check_samples(samples)?;
        phase.progress((kept.len() + found.skipped.len()) as u64);
    }
    found.recordings = kept;
    let rate = most_common(&clips);
    let resampled = |clip: &Clip| clip.samples.len().saturating_mul(rate as usize) / clip.rate.max(1) as usize;
    check_samples(clips.iter().map(resampled).sum())?;
    let clips = parallel::map(&settings.pool, &clips, |clip, _| clip.clone().at_rate(rate));
    let seconds = samples as f64 / f64::from(rate.max(1));
    phase.finish(format!("{} at {} Hz", format::duration(seconds), format::count(rate.into())));
    match clips.is_empty() {
        true => Err(Error::Setting("no recording could be read: the warnings say why".into())),
        false => Ok(clips),
    }
}

fn check_samples(samples: usize) -> Result<()> {
    match samples > MAX_SAMPLES {
        true => {
            Err(Error::Setting(format!("the recordings have over {MAX_SAMPLES} samples: give fewer, or shorter ones")))
        }
        false => Ok(()),
    }
}

/// The rate of most recordings, the higher of two.
fn most_common(clips: &[Clip]) -> u32 {
    let mut counts = std::collections::BTreeMap::new();
    clips.iter().for_each(|clip| *counts.entry(clip.rate).or_insert(0) += 1);
    counts.into_iter().max_by_key(|&(rate, count)| (count, rate)).map_or(0, |(rate, _)| rate)
}

/// How many frames hold nearly every recording, a multiple of the network's stride.
fn frames(learned: &[usize], clips: &[Clip], mel: &mel::Settings) -> usize {
    let frames = |&i: &usize| 1 + clips[i].samples.len().saturating_sub(mel.window) / mel.hop;
    let mut all: Vec<usize> = learned.iter().map(frames).collect();
    all.sort_unstable();
    let most = all.get(all.len() - 1 - all.len() / LONGER).copied().unwrap_or(0);
    most.next_multiple_of(8).clamp(FRAMES[0], FRAMES[1])
}

/// What is learned from.
struct Examples<'a> {
    clips: Vec<&'a Clip>,
    labels: Vec<i64>,
    mel: Mel,
    frames: usize,
    batch: usize,
    seed: u64,
    settings: &'a Settings,
}

impl Examples<'_> {
    /// The spectrograms and labels of a step: epochs follow one another without a gap, so all steps have one size.
    fn batch(&self, step: u64) -> (Vec<f32>, Vec<i64>) {
        let (count, batch) = (self.clips.len() as u64, self.batch as u64);
        let mut order = (u64::MAX, Vec::new());
        let places = step * batch..(step + 1) * batch;
        let drawn: Vec<(usize, u64)> = places
            .map(|place| {
                let epoch = place / count;
                if order.0 != epoch {
                    order = (epoch, shuffled(self.clips.len(), self.seed, epoch));
                }
                let i = order.1[(place % count) as usize];
                (i, mixed(mixed(self.seed, epoch), i as u64))
            })
            .collect();
        let versions = parallel::map(&self.settings.pool, &drawn, |&(i, key), _| {
            augment::version(&self.mel, &self.clips[i].samples, self.frames, key)
        });
        (versions.concat(), drawn.iter().map(|&(i, _)| self.labels[i]).collect())
    }
}

/// How many steps there is time for, and that in a sentence.
fn planned(seconds: f64, left: Option<f64>, examples: &Examples<'_>, events: Events<'_>) -> u64 {
    let (count, batch) = (examples.clips.len() as u64, examples.batch as u64);
    let steps = affordable(seconds, left, count.div_ceil(batch));
    let epochs = (steps * batch) as f64 / count as f64;
    let took = format::duration(seconds);
    let text = format!("{} steps of about {took} each: {epochs:.1} epochs", format::count(steps));
    events(Event::Note { text });
    if epochs < 5.0 {
        let text = format!("{epochs:.1} epochs are few: give it more time with --time-limit");
        events(Event::Warning { text });
    }
    steps
}

/// The steps for which the seconds left suffice, an epoch at least.
fn affordable(seconds: f64, left: Option<f64>, epoch: u64) -> u64 {
    let most = (MOST_EPOCHS * epoch).max(LEAST_STEPS);
    let fitting = left.map_or(f64::INFINITY, |left| SHARE * left / seconds.max(1e-9));
    (fitting as u64).clamp(epoch.min(most), most)
}

/// A network under training.
struct Run<'a> {
    learner: Learner,
    learning_rate: f64,
    examples: &'a Examples<'a>,
}

impl<'a> Run<'a> {
    fn new(graph: &Graph, params: &Params, config: &Config, examples: &'a Examples<'a>) -> Result<Self> {
        let (statistics, decay) = (BatchNorm::Batch { momentum: 0.9 }, config.weight_decay);
        let learner = Learner::new(graph, params, statistics, decay, None, examples.settings)?;
        Ok(Self { learner, learning_rate: config.learning_rate, examples })
    }

    /// Takes a step of so many; gives back its loss.
    fn step(&mut self, step: u64, steps: u64) -> Result<f32> {
        let Examples { mel, frames, batch, .. } = self.examples;
        let (spectrograms, labels) = self.examples.batch(step);
        let shape = [*batch, 1, mel.settings().bands, *frames];
        let inputs = [(&shape[..], Input::F32(&spectrograms)), (&shape[..1], Input::I64(&labels))];
        self.learner.learn(&inputs, step, self.learning_rate * Schedule::OneCycle.factor(step, steps))
    }

    /// How long a step takes.
    fn seconds(&mut self) -> Result<f64> {
        self.step(0, TIMED + 1)?;
        let start = Instant::now();
        (1..=TIMED).try_for_each(|step| self.step(step, TIMED + 1).map(drop))?;
        Ok(start.elapsed().as_secs_f64() / TIMED as f64)
    }

    /// Takes all steps; gives back what was learned.
    fn learn(mut self, steps: u64, events: Events<'_>) -> Result<Params> {
        let mut phase = Phase::start(events, "Training", Some(steps), "steps");
        let last = steps - steps.div_ceil(10);
        let mut sum = 0.0;
        for step in 0..steps {
            let loss = self.step(step, steps)?;
            phase.metric("sound/loss", step + 1, loss.into());
            phase.progress(step + 1);
            if step >= last {
                sum += f64::from(loss);
            }
        }
        let mean = sum / (steps - last) as f64;
        phase.finish(format!("loss {mean:.3} in the last tenth of {} steps", format::count(steps)));
        Ok(self.learner.weights.params()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_buys_steps_between_one_epoch_and_those_that_are_worth_it() {
        assert_eq!(affordable(0.1, Some(100.0), 40), 900);
        assert_eq!(affordable(0.1, Some(-5.0), 40), 40);
        assert_eq!(affordable(0.1, Some(1e6), 40), 40 * MOST_EPOCHS);
        assert_eq!(affordable(0.1, None, 1), LEAST_STEPS);
    }

    #[test]
    fn the_network_takes_nearly_every_recording_whole() {
        let mel = mel::Settings::of_rate(8000);
        let clip = |frames: usize| Clip { samples: vec![0.1; 200 + 80 * (frames - 1)], rate: 8000 };
        let clips: Vec<_> = (0..100).map(|i| clip(if i < 2 { 5000 } else { 41 })).collect();
        assert_eq!(frames(&Vec::from_iter(0..100), &clips, &mel), 48);
        assert_eq!(frames(&[0], &clips, &mel), 400);
        let rates = [8000, 16000, 8000].map(|rate| Clip { samples: vec![0.5], rate });
        assert_eq!(most_common(&rates), 8000);
    }
}
