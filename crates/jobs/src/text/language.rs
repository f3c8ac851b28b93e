//! Training a character model: a text becomes a network that goes on writing it.
//!
//! The network reads several places of the text at once, a piece of each in a step, and goes on with the states that the piece before left;
//! gradients end where a piece begins (truncated back-propagation through time, Williams and Peng, Neural Computation 2(4), 1990). The
//! last tenth of the text is not learned from: on it the model is measured.

use super::config::LEARNING_RATE;
use super::lesson::Reading;
pub use super::measure::Guesses;
use super::measure::Held;
use super::streams::Streams;
use super::{Characters, Config, Plan, Request, Sampler, Source, VERB};
use crate::classifier::key;
use crate::event::{Event, Events, Phase, Timing};
use crate::folder::RunFolder;
use crate::learner::{Course, Point, RATES, decide_rate};
use crate::report::language::{Expected, Report, Sample};
use crate::{Error, Result, budget, format};
use percept_engine::Settings;
use percept_graph::onnx::Model;
use percept_graph::{Graph, Params};
use percept_learn::optim::RateCurve;
use percept_models::cache;
use percept_models::text::Language;
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Shorter texts show nothing that could be learned.
const LEAST: usize = 100;
/// More times through a text make a model no better: that of Tiny Shakespeare comes to 1.507 nats for a character held out after three, to 1.448
/// after six, to 1.438 after ten and to 1.449 after sixteen, when it knows more of the text by heart.
const MOST_EPOCHS: u64 = 10;
/// Points of the learning curves.
const POINTS: u64 = 20;
/// The points are measured on so many times as many characters of the text held out as a step reads.
const POINT_STEPS: usize = 4;
/// Characters of `sample.txt`.
const SAMPLE: usize = 1000;
/// Temperatures of the report's samples, and their characters.
const SAMPLES: ([f64; 3], usize) = ([0.5, 0.8, 1.1], 400);
/// Places of the text held out at which the report says what was expected, and how much it shows of what comes before.
const EXPECTED: (usize, usize) = (12, 32);

/// What a run found out: `metrics.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Metrics {
    /// Mean negative log-probability of a character of the last tenth of the text, which was not learned from.
    pub nats_per_character: f64,
    /// The same to the base 2.
    pub bits_per_character: f64,
    /// What guesses without a network come to there, in nats.
    pub guesses: Guesses,
    /// Characters that this is the mean of.
    pub characters: usize,
    /// Characters that were learned from.
    pub characters_learned: usize,
    /// Different characters.
    pub vocabulary: usize,
    /// Mean loss of the last twentieth of the steps.
    pub training_loss: f64,
    /// Steps of the optimiser.
    pub steps: u64,
    /// How often that reads the text.
    pub epochs: f64,
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Its folder.
    pub out: PathBuf,
    /// What it found out.
    pub metrics: Metrics,
}

/// Learns to write as the text is written.
pub(super) fn run(
    mut config: Config,
    source: &Source,
    folder: RunFolder,
    command: &str,
    settings: &Settings,
    events: Events<'_>,
) -> Result<Trained> {
    let start = Instant::now();
    let characters = Characters::of(&source.text);
    let codes = characters.encode(&source.text).unwrap_or_default();
    if codes.len() < LEAST {
        let (file, count) = (source.path.display(), codes.len());
        let reason = format!("{file}: {count} characters are too few to learn from: give a text of at least {LEAST}");
        return Err(Error::Setting(reason));
    }
    folder.check_data("the text has", &cache::sha256(source.text.as_bytes()))?;
    let (learned, held) = codes.split_at(codes.len() - codes.len() / 10);
    config.fit(learned.len());
    let Config { embedding, hidden, layers, dropout, .. } = config;
    let distinct = characters.as_slice().len();
    let graph = Language { characters: distinct, embedding, hidden, layers, dropout }.build()?;
    let streams = Streams::new(learned, config.batch, config.unroll, config.seed);
    let counts = [learned.len(), held.len()].map(|count| format::count(count as u64));
    events(Event::Note {
        text: format!("{} characters to learn from, {} held out, {distinct} different ones", counts[0], counts[1]),
    });
    let part = &held[..held.len().min(POINT_STEPS * config.batch * config.unroll)];
    let part = || Held::new(&graph, part, config.unroll, settings);
    let mut rate = config.learning_rate;
    decide_rate(
        &mut rate,
        LEARNING_RATE,
        &folder,
        || Reading::new(&config, &graph, &streams, part()?, settings),
        &mut *events,
    )?;
    config.learning_rate = rate;
    if config.steps.is_none() {
        let (reading, learner) = Reading::new(&config, &graph, &streams, part()?, settings)?;
        let seconds = reading.seconds(learner)?;
        config.steps = Some(planned(&config, seconds, &streams, held.len(), start, &mut *events));
    }
    // Before the first step, so that what was decided is known whatever happens.
    let plan = Plan::Characters(config.clone());
    folder.record(&plan, command)?;
    let toml = plan.to_toml()?;
    let steps = config.steps.unwrap_or(1);
    let (mut reading, mut learner) = Reading::new(&config, &graph, &streams, part()?, settings)?;
    let course = Course {
        name: "Learning",
        curves: "text",
        steps,
        learning_rate: config.learning_rate.unwrap_or(LEARNING_RATE),
        points: POINTS,
        checkpoint: &folder.path().join("training.safetensors"),
        settings: &toml,
    };
    let (curve, learning) = course.run(&mut learner, &mut reading, &mut *events)?;
    let params = learner.weights.params()?;
    drop((reading, learner));
    let phase = Phase::start(&mut *events, "Measuring", None, "characters");
    let nats = Held::new(&graph, held, config.unroll, settings)?.measure(&params)?;
    let measuring = phase.finish(format!("{nats:.3} nats for a character of the text held out"));
    let metrics = Metrics {
        nats_per_character: nats,
        bits_per_character: nats / std::f64::consts::LN_2,
        guesses: Guesses::new(learned, held, distinct),
        characters: held.len() - 1,
        characters_learned: learned.len(),
        vocabulary: distinct,
        training_loss: curve.last().map_or(f64::NAN, |point| point.loss),
        steps,
        epochs: steps as f64 / streams.steps() as f64,
    };
    let seed = config.seed;
    let (rates, timings) = (folder.read_json(RATES), vec![learning, measuring]);
    let told = Told { source, command, toml, config, curve, rates, timings, held };
    let phase = Phase::start(events, "Writing", None, "characters");
    folder.write_json("metrics.json", &metrics)?;
    folder.write_json("curves.json", &told.curve)?;
    let mut sampler = Sampler::new(&graph, &params, characters.clone(), settings)?;
    let request = Request { length: SAMPLE, seed, ..Request::default() };
    folder.write("sample.txt", sampler.text(&request)?.as_bytes())?;
    let model = model(graph, params, &characters)?.to_bytes()?;
    folder.write("model.onnx", &model)?;
    let report = told.report(&metrics, &mut sampler, &characters, model.len() as u64)?;
    folder.write("report.html", report.html()?.as_bytes())?;
    folder.write("MODEL_CARD.md", report.model_card()?.as_bytes())?;
    phase.finish("");
    let out = folder.out().to_path_buf();
    folder.finish()?;
    Ok(Trained { out, metrics })
}

/// The steps that there is time for.
fn planned(
    config: &Config,
    seconds: f64,
    streams: &Streams<'_>,
    held: usize,
    start: Instant,
    events: Events<'_>,
) -> u64 {
    // Measuring goes forward only, which is a third of the work.
    let read = held as f64 / (config.batch * config.unroll) as f64;
    let measured = (read + POINTS as f64 * read.min(POINT_STEPS as f64)) / 3.0;
    let measuring = Duration::from_secs_f64(seconds * measured);
    let limit = config.time_limit.map(Duration::from_secs);
    let left = limit.map(|limit| limit.saturating_sub(start.elapsed() + measuring));
    let epoch = streams.steps();
    let steps = budget::affordable(seconds, left, [1, MOST_EPOCHS.saturating_mul(epoch)]);
    let (count, took) = (format::count(steps), format::duration(seconds));
    let times = steps as f64 / epoch as f64;
    events(Event::Note { text: format!("{count} steps of about {took}, which read the text {times:.1} times") });
    steps
}

/// What the report tells of a run beside its figures.
struct Told<'a> {
    source: &'a Source,
    command: &'a str,
    toml: String,
    config: Config,
    curve: Vec<Point>,
    rates: Option<RateCurve>,
    timings: Vec<Timing>,
    held: &'a [i64],
}

impl Told<'_> {
    fn report(self, metrics: &Metrics, sampler: &mut Sampler, characters: &Characters, bytes: u64) -> Result<Report> {
        let sample = |temperature| {
            let request = Request { temperature, length: SAMPLES.1, seed: self.config.seed, ..Request::default() };
            Ok(Sample { temperature, text: sampler.text(&request)? })
        };
        let samples = SAMPLES.0.into_iter().map(sample).collect::<Result<_>>()?;
        // Evenly spaced, and not where the text begins.
        let (count, shown) = EXPECTED;
        let text = |codes: &[i64]| codes.iter().map(|&code| characters.as_slice()[code as usize]).collect::<String>();
        let mut expected = Vec::new();
        for i in 0..count {
            let at = self.held.len() * (i + 1) / (count + 1);
            let before = text(&self.held[at.saturating_sub(shown)..at]);
            let all = sampler.expects(&before)?;
            let came = self.held[at] as usize;
            let mut best: Vec<usize> = (0..all.len()).collect();
            best.sort_by(|&a, &b| all[b].total_cmp(&all[a]));
            let named = |i: usize| (characters.as_slice()[i], all[i]);
            let best = best.into_iter().take(3).map(named).collect();
            expected.push(Expected { before, came: characters.as_slice()[came], probability: all[came], best });
        }
        let Config { embedding, hidden, layers, .. } = self.config;
        Ok(Report {
            title: self.source.title(),
            verb: VERB,
            command: self.command.into(),
            config: self.toml,
            network: format!(
                "{layers} layers of {hidden} units of an LSTM over {embedding} features of each character"
            ),
            bytes,
            metrics: metrics.clone(),
            curve: self.curve,
            rates: self.rates,
            samples,
            expected,
            timings: self.timings,
        })
    }
}

/// The model file, whose labels are the characters.
fn model(graph: Graph, params: Params, characters: &Characters) -> Result<Model> {
    let labels: Vec<String> = characters.as_slice().iter().map(char::to_string).collect();
    let labels = serde_json::to_string(&labels).map_err(|e| Error::Setting(e.to_string()))?;
    Ok(Model { graph, params, metadata: [(key::LABELS.into(), labels)].into() })
}
