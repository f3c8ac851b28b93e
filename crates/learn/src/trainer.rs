//! One network while it is trained: parameters and gradients in flat arenas, and the plan that runs both directions.
//!
//! What is trained enters the graph as inputs, so one plan serves all steps, and an optimiser sees two flat lists of numbers. Running
//! statistics are state like any other: the graph takes the old and gives the new.

use crate::gradient::gradients;
use crate::{Error, Result};
use percept_engine::{Input, Network, Plan, Settings};
use percept_graph::ops::{BatchNormalization, SoftmaxCrossEntropy};
use percept_graph::{Bindings, DType, Graph, Node, Op, Params, Source, Tensor, Value, ValueId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// A named part of an arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The parameter's name in the graph.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Where its elements lie.
    pub range: Range<usize>,
}

/// Which statistics batch normalisations use while a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "statistics", rename_all = "lowercase")]
pub enum BatchNorm {
    /// Those of the batch; the running ones keep this share of themselves in a step (ONNX's momentum, one minus PyTorch's).
    Batch {
        /// The share.
        momentum: f32,
    },
    /// The running ones, which stay as they are.
    Frozen,
}

/// A classifier under training: one input, logits `[N, classes]` as its one output.
///
/// ```
/// use percept_engine::{Input, Settings};
/// use percept_graph::{Builder, DType, Params, Tensor};
/// use percept_learn::trainer::{BatchNorm, Trainer};
///
/// let net = Builder::new("perceptron");
/// let logits = net.input("x", DType::F32, ["N".into(), 2.into()]).linear("fc", 2);
/// let graph = net.finish(&[("logits", logits)])?;
/// let params: Params = [
///     ("fc.weight".to_string(), Tensor::f32([2, 2], vec![0.0; 4])?),
///     ("fc.bias".to_string(), Tensor::f32([2], vec![0.0; 2])?),
/// ].into();
/// let mut trainer = Trainer::new(&graph, &params, BatchNorm::Frozen, |_| true, Settings::detect()?)?;
/// let loss = trainer.gradients_of(&[1, 2], Input::F32(&[1.0, -1.0]), &[1.0, 0.0])?;
/// assert!((loss - 2f32.ln()).abs() < 1e-6);
/// assert_eq!(trainer.gradients, [-0.5, 0.5, 0.5, -0.5, -0.5, 0.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Trainer {
    network: Network,
    slices: Vec<Slice>,
    statistics: Vec<Slice>,
    fixed: Params,
    classes: usize,
    /// What is trained, one slice after the other.
    pub parameters: Vec<f32>,
    /// The gradient of the last loss with respect to it.
    pub gradients: Vec<f32>,
    /// Running means and variances.
    pub running: Vec<f32>,
}

impl Trainer {
    /// Prepares a network; `train` says by name which parameters are trained.
    ///
    /// # Errors
    /// A network that is not a classifier, parameters that do not fit, an operator without a derivative.
    pub fn new(
        graph: &Graph,
        params: &Params,
        batch_norm: BatchNorm,
        train: impl Fn(&str) -> bool,
        settings: Settings,
    ) -> Result<Self> {
        graph.check_params(params)?;
        let statistics = running_statistics(graph);
        let is_trained =
            |value: &Value| value.ty.dtype == DType::F32 && !statistics.contains(&value.name) && train(&value.name);
        let mut open = Opened::new(graph)?;
        let trained: Vec<_> = graph.parameters().filter(|value| is_trained(value)).map(|v| v.name.clone()).collect();
        let inputs = trained.iter().map(|name| open.input(name)).collect::<Result<Vec<_>>>()?;
        let moving: Vec<_> = match batch_norm {
            BatchNorm::Batch { .. } => statistics.iter().cloned().collect(),
            BatchNorm::Frozen => Vec::new(),
        };
        moving.iter().try_for_each(|name| open.input(name).map(drop))?;
        let new_statistics = open.copy_nodes(batch_norm)?;
        let (outputs, classes) = open.loss_and_gradients(&inputs, &moving, &new_statistics)?;
        open.to.set_outputs(outputs);
        let fixed = |name: &String| !trained.contains(name) && !moving.contains(name);
        let fixed: Params =
            params.iter().filter(|(name, _)| fixed(name)).map(|(name, t)| (name.clone(), t.clone())).collect();
        let needed: Params = open.to.parameters().map(|v| (v.name.clone(), fixed[&v.name].clone())).collect();
        let network = Network::new(&open.to, &needed, settings)?;
        let (slices, parameters) = arena(&trained, params)?;
        let (statistics, running) = arena(&moving, params)?;
        let gradients = vec![0.0; parameters.len()];
        Ok(Self { network, slices, statistics, fixed, classes, parameters, gradients, running })
    }

    /// What the arena of parameters is made of.
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Computes the loss of a batch and its gradients, and moves the running statistics; gives back the loss.
    ///
    /// `targets` are probabilities, pictures × classes.
    ///
    /// # Errors
    /// Inputs that do not fit the network, or no pictures at all, whose mean loss and statistics would not be numbers.
    pub fn gradients_of(&mut self, shape: &[usize], pictures: Input<'_>, targets: &[f32]) -> Result<f32> {
        let slices = self.slices.iter().map(|slice| (slice, &self.parameters));
        let all = slices.chain(self.statistics.iter().map(|slice| (slice, &self.running)));
        let batch = shape.first().copied().unwrap_or(0);
        if batch == 0 {
            return Err(Error::Network("a batch without pictures has no loss".into()));
        }
        let target_shape = [batch, self.classes];
        let mut inputs = vec![(shape, pictures), (&target_shape[..], Input::F32(targets))];
        inputs.extend(all.map(|(slice, from)| (&slice.shape[..], Input::F32(&from[slice.range.clone()]))));
        let plan = self.network.run(&inputs)?;
        let loss = plan.output(0).1[0];
        for (i, slice) in self.slices.iter().enumerate() {
            self.gradients[slice.range.clone()].copy_from_slice(plan.output(1 + i).1);
        }
        for (i, slice) in self.statistics.iter().enumerate() {
            self.running[slice.range.clone()].copy_from_slice(plan.output(1 + self.slices.len() + i).1);
        }
        Ok(loss)
    }

    /// The plan of a step with a batch of this shape.
    ///
    /// # Errors
    /// A batch that does not fit the network or memory.
    pub fn plan(&mut self, shape: &[usize]) -> Result<&mut Plan> {
        let mut bindings = Bindings::new();
        let graph = self.network.graph();
        for (dim, &size) in graph.value(graph.inputs()[0]).ty.shape.iter().zip(shape) {
            if let Some(symbol) = dim.as_symbol() {
                bindings.insert(symbol.into(), size);
            }
        }
        Ok(self.network.plan(&bindings)?)
    }

    /// All parameters as they are now, by name.
    ///
    /// # Errors
    /// None that a trainer made by [`Trainer::new`] can have.
    pub fn params(&self) -> Result<Params> {
        self.params_from(&self.parameters, &self.running)
    }

    /// All parameters by name, with other arenas in place of the trainer's, such as means over time.
    ///
    /// # Errors
    /// Arenas of other lengths.
    pub fn params_from(&self, parameters: &[f32], running: &[f32]) -> Result<Params> {
        if (parameters.len(), running.len()) != (self.parameters.len(), self.running.len()) {
            return Err(Error::Network("arenas of other lengths than the trainer's".into()));
        }
        let mut all = self.fixed.clone();
        let slices = self.slices.iter().map(|slice| (slice, parameters));
        for (slice, from) in slices.chain(self.statistics.iter().map(|slice| (slice, running))) {
            all.insert(slice.name.clone(), Tensor::f32(slice.shape.clone(), from[slice.range.clone()].to_vec())?);
        }
        Ok(all)
    }
}

/// The names of the parameters that are means and variances of batch normalisations.
fn running_statistics(graph: &Graph) -> BTreeSet<String> {
    let norms = graph.nodes().iter().filter(|node| matches!(node.op, Op::BatchNormalization(_)));
    let ids = norms.flat_map(|node| node.inputs.iter().skip(3).flatten());
    ids.map(|&id| graph.value(id)).filter(|v| v.source == Source::Parameter).map(|v| v.name.clone()).collect()
}

/// The values of some parameters one after the other.
fn arena(names: &[String], params: &Params) -> Result<(Vec<Slice>, Vec<f32>)> {
    let (mut slices, mut values) = (Vec::with_capacity(names.len()), Vec::new());
    for name in names {
        let begin = values.len();
        values.extend_from_slice(params[name].as_f32()?);
        slices.push(Slice { name: name.clone(), shape: params[name].shape().to_vec(), range: begin..values.len() });
    }
    Ok((slices, values))
}

/// A graph copied such that some of its parameters are inputs.
struct Opened<'g> {
    from: &'g Graph,
    to: Graph,
    map: Vec<Option<ValueId>>,
    targets: ValueId,
    classes: usize,
}

impl<'g> Opened<'g> {
    fn new(from: &'g Graph) -> Result<Self> {
        let (&[image], &[logits]) = (from.inputs(), from.outputs()) else {
            return Err(Error::Network(format!("\"{}\" needs one input and one output to be trained", from.name)));
        };
        let mut to = Graph::new(format!("{}.training", from.name));
        let mut map = vec![None; from.values().len()];
        map[image.index()] = Some(to.add_input(from.value(image).name.clone(), from.value(image).ty.clone())?);
        let ty = from.value(logits).ty.clone();
        let classes = ty.shape.get(1).and_then(|dim| dim.as_const()).and_then(|n| usize::try_from(n).ok());
        let classes = classes.filter(|_| ty.rank() == 2 && ty.dtype == DType::F32);
        let classes = classes.ok_or_else(|| Error::Network(format!("a classifier gives [N, classes], not {ty}")))?;
        let targets = to.add_input("targets", ty)?;
        Ok(Self { from, to, map, targets, classes })
    }

    /// Makes an input of a parameter.
    fn input(&mut self, name: &str) -> Result<ValueId> {
        let id = self.from.find(name)?;
        let new = self.to.add_input(name, self.from.value(id).ty.clone())?;
        self.map[id.index()] = Some(new);
        Ok(new)
    }

    /// Copies all nodes; gives back the new running statistics by the name of the old.
    fn copy_nodes(&mut self, batch_norm: BatchNorm) -> Result<HashMap<String, ValueId>> {
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
            self.map[node.outputs[0].index()] = Some(outputs[0]);
            self.note_statistics(node, &outputs, &mut statistics)?;
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

    /// The outputs of the training graph: loss, gradients, new statistics; and the number of classes.
    fn loss_and_gradients(
        &mut self,
        trained: &[ValueId],
        moving: &[String],
        statistics: &HashMap<String, ValueId>,
    ) -> Result<(Vec<ValueId>, usize)> {
        let logits = self.value(self.from.outputs()[0])?;
        let loss = self.to.add(SoftmaxCrossEntropy {}, &[logits, self.targets])?;
        let mut outputs = vec![loss];
        for (&id, slope) in trained.iter().zip(gradients(&mut self.to, loss, trained)?) {
            let unused = || Error::Network(format!("the logits do not depend on \"{}\"", self.to.value(id).name));
            outputs.push(slope.ok_or_else(unused)?);
        }
        for name in moving {
            outputs.push(*statistics.get(name).ok_or_else(|| Error::Network(format!("\"{name}\" is not moved")))?);
        }
        Ok((outputs, self.classes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percept_graph::TensorType;

    #[test]
    fn a_network_with_two_outputs_is_refused() {
        let mut graph = Graph::new("net");
        let x = graph.add_input("x", TensorType::new(DType::F32, [1.into(), 2.into()])).unwrap();
        graph.set_outputs([x, x]);
        let settings = Settings::detect().unwrap();
        let made = Trainer::new(&graph, &Params::new(), BatchNorm::Frozen, |_| true, settings);
        assert!(made.err().unwrap().to_string().contains("one output"));
    }
}
