//! Batches in parts: a plan that runs others, of a few pictures, again and again.
//!
//! The activations of a few pictures fit into the caches, those of many do not: layer by layer over a large batch, each map is written
//! to memory and read back. So a network that treats every picture by itself runs a part of the batch through all layers before the next; and
//! where there is a picture for each thread, each thread runs parts of its own, so that none waits for another between the layers.
//! Kernels give the same bits however their work is cut, so neither parts nor threads change a result.

use super::arena::Slot;
use super::edge::from_front;
use super::fuse;
use super::lower::Packed;
use super::{Input, OutputSpec, Plan, Settings};
use crate::Error;
use crate::kernels::Out;
use percept_graph::ops::Extent;
use percept_graph::{Bindings, Dim, Graph, Node, Op, Params, ValueId};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The most pictures of a part: enough that weights are not the greater part of what is read.
const PART: usize = 8;
/// Pictures of a part that all threads work on because one for each thread is too much for the cache.
const FEWEST: usize = 4;
/// Bytes of the parameters up to which they pass by again for each part, and of the activations of all threads: what stays in the L3 cache.
const BYTES: usize = 24 << 20;

/// Parts of one size.
pub(super) struct Part {
    /// One plan that all threads work on, or one for each thread.
    pub(super) plans: Vec<Plan>,
    /// Pictures of a part.
    pictures: usize,
    /// How many such parts there are.
    pub(super) count: usize,
}

impl Plan {
    /// The plan of a graph for these sizes, in parts if that is better.
    pub(crate) fn for_sizes(
        graph: &Graph,
        params: &Params,
        sizes: &Bindings,
        packed: &mut Packed,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let whole = graph.bind(sizes)?;
        let floats = graph.parameters().filter_map(|value| Some(value.ty.concrete().ok()?.iter().product::<usize>()));
        let light = floats.sum::<usize>() <= BYTES / 4;
        let batch = batch_symbol(graph).filter(|_| light).and_then(|symbol| Some((symbol, *sizes.get(symbol)?)));
        let Some((symbol, batch)) = batch.filter(|(_, batch)| *batch > 1) else {
            return Self::compile(&whole, params, packed, settings);
        };
        let mut compile = |pictures: usize, settings: &Settings| {
            let mut sizes = sizes.clone();
            sizes.insert(symbol.into(), pictures);
            Self::compile(&graph.bind(&sizes)?, params, packed, settings)
        };
        let threads = settings.pool.threads();
        let alone = settings.clone().with_threads(1)?;
        let (mut parts, mut left) = (Vec::new(), batch);
        while left > 0 {
            let mut pictures = PART.min(left / threads);
            let mut plans = Vec::with_capacity(threads);
            while pictures > 0 && plans.is_empty() {
                plans.push(compile(pictures, &alone)?);
                if threads * plans[0].arena_bytes() > BYTES {
                    plans.clear();
                    pictures /= 2;
                }
            }
            if plans.is_empty() {
                pictures = left.min(if left < threads { PART } else { FEWEST });
                plans.push(compile(pictures, settings)?);
            } else {
                for _ in 1..threads {
                    plans.push(compile(pictures, &alone)?);
                }
            }
            let count = left / pictures / plans.len() * plans.len();
            left -= count * pictures;
            parts.push(Part { plans, pictures, count });
        }
        Self::of_parts(&whole, parts, settings)
    }

    /// A plan that runs `parts`, one kind after the other, on slices of the inputs.
    fn of_parts(graph: &Graph, parts: Vec<Part>, settings: &Settings) -> Result<Self, Error> {
        let (mut slots, mut outputs) = (Vec::new(), Vec::new());
        for &id in graph.outputs() {
            let shape = graph.value(id).ty.concrete()?;
            slots.push(Slot { len: shape.iter().product(), first: 0, last: 0, offset: 0 });
            outputs.push(OutputSpec { slot: slots.len() - 1, shape });
        }
        Ok(Self { parts, ..Self::new(graph, settings, slots, outputs, Vec::new(), Vec::new())? })
    }

    /// Runs the parts on their slices of the inputs, which fit.
    pub(super) fn run_parts(&mut self, inputs: &[Input<'_>]) -> Result<(), Error> {
        let (out, mut first) = (Out::new(&mut self.arena), 0);
        let begins: Vec<_> = self.outputs.iter().map(|spec| self.slots[spec.slot].0).collect();
        let mut times = self.times.as_deref_mut().unwrap_or_default();
        times.fill(Duration::ZERO);
        for part in &mut self.parts {
            let (own, others) = times.split_at_mut(part.plans[0].times.as_ref().map_or(0, Vec::len));
            times = others;
            let run = PartRun { inputs, out, begins: &begins, result: Mutex::new((Ok(()), own)) };
            let (pictures, count, threads) = (part.pictures, part.count, part.plans.len());
            match &mut part.plans[..] {
                [plan] => (0..count).for_each(|i| run.part(plan, first + i * pictures, pictures, 1)),
                plans => {
                    let plans: Vec<_> = plans.iter_mut().map(Mutex::new).collect();
                    self.settings.pool.run(count, &|i, thread| {
                        let mut plan = plans[thread].lock().unwrap_or_else(PoisonError::into_inner);
                        run.part(&mut plan, first + i * pictures, pictures, threads);
                    });
                }
            }
            first += count * pictures;
            run.result.into_inner().unwrap_or_else(PoisonError::into_inner).0?;
        }
        Ok(())
    }
}

/// What the parts of a run have in common.
struct PartRun<'a> {
    inputs: &'a [Input<'a>],
    /// The outputs of the whole batch, and where each begins.
    out: Out<'a>,
    begins: &'a [usize],
    /// What went wrong, and the times of the steps so far.
    result: Mutex<(Result<(), Error>, &'a mut [Duration])>,
}

impl PartRun<'_> {
    /// Runs the part that begins with picture `first`, on one of `threads` threads that run parts at the same time.
    fn part(&self, plan: &mut Plan, first: usize, pictures: usize, threads: usize) {
        let mut slices = Vec::with_capacity(self.inputs.len());
        for (input, spec) in self.inputs.iter().zip(&plan.inputs) {
            let begin = first * (spec.len / pictures);
            slices.push(input.slice(begin..begin + spec.len));
        }
        let ran = plan.run(&slices);
        for (i, begin) in self.begins.iter().enumerate() {
            let (_, values) = plan.output(i);
            let begin = begin + first * (values.len() / pictures);
            // SAFETY: parts have pictures of their own.
            unsafe { self.out.slice_mut(begin..begin + values.len()) }.copy_from_slice(values);
        }
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        result.1.iter_mut().zip(plan.step_times()).for_each(|(all, time)| *all += *time / threads as u32);
        if ran.is_err() {
            result.0 = ran;
        }
    }
}

/// The symbol that counts pictures, if each row of each output depends on that row of the inputs alone.
fn batch_symbol(graph: &Graph) -> Option<&str> {
    let first = graph.value(*graph.inputs().first()?).ty.shape.first()?;
    let symbol = first.as_symbol()?;
    let has_rows = |id: ValueId| {
        let shape = &graph.value(id).ty.shape;
        let elsewhere = shape.iter().skip(1).any(|dim| mentions(dim, symbol));
        shape.first() == Some(first) && !elsewhere
    };
    if !graph.inputs().iter().all(|&id| has_rows(id)) {
        return None;
    }
    // Values with a row for each picture.
    let mut rows: HashSet<ValueId> = graph.inputs().iter().copied().collect();
    for node in graph.nodes() {
        if !node.inputs.iter().flatten().any(|id| rows.contains(id)) {
            if node.outputs.iter().any(|&id| graph.value(id).ty.shape.iter().any(|dim| mentions(dim, symbol))) {
                return None;
            }
            continue;
        }
        if !by_row(graph, node, &rows) || !node.outputs.iter().all(|&id| has_rows(id)) {
            return None;
        }
        rows.extend(&node.outputs);
    }
    graph.outputs().iter().all(|id| rows.contains(id)).then_some(symbol)
}

fn mentions(dim: &Dim, symbol: &str) -> bool {
    let mut names = Default::default();
    dim.symbols(&mut names);
    names.contains(symbol)
}

/// Whether row `i` of a node's output depends on row `i` of those inputs that have rows, and on nothing else of them.
fn by_row(graph: &Graph, node: &Node, rows: &HashSet<ValueId>) -> bool {
    let rank = |id: &ValueId| graph.value(*id).ty.rank();
    let is_row = |i: usize| node.inputs.get(i).copied().flatten().is_some_and(|id| rows.contains(&id));
    // Operands in which only the first input has rows.
    let first_only = is_row(0) && (1..node.inputs.len()).all(|i| !is_row(i));
    let wide = node.outputs.first().map_or(0, rank);
    let axis = |axis: i64| from_front(axis, wide);
    match &node.op {
        Op::Add(_) | Op::Sub(_) | Op::Mul(_) | Op::Div(_) | Op::Max(_) | Op::Min(_) => {
            node.inputs.iter().flatten().all(|id| {
                let own = rank(id) == wide;
                let one = |id: &ValueId| graph.value(*id).ty.shape[0] == 1.into();
                if rows.contains(id) { own } else { !own || one(id) }
            })
        }
        Op::Identity(_) | Op::Dropout(_) | Op::Cast(_) => true,
        op if fuse::activation(op).is_some() => true,
        Op::Conv(_) | Op::ConvTranspose(_) | Op::MaxPool(_) | Op::AveragePool(_) | Op::GlobalAveragePool(_) => {
            first_only
        }
        Op::BatchNormalization(op) => first_only && !op.training_mode,
        Op::Gemm(op) => {
            let summand = node.inputs.get(2).copied().flatten();
            let one = summand.is_none_or(|id| rank(&id) < 2 || graph.value(id).ty.shape[0] == 1.into());
            first_only && !op.trans_a && one
        }
        Op::MatMul(_) => first_only && node.inputs[0].is_some_and(|id| rank(&id) == wide) && wide > 1,
        // The first axis stays the first and as long as it was, and the order of the elements is the same.
        Op::Flatten(_) | Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) => first_only,
        Op::Transpose(op) => op.permutation(wide).first() == Some(&0),
        Op::LayerNormalization(op) => first_only && axis(op.axis) != 0,
        Op::Softmax(op) => axis(op.axis) != 0,
        Op::Gather(op) => {
            let axis = from_front(op.axis, node.inputs[0].map_or(0, |id| rank(&id)));
            if is_row(0) { first_only && axis != 0 } else { axis == 0 }
        }
        Op::Resize(op) => match &op.to {
            Extent::Scales(scales) => scales[0] == 1.0,
            Extent::Sizes(sizes) => sizes[0].is_none(),
        },
        Op::Slice(op) => !op.axes.iter().any(|&at| axis(at) == 0),
        Op::Concat(op) => axis(op.axis) != 0 && (0..node.inputs.len()).all(is_row),
        Op::ReduceMean(op) => !op.axes(node.inputs[0].map_or(0, |id| rank(&id))).contains(&0),
        Op::ReduceSum(op) => !op.axes(node.inputs[0].map_or(0, |id| rank(&id))).contains(&0),
        Op::ReduceMax(op) => !op.axes(node.inputs[0].map_or(0, |id| rank(&id))).contains(&0),
        Op::Pad(op) => op.pads[0] == 0 && op.pads[wide] == 0,
        _ => false,
    }
}
