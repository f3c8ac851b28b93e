//! One network while it is trained: parameters and gradients in flat arenas, and the plan that runs both directions.
//!
//! What is trained enters the graph as inputs, so one plan serves all steps, and an optimiser sees two flat lists of numbers. Running
//! statistics are state like any other: the graph takes the old and gives the new.

mod opened;

use crate::{Error, Result};
use opened::Opened;
use percept_engine::{Input, Network, Plan, Settings};
use percept_graph::{Bindings, DType, Graph, Op, Params, Source, Tensor, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
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

/// What is minimised of an output `[N, C]` of a network; of several outputs it is the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Mean over the batch of `−Σ targets · log softmax(output)`. Targets `[N, C]` are probabilities; a row that counts less, or not at all,
    /// has them multiplied by its weight.
    CrossEntropy,
    /// Half the mean of `weights · (output − targets)²`, for targets `[N, C]` and, as a list of their own after them, weights `[N, C]`.
    SquaredError,
}

impl Loss {
    /// How many lists of numbers it takes beside the output.
    pub fn lists(self) -> usize {
        match self {
            Loss::CrossEntropy => 1,
            Loss::SquaredError => 2,
        }
    }
}

/// A network under training: one input, and for each output `[N, C]` a [`Loss`].
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
    /// Numbers for each picture in each list that the losses take.
    widths: Vec<usize>,
    /// What is trained, one slice after the other.
    pub parameters: Vec<f32>,
    /// The gradient of the last loss with respect to it.
    pub gradients: Vec<f32>,
    /// Running means and variances.
    pub running: Vec<f32>,
}

impl Trainer {
    /// Prepares a classifier, whose output is logits; `train` says by name which parameters are trained.
    ///
    /// # Errors
    /// As [`Trainer::with_losses`].
    pub fn new(
        graph: &Graph,
        params: &Params,
        batch_norm: BatchNorm,
        train: impl Fn(&str) -> bool,
        settings: Settings,
    ) -> Result<Self> {
        Self::with_losses(graph, params, &[Loss::CrossEntropy], batch_norm, train, settings)
    }

    /// Prepares a network with a loss for each of its outputs.
    ///
    /// # Errors
    /// A network of another form, parameters that do not fit, an operator without a derivative.
    pub fn with_losses(
        graph: &Graph,
        params: &Params,
        losses: &[Loss],
        batch_norm: BatchNorm,
        train: impl Fn(&str) -> bool,
        settings: Settings,
    ) -> Result<Self> {
        graph.check_params(params)?;
        let statistics = running_statistics(graph);
        let is_trained =
            |value: &Value| value.ty.dtype == DType::F32 && !statistics.contains(&value.name) && train(&value.name);
        let mut open = Opened::new(graph, losses)?;
        let trained: Vec<_> = graph.parameters().filter(|value| is_trained(value)).map(|v| v.name.clone()).collect();
        let inputs = trained.iter().map(|name| open.input(name)).collect::<Result<Vec<_>>>()?;
        let moving: Vec<_> = match batch_norm {
            BatchNorm::Batch { .. } => statistics.iter().cloned().collect(),
            BatchNorm::Frozen => Vec::new(),
        };
        moving.iter().try_for_each(|name| open.input(name).map(drop))?;
        let new_statistics = open.copy_nodes(batch_norm)?;
        let outputs = open.loss_and_gradients(&inputs, &moving, &new_statistics)?;
        open.to.set_outputs(outputs);
        let fixed = |name: &String| !trained.contains(name) && !moving.contains(name);
        let fixed: Params =
            params.iter().filter(|(name, _)| fixed(name)).map(|(name, t)| (name.clone(), t.clone())).collect();
        let needed: Params = open.to.parameters().map(|v| (v.name.clone(), fixed[&v.name].clone())).collect();
        let network = Network::new(&open.to, &needed, settings)?;
        let (slices, parameters) = arena(&trained, params)?;
        let (statistics, running) = arena(&moving, params)?;
        let gradients = vec![0.0; parameters.len()];
        Ok(Self { network, slices, statistics, fixed, widths: open.widths, parameters, gradients, running })
    }

    /// What the arena of parameters is made of.
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// Number of classes, or of what else the first output has.
    pub fn classes(&self) -> usize {
        self.widths[0]
    }

    /// Computes the loss of a batch and its gradients, and moves the running statistics; gives back the loss.
    ///
    /// `targets` are probabilities, pictures × classes.
    ///
    /// # Errors
    /// Inputs that do not fit the network, or no pictures at all, whose mean loss and statistics would not be numbers.
    pub fn gradients_of(&mut self, shape: &[usize], pictures: Input<'_>, targets: &[f32]) -> Result<f32> {
        self.gradients_of_all(shape, pictures, &[targets])
    }

    /// The same for several outputs: `lists` are what their losses take, one after the other.
    ///
    /// # Errors
    /// As [`Trainer::gradients_of`], and another number of lists.
    pub fn gradients_of_all<L: AsRef<[f32]>>(
        &mut self,
        shape: &[usize],
        pictures: Input<'_>,
        lists: &[L],
    ) -> Result<f32> {
        Error::check_size("lists of targets", lists.len(), self.widths.len())?;
        let slices = self.slices.iter().map(|slice| (slice, &self.parameters));
        let all = slices.chain(self.statistics.iter().map(|slice| (slice, &self.running)));
        let batch = shape.first().copied().unwrap_or(0);
        if batch == 0 {
            return Err(Error::Network("a batch without pictures has no loss".into()));
        }
        let shapes: Vec<_> = self.widths.iter().map(|&width| [batch, width]).collect();
        let mut inputs = vec![(shape, pictures)];
        inputs.extend(shapes.iter().zip(lists).map(|(shape, list)| (&shape[..], Input::F32(list.as_ref()))));
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

#[cfg(test)]
mod tests;
