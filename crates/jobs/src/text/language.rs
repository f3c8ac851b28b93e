//! Training a character model: a text becomes a network that goes on writing it.
//!
//! The network reads several places of the text at once, a piece of each in a step, and goes on with the states that the piece before left;
//! gradients end where a piece begins (truncated back-propagation through time, Williams and Peng, Neural Computation 2(4), 1990). The
//! last tenth of the text is not learned from: on it the model is measured.

use super::streams::{Batch, Streams};
use super::{Characters, Config, Request, Sampler, plan, read};
use crate::classifier::key;
use crate::event::{Event, Events, Phase};
use crate::learner::Learner;
use crate::output::Folder;
use crate::{Error, Result, format};
use percept_engine::{Input, Network, Settings};
use percept_graph::onnx::Model;
use percept_graph::{Builder, DType, Graph, Params, ops};
use percept_learn::loss::{CrossEntropy, Reduction, cross_entropy};
use percept_learn::optim::Schedule;
use percept_learn::random::mixed;
use percept_learn::trainer::BatchNorm;
use percept_models::initialize;
use percept_models::text::Language;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Shorter texts show nothing that could be learned.
const LEAST: usize = 100;
/// Places of the held-out text that are read beside each other. Each begins without a state, which costs a little of the measured quality.
const PLACES: usize = 16;
/// Steps that are timed before the number of steps is chosen.
const TIMED: u32 = 5;
/// Characters of the sample that a run leaves.
const SAMPLE: usize = 1000;

/// What a run found out: `metrics.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Metrics {
    /// Mean negative log-probability of a character of the last tenth of the text, which was not learned from.
    pub nats_per_character: f64,
    /// The same to the base 2.
    pub bits_per_character: f64,
    /// Characters that this is the mean of.
    pub characters: usize,
    /// Characters that were learned from.
    pub characters_learned: usize,
    /// Different characters.
    pub vocabulary: usize,
    /// Mean loss of the last tenth of the steps.
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

/// Learns to write as the text is written. Makes the folder `out` with `model.onnx`, `metrics.json`, `config.toml` and `sample.txt`.
///
/// # Errors
/// A text that cannot be read or is too short, an output that is there already, settings without sense.
pub fn train(mut config: Config, out: &Path, settings: &Settings, events: Events<'_>) -> Result<Trained> {
    let start = Instant::now();
    let folder = Folder::create(out)?;
    let text = read(&config.text)?;
    let characters = Characters::of(&text);
    let codes = characters.encode(&text).unwrap_or_default();
    if codes.len() < LEAST {
        let (file, count) = (config.text.display(), codes.len());
        let reason = format!("{file}: {count} characters are too few to learn from: give a text of at least {LEAST}");
        return Err(Error::Setting(reason));
    }
    let (learned, held) = codes.split_at(codes.len() - codes.len() / 10);
    config.fit(learned.len());
    let Config { embedding, hidden, layers, dropout, .. } = config;
    let graph = Language { characters: characters.as_slice().len(), embedding, hidden, layers, dropout }.build()?;
    let streams = Streams::new(learned, config.batch, config.unroll, config.seed);
    let counts = [learned.len(), held.len()].map(|count| format::count(count as u64));
    let distinct = characters.as_slice().len();
    events(Event::Note {
        text: format!("{} characters to learn from, {} held out, {distinct} different ones", counts[0], counts[1]),
    });
    let steps = match config.steps {
        Some(steps) => steps,
        None => {
            let (steps, text) = planned(&config, &graph, &streams, held.len(), start, settings)?;
            events(Event::Note { text });
            steps
        }
    };
    config.steps = Some(steps);
    // Before the first step, so that what was decided is known whatever happens.
    folder.write("config.toml", config.to_toml()?.as_bytes())?;
    let mut training = Training::new(&config, &graph, settings)?;
    let training_loss = training.run(&streams, &mut *events)?;
    let params = training.learner.weights.params()?;
    let phase = Phase::start(events, "Measuring", None, "characters");
    let nats = measure(&graph, &params, held, config.unroll, settings)?;
    phase.finish(format!("{nats:.3} nats for a character of the text held out"));
    let metrics = Metrics {
        nats_per_character: nats,
        bits_per_character: nats / std::f64::consts::LN_2,
        characters: held.len() - 1,
        characters_learned: learned.len(),
        vocabulary: distinct,
        training_loss,
        steps,
        epochs: steps as f64 / streams.steps() as f64,
    };
    leave(&folder, &metrics, graph, params, characters, config.seed, settings)?;
    folder.finish()?;
    Ok(Trained { out: out.into(), metrics })
}

/// The steps that there is time for, and that in a sentence.
fn planned(
    config: &Config,
    graph: &Graph,
    streams: &Streams<'_>,
    held: usize,
    start: Instant,
    settings: &Settings,
) -> Result<(u64, String)> {
    let seconds = Training::new(config, graph, settings)?.seconds(streams)?;
    let measuring = Duration::from_secs_f64(seconds * held as f64 / (config.batch * config.unroll) as f64);
    let limit = config.time_limit.map(Duration::from_secs);
    let left = limit.map(|limit| limit.saturating_sub(start.elapsed() + measuring));
    Ok(plan::steps(seconds, streams.steps(), left))
}

/// Writes what was found out, a sample, and the model.
fn leave(
    folder: &Folder,
    metrics: &Metrics,
    graph: Graph,
    params: Params,
    characters: Characters,
    seed: u64,
    settings: &Settings,
) -> Result<()> {
    let json = serde_json::to_vec_pretty(metrics).map_err(|e| Error::Setting(e.to_string()))?;
    folder.write("metrics.json", &json)?;
    let mut sample = String::new();
    let request = Request { length: SAMPLE, seed, ..Request::default() };
    Sampler::new(&graph, &params, characters.clone(), settings)?.sample(&request, &mut |c| {
        sample.push(c);
        true
    })?;
    folder.write("sample.txt", sample.as_bytes())?;
    Ok(model(graph, params, &characters)?.write(&folder.path().join("model.onnx"))?)
}

/// The model file, whose labels are the characters.
fn model(graph: Graph, params: Params, characters: &Characters) -> Result<Model> {
    let labels: Vec<String> = characters.as_slice().iter().map(char::to_string).collect();
    let labels = serde_json::to_string(&labels).map_err(|e| Error::Setting(e.to_string()))?;
    Ok(Model { graph, params, metadata: [(key::LABELS.into(), labels)].into() })
}

/// The network with its loss in place of its logits, for a further input `labels` `[T, B]`; −100 is no label.
fn with_loss(network: &Graph, reduction: Reduction) -> Result<Graph> {
    let net = Builder::from_graph(network.clone());
    let labels = net.input("labels", DType::I64, ["T".into(), "B".into()]);
    let labels = labels.apply(ops::Reshape { shape: vec![(-1).into()], allowzero: false }, &[]);
    let loss = cross_entropy(net.find("logits"), labels, CrossEntropy { reduction, ..Default::default() });
    let states = network.outputs()[1..].iter().map(|&id| network.value(id).name.as_str());
    let states = states.map(|name| (name, net.find(name)));
    Ok(net.finish(&std::iter::once(("loss", loss)).chain(states).collect::<Vec<_>>())?)
}

/// A network while it learns.
struct Training<'a> {
    config: &'a Config,
    learner: Learner,
    /// What each layer remembers of the places: hidden state, then cell.
    states: Vec<Vec<f32>>,
}

impl<'a> Training<'a> {
    fn new(config: &'a Config, graph: &Graph, settings: &Settings) -> Result<Self> {
        let params = initialize(graph, config.seed)?;
        let graph = with_loss(graph, Reduction::Mean)?;
        let (decay, clip) = (config.weight_decay, Some(config.clip));
        let learner = Learner::new(&graph, &params, BatchNorm::Frozen, decay, clip, settings)?;
        Ok(Self { config, learner, states: vec![Vec::new(); 2 * config.layers] })
    }

    /// Learns from a batch at this learning rate; gives back its loss.
    fn learn(&mut self, batch: &Batch, shape: [usize; 2], rate: f64) -> Result<f32> {
        let state = [1, shape[1], self.config.hidden];
        if batch.begins {
            self.states.iter_mut().for_each(|values| *values = vec![0.0; state.iter().product()]);
        }
        let mut inputs: Vec<(&[usize], Input<'_>)> = vec![(&shape, Input::I64(&batch.characters))];
        inputs.extend(self.states.iter().map(|values| (&state[..], Input::F32(values))));
        inputs.push((&shape, Input::I64(&batch.labels)));
        let loss = self.learner.learn(&inputs, mixed(self.config.seed, self.learner.taken()), rate)?;
        for (i, values) in self.states.iter_mut().enumerate() {
            values.copy_from_slice(self.learner.output(1 + i)?);
        }
        Ok(loss)
    }

    /// How long a step takes.
    fn seconds(&mut self, streams: &Streams<'_>) -> Result<f64> {
        let batch = streams.batch(0);
        self.learn(&batch, streams.shape(), 0.0)?;
        let start = Instant::now();
        for _ in 0..TIMED {
            self.learn(&batch, streams.shape(), 0.0)?;
        }
        Ok(start.elapsed().as_secs_f64() / f64::from(TIMED))
    }

    /// Takes all steps; gives back the mean loss of the last tenth.
    fn run(&mut self, streams: &Streams<'_>, events: Events<'_>) -> Result<f64> {
        let total = self.config.steps.unwrap_or(1);
        let last = total - total.div_ceil(10);
        let mut phase = Phase::start(events, "Learning", Some(total), "steps");
        let mut sum = 0.0;
        for step in 0..total {
            let rate = self.config.learning_rate * Schedule::OneCycle.factor(step, total);
            let loss = f64::from(self.learn(&streams.batch(step), streams.shape(), rate)?);
            if step >= last {
                sum += loss;
            }
            phase.metric("text/loss", step + 1, loss);
            phase.metric("text/learning_rate", step + 1, rate);
            phase.progress(step + 1);
        }
        let mean = sum / (total - last) as f64;
        phase.finish(format!("loss {mean:.3}"));
        Ok(mean)
    }
}

/// The mean negative log-probability of all characters but the first.
fn measure(graph: &Graph, params: &Params, codes: &[i64], unroll: usize, settings: &Settings) -> Result<f64> {
    let graph = with_loss(graph, Reduction::Sum)?;
    let mut network = Network::new(&graph, params, settings.clone())?;
    let followed = codes.len() - 1;
    let places = PLACES.min(followed.div_ceil(unroll));
    let distance = followed.div_ceil(places);
    let hidden =
        graph.inputs()[1..].iter().map(|&id| graph.value(id).ty.shape.last().and_then(percept_graph::Dim::as_const));
    let state = hidden.map(|size| [1, places, size.unwrap_or(0) as usize]).collect::<Vec<_>>();
    let mut states: Vec<Vec<f32>> = state[..state.len() - 1].iter().map(|s| vec![0.0; s.iter().product()]).collect();
    let (shape, mut sum) = ([unroll, places], 0.0);
    for piece in (0..distance).step_by(unroll) {
        let at = |t: usize, place: usize| {
            let i = place * distance + piece + t;
            (piece + t < distance && i < followed).then_some(i)
        };
        let all: Vec<_> = (0..unroll).flat_map(|t| (0..places).map(move |place| at(t, place))).collect();
        let characters: Vec<i64> = all.iter().map(|i| i.map_or(0, |i| codes[i])).collect();
        let labels: Vec<i64> = all.iter().map(|i| i.map_or(-100, |i| codes[i + 1])).collect();
        let mut inputs: Vec<(&[usize], Input<'_>)> = vec![(&shape, Input::I64(&characters))];
        inputs.extend(states.iter().zip(&state).map(|(values, shape)| (&shape[..], Input::F32(values))));
        inputs.push((&shape, Input::I64(&labels)));
        let plan = network.run(&inputs)?;
        sum += f64::from(plan.output(0).1[0]);
        states.iter_mut().enumerate().for_each(|(i, values)| values.copy_from_slice(plan.output(1 + i).1));
    }
    Ok(sum / followed as f64)
}
