//! Large batches in parts: a plan that runs another, of a few pictures, again and again.
//!
//! The activations of a few pictures fit into the L3 cache, those of many do not: layer by layer over a large batch, each map is written
//! to memory and read back. So a network that treats every picture by itself runs a part of the batch through all layers before the next.
//! Kernels give the same bits however their work is cut, so parts change no result.

use super::edge::plain;
use super::lower::Packed;
use super::simple::from_front;
use super::{Input, InputSpec, OutputSpec, Plan};
use crate::Error;
use crate::simd::AlignedBuf;
use percept_graph::{Bindings, Dim, Graph, Node, Op, Params, ValueId};
use std::collections::HashSet;
use std::time::Duration;

/// Pictures of a part: enough that weights are not the greater part of what is read.
const PART: usize = 8;
/// The fewest pictures of a part.
const FEWEST: usize = 4;
/// Bytes of the parameters up to which they pass by again for each part, and bytes of a part's activations, if that is not too few pictures: what
/// stays in the L3 cache.
const BYTES: usize = 24 << 20;

impl Plan {
    /// The plan of a graph for these sizes, in parts if the batch is large.
    pub(crate) fn for_sizes(
        graph: &Graph,
        params: &Params,
        sizes: &Bindings,
        packed: &mut Packed,
        settings: &super::Settings,
    ) -> Result<Self, Error> {
        let whole = graph.bind(sizes)?;
        let floats = graph.parameters().filter_map(|value| Some(value.ty.concrete().ok()?.iter().product::<usize>()));
        let light = floats.sum::<usize>() <= BYTES / 4;
        let batch = batch_symbol(graph).filter(|_| light).and_then(|symbol| Some((symbol, *sizes.get(symbol)?)));
        let Some((symbol, batch)) = batch.filter(|(_, batch)| *batch > FEWEST) else {
            return Self::compile(&whole, params, packed, settings);
        };
        let mut part = |size: usize| {
            let mut sizes = sizes.clone();
            sizes.insert(symbol.into(), size);
            Self::compile(&graph.bind(&sizes)?, params, packed, settings)
        };
        let mut size = PART.min(batch);
        let mut plan = part(size)?;
        if size > FEWEST && plan.arena_bytes() > BYTES {
            size = FEWEST;
            plan = part(size)?;
        }
        if size == batch {
            return Ok(plan);
        }
        let mut parts = vec![(plan, batch / size)];
        if batch % size > 0 {
            parts.push((part(batch % size)?, 1));
        }
        Self::of_parts(&whole, parts, settings)
    }

    /// A plan that runs each of `parts` so many times, one after the other, on slices of the inputs.
    fn of_parts(graph: &Graph, parts: Vec<(Self, usize)>, settings: &super::Settings) -> Result<Self, Error> {
        let (mut slots, mut outputs, mut floats) = (Vec::new(), Vec::new(), 0usize);
        for &id in graph.outputs() {
            let shape = graph.value(id).ty.concrete()?;
            let len: usize = shape.iter().product();
            outputs.push(OutputSpec { slot: slots.len(), shape });
            slots.push((floats, len));
            floats = (floats + len).next_multiple_of(16);
        }
        let (needed, limit) = (floats.saturating_mul(4) >> 20, settings.memory_limit >> 20);
        if needed > limit {
            return Err(Error::OutOfMemory { needed, limit });
        }
        let inputs = InputSpec::of(graph)?;
        let (arena, scratch) = (AlignedBuf::zeroed(floats), AlignedBuf::zeroed(0));
        let (steps, constants, settings) = (Vec::new(), Vec::new(), settings.clone());
        Ok(Self {
            steps,
            slots,
            constants,
            arena,
            scratch,
            scratch_len: 0,
            inputs,
            outputs,
            settings,
            parts,
            times: None,
        })
    }

    /// Runs the parts on their slices of the inputs, which fit.
    pub(super) fn run_parts(&mut self, inputs: &[Input<'_>]) -> Result<(), Error> {
        let mut done = vec![0; inputs.len()];
        let mut filled = vec![0; self.outputs.len()];
        let mut slices = Vec::with_capacity(inputs.len());
        let mut times = self.times.as_deref_mut().unwrap_or_default();
        times.fill(Duration::ZERO);
        for (plan, count) in &mut self.parts {
            for _ in 0..*count {
                slices.clear();
                for ((input, spec), done) in inputs.iter().zip(&plan.inputs).zip(&mut done) {
                    let range = *done..*done + spec.len;
                    *done = range.end;
                    slices.push(match input {
                        Input::F32(data) => Input::F32(&data[range]),
                        Input::U8(data) => Input::U8(&data[range]),
                    });
                }
                plan.run(&slices)?;
                times.iter_mut().zip(plan.step_times()).for_each(|(all, time)| *all += *time);
                for (i, (spec, filled)) in self.outputs.iter().zip(&mut filled).enumerate() {
                    let (_, values) = plan.output(i);
                    let begin = self.slots[spec.slot].0 + *filled;
                    self.arena[begin..begin + values.len()].copy_from_slice(values);
                    *filled += values.len();
                }
            }
            times = &mut times[plan.step_times().len()..];
        }
        Ok(())
    }
}

/// The symbol that counts pictures, if each row of each output depends on that row of the inputs alone.
fn batch_symbol(graph: &Graph) -> Option<&str> {
    let first = graph.value(*graph.inputs().first()?).ty.shape.first()?;
    let symbol = first.as_symbol()?;
    // Values with a row for each picture.
    let mut rows: HashSet<ValueId> = HashSet::new();
    let has_rows = |id: ValueId| {
        let shape = &graph.value(id).ty.shape;
        let elsewhere = shape.iter().skip(1).any(|dim| mentions(dim, symbol));
        shape.first() == Some(first) && !elsewhere
    };
    for &id in graph.inputs() {
        if !has_rows(id) {
            return None;
        }
        rows.insert(id);
    }
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
        Op::Add(_) | Op::Sub(_) | Op::Mul(_) | Op::Div(_) => node.inputs.iter().flatten().all(|id| {
            let own = rank(id) == wide;
            let one = |id: &ValueId| graph.value(*id).ty.shape[0] == 1.into();
            if rows.contains(id) { own } else { !own || one(id) }
        }),
        Op::Relu(_) | Op::LeakyRelu(_) | Op::Clip(_) | Op::Sigmoid(_) | Op::HardSigmoid(_) | Op::HardSwish(_) => true,
        Op::Tanh(_) | Op::Identity(_) | Op::Dropout(_) | Op::Cast(_) => true,
        Op::Conv(_) | Op::MaxPool(_) | Op::AveragePool(_) | Op::GlobalAveragePool(_) => first_only,
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
        Op::Softmax(op) => axis(op.axis) != 0,
        Op::Concat(op) => axis(op.axis) != 0 && (0..node.inputs.len()).all(is_row),
        Op::ReduceMean(op) => {
            let all = node.inputs[0].map_or(0, |id| rank(&id));
            let axes = op.axes.clone().unwrap_or_else(|| plain(all).iter().map(|&axis| axis as i64).collect());
            axes.iter().all(|&axis| from_front(axis, all) != 0)
        }
        Op::Pad(op) => op.pads[0] == 0 && op.pads[wide] == 0,
        _ => false,
    }
}
