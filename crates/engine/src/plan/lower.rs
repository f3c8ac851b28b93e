//! From a graph to steps: the walk, the layouts, and the constants.
//!
//! The products (`Conv`, `Gemm`, `MatMul`) are in `product.rs`, everything else in `simple.rs`.

use super::arena::Slot;
use super::edge::{Edge, plain};
use super::fuse::{self, Action};
use super::lazy::Lazy;
use super::recurrent::Kept;
use super::step::{Kernel, OUTSIDE, Place, Step};
use super::training::Filters;
use crate::Error;
use crate::kernels::{BottleneckWeights, ConvWeights, DepthwiseWeights, PackedB, WinogradWeights};
use crate::simd::{AlignedBuf, Isa};
use percept_graph::{DType, Graph, Node, Op, Params, Source, Tensor, TensorData, ValueId};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Weights packed for one instruction set, by name: plans of one network share them.
#[derive(Default)]
pub(crate) struct Packed {
    pub(super) conv: HashMap<String, Arc<ConvWeights>>,
    /// By the side of the tiles, too.
    pub(super) winograd: HashMap<(String, usize), Arc<WinogradWeights>>,
    pub(super) depthwise: HashMap<String, Arc<DepthwiseWeights>>,
    /// By the names of all layers' weights.
    pub(super) bottleneck: HashMap<[String; 3], Arc<BottleneckWeights>>,
    pub(super) dense: HashMap<(String, bool), Arc<PackedB>>,
    /// For the gradient of the input, by the number of groups and the order of taps, too.
    pub(super) transposed: HashMap<(String, usize, Vec<usize>), Arc<Filters>>,
    /// As they are.
    pub(super) values: HashMap<String, Arc<AlignedBuf>>,
}

/// More nodes than this are refused: planning the memory of so many takes too long.
const MAX_NODES: usize = 20_000;

/// A plan in the making.
pub(super) struct Lower<'a> {
    pub(super) graph: &'a Graph,
    pub(super) params: &'a Params,
    pub(super) packed: &'a mut Packed,
    pub(super) isa: Isa,
    pub(super) constants: Vec<Arc<AlignedBuf>>,
    /// Inputs of integers, where all of them have to lie, and what that is.
    pub(super) asked: Vec<(usize, RangeInclusive<i64>, String)>,
    pub(super) steps: Vec<Step>,
    pub(super) slots: Vec<Slot>,
    /// The operator that the next steps are part of.
    op: &'static str,
    pub(super) edges: Vec<Option<Edge>>,
    /// How often each value is read.
    pub(super) uses: Vec<usize>,
    reordered: HashMap<(ValueId, Vec<usize>), Edge>,
    /// Mean and variance over the batch of values that are normalised with them.
    pub(super) statistics: HashMap<ValueId, [Edge; 2]>,
    /// Values that are computed when they are read.
    pub(super) lazy: HashMap<ValueId, Lazy>,
    /// Coefficients of normalisations by scale, bias, mean and variance, and the bits of epsilon.
    pub(super) folds: HashMap<([Place; 4], u32), Place>,
    /// The steps that compute gradients of weights, by the gradient of the output and the weight.
    pub(super) weight_grads: HashMap<(ValueId, ValueId), usize>,
    /// What recurrent layers keep for their way back.
    pub(super) recurrent: Vec<Kept>,
    /// The steps that compute gradients of the inputs of convolutions, by the slot that they write.
    pub(super) input_grads: HashMap<usize, usize>,
}

/// What is wrong with a node, in words; the walk adds the node's name and operator.
pub(super) type Lowered<T> = Result<T, String>;

impl<'a> Lower<'a> {
    pub(super) fn new(graph: &'a Graph, params: &'a Params, packed: &'a mut Packed, isa: Isa) -> Self {
        let mut uses = graph.uses();
        for node in graph.nodes().iter().filter(|node| matches!(node.op, Op::ConcatGrad(_))) {
            // They give their shapes alone.
            node.inputs[1..].iter().flatten().for_each(|id| uses[id.index()] -= 1);
        }
        Self {
            graph,
            params,
            packed,
            isa,
            constants: Vec::new(),
            asked: Vec::new(),
            steps: Vec::new(),
            slots: Vec::new(),
            op: "",
            edges: vec![None; graph.values().len()],
            uses,
            reordered: HashMap::new(),
            statistics: HashMap::new(),
            lazy: HashMap::new(),
            folds: HashMap::new(),
            weight_grads: HashMap::new(),
            recurrent: Vec::new(),
            input_grads: HashMap::new(),
        }
    }

    /// Makes the steps of all nodes; gives back where the outputs lie, in row-major order.
    pub(super) fn walk(&mut self) -> Result<Vec<Edge>, Error> {
        let graph = self.graph;
        if graph.nodes().len() > MAX_NODES {
            let reason = format!("{} nodes are more than the {MAX_NODES} that can be planned", graph.nodes().len());
            return Err(Error::Node { node: graph.name.clone(), op: "graph", reason });
        }
        for (i, &id) in graph.inputs().iter().enumerate() {
            let shape = graph.value(id).ty.concrete()?;
            let order = plain(shape.len());
            self.edges[id.index()] = Some(Edge { place: Place::Input(i), shape, order });
        }
        for (node, action) in graph.nodes().iter().zip(fuse::plan(graph, self.params, self.isa)) {
            self.op = match &action {
                Action::Product(fused) => graph.node(fused.anchor).op.name(),
                Action::Normalize(_) => "Cast",
                Action::Bottleneck(_) => "Conv",
                _ => node.op.name(),
            };
            let lowered = match action {
                Action::Absorbed => Ok(()),
                Action::Alone => self.simple(node),
                Action::Product(fused) => self.product(node, &fused),
                Action::Bottleneck(chain) => self.bottleneck(node, &chain),
                Action::Normalize(normalize) => self.normalize(node, &normalize),
            };
            lowered.map_err(|reason| Error::Node { node: node.name.clone(), op: node.op.name(), reason })?;
            // An output that others read is brought in order at once: a run may stop there.
            let read = |id: &&ValueId| self.uses[id.index()] > 1 && graph.outputs().contains(id);
            let outputs: Vec<_> = node.outputs.iter().filter(read).collect();
            outputs.into_iter().try_for_each(|&id| self.output(id).map(drop))?;
        }
        graph.outputs().iter().map(|&id| self.output(id)).collect()
    }

    fn output(&mut self, id: ValueId) -> Result<Edge, Error> {
        let name = &self.graph.value(id).name;
        let wrong = |reason| Error::Node { node: name.clone(), op: "output", reason };
        let edge = self.float(id).map_err(wrong)?;
        let order = plain(edge.shape.len());
        match edge.place {
            Place::Slot(_) => self.reorder(id, &order).map_err(wrong),
            _ => Ok(self.copy(name, &edge, order)),
        }
    }

    /// The edge of a floating-point value; constants are taken from the parameters when they are first used.
    pub(super) fn float(&mut self, id: ValueId) -> Lowered<Edge> {
        let value = self.graph.value(id);
        if value.ty.dtype != DType::F32 {
            return Err(format!("\"{}\" is {}: the engine computes with f32", value.name, value.ty.dtype));
        }
        if let Some(edge) = &self.edges[id.index()] {
            return Ok(edge.clone());
        }
        let edge = match self.lazy.get(&id) {
            Some(&lazy) => self.store(&value.name, lazy, self.shape(id)?),
            None => {
                let values = self.constant_values(id)?;
                let shared = self.packed.values.entry(value.name.clone()).or_insert_with(|| buffer(values));
                self.constants.push(Arc::clone(shared));
                self.newest_constant(self.shape(id)?)
            }
        };
        self.set(id, edge.clone());
        Ok(edge)
    }

    /// The edge of integers: an input as it was given, or the bits of a constant, which steps read by
    /// [`Memory::input`](super::memory::Memory::input).
    pub(super) fn integers(&mut self, id: ValueId) -> Lowered<Edge> {
        if let Some(edge) = &self.edges[id.index()] {
            return Ok(edge.clone());
        }
        let name = &self.graph.value(id).name;
        let list: Vec<i64> = match self.constant_tensor(id).map(Tensor::data) {
            Ok(TensorData::I64(list)) => list.clone(),
            Ok(TensorData::I32(list)) => list.iter().map(|&x| x.into()).collect(),
            _ => return Err(format!("\"{name}\" must be an input of the network or a constant, of integers")),
        };
        let bits = |&x: &i64| i32::try_from(x).map(|x| f32::from_bits(x as u32));
        let bits: Vec<_> = list.iter().map(bits).collect::<Result<_, _>>().map_err(|e| format!("\"{name}\": {e}"))?;
        let edge = self.constant(&self.shape(id)?, &bits);
        self.set(id, edge.clone());
        Ok(edge)
    }

    /// The edge of a value that is only moved or renamed.
    pub(super) fn any(&mut self, id: ValueId) -> Lowered<Edge> {
        match self.graph.value(id).ty.dtype {
            DType::I32 | DType::I64 => self.integers(id),
            _ => self.float(id),
        }
    }

    /// The tensor of a constant value; an error if the value depends on the inputs.
    pub(super) fn constant_tensor(&self, id: ValueId) -> Lowered<&'a Tensor> {
        let value = self.graph.value(id);
        match (value.source, self.params.get(&value.name)) {
            (Source::Parameter, Some(tensor)) => Ok(tensor),
            _ => Err(format!("\"{}\" must be a constant", value.name)),
        }
    }

    /// Its elements.
    pub(super) fn constant_values(&self, id: ValueId) -> Lowered<&'a [f32]> {
        self.constant_tensor(id)?.as_f32().map_err(|e| e.to_string())
    }

    pub(super) fn constant(&mut self, shape: &[usize], values: &[f32]) -> Edge {
        self.constants.push(buffer(values));
        self.newest_constant(shape.to_vec())
    }

    fn newest_constant(&self, shape: Vec<usize>) -> Edge {
        let order = plain(shape.len());
        Edge { place: Place::Constant(self.constants.len() - 1), shape, order }
    }

    /// The inputs of a node, all f32.
    pub(super) fn all_inputs(&mut self, node: &Node) -> Lowered<Vec<(ValueId, Edge)>> {
        node.inputs.iter().flatten().map(|&id| Ok((id, self.float(id)?))).collect()
    }

    /// The same of a node with exactly `N` of them.
    pub(super) fn inputs<const N: usize>(&mut self, node: &Node) -> Lowered<[(ValueId, Edge); N]> {
        self.all_inputs(node)?.try_into().map_err(|found: Vec<_>| format!("needs {N} inputs, has {}", found.len()))
    }

    /// How to compute a value that is not stored yet.
    pub(super) fn unstored(&self, id: ValueId) -> Option<Lazy> {
        self.lazy.get(&id).copied().filter(|_| self.edges[id.index()].is_none())
    }

    pub(super) fn set(&mut self, id: ValueId, edge: Edge) {
        self.edges[id.index()] = Some(edge);
    }

    /// The shape of a value.
    pub(super) fn shape(&self, id: ValueId) -> Lowered<Vec<usize>> {
        self.graph.value(id).ty.concrete().map_err(|e| e.to_string())
    }

    /// A new piece of the arena.
    pub(super) fn slot(&mut self, shape: Vec<usize>, order: Vec<usize>) -> Edge {
        let len = shape.iter().fold(1usize, |product, &size| product.saturating_mul(size));
        self.slots.push(Slot { len, first: usize::MAX, last: 0, offset: 0 });
        Edge { place: Place::Slot(self.slots.len() - 1), shape, order }
    }

    /// Adds the step that makes a value of the graph, its axes in `order`.
    pub(super) fn emit(&mut self, name: &str, id: ValueId, order: Vec<usize>, kernel: Kernel) -> Lowered<()> {
        let y = self.slot(self.shape(id)?, order);
        self.push(name, kernel, &y);
        self.set(id, y);
        Ok(())
    }

    /// Adds a step that writes `output`.
    pub(super) fn push(&mut self, node: &str, kernel: Kernel, output: &Edge) {
        if let Place::Slot(i) = output.place {
            self.steps.push(Step { node: node.into(), op: self.op, kernel, output: i, columns: None });
            self.note(self.steps.len() - 1);
        }
    }

    /// Notes what a step reads and writes.
    pub(super) fn note(&mut self, at: usize) {
        let step = &self.steps[at];
        for place in step.kernel.reads() {
            if let Place::Slot(i) = place {
                self.slots[i].last = self.slots[i].last.max(at);
            }
        }
        for i in step.kernel.writes().into_iter().chain([step.output]) {
            self.slots[i].first = self.slots[i].first.min(at);
            self.slots[i].last = self.slots[i].last.max(at);
        }
    }

    /// A value with its axes in the order asked for; moved at most once for each order.
    pub(super) fn reorder(&mut self, id: ValueId, order: &[usize]) -> Lowered<Edge> {
        let edge = self.float(id)?;
        if edge.lies_in(order) {
            return Ok(Edge { order: order.to_vec(), ..edge });
        }
        let key = (id, order.to_vec());
        if let Some(edge) = self.reordered.get(&key) {
            return Ok(edge.clone());
        }
        let name = &self.graph.value(id).name;
        let moved = self.copy(name, &edge, order.to_vec());
        self.reordered.insert(key, moved.clone());
        Ok(moved)
    }

    /// Copies a value into a new slot with its axes in `order`.
    pub(super) fn copy(&mut self, name: &str, from: &Edge, order: Vec<usize>) -> Edge {
        let to = self.slot(from.shape.clone(), order);
        if let Some([batch, m, n]) = transposition(from, &to) {
            self.push(name, Kernel::Transpose { x: from.place, batch, m, n, row: m }, &to);
            return to;
        }
        self.gather(name, from, &to, (&from.shape, 0), 0.0, |_, i| Some(i));
        to
    }

    /// A step that writes so large a part of `to`, from an offset on: `source` says for an axis and a position along it which entry of `from`
    /// comes there, or that it is `fill`.
    pub(super) fn gather(
        &mut self,
        name: &str,
        from: &Edge,
        to: &Edge,
        (shape, offset): (&[usize], usize),
        fill: f32,
        source: impl Fn(usize, usize) -> Option<usize>,
    ) {
        let (own, all) = (from.strides(), to.strides());
        let entry = |axis: usize, i: usize| source(axis, i).map_or(OUTSIDE, |i| i * own[axis]);
        let table = |&axis: &usize| (0..shape[axis]).map(|i| entry(axis, i)).collect::<Vec<_>>();
        let mut tables: Vec<_> = to.order.iter().map(table).collect();
        let mut strides: Vec<_> = to.order.iter().map(|&axis| all[axis]).collect();
        if tables.is_empty() {
            (tables, strides) = (vec![vec![0]], vec![1]);
        }
        self.push(name, Kernel::Gather { x: from.place, tables, fill, strides, offset }, to);
    }
}

fn buffer(values: &[f32]) -> Arc<AlignedBuf> {
    let mut buffer = AlignedBuf::zeroed(values.len());
    buffer.copy_from_slice(values);
    Arc::new(buffer)
}

/// `[batch, m, n]` if `to` is made of the transposes of `batch` matrices m × n that follow each other in `from`.
fn transposition(from: &Edge, to: &Edge) -> Option<[usize; 3]> {
    let axes = |edge: &Edge| edge.order.iter().copied().filter(|&axis| edge.shape[axis] != 1).collect::<Vec<_>>();
    let size = |axes: &[usize]| axes.iter().map(|&axis| from.shape[axis]).product::<usize>();
    let (before, after) = (axes(from), axes(to));
    let same = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    let (batch, before) = before.split_at(same);
    let after = &after[same..];
    let (m, n) = before.split_at(before.iter().position(|axis| Some(axis) == after.first())?);
    (after == [n, m].concat()).then(|| [size(batch), size(m), size(n)])
}
