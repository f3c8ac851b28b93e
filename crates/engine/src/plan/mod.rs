//! A graph made ready to run: steps in order, packed weights, and one arena for all activations.
//!
//! A plan belongs to one set of sizes. It is made in four walks: constants and batch normalisation are folded
//! ([`Network`](crate::Network) does that once for all sizes), products take in what follows them and chains of expand, depthwise and project
//! become one (`bottleneck.rs`), every node becomes a kernel with its operands' layouts, and the slots of the arena are placed by their lifetimes.
//! A batch runs in parts that stay in the cache, each thread's own where there are enough (`batches.rs`). Steps allocate nothing.

mod arena;
mod batches;
mod bottleneck;
mod conv;
mod cost;
mod edge;
mod fence;
mod fuse;
mod lazy;
mod lower;
mod memory;
mod moves;
mod product;
mod recurrent;
mod simple;
mod step;
mod tasks;
mod training;
mod winograd;

pub use cost::Work;
pub(crate) use edge::from_front;
pub(crate) use lower::Packed;
pub use memory::Input;

use crate::simd::{AlignedBuf, Isa};
use crate::{Error, Pool};
use arena::Slot;
use fence::GAP;
use lower::Lower;
use memory::Memory;
use percept_graph::{DType, Graph, Params};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::{Duration, Instant};
use step::{Place, Step};

/// How plans are made and run.
#[derive(Clone)]
pub struct Settings {
    /// The threads that run kernels.
    pub pool: Arc<Pool>,
    /// The instruction set of the kernels.
    pub isa: Isa,
    /// Bytes that the activations of one plan and the scratch memory of its threads may take.
    pub memory_limit: usize,
}

impl Settings {
    /// All cores, the best instruction set, and 8 GB for activations, as far as `PERCEPT_THREADS` and `PERCEPT_ISA` do not say
    /// otherwise; an error if one of them makes no sense.
    pub fn detect() -> Result<Self, Error> {
        let isa = Isa::detect().map_err(|e| Error::Setting(format!("PERCEPT_ISA: {e}")))?;
        Ok(Self { pool: Pool::global()?, isa, memory_limit: 8 << 30 })
    }

    /// The same with the instruction set of that name, whatever `PERCEPT_ISA` says; an error if this CPU does not have it.
    pub fn for_isa(name: &str) -> Result<Self, Error> {
        let isa = Isa::named(name).map_err(|e| Error::Setting(e.to_string()))?;
        Ok(Self { pool: Pool::global()?, isa, memory_limit: 8 << 30 })
    }

    /// The same with a pool of so many threads.
    pub fn with_threads(self, threads: usize) -> Result<Self, Error> {
        Ok(Self { pool: Arc::new(Pool::new(threads)?), ..self })
    }
}

/// A graph of known sizes, ready to run.
pub struct Plan {
    steps: Vec<Step>,
    slots: Vec<(usize, usize)>,
    constants: Vec<Arc<AlignedBuf>>,
    /// Inputs of integers, where all of them have to lie, and what that is.
    asked: Vec<(usize, RangeInclusive<i64>, String)>,
    arena: AlignedBuf,
    /// Floats that the arena cannot do without.
    least: usize,
    scratch: AlignedBuf,
    scratch_len: usize,
    inputs: Vec<InputSpec>,
    outputs: Vec<OutputSpec>,
    settings: Settings,
    /// Plans for parts of the batch, instead of steps.
    parts: Vec<batches::Part>,
    times: Option<Vec<Duration>>,
    /// Steps that ran before it stopped on its way.
    stopped: Option<usize>,
}

struct InputSpec {
    name: String,
    dtype: DType,
    len: usize,
}

impl InputSpec {
    /// The inputs of a graph whose sizes are numbers.
    fn of(graph: &Graph) -> Result<Vec<Self>, Error> {
        let mut inputs = Vec::with_capacity(graph.inputs().len());
        for &id in graph.inputs() {
            let value = graph.value(id);
            let len = value.ty.concrete()?.iter().product();
            inputs.push(Self { name: value.name.clone(), dtype: value.ty.dtype, len });
        }
        Ok(inputs)
    }
}

struct OutputSpec {
    slot: usize,
    shape: Vec<usize>,
}

impl Plan {
    /// Plans a graph whose sizes are all numbers and whose parameters are all in `params`.
    pub(crate) fn compile(
        graph: &Graph,
        params: &Params,
        packed: &mut Packed,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let mut lower = Lower::new(graph, params, packed, settings.isa);
        let outputs = lower.walk()?;
        let Lower { steps, mut slots, constants, asked, .. } = lower;
        let mut specs = Vec::with_capacity(outputs.len());
        for edge in outputs {
            if let Place::Slot(slot) = edge.place {
                slots[slot].last = usize::MAX;
                specs.push(OutputSpec { slot, shape: edge.shape });
            }
        }
        // A slot that no step writes belongs to a value without elements.
        slots.iter_mut().for_each(|slot| slot.first = slot.first.min(slot.last));
        Ok(Self { asked, ..Self::new(graph, settings, slots, specs, steps, constants)? })
    }

    /// A plan of these steps; an error if slots or scratch memory exceed the memory limit.
    fn new(
        graph: &Graph,
        settings: &Settings,
        mut slots: Vec<Slot>,
        outputs: Vec<OutputSpec>,
        steps: Vec<Step>,
        constants: Vec<Arc<AlignedBuf>>,
    ) -> Result<Self, Error> {
        let (limit, threads) = (settings.memory_limit / size_of::<f32>(), settings.pool.threads());
        let too_large = |floats: usize| {
            let [needed, limit] = [floats, limit].map(|floats| floats.saturating_mul(size_of::<f32>()) >> 20);
            Err(Error::OutOfMemory { needed, limit })
        };
        if let Some(slot) = slots.iter().find(|slot| slot.len > limit) {
            return too_large(slot.len);
        }
        let (floats, least) = (arena::place(&mut slots), arena::least(&slots));
        let scratch = steps.iter().map(|step| step.kernel.scratch()).max().unwrap_or(0);
        let all = scratch.saturating_mul(threads).saturating_add(floats);
        if all > limit {
            return too_large(all);
        }
        let scratch_len = (scratch + GAP).next_multiple_of(16);
        Ok(Self {
            steps,
            slots: slots.iter().map(|slot| (slot.offset, slot.len)).collect(),
            constants,
            asked: Vec::new(),
            arena: AlignedBuf::zeroed(floats),
            least,
            scratch: AlignedBuf::zeroed(scratch_len * threads),
            scratch_len,
            inputs: InputSpec::of(graph)?,
            outputs,
            settings: settings.clone(),
            parts: Vec::new(),
            times: None,
            stopped: None,
        })
    }

    /// Runs the network; an error if an input has another type or size than the plan was made for, a label is no class, or an integer names an
    /// entry that a table does not have.
    pub fn run(&mut self, inputs: &[Input<'_>]) -> Result<(), Error> {
        self.stopped = None;
        self.run_steps(0..self.steps.len(), inputs)
    }

    /// Runs the steps up to those that make the `i`th output; [`run_rest`](Self::run_rest) runs the others. An error as of [`run`](Self::run), or
    /// if the plan runs in parts, as none does that has an output without a row for each picture.
    pub fn run_until(&mut self, i: usize, inputs: &[Input<'_>]) -> Result<(), Error> {
        if !self.parts.is_empty() {
            return Err(Error::Setting("a plan that runs in parts cannot stop on its way".into()));
        }
        self.stopped = None;
        let slot = self.outputs[i].slot;
        let writes = |step: &Step| step.output == slot || step.kernel.writes().contains(&slot);
        let steps = self.steps.iter().rposition(writes).map_or(0, |last| last + 1);
        self.run_steps(0..steps, inputs)?;
        self.stopped = Some(steps);
        Ok(())
    }

    /// Goes on where [`run_until`](Self::run_until) stopped: inputs that were not read before may have changed. An error as of it, or if it did not stop.
    pub fn run_rest(&mut self, inputs: &[Input<'_>]) -> Result<(), Error> {
        let before = self.stopped.take();
        let before = before.ok_or_else(|| Error::Setting("a plan that did not stop on its way cannot go on".into()))?;
        self.run_steps(before..self.steps.len(), inputs)
    }

    fn run_steps(&mut self, range: Range<usize>, inputs: &[Input<'_>]) -> Result<(), Error> {
        if inputs.len() != self.inputs.len() {
            let name = self.inputs.get(inputs.len()).map_or("", |spec| &spec.name);
            let reason = format!("{} inputs are given, {} are needed", inputs.len(), self.inputs.len());
            return Err(Error::Input { name: name.into(), reason });
        }
        for (spec, input) in self.inputs.iter().zip(inputs) {
            let (dtype, len) = input.spec();
            if (dtype, len) != (spec.dtype, spec.len) {
                let reason = format!("needs {} elements of {}, not {len} of {dtype}", spec.len, spec.dtype);
                return Err(Error::Input { name: spec.name.clone(), reason });
            }
        }
        if !self.parts.is_empty() {
            return self.run_parts(inputs);
        }
        for (input, range, what) in &self.asked {
            let mut integers = (0..self.inputs[*input].len).map(|i| inputs[*input].integer(i));
            if let Some(odd) = integers.find(|integer| !range.contains(integer)) {
                let reason = format!("holds {odd}, which is not among {what}");
                return Err(Error::Input { name: self.inputs[*input].name.clone(), reason });
            }
        }
        // Lengths first: a pointer to write through is not to be followed by another look at its buffer.
        let (floats, scratch_floats) = (self.arena.len(), self.scratch.len());
        let memory = Memory {
            arena: (self.arena.as_mut_ptr(), floats),
            slots: &self.slots,
            constants: &self.constants,
            inputs,
            scratch: (self.scratch.as_mut_ptr(), scratch_floats),
            scratch_len: self.scratch_len,
        };
        let (before, rest) = self.steps.split_at_mut(range.start);
        let mut written = fence::written(before);
        for (i, step) in rest[..range.len()].iter_mut().enumerate() {
            fence::around(&memory, step, &mut written);
            let begin = self.times.is_some().then(Instant::now);
            let ran = step.run(&memory, &self.settings.pool, self.settings.isa);
            if let Err(reason) = ran {
                fence::open(&memory);
                return Err(Error::Node { node: step.node.clone(), op: step.op, reason });
            }
            if let (Some(times), Some(begin)) = (&mut self.times, begin) {
                times[range.start + i] = begin.elapsed();
            }
        }
        fence::open(&memory);
        Ok(())
    }

    /// Takes the time of each step in the runs from now on.
    pub fn time_steps(&mut self) {
        self.parts.iter_mut().flat_map(|part| &mut part.plans).for_each(Plan::time_steps);
        self.times = Some(vec![Duration::ZERO; self.work().count()]);
    }

    /// How long each step of [`work`](Self::work) took in the last run; nothing unless [`time_steps`](Self::time_steps) was called before it.
    pub fn step_times(&self) -> &[Duration] {
        self.times.as_deref().unwrap_or_default()
    }

    /// Shape and elements, in row-major order, of the `i`th output of the last run; the graph says how many there are.
    pub fn output(&self, i: usize) -> (&[usize], &[f32]) {
        let spec = &self.outputs[i];
        let (offset, len) = self.slots[spec.slot];
        (&spec.shape, &self.arena[offset..offset + len])
    }

    /// Bytes of the arena.
    pub fn arena_bytes(&self) -> usize {
        self.arena.len() * size_of::<f32>()
            + self.parts.iter().flat_map(|part| &part.plans).map(Plan::arena_bytes).sum::<usize>()
    }

    /// Bytes that no arena could do without: the most that lives at one step.
    pub fn least_arena_bytes(&self) -> usize {
        self.least * size_of::<f32>()
            + self.parts.iter().flat_map(|part| &part.plans).map(Plan::least_arena_bytes).sum::<usize>()
    }
}
