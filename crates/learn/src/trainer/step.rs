//! A step: the loss of a batch, and the gradients of weights.

use super::opened::Opened;
use super::weights::{Slice, Weights};
use crate::optim::{Group, Optimizer, State};
use crate::{Error, Result};
use percept_engine::{Input, Network, Plan, Settings};
use percept_graph::{Graph, Params, Source};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Gradients that a task copies.
const PART: usize = 1 << 15;

/// The loss of a network and its gradients, over [`Weights`] that the caller holds: see the module's example.
pub struct Step {
    network: Network,
    /// The graph's own inputs come first.
    inputs: usize,
    /// Whether what dropout drops is drawn, from a further input.
    drops: bool,
    /// What it takes of the arena of parameters.
    reads: Vec<Slice>,
    /// Where it leaves gradients.
    gives: Vec<Range<usize>>,
    /// What it takes of the running statistics, and leaves there.
    moves: Vec<Slice>,
    /// The further outputs of the graph.
    others: usize,
    /// Of parameters and running statistics: other weights are refused.
    lens: [usize; 2],
    /// What dropout drops in the next run is drawn from this; to name it after the step gives every step and every repetition their own.
    pub seed: i64,
}

impl Step {
    /// Prepares a graph whose first output is the loss; `of` says by name for which of the weights it gives gradients.
    ///
    /// # Errors
    /// A graph of another form, an operator without a derivative, a weight on which the loss does not depend.
    pub fn new(graph: &Graph, weights: &Weights, of: impl Fn(&str) -> bool, settings: Settings) -> Result<Self> {
        let has = |slice: &&Slice| graph.find(&slice.name).is_ok_and(|id| graph.value(id).source == Source::Parameter);
        let reads: Vec<Slice> = weights.slices.iter().filter(has).cloned().collect();
        let moves: Vec<Slice> = weights.statistics.iter().filter(has).cloned().collect();
        let mut open = Opened::new(graph)?;
        let mut wanted = Vec::new();
        let mut gives = Vec::new();
        for slice in &reads {
            let id = open.input(&slice.name)?;
            if of(&slice.name) {
                wanted.push(id);
                gives.push(slice.range.clone());
            }
        }
        moves.iter().try_for_each(|slice| open.input(&slice.name).map(drop))?;
        let statistics = open.copy_nodes(weights.batch_norm)?;
        let names: Vec<_> = moves.iter().map(|slice| &slice.name).collect();
        let outputs = open.outputs(&wanted, &names, &statistics)?;
        open.to.set_outputs(outputs);
        let unknown =
            |name: &str| Error::Network(format!("the weights were made without \"{name}\" of \"{}\"", graph.name));
        let fixed = open.to.parameters().map(|value| {
            let tensor = weights.fixed.get(&value.name).ok_or_else(|| unknown(&value.name))?;
            Ok((value.name.clone(), tensor.clone()))
        });
        let fixed = fixed.collect::<Result<Params>>()?;
        let network = Network::new(&open.to, &fixed, settings)?;
        let (inputs, others) = (graph.inputs().len(), graph.outputs().len() - 1);
        let lens = [weights.parameters.len(), weights.running.len()];
        Ok(Self { network, inputs, drops: open.drops(), reads, gives, moves, others, lens, seed: 0 })
    }

    /// Computes the loss of a batch, which it gives back, and its gradients, and moves the running statistics.
    ///
    /// `inputs` are those of the graph. Gradients of weights that are not asked for stay as they were.
    ///
    /// # Errors
    /// Inputs or weights that do not fit the network, or no rows at all, whose mean loss and statistics would not be numbers.
    pub fn run(&mut self, weights: &mut Weights, inputs: &[(&[usize], Input<'_>)]) -> Result<f32> {
        self.run_as(weights, inputs, Plan::run)?;
        self.results(weights)
    }

    /// Begins a run: computes the `i`th output of the graph, and leaves to [`Step::run_rest`] what comes after it. Meanwhile parameters may move that have
    /// no part in that output, as those of a discriminator do between a generator's drawing and its verdict.
    ///
    /// # Errors
    /// As [`Step::run`], or an output that the graph does not have.
    pub fn run_until(&mut self, i: usize, weights: &Weights, inputs: &[(&[usize], Input<'_>)]) -> Result<()> {
        if i > self.others {
            return Err(Error::Network(format!("there is no output {i}")));
        }
        self.run_as(weights, inputs, |plan, data| plan.run_until(i, data))
    }

    /// Ends a run that [`Step::run_until`] began on the same inputs, and gives back the loss.
    ///
    /// # Errors
    /// As [`Step::run`], or if no run was begun on inputs of these shapes.
    pub fn run_rest(&mut self, weights: &mut Weights, inputs: &[(&[usize], Input<'_>)]) -> Result<f32> {
        self.run_as(weights, inputs, Plan::run_rest)?;
        self.results(weights)
    }

    fn run_as(
        &mut self,
        weights: &Weights,
        inputs: &[(&[usize], Input<'_>)],
        way: impl FnOnce(&mut Plan, &[Input<'_>]) -> std::result::Result<(), percept_engine::Error>,
    ) -> Result<()> {
        Error::check_size("inputs", inputs.len(), self.inputs)?;
        Error::check_size("parameters", weights.parameters.len(), self.lens[0])?;
        Error::check_size("gradients", weights.gradients.len(), self.lens[0])?;
        Error::check_size("running statistics", weights.running.len(), self.lens[1])?;
        if inputs.iter().any(|(shape, _)| shape.contains(&0)) {
            return Err(Error::Network("a batch without pictures has no loss".into()));
        }
        let seed = [self.seed];
        let mut all = inputs.to_vec();
        if self.drops {
            all.push((&[1], Input::I64(&seed)));
        }
        let slices = self.reads.iter().map(|slice| (slice, &weights.parameters));
        let slices = slices.chain(self.moves.iter().map(|slice| (slice, &weights.running)));
        all.extend(slices.map(|(slice, from)| (&slice.shape[..], Input::F32(&from[slice.range.clone()]))));
        self.network.run_as(&all, way)?;
        Ok(())
    }

    /// The loss of the last run; gradients and running statistics go where the weights have them.
    fn results(&self, weights: &mut Weights) -> Result<f32> {
        let plan = self.network.last().ok_or_else(|| Error::Network("it was not run".into()))?;
        let first = 1 + self.others;
        let mut parts = Vec::new();
        let (mut rest, mut taken) = (&mut weights.gradients[..], 0);
        for (i, range) in self.gives.iter().enumerate() {
            // Slices of the arena follow one another.
            let (to, behind) = std::mem::take(&mut rest).split_at_mut(range.end - taken);
            let (to, from) = (to[range.start - taken..].chunks_mut(PART), plan.output(first + i).1.chunks(PART));
            parts.extend(to.zip(from).map(Mutex::new));
            (rest, taken) = (behind, range.end);
        }
        self.network.pool().run(parts.len(), &|i, _| {
            let (to, from) = &mut *parts[i].lock().unwrap_or_else(PoisonError::into_inner);
            to.copy_from_slice(from);
        });
        for (i, slice) in self.moves.iter().enumerate() {
            weights.running[slice.range.clone()].copy_from_slice(plan.output(first + self.gives.len() + i).1);
        }
        Ok(plan.output(0).1[0])
    }

    /// The same for a network of [`with_losses`](super::with_losses): pictures of this shape, and lists of targets with a row for each picture.
    ///
    /// # Errors
    /// As [`Step::run`].
    pub fn run_batch<L: AsRef<[f32]>>(
        &mut self,
        weights: &mut Weights,
        shape: &[usize],
        pictures: Input<'_>,
        lists: &[L],
    ) -> Result<f32> {
        let batch = shape.first().copied().unwrap_or(0);
        let shapes: Vec<_> = lists.iter().map(|list| [batch, list.as_ref().len() / batch.max(1)]).collect();
        let lists = shapes.iter().zip(lists).map(|(shape, list)| (&shape[..], Input::F32(list.as_ref())));
        let inputs: Vec<_> = std::iter::once((shape, pictures)).chain(lists).collect();
        self.run(weights, &inputs)
    }

    /// Moves the parameters by the gradients of the last run, as [`Optimizer::step`] does, on all threads.
    ///
    /// # Errors
    /// A state or groups that do not fit the weights.
    pub fn update(
        &self,
        weights: &mut Weights,
        optimizer: &Optimizer,
        state: &mut State,
        groups: &[Group],
        learning_rate: f32,
    ) -> Result<()> {
        let Weights { parameters, gradients, .. } = weights;
        optimizer.step_on(Some(self.network.pool()), state, groups, learning_rate, parameters, gradients)
    }

    /// Shape and elements of the `i`th output of the graph in the last run: 0 is the loss.
    ///
    /// # Errors
    /// Before the first run, or an output that the graph does not have.
    pub fn output(&self, i: usize) -> Result<(&[usize], &[f32])> {
        let plan = self.network.last().filter(|_| i <= self.others);
        Ok(plan.ok_or_else(|| Error::Network(format!("there is no output {i}: it was not run")))?.output(i))
    }

    /// The plan of a step with inputs of these shapes.
    ///
    /// # Errors
    /// Inputs that do not fit the network or memory.
    pub fn plan(&mut self, inputs: &[&[usize]]) -> Result<&mut Plan> {
        let mut shapes = inputs.to_vec();
        if self.drops {
            shapes.push(&[1]);
        }
        shapes.extend(self.reads.iter().chain(&self.moves).map(|slice| &slice.shape[..]));
        let bindings = self.network.bindings(&shapes)?;
        Ok(self.network.plan(&bindings)?)
    }
}
