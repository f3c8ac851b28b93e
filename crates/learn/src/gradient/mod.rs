//! Gradients: a graph made from a graph.
//!
//! [`gradients`] walks the nodes from the loss backwards and adds, for each, what its row in the one table says. The result
//! is an ordinary graph, which the same planner runs. What is cheap to compute again is not kept for the way back: normalisations and
//! activations are repeated from the results of the convolutions, right before they are needed, so that only those results occupy
//! memory in between (Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174).

mod products;
mod table;

use crate::{Error, Result};
use percept_graph::{Graph, Node, Op, Source, Tensor, ValueId, ops};
use std::collections::HashMap;
use std::sync::Arc;

/// Adds to `graph` the gradients of the number `loss` with respect to the values `of`; `None` for a value on which the loss does
/// not depend. The outputs of the graph stay as they are.
///
/// ```
/// use percept_graph::{Builder, DType};
/// use percept_learn::gradient::gradients;
/// use percept_learn::loss::{CrossEntropy, cross_entropy};
///
/// let net = Builder::new("perceptron");
/// let logits = net.input("x", DType::F32, ["N".into(), 4.into()]).linear("fc", 3);
/// let loss = cross_entropy(logits, net.input("labels", DType::I64, ["N".into()]), CrossEntropy::default());
/// let mut graph = net.finish(&[("loss", loss)])?;
/// let weight = graph.find("fc.weight")?;
/// let slope = gradients(&mut graph, loss.id(), &[weight])?[0].expect("the loss depends on it");
/// assert_eq!(graph.value(slope).ty, graph.value(weight).ty);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::NoDerivative`] names an operator on the way that has none.
pub fn gradients(graph: &mut Graph, loss: ValueId, of: &[ValueId]) -> Result<Vec<Option<ValueId>>> {
    if graph.value(loss).ty.rank() != 0 {
        let reason = format!("\"{}\" is {}, a loss is one number", graph.value(loss).name, graph.value(loss).ty);
        return Err(Error::Network(reason));
    }
    let mut wanted = vec![false; graph.values().len()];
    of.iter().for_each(|id| wanted[id.index()] = true);
    for node in graph.nodes() {
        if node.inputs.iter().flatten().any(|id| wanted[id.index()]) {
            node.outputs.iter().for_each(|id| wanted[id.index()] = true);
        }
    }
    let forward: Vec<Node> = graph.nodes().to_vec();
    let one = graph.add(ops::Constant { value: Arc::new(Tensor::scalar(1.0)) }, &[])?;
    let mut tape = Tape { slopes: HashMap::new(), again: HashMap::new(), wanted, one, graph };
    tape.slopes.insert(loss, one);
    for node in forward.iter().rev() {
        let slopes: Vec<_> = node.outputs.iter().map(|id| tape.slopes.get(id).copied()).collect();
        let needed = node.inputs.iter().flatten().any(|&id| tape.wants(id));
        if !needed || slopes.iter().all(Option::is_none) {
            continue;
        }
        table::derive(&mut tape, node, &slopes)?;
    }
    Ok(of.iter().map(|id| tape.slopes.get(id).copied()).collect())
}

/// The graph while gradients are added to it.
struct Tape<'g> {
    graph: &'g mut Graph,
    /// The gradient so far of each value.
    slopes: HashMap<ValueId, ValueId>,
    /// Values computed a second time.
    again: HashMap<ValueId, ValueId>,
    /// For each value of the forward graph, whether it depends on what gradients are asked for.
    wanted: Vec<bool>,
    /// The gradient of the loss with respect to itself.
    one: ValueId,
}

impl Tape<'_> {
    fn wants(&self, id: ValueId) -> bool {
        self.wanted.get(id.index()).copied().unwrap_or(false)
    }

    fn add(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId> {
        Ok(self.graph.add(op, inputs)?)
    }

    fn constant(&mut self, value: f32) -> Result<ValueId> {
        self.add(ops::Constant { value: Arc::new(Tensor::scalar(value)) }, &[])
    }

    fn scaled(&mut self, x: ValueId, factor: f32) -> Result<ValueId> {
        if factor == 1.0 {
            return Ok(x);
        }
        let factor = self.constant(factor)?;
        self.add(ops::Mul, &[x, factor])
    }

    fn rank(&self, id: ValueId) -> usize {
        self.graph.value(id).ty.rank()
    }

    /// `x` summed to the shape of `like`, if that was broadcast.
    fn sum_to(&mut self, x: ValueId, like: ValueId) -> Result<ValueId> {
        match self.graph.value(x).ty == self.graph.value(like).ty {
            true => Ok(x),
            false => self.add(ops::SumTo {}, &[x, like]),
        }
    }

    /// Adds `slope` to the gradient of `id`.
    fn give(&mut self, id: ValueId, slope: ValueId) -> Result<()> {
        let sum = match self.slopes.get(&id) {
            Some(&other) => self.add(ops::Add, &[other, slope])?,
            None => slope,
        };
        self.slopes.insert(id, sum);
        Ok(())
    }

    /// The elements of a value of the forward graph: computed once more where that is cheap.
    fn value(&mut self, id: ValueId) -> Result<ValueId> {
        if let Some(&again) = self.again.get(&id) {
            return Ok(again);
        }
        let Source::Node(at) = self.graph.value(id).source else { return Ok(id) };
        let node = self.graph.node(at).clone();
        let cheap = table::is_activation(&node.op) || matches!(node.op, Op::BatchNormalization(_));
        if !cheap || !node.inputs.iter().flatten().any(|&id| self.wants(id)) {
            return Ok(id);
        }
        let mut inputs = node.inputs.clone();
        if let Some(x) = inputs[0] {
            inputs[0] = Some(self.value(x)?);
        }
        let again = self.graph.add_node(format!("{}.again", node.name), node.op, inputs, &[])?[0];
        self.again.insert(id, again);
        Ok(again)
    }
}
