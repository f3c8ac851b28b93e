//! Which nodes become one step: a product with the residual and the activation that follow it, a picture's normalisation.

use super::bottleneck;
use crate::kernels::Activation;
use crate::simd::Isa;
use percept_graph::{DType, Graph, Node, NodeId, Op, Params, Source, Tensor, ValueId};

/// A convolution or matrix product and what is applied to its result before it is stored, if anything.
#[derive(Clone, Debug)]
pub(super) struct Fused {
    /// The convolution or product.
    pub(super) anchor: NodeId,
    /// Added before the activation.
    pub(super) residual: Option<ValueId>,
    /// Applied last.
    pub(super) activation: Activation,
}

/// A byte picture turned to floats: `scale · x + shift` for each channel, the channels being the last axis in memory.
#[derive(Clone, Debug)]
pub(super) struct Normalize {
    /// The input of the graph.
    pub(super) input: ValueId,
    /// For each axis of the result, the axis of the input.
    pub(super) perm: Vec<usize>,
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
}

/// What happens at a node.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// The node runs by itself.
    Alone,
    /// The node is part of a step that a later node stands for.
    Absorbed,
    /// The node is a product, or the last node that is fused to one.
    Product(Fused),
    /// The node is the last of an expand → depthwise → project chain.
    Bottleneck(Box<bottleneck::Chain>),
    /// The node is the last of a picture's normalisation.
    Normalize(Normalize),
}

/// The activation that an operator is, if it is one.
pub(super) fn activation(op: &Op) -> Option<Activation> {
    Some(match op {
        Op::Relu(_) => Activation::Relu,
        Op::Clip(op) => Activation::Clip { min: op.min, max: op.max },
        Op::LeakyRelu(op) => Activation::LeakyRelu(op.alpha),
        Op::Sigmoid(_) => Activation::Sigmoid,
        Op::HardSigmoid(op) => Activation::HardSigmoid { alpha: op.alpha, beta: op.beta },
        Op::HardSwish(_) => Activation::HardSwish,
        Op::Tanh(_) => Activation::Tanh,
        Op::Exp(_) => Activation::Exp,
        Op::Log(_) => Activation::Log,
        Op::Sqrt(_) => Activation::Sqrt,
        Op::Abs(_) => Activation::Abs,
        Op::Neg(_) => Activation::Neg,
        Op::Softplus(_) => Activation::Softplus,
        Op::Erf(_) => Activation::Erf,
        Op::Gelu(_) => Activation::Gelu,
        Op::Pow(op) => Activation::Pow(op.exponent),
        _ => return None,
    })
}

/// What happens at each node of `graph` (by index).
pub(super) fn plan(graph: &Graph, constants: &Params, isa: Isa) -> Vec<Action> {
    let finder = Finder { graph, constants, readers: sole_readers(graph), isa };
    let mut actions = vec![Action::Alone; graph.nodes().len()];
    for (i, node) in graph.nodes().iter().enumerate() {
        if !matches!(actions[i], Action::Alone) {
            continue;
        }
        let absorbed = match &node.op {
            Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::MatMul(_) => Some(finder.product(i, &actions)),
            Op::Cast(_) => finder.normalization(i),
            _ => None,
        };
        if let Some((chain, action)) = absorbed {
            chain.iter().for_each(|&j| actions[j] = Action::Absorbed);
            actions[chain[chain.len() - 1]] = action;
        }
    }
    finder.bottlenecks(&mut actions);
    actions
}

/// For each value, the index of the node that reads it, if that is the only use.
fn sole_readers(graph: &Graph) -> Vec<Option<usize>> {
    let uses = graph.uses();
    let mut readers = vec![None; uses.len()];
    for (i, node) in graph.nodes().iter().enumerate() {
        for id in node.inputs.iter().flatten().filter(|id| uses[id.index()] == 1) {
            readers[id.index()] = Some(i);
        }
    }
    readers
}

/// What tells which nodes become one step.
pub(super) struct Finder<'a> {
    pub(super) graph: &'a Graph,
    pub(super) constants: &'a Params,
    /// For each value, the index of the node that reads it, if that is the only use.
    pub(super) readers: Vec<Option<usize>>,
    pub(super) isa: Isa,
}

type Chain = (Vec<usize>, Action);

impl Finder<'_> {
    /// The node that alone reads what node `i` makes.
    fn next(&self, i: usize) -> Option<usize> {
        self.readers[self.graph.nodes()[i].outputs[0].index()]
    }

    fn product(&self, anchor: usize, actions: &[Action]) -> Chain {
        let (graph, node) = (self.graph, &self.graph.nodes()[anchor]);
        let mut chain = vec![anchor];
        let mut fused = Fused { anchor: graph.node_id(anchor), residual: None, activation: Activation::None };
        if !has_epilogue(graph, self.constants, node) {
            return (chain, Action::Product(fused));
        }
        let next = |i: usize| self.next(i).filter(|&j| matches!(actions[j], Action::Alone));
        if let Some(j) = next(anchor).filter(|_| !matches!(node.op, Op::ConvTranspose(_)))
            && let Some(other) = residual(graph, node.outputs[0], &graph.nodes()[j])
        {
            fused.residual = Some(other);
            chain.push(j);
        }
        if let Some(j) = next(chain[chain.len() - 1])
            && let Some(activation) = activation(&graph.nodes()[j].op)
        {
            fused.activation = activation;
            chain.push(j);
        }
        (chain, Action::Product(fused))
    }

    fn normalization(&self, cast: usize) -> Option<Chain> {
        let (graph, node) = (self.graph, &self.graph.nodes()[cast]);
        let input = node.inputs[0]?;
        let ty = &graph.value(input).ty;
        let to_float = graph.value(node.outputs[0]).ty.dtype == DType::F32;
        if graph.value(input).source != Source::Input || ty.dtype != DType::U8 || !to_float || ty.rank() == 0 {
            return None;
        }
        let rank = ty.rank();
        let channels = ty.shape[rank - 1].as_const().and_then(|size| usize::try_from(size).ok())?.clamp(1, 4096);
        let [scale, shift] = [1.0, 0.0].map(|value| vec![value; channels]);
        let mut result = Normalize { input, perm: (0..rank).collect(), scale, shift };
        let mut chain = vec![cast];
        while let Some(j) = self.next(chain[chain.len() - 1])
            && absorb(graph, self.constants, &graph.nodes()[j], &mut result)
        {
            chain.push(j);
        }
        Some((chain, Action::Normalize(result)))
    }
}

/// Whether a kernel with an epilogue runs a product: one with a constant matrix or filters, and a constant bias of one value a channel.
pub(super) fn has_epilogue(graph: &Graph, constants: &Params, node: &Node) -> bool {
    if let Op::ConvTranspose(_) = node.op {
        return true;
    }
    let constants = node.inputs[1..].iter().flatten().map(|id| constants.get(&graph.value(*id).name));
    let Some(constants) = constants.collect::<Option<Vec<_>>>() else { return false };
    let of_columns = |summand: &Tensor| summand.shape().iter().rev().skip(1).all(|&size| size == 1);
    match (&node.op, &constants[..]) {
        (Op::Conv(_), _) => true,
        (_, [matrix, summand @ ..]) => matrix.shape().len() == 2 && summand.iter().all(|summand| of_columns(summand)),
        (_, []) => false,
    }
}

/// The other summand, if `add` adds something of the same type to `x`.
fn residual(graph: &Graph, x: ValueId, add: &Node) -> Option<ValueId> {
    let (Op::Add(_), [Some(a), Some(b)]) = (&add.op, &add.inputs[..]) else { return None };
    let other = if *a == x { *b } else { *a };
    (other != x && graph.value(other).ty == graph.value(x).ty).then_some(other)
}

/// Lets the normalisation do the work of `node` too, if it is a transposition or arithmetic with one constant a channel.
fn absorb(graph: &Graph, constants: &Params, node: &Node, to: &mut Normalize) -> bool {
    if let Op::Transpose(op) = &node.op {
        to.perm = op.permutation(to.perm.len()).iter().map(|&i| to.perm[i]).collect();
        return true;
    }
    let [Some(a), Some(b)] = node.inputs[..] else { return false };
    let constant = |id: ValueId| {
        constants.get(&graph.value(id).name).and_then(|tensor| {
            // Along the axes of the result, only the channels may have more than one value.
            let shape = tensor.shape();
            let axes = to.perm.len().checked_sub(shape.len())?;
            let channel = to.perm.len() - 1;
            let fits = shape.iter().enumerate().all(|(i, &size)| size == 1 || to.perm[axes + i] == channel);
            let values = tensor.as_f32().ok().filter(|values| fits && !values.is_empty())?;
            Some(to.scale.iter().enumerate().map(|(c, _)| values[c % values.len()]).collect::<Vec<_>>())
        })
    };
    let (values, reversed) = match (constant(a), constant(b)) {
        (None, Some(values)) => (values, false),
        (Some(values), None) => (values, true),
        _ => return false,
    };
    let pairs = to.scale.iter_mut().zip(&mut to.shift).zip(values);
    match (&node.op, reversed) {
        (Op::Add(_), _) => pairs.for_each(|((_, shift), v)| *shift += v),
        (Op::Sub(_), false) => pairs.for_each(|((_, shift), v)| *shift -= v),
        (Op::Mul(_), _) => pairs.for_each(|((scale, shift), v)| (*scale, *shift) = (*scale * v, *shift * v)),
        (Op::Div(_), false) => pairs.for_each(|((scale, shift), v)| (*scale, *shift) = (*scale / v, *shift / v)),
        _ => return false,
    }
    true
}
