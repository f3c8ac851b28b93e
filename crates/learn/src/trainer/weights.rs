//! The weights of one or several networks, in flat arenas.

use crate::{Error, Result};
use percept_graph::{DType, Graph, Op, Params, Source, Tensor, Value};
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

/// What is trained of one or several graphs, and what stays as it is.
pub struct Weights {
    pub(super) slices: Vec<Slice>,
    pub(super) statistics: Vec<Slice>,
    pub(super) fixed: Params,
    pub(super) batch_norm: BatchNorm,
    /// What is trained, one slice after the other.
    pub parameters: Vec<f32>,
    /// The gradient of the last loss with respect to it.
    pub gradients: Vec<f32>,
    /// Running means and variances.
    pub running: Vec<f32>,
}

impl Weights {
    /// The parameters of these graphs, shared where they have the same name; `train` says by name which are trained.
    ///
    /// # Errors
    /// Parameters that are missing or of another shape than a graph declares.
    pub fn new(
        graphs: &[&Graph],
        params: &Params,
        batch_norm: BatchNorm,
        train: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        graphs.iter().try_for_each(|graph| graph.check_params(params))?;
        let statistics: BTreeSet<String> = graphs.iter().flat_map(|graph| running_statistics(graph)).collect();
        let is_trained =
            |value: &Value| value.ty.dtype == DType::F32 && !statistics.contains(&value.name) && train(&value.name);
        let mut trained: Vec<String> = Vec::new();
        for value in graphs.iter().flat_map(|graph| graph.parameters()).filter(|value| is_trained(value)) {
            if !trained.contains(&value.name) {
                trained.push(value.name.clone());
            }
        }
        let moving: Vec<_> = match batch_norm {
            BatchNorm::Batch { .. } => statistics.into_iter().collect(),
            BatchNorm::Frozen => Vec::new(),
        };
        let fixed = |name: &String| !trained.contains(name) && !moving.contains(name);
        let fixed = params.iter().filter(|(name, _)| fixed(name)).map(|(name, t)| (name.clone(), t.clone())).collect();
        let (slices, parameters) = arena(&trained, params)?;
        let (statistics, running) = arena(&moving, params)?;
        let gradients = vec![0.0; parameters.len()];
        Ok(Self { slices, statistics, fixed, batch_norm, parameters, gradients, running })
    }

    /// What the arena of parameters is made of.
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// All parameters as they are now, by name.
    ///
    /// # Errors
    /// None that weights made by [`Weights::new`] can have.
    pub fn params(&self) -> Result<Params> {
        self.params_from(&self.parameters, &self.running)
    }

    /// All parameters by name, with other arenas in place of these, such as means over time.
    ///
    /// # Errors
    /// Arenas of other lengths.
    pub fn params_from(&self, parameters: &[f32], running: &[f32]) -> Result<Params> {
        if (parameters.len(), running.len()) != (self.parameters.len(), self.running.len()) {
            return Err(Error::Network("arenas of other lengths than the weights'".into()));
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
