//! The graph of a training step: a network whose parameters are inputs, with the gradients of its loss behind it.

use super::BatchNorm;
use crate::gradient::gradients;
use crate::{Error, Result};
use percept_graph::ops::{BatchNormalization, DropoutTraining};
use percept_graph::{DType, Graph, Node, Op, TensorType, ValueId};
use std::collections::HashMap;

/// A graph copied such that some of its parameters are inputs.
pub(super) struct Opened<'g> {
    from: &'g Graph,
    pub(super) to: Graph,
    map: Vec<Option<ValueId>>,
    /// What dropout draws from.
    seed: Option<ValueId>,
}

impl<'g> Opened<'g> {
    pub(super) fn new(from: &'g Graph) -> Result<Self> {
        if from.outputs().is_empty() {
            return Err(Error::Network(format!("\"{}\" has no output: its first is to be the loss", from.name)));
        }
        let mut to = Graph::new(format!("{}.training", from.name));
        let mut map = vec![None; from.values().len()];
        for &id in from.inputs() {
            map[id.index()] = Some(to.add_input(from.value(id).name.clone(), from.value(id).ty.clone())?);
        }
        let drops = from.nodes().iter().any(|node| matches!(&node.op, Op::Dropout(op) if op.ratio > 0.0));
        let seed = drops.then(|| to.add_input("dropout.seed", TensorType::new(DType::I64, [1.into()]))).transpose()?;
        Ok(Self { from, to, map, seed })
    }

    /// Whether the graph draws what dropout drops.
    pub(super) fn drops(&self) -> bool {
        self.seed.is_some()
    }

    /// Makes an input of a parameter.
    pub(super) fn input(&mut self, name: &str) -> Result<ValueId> {
        let id = self.from.find(name)?;
        let new = self.to.add_input(name, self.from.value(id).ty.clone())?;
        self.map[id.index()] = Some(new);
        Ok(new)
    }

    /// Copies all nodes; gives back the new running statistics by the name of the old.
    pub(super) fn copy_nodes(&mut self, batch_norm: BatchNorm) -> Result<HashMap<String, ValueId>> {
        let mut statistics = HashMap::new();
        for (i, node) in self.from.nodes().iter().enumerate() {
            let inputs = node.inputs.iter().map(|id| id.map(|id| self.value(id)).transpose());
            let mut inputs = inputs.collect::<Result<Vec<_>>>()?;
            let op = match (&node.op, batch_norm) {
                (Op::BatchNormalization(op), BatchNorm::Batch { momentum }) => {
                    BatchNormalization { momentum, training_mode: true, ..op.clone() }.into()
                }
                (Op::Dropout(op), _) if op.ratio > 0.0 => {
                    inputs.push(self.seed);
                    DropoutTraining { ratio: op.ratio, key: i as u64 }.into()
                }
                (op, _) => op.clone(),
            };
            let names: Vec<_> = node.outputs.iter().map(|&id| self.from.value(id).name.clone()).collect();
            let outputs = self.to.add_node(node.name.clone(), op, inputs, &names)?;
            node.outputs.iter().zip(&outputs).for_each(|(old, &new)| self.map[old.index()] = Some(new));
            if let Op::BatchNormalization(_) = node.op {
                self.note_statistics(node, &outputs, &mut statistics);
            }
        }
        Ok(statistics)
    }

    /// One normalisation used at several places of a network moves its statistics once, at the last.
    fn note_statistics(&self, node: &Node, outputs: &[ValueId], to: &mut HashMap<String, ValueId>) {
        for (i, &new) in outputs.iter().enumerate().skip(1) {
            if let Some(old) = node.inputs.get(2 + i).copied().flatten() {
                to.insert(self.from.value(old).name.clone(), new);
            }
        }
    }

    fn value(&mut self, id: ValueId) -> Result<ValueId> {
        if let Some(id) = self.map[id.index()] {
            return Ok(id);
        }
        let value = self.from.value(id);
        let new = self.to.add_parameter(&value.name, value.ty.clone())?;
        self.map[id.index()] = Some(new);
        Ok(new)
    }

    /// The outputs of the training graph: those of the graph, gradients, new statistics.
    pub(super) fn outputs(
        &mut self,
        trained: &[ValueId],
        moving: &[&String],
        statistics: &HashMap<String, ValueId>,
    ) -> Result<Vec<ValueId>> {
        let mut outputs = self.from.outputs().iter().map(|&id| self.value(id)).collect::<Result<Vec<_>>>()?;
        for (&id, slope) in trained.iter().zip(gradients(&mut self.to, outputs[0], trained)?) {
            let unused = || Error::Network(format!("the loss does not depend on \"{}\"", self.to.value(id).name));
            outputs.push(slope.ok_or_else(unused)?);
        }
        for &name in moving {
            outputs.push(*statistics.get(name).ok_or_else(|| Error::Network(format!("\"{name}\" is not moved")))?);
        }
        Ok(outputs)
    }
}
