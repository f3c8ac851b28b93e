//! `percept sound train`: from recordings to a model that is measured on others.
//!
//! A step is timed first, and the number of steps follows from the time that is left; the one-cycle schedule then ends where the time does.
//! The recordings held apart choose nothing: they are looked at once, when the model is finished.

use super::config::LEARNING_RATE;
use super::examples::Examples;
use super::mel;
use super::model::{Model, Sound, package};
use super::order::split;
use super::results::{Evaluation, evaluate, said};
use super::scan::{Found, find};
use super::told::Told;
use super::{Clip, Config};
use crate::event::{Event, Events, Phase, Timing};
use crate::folder::RunFolder;
use crate::learner::{Course, RATES, decide_rate};
use crate::{Error, Result, budget, format, parallel};
use percept_engine::Settings;
use percept_learn::metrics::Metrics;
use percept_models::cache;
use percept_photos::scan::Skipped;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Samples of all recordings together: one GiB.
const MAX_SAMPLES: usize = 1 << 28;
/// More epochs than these are hardly worth their time.
const MOST_EPOCHS: u64 = 80;
/// A small set needs so many steps nevertheless.
const LEAST_STEPS: u64 = 200;
/// Points of the learning curves at least and at most: one for each epoch, if that is between.
const POINTS: [u64; 2] = [5, 20];
/// The network takes as many frames as all but one recording of so many have.
const LONGER: usize = 50;
/// Frames that it takes at least and at most.
const FRAMES: [usize; 2] = [16, 400];
/// By so many first bytes recordings are known again.
const HASHED: u64 = 16 << 20;
/// What a run is called on the command line.
pub(super) const VERB: &str = "sound train";

/// What a training came to.
pub struct Trained {
    /// The folder with model, metrics, report and configuration.
    pub out: PathBuf,
    /// How good the model is on recordings that it did not learn from.
    pub evaluation: Evaluation,
}

/// Trains a network on recordings and makes the folder `out` with model, metrics, report, model card and configuration. `command` is what
/// the report says it was made with.
///
/// # Errors
/// Recordings that cannot be learned from, or a folder that is there already or cannot be written.
pub fn train(config: Config, out: &Path, command: &str, settings: &Settings, events: Events<'_>) -> Result<Trained> {
    run(config, RunFolder::create(out, VERB)?, command, settings, events)
}

/// Goes on with the run that was to make `out`, which was interrupted: the same model comes of it.
///
/// # Errors
/// No such run, recordings that have changed since, and as [`train`].
pub fn resume(out: &Path, settings: &Settings, events: Events<'_>) -> Result<Trained> {
    let (folder, config, command) = RunFolder::resume(out, Config::read)?;
    run(config, folder, &command, settings, events)
}

fn run(
    mut config: Config,
    folder: RunFolder,
    command: &str,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Trained> {
    let start = Instant::now();
    let mut found = find(&config.recordings, &mut *events)?;
    folder.check_data("the recordings have", &fingerprint(&found, settings)?)?;
    let (clips, reading) = read(&mut found, settings, &mut *events)?;
    let parts = split(&found.recordings, &found.classes, config.leave_out.as_deref(), config.seed)?;
    let mel = mel::Settings::of_rate(clips[0].rate);
    let sound = Sound { frames: frames(&parts[0], &clips, &mel), mel };
    let mut rate = config.learning_rate;
    let begin = || Examples::new(&config, &found, &clips, &parts, &sound, settings);
    decide_rate(&mut rate, LEARNING_RATE, &folder, begin, &mut *events)?;
    config.learning_rate = rate;
    if config.steps.is_none() {
        let (examples, learner) = Examples::new(&config, &found, &clips, &parts, &sound, settings)?;
        let epoch = examples.in_epoch();
        let seconds = examples.seconds(learner)?;
        config.steps = Some(planned(&config, seconds, epoch, parts[0].len(), start, &mut *events));
    }
    // Before the first step, so that what was decided is known whatever happens.
    folder.record(&config, command)?;
    let steps = config.steps.unwrap_or(1);
    let (mut examples, mut learner) = Examples::new(&config, &found, &clips, &parts, &sound, settings)?;
    let course = Course {
        name: "Training",
        curves: "sound",
        steps,
        learning_rate: config.learning_rate.unwrap_or(LEARNING_RATE),
        points: (steps / examples.in_epoch()).clamp(POINTS[0], POINTS[1]),
        checkpoint: &folder.path().join("training.safetensors"),
        settings: &config.to_toml()?,
    };
    let (curve, learning) = course.run(&mut learner, &mut examples, &mut *events)?;
    let params = learner.weights.params()?;
    drop((examples, learner));
    let bytes = package(&sound, &params, &found.classes)?.to_bytes()?;
    folder.write("model.onnx", &bytes)?;
    folder.write("labels.txt", (found.classes.join("\n") + "\n").as_bytes())?;
    folder.write_json("curves.json", &curve)?;

    let mut phase = Phase::start(&mut *events, "Measuring", Some(parts[1].len() as u64), "recordings");
    let mut model = Model::open(&folder.path().join("model.onnx"), settings)?;
    let rows = said(&mut model, &clips, &parts[1], settings, &mut |done| phase.progress(done))?;
    let truth: Vec<usize> = parts[1].iter().map(|&i| found.recordings[i].class).collect();
    let metrics = Metrics::new(&rows, found.classes.len(), &truth)?;
    let measuring = phase.finish(format!("{} right", format::percent(metrics.accuracy)));
    let evaluation = evaluate(&rows, &metrics, &found, &parts, &config)?;
    folder.write_json("metrics.json", &evaluation)?;
    let phase = Phase::start(events, "Writing the report", None, "files");
    let timings = vec![reading, learning, measuring];
    let told = Told { config: &config, found: &found, clips: &clips, parts: &parts, model: &model, sound: &sound };
    let mut report = told.report(&rows, metrics, &evaluation, curve, timings, command, bytes.len() as u64)?;
    report.rates = folder.read_json(RATES);
    folder.write("report.html", report.html()?.as_bytes())?;
    folder.write("MODEL_CARD.md", report.model_card()?.as_bytes())?;
    phase.finish("");
    let out = folder.out().to_path_buf();
    folder.finish()?;
    Ok(Trained { out, evaluation })
}

/// A hash of what the recordings are, wherever they lie.
fn fingerprint(found: &Found, settings: &Settings) -> Result<String> {
    let lines = parallel::map(&settings.pool, &found.recordings, |recording, _| {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&recording.path);
        let read = file.and_then(|file| file.take(HASHED).read_to_end(&mut bytes));
        read.map_err(Error::io("read", &recording.path))?;
        let name = recording.path.file_name();
        Ok(format!("{name:?} {} {}\n", found.classes[recording.class], cache::sha256(&bytes)))
    });
    Ok(cache::sha256(lines.into_iter().collect::<Result<String>>()?.as_bytes()))
}

/// Decodes all recordings, at the rate that most of them have; those that cannot be used are moved to the list of what was left out.
fn read(found: &mut Found, settings: &Settings, events: Events<'_>) -> Result<(Vec<Clip>, Timing)> {
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
    let timing = phase.finish(format!("{} at {} Hz", format::duration(seconds), format::count(rate.into())));
    match clips.is_empty() {
        true => Err(Error::Setting("no recording could be read: the warnings say why".into())),
        false => Ok((clips, timing)),
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

/// How many steps there is time for.
fn planned(config: &Config, seconds: f64, epoch: u64, count: usize, start: Instant, events: Events<'_>) -> u64 {
    let left = config.time_limit.map(|limit| Duration::from_secs(limit).saturating_sub(start.elapsed()));
    let most = (MOST_EPOCHS * epoch).max(LEAST_STEPS);
    let steps = budget::affordable(seconds, left, [epoch, most]);
    let epochs = (steps * config.batch as u64) as f64 / count as f64;
    let took = format::duration(seconds);
    let text = format!("{} steps of about {took} each: {epochs:.1} epochs", format::count(steps));
    events(Event::Note { text });
    if epochs < 5.0 {
        let text = format!("{epochs:.1} epochs are few: give it more time with --time-limit");
        events(Event::Warning { text });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

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
