//! What is measured: a model from a file, or a network by its name with fresh weights; and made-up pictures for it.

use crate::{Error, Result};
use percept_engine::Input;
use percept_engine::reference::Array;
use percept_graph::onnx::Model;
use percept_graph::rewrite::cut;
use percept_graph::{Bindings, DType, Graph, Op, Params, Source, ValueId};
use percept_models::{Network, initialize};
use std::collections::BTreeSet;
use std::path::Path;

/// Height and width of pictures that may have any.
const SIDE: usize = 224;

/// A model to be measured.
pub struct Subject {
    /// The file or the network's name.
    pub name: String,
    pub(super) graph: Graph,
    pub(super) params: Params,
}

/// Made-up numbers for an input.
pub(super) struct Numbers {
    pub(super) shape: Vec<usize>,
    data: Data,
}

enum Data {
    U8(Vec<u8>),
    F32(Vec<f32>),
}

impl Subject {
    /// The model in an ONNX file.
    ///
    /// # Errors
    /// A file that cannot be read or is no model.
    pub fn read(path: &Path) -> Result<Self> {
        let Model { graph, params, .. } = Model::read(path)?;
        Ok(Self { name: path.display().to_string(), graph, params })
    }

    /// A network by its name, for pictures of the size that it was made for, with the weights that a training begins with.
    ///
    /// # Errors
    /// A name that is not among [`NETWORKS`](percept_models::NETWORKS).
    pub fn network(name: &str, classes: usize) -> Result<Self> {
        let network = Network::find(name)?;
        let graph = network.build(network.size, classes)?;
        let params = initialize(&graph, 0)?;
        Ok(Self { name: name.into(), graph, params })
    }

    /// An error that names the model.
    pub(super) fn error(&self, reason: impl Into<String>) -> Error {
        Error::model(Path::new(&self.name), reason)
    }

    /// Sizes for the symbols of the inputs' shapes, and the number of pictures at once: those wanted, or what the model fixes, or else
    /// `default`.
    pub(super) fn bindings(&self, wanted: Option<usize>, default: usize) -> Result<(Bindings, usize)> {
        let inputs = || self.graph.inputs().iter().map(|&id| &self.graph.value(id).ty.shape);
        let fixed = inputs().find_map(|shape| usize::try_from(shape.first()?.as_const()?).ok());
        let batch = wanted.or(fixed).unwrap_or(default);
        if let Some(fixed) = fixed.filter(|&fixed| fixed != batch) {
            return Err(self.error(format!("is made for a batch of {fixed}: give --batch {fixed}")));
        }
        let mut bindings = Bindings::new();
        for (axis, dim) in inputs().flat_map(|shape| shape.iter().enumerate()) {
            if let Some(symbol) = dim.as_symbol() {
                bindings.entry(symbol.into()).or_insert(if axis == 0 { batch } else { SIDE });
            }
        }
        Ok((bindings, batch))
    }

    /// Numbers for all inputs: the same each time, and not all alike.
    pub(super) fn made_up(&self, bindings: &Bindings) -> Result<Vec<Numbers>> {
        let bound = self.graph.bind(bindings)?;
        let numbers = |&id: &ValueId| {
            let ty = &bound.value(id).ty;
            let shape = ty.concrete()?;
            let levels = (0..shape.iter().product()).map(|i: usize| (i * 31 % 251) as u8);
            let data = match ty.dtype {
                DType::U8 => Data::U8(levels.collect()),
                _ => Data::F32(levels.map(|level| f32::from(level) / 125.0 - 1.0).collect()),
            };
            Ok(Numbers { shape, data })
        };
        bound.inputs().iter().map(numbers).collect()
    }

    /// The graph up to the logits, and the names of the parameters that a training moves: weights and biases of convolutions and
    /// products, scales and shifts of normalisations.
    pub(super) fn trainable(&self) -> Result<(Graph, BTreeSet<String>)> {
        let graph = &self.graph;
        // The first output is what a classifier says; ours has a score of known beside it.
        let output = graph.outputs().first().ok_or_else(|| self.error("has no output: it cannot be trained"))?;
        let graph = cut(graph, graph.inputs(), &[logits(graph, *output)])?;
        let moved = graph.nodes().iter().flat_map(|node| match &node.op {
            Op::Conv(_) | Op::Gemm(_) | Op::MatMul(_) | Op::BatchNormalization(_) => {
                &node.inputs[1.min(node.inputs.len())..3.min(node.inputs.len())]
            }
            _ => &[],
        });
        let moved = moved.flatten().map(|&id| graph.value(id)).filter(|value| value.source == Source::Parameter);
        let names: BTreeSet<String> = moved.map(|value| value.name.clone()).collect();
        if names.is_empty() {
            return Err(self.error("has no weights that could be trained"));
        }
        Ok((graph, names))
    }
}

impl Numbers {
    pub(super) fn input(&self) -> Input<'_> {
        match &self.data {
            Data::U8(data) => Input::U8(data),
            Data::F32(data) => Input::F32(data),
        }
    }

    pub(super) fn array(&self) -> Array {
        let (dtype, data) = match &self.data {
            Data::U8(data) => (DType::U8, data.iter().map(|&x| x.into()).collect()),
            Data::F32(data) => (DType::F32, data.iter().map(|&x| x.into()).collect()),
        };
        Array { dtype, shape: self.shape.clone(), data }
    }
}

/// What enters the softmax that a graph may end in, and the temperature before it; the output itself if there is none.
pub(crate) fn logits(graph: &Graph, output: ValueId) -> ValueId {
    let number = |id: ValueId| match graph.producer(id) {
        Some(node) => matches!(node.op, Op::Constant(_)),
        None => graph.value(id).source == Source::Parameter,
    };
    let number = |id: ValueId| number(id) && graph.value(id).ty.shape.iter().all(|dim| *dim == 1.into());
    let (mut id, mut after_softmax) = (output, false);
    while let Some(node) = graph.producer(id) {
        id = match (&node.op, &node.inputs[..]) {
            (Op::Softmax(_), &[Some(x)]) if !after_softmax => {
                after_softmax = true;
                x
            }
            (Op::Identity(_), &[Some(x)]) => x,
            (Op::Div(_) | Op::Mul(_), &[Some(x), Some(factor)]) if after_softmax && number(factor) => x,
            _ => return id,
        };
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use percept_graph::{Builder, Tensor};

    fn subject(graph: Graph) -> Subject {
        Subject { name: "net".into(), graph, params: Params::new() }
    }

    #[test]
    fn softmax_and_temperature_are_left_out_of_a_training() {
        let net = Builder::new("net");
        let x = net.input("x", DType::F32, ["N".into(), 4.into()]);
        let scaled = x / net.parameter("deviation", [4.into()]);
        let logits = scaled.linear("fc", 3);
        let cooled = logits / net.constant(Tensor::scalar(1.5));
        let subject = subject(net.finish(&[("probabilities", cooled.softmax())]).unwrap());
        let (graph, moved) = subject.trainable().unwrap();
        assert!(matches!(graph.nodes().last().unwrap().op, Op::Gemm(_)));
        assert_eq!(moved, ["fc.bias".to_string(), "fc.weight".to_string()].into());
    }

    #[test]
    fn a_scale_of_the_logits_themselves_stays() {
        let net = Builder::new("net");
        let x = net.input("x", DType::F32, ["N".into(), 4.into()]);
        let logits = x.linear("fc", 3) / net.constant(Tensor::scalar(1.5));
        let subject = subject(net.finish(&[("logits", logits)]).unwrap());
        assert!(matches!(subject.trainable().unwrap().0.nodes().last().unwrap().op, Op::Div(_)));
    }

    #[test]
    fn the_batch_is_what_is_wanted_or_what_the_model_fixes() {
        let net = |batch: percept_graph::Dim| {
            let net = Builder::new("net");
            let x = net.input("x", DType::F32, [batch, 3.into(), "H".into(), "W".into()]);
            subject(net.finish(&[("y", x.relu())]).unwrap())
        };
        let (bindings, batch) = net("N".into()).bindings(None, 32).unwrap();
        assert_eq!((bindings["N"], bindings["H"], batch), (32, 224, 32));
        assert_eq!(net("N".into()).bindings(Some(4), 32).unwrap().1, 4);
        assert_eq!(net(8.into()).bindings(None, 32).unwrap().1, 8);
        let message = net(8.into()).bindings(Some(4), 32).err().unwrap().to_string();
        assert!(message.contains("--batch 8"), "{message}");
    }
}
