//! The graph of a training step: a network whose parameters are inputs, with its losses and their gradients behind it.

use super::{BatchNorm, Loss};
use crate::gradient::gradients;
use crate::{Error, Result};
use percept_graph::ops::{Add, BatchNormalization, Constant, Mul, ReduceMean, SoftmaxCrossEntropy, Sub};
use percept_graph::{DType, Graph, Node, Op, Tensor, ValueId};
use std::collections::HashMap;
use std::sync::Arc;

/// A graph copied such that some of its parameters are inputs.
pub(super) struct Opened<'g> {
    from: &'g Graph,
    pub(super) to: Graph,
    map: Vec<Option<ValueId>>,
    /// For each output its loss, and the inputs that this takes.
    losses: Vec<(Loss, Vec<ValueId>)>,
    /// The numbers for each picture in each of those inputs.
    pub(super) widths: Vec<usize>,
}

impl<'g> Opened<'g> {
    pub(super) fn new(from: &'g Graph, losses: &[Loss]) -> Result<Self> {
        let &[image] = from.inputs() else {
            return Err(Error::Network(format!("\"{}\" needs one input to be trained", from.name)));
        };
        if losses.is_empty() || losses.len() != from.outputs().len() {
            let (name, outputs) = (&from.name, from.outputs().len());
            let text = format!(
                "\"{name}\" has {outputs} outputs, but {} are to be trained: one output for each",
                losses.len()
            );
            return Err(Error::Network(text));
        }
        let mut to = Graph::new(format!("{}.training", from.name));
        let mut map = vec![None; from.values().len()];
        map[image.index()] = Some(to.add_input(from.value(image).name.clone(), from.value(image).ty.clone())?);
        let mut opened = Self { from, to, map, losses: Vec::new(), widths: Vec::new() };
        for (&output, &loss) in from.outputs().iter().zip(losses) {
            let ty = from.value(output).ty.clone();
            let width = ty.shape.get(1).and_then(|dim| dim.as_const()).and_then(|n| usize::try_from(n).ok());
            let width = width.filter(|_| ty.rank() == 2 && ty.dtype == DType::F32);
            let width = width.ok_or_else(|| Error::Network(format!("a classifier gives [N, classes], not {ty}")))?;
            let mut lists = Vec::new();
            for _ in 0..loss.lists() {
                let name = if opened.widths.is_empty() {
                    "targets".into()
                } else {
                    format!("targets.{}", opened.widths.len())
                };
                lists.push(opened.to.add_input(name, ty.clone())?);
                opened.widths.push(width);
            }
            opened.losses.push((loss, lists));
        }
        Ok(opened)
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
        for node in self.from.nodes() {
            let inputs = node.inputs.iter().map(|id| id.map(|id| self.value(id)).transpose());
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            let op = match (&node.op, batch_norm) {
                (Op::BatchNormalization(op), BatchNorm::Batch { momentum }) => {
                    BatchNormalization { momentum, training_mode: true, ..op.clone() }.into()
                }
                (op, _) => op.clone(),
            };
            let names: Vec<_> = node.outputs.iter().map(|&id| self.from.value(id).name.clone()).collect();
            let outputs = self.to.add_node(node.name.clone(), op, inputs, &names)?;
            node.outputs.iter().zip(&outputs).for_each(|(old, &new)| self.map[old.index()] = Some(new));
            if let Op::BatchNormalization(_) = node.op {
                self.note_statistics(node, &outputs, &mut statistics)?;
            }
        }
        Ok(statistics)
    }

    /// One normalisation used at several places of a network moves its statistics once, at the last.
    fn note_statistics(&self, node: &Node, outputs: &[ValueId], to: &mut HashMap<String, ValueId>) -> Result<()> {
        for (i, &new) in outputs.iter().enumerate().skip(1) {
            if let Some(old) = node.inputs.get(2 + i).copied().flatten() {
                to.insert(self.from.value(old).name.clone(), new);
            }
        }
        Ok(())
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

    /// The outputs of the training graph: loss, gradients, new statistics.
    pub(super) fn loss_and_gradients(
        &mut self,
        trained: &[ValueId],
        moving: &[String],
        statistics: &HashMap<String, ValueId>,
    ) -> Result<Vec<ValueId>> {
        let loss = self.loss()?;
        let mut outputs = vec![loss];
        for (&id, slope) in trained.iter().zip(gradients(&mut self.to, loss, trained)?) {
            let unused = || Error::Network(format!("the outputs do not depend on \"{}\"", self.to.value(id).name));
            outputs.push(slope.ok_or_else(unused)?);
        }
        for name in moving {
            outputs.push(*statistics.get(name).ok_or_else(|| Error::Network(format!("\"{name}\" is not moved")))?);
        }
        Ok(outputs)
    }

    /// The sum of all losses.
    fn loss(&mut self) -> Result<ValueId> {
        let mut sum = None;
        for (i, (loss, lists)) in std::mem::take(&mut self.losses).into_iter().enumerate() {
            let output = self.value(self.from.outputs()[i])?;
            let one = match loss {
                Loss::CrossEntropy => self.to.add(SoftmaxCrossEntropy {}, &[output, lists[0]])?,
                Loss::SquaredError => {
                    let error = self.to.add(Sub, &[output, lists[0]])?;
                    let square = self.to.add(Mul, &[error, error])?;
                    let weighted = self.to.add(Mul, &[square, lists[1]])?;
                    let mean = self.to.add(ReduceMean { axes: None, keepdims: false }, &[weighted])?;
                    let half = self.to.add(Constant { value: Arc::new(Tensor::scalar(0.5)) }, &[])?;
                    self.to.add(Mul, &[mean, half])?
                }
            };
            sum = Some(match sum {
                Some(sum) => self.to.add(Add, &[sum, one])?,
                None => one,
            });
        }
        sum.ok_or_else(|| Error::Network(format!("\"{}\" has no output to be trained", self.from.name)))
    }
}
