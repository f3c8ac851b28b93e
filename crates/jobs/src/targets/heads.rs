//! The last layers of a network, one for each question, which all read the same features.

use crate::{Error, Result};
use percept_graph::rewrite::cut;
use percept_graph::{Builder, Graph, Op, Params, Tensor};
use percept_learn::logistic::Weights;

/// The weights of all heads.
#[derive(Clone, Debug)]
pub(crate) struct Heads(pub(crate) Vec<Head>);

/// A linear layer.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// A row for each output, as PyTorch keeps them.
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl Head {
    /// What was fitted on features.
    pub(crate) fn of(weights: &Weights) -> Self {
        let (width, rows) = (weights.width, weights.classes);
        let weight = (0..rows).flat_map(|c| (0..width).map(move |i| weights.coefficients[i * rows + c])).collect();
        Self { weight, bias: weights.intercept.clone() }
    }

    fn width(&self) -> usize {
        self.weight.len() / self.bias.len().max(1)
    }

    /// The rows `f` makes of the layer's rows, each with its bias as last element.
    pub(crate) fn map(&self, f: impl FnOnce(Vec<Vec<f64>>) -> Vec<Vec<f64>>) -> Self {
        let row = |(row, bias): (&[f32], &f32)| row.iter().chain([bias]).map(|&x| f64::from(x)).collect();
        let rows = f(self.weight.chunks_exact(self.width().max(1)).zip(&self.bias).map(row).collect());
        let bias = rows.iter().filter_map(|row| row.last()).map(|&x| x as f32).collect();
        let weight = rows.iter().flat_map(|row| &row[..row.len().saturating_sub(1)]).map(|&x| x as f32).collect();
        Self { weight, bias }
    }

    /// Adds weight and bias to parameters.
    pub(crate) fn store(&self, name: &str, params: &mut Params) -> Result<()> {
        let [rows, width] = [self.bias.len(), self.width()];
        params.insert(format!("{name}.weight"), Tensor::f32([rows, width], self.weight.clone())?);
        params.insert(format!("{name}.bias"), Tensor::f32([rows], self.bias.clone())?);
        Ok(())
    }
}

impl Heads {
    pub(crate) fn zeros(width: usize, widths: &[usize]) -> Self {
        Self(widths.iter().map(|&rows| Head { weight: vec![0.0; rows * width], bias: vec![0.0; rows] }).collect())
    }

    /// The name in a network of a head's layer.
    fn name(question: usize) -> String {
        format!("head.{question}")
    }

    /// A network that gives features, with the heads on top: their raw outputs are its outputs.
    pub(crate) fn on(&self, body: Graph, params: &mut Params) -> Result<Graph> {
        let features = body.value(body.outputs()[0]).name.clone();
        let net = Builder::from_graph(body);
        let features = net.find(&features);
        let mut outputs = Vec::new();
        for (i, head) in self.0.iter().enumerate() {
            outputs.push((format!("raw.{i}"), features.linear(&Self::name(i), head.bias.len())));
            head.store(&Self::name(i), params)?;
        }
        let outputs: Vec<_> = outputs.iter().map(|(name, var)| (name.as_str(), *var)).collect();
        Ok(net.finish(&outputs)?)
    }

    /// The heads of a network that [`Heads::on`] made.
    pub(crate) fn of(graph: &Graph, params: &Params) -> Result<Self> {
        let list = |name: String| -> Result<Vec<f32>> {
            let tensor = params.get(&name).ok_or_else(|| Error::Setting(format!("the network has no {name}")))?;
            Ok(tensor.as_f32()?.to_vec())
        };
        let head = |i| -> Result<Head> {
            Ok(Head {
                weight: list(format!("{}.weight", Self::name(i)))?,
                bias: list(format!("{}.bias", Self::name(i)))?,
            })
        };
        Ok(Self((0..graph.outputs().len()).map(head).collect::<Result<_>>()?))
    }
}

/// What of a network makes the features that its last layers read.
pub(crate) fn body(graph: &Graph) -> Result<Graph> {
    let wrong =
        || Error::Setting(format!("the last layer of {} is not linear: it cannot answer questions", graph.name));
    let last = graph.producer(graph.outputs()[0]).filter(|node| matches!(node.op, Op::Gemm(_))).ok_or_else(wrong)?;
    let features = last.inputs.first().copied().flatten().ok_or_else(wrong)?;
    Ok(cut(graph, graph.inputs(), &[features])?)
}

/// Those parameters that a network has.
pub(crate) fn only_of(graph: &Graph, params: Params) -> Params {
    params.into_iter().filter(|(name, _)| graph.find(name).is_ok()).collect()
}
