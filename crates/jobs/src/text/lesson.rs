//! A character model while it learns: pieces of the text in turn, each with the states that the piece before left.

use super::Config;
use super::measure::Held;
use super::streams::Streams;
use crate::Result;
use crate::learner::{Checked, Learner, Lesson};
use percept_engine::{Input, Settings};
use percept_graph::{Builder, DType, Graph, ops};
use percept_learn::loss::{CrossEntropy, Reduction, cross_entropy};
use percept_learn::random::mixed;
use percept_learn::trainer::BatchNorm;
use percept_models::initialize;
use std::time::Instant;

/// Steps that are timed before the number of steps is chosen.
const TIMED: u32 = 5;

/// The network with its loss in place of its logits, for a further input `labels` `[T, B]`; −100 is no label.
pub(super) fn with_loss(network: &Graph, reduction: Reduction) -> Result<Graph> {
    let net = Builder::from_graph(network.clone());
    let labels = net.input("labels", DType::I64, ["T".into(), "B".into()]);
    let labels = labels.apply(ops::Reshape { shape: vec![(-1).into()], allowzero: false }, &[]);
    let loss = cross_entropy(net.find("logits"), labels, CrossEntropy { reduction, ..Default::default() });
    let states = network.outputs()[1..].iter().map(|&id| network.value(id).name.as_str());
    let states = states.map(|name| (name, net.find(name)));
    Ok(net.finish(&std::iter::once(("loss", loss)).chain(states).collect::<Vec<_>>())?)
}

/// What a character model learns from, and how far it is in it.
pub(super) struct Reading<'a> {
    config: &'a Config,
    streams: &'a Streams<'a>,
    /// A part of what was held out.
    held: Held<'a>,
    /// What each layer remembers of the places: hidden state, then cell.
    states: Vec<Vec<f32>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        config: &'a Config,
        graph: &Graph,
        streams: &'a Streams<'a>,
        held: Held<'a>,
        settings: &Settings,
    ) -> Result<(Self, Learner)> {
        let params = initialize(graph, config.seed)?;
        let loss = with_loss(graph, Reduction::Mean)?;
        let (decay, clip) = (config.weight_decay, Some(config.clip));
        let learner = Learner::new(&loss, &params, BatchNorm::Frozen, decay, clip, settings)?;
        Ok((Self { config, streams, held, states: vec![Vec::new(); 2 * config.layers] }, learner))
    }

    /// How long a step takes.
    pub(super) fn seconds(mut self, mut learner: Learner) -> Result<f64> {
        self.step(&mut learner, 0.0)?;
        let start = Instant::now();
        for _ in 0..TIMED {
            self.step(&mut learner, 0.0)?;
        }
        Ok(start.elapsed().as_secs_f64() / f64::from(TIMED))
    }
}

impl Lesson for Reading<'_> {
    fn step(&mut self, learner: &mut Learner, rate: f64) -> Result<f32> {
        let (step, shape) = (learner.taken(), self.streams.shape());
        let batch = self.streams.batch(step);
        let state = [1, shape[1], self.config.hidden];
        if batch.begins {
            self.states.iter_mut().for_each(|values| *values = vec![0.0; state.iter().product()]);
        }
        let mut inputs: Vec<(&[usize], Input<'_>)> = vec![(&shape, Input::I64(&batch.characters))];
        inputs.extend(self.states.iter().map(|values| (&state[..], Input::F32(values))));
        inputs.push((&shape, Input::I64(&batch.labels)));
        let loss = learner.learn(&inputs, mixed(self.config.seed, step), rate)?;
        for (i, values) in self.states.iter_mut().enumerate() {
            values.copy_from_slice(learner.output(1 + i)?);
        }
        Ok(loss)
    }

    fn check(&mut self, learner: &Learner) -> Result<Checked> {
        Ok(Checked { nll: Some(self.held.measure(&learner.weights.params()?)?), accuracy: None })
    }

    fn carried(&mut self) -> &mut [Vec<f32>] {
        &mut self.states
    }
}
