//! The values that parameters begin with.
//!
//! What a parameter is follows from the nodes that read it, not from its name, so a network from an ONNX file can begin anew as well.
//!
//! | parameter | first value |
//! |---|---|
//! | weight of a convolution | normal, variance `2 / fan_out`: He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 14 |
//! | bias of a convolution | uniform within `1 / sqrt(fan_in)` |
//! | weight and bias of a linear layer | uniform within `1 / sqrt(fan_in)` |
//! | weights and biases of a recurrent layer | uniform within `1 / sqrt(hidden units)` |
//! | batch normalisation | weight 1, bias 0, mean 0, variance 1 |
//!
//! That is what torchvision does for ResNets, which count all output channels as `fan_out` even if there are groups; the biases are those of
//! PyTorch's layers. MobileNetV2's last layer is drawn like the others here, where torchvision takes a normal with deviation 0.01.
//!
//! A number depends on the seed, the parameter's name and its place in the parameter alone, and is made of the operations that IEEE 754
//! rounds correctly, not of a system's `ln` or `cos`: so it is the same on every machine.

mod draw;

use crate::Error;
use draw::{key, normal, uniform};
use percept_graph::pytorch::recurrent_parameters;
use percept_graph::{Graph, Node, Op, Params, Source, Tensor};
use std::collections::HashMap;

/// How the elements of a parameter begin.
#[derive(Clone, Copy, Debug, PartialEq)]
enum First {
    Value(f32),
    /// With this standard deviation around 0.
    Normal(f64),
    /// Within so much of 0.
    Uniform(f64),
}

impl First {
    fn draw(self, key: u64, elements: usize) -> Vec<f32> {
        let all = 0..elements as u64;
        match self {
            Self::Value(value) => vec![value; elements],
            Self::Normal(deviation) => all.map(|i| (deviation * normal(key, i)) as f32).collect(),
            Self::Uniform(bound) => all.map(|i| (bound * (2.0 * uniform(key, i) - 1.0)) as f32).collect(),
        }
    }
}

/// First values for all parameters of a graph: the same for the same seed, on every machine.
///
/// ```
/// use percept_models::{Network, initialize};
///
/// let graph = Network::find("resnet18")?.build(32, 10)?;
/// let params = initialize(&graph, 7)?;
/// graph.check_params(&params)?;
/// assert!(params["bn1.weight"].as_f32()?.iter().all(|&value| value == 1.0));
/// let bound = 1.0 / 512_f32.sqrt();
/// assert!(params["fc.weight"].as_f32()?.iter().all(|value| value.abs() <= bound));
/// # Ok::<(), percept_models::Error>(())
/// ```
///
/// # Errors
///
/// If a parameter is neither part of a convolution, a linear or recurrent layer nor a batch normalisation, or its size is not known.
pub fn initialize(graph: &Graph, seed: u64) -> Result<Params, Error> {
    let mut rules = HashMap::new();
    for node in graph.nodes() {
        for (place, first) in rules_of(graph, node)? {
            if let Some(&Some(id)) = node.inputs.get(place) {
                rules.entry(graph.value(id).name.as_str()).or_insert(first);
            }
        }
    }
    for (id, op) in recurrent_parameters(graph) {
        let hidden = match op {
            Op::Lstm(op) => op.hidden_size,
            Op::Gru(op) => op.hidden_size,
            Op::Rnn(op) => op.hidden_size,
            _ => continue,
        };
        rules.entry(graph.value(id).name.as_str()).or_insert(First::Uniform(1.0 / (hidden as f64).sqrt()));
    }
    let mut params = Params::new();
    for value in graph.parameters() {
        let first = rules.get(value.name.as_str()).ok_or_else(|| no_rule(graph, &value.name))?;
        let shape = value.ty.concrete()?;
        let values = first.draw(key(seed, &value.name), shape.iter().product());
        params.insert(value.name.clone(), Tensor::f32(shape, values)?);
    }
    Ok(params)
}

/// How a node's inputs begin if they are parameters.
fn rules_of(graph: &Graph, node: &Node) -> Result<Vec<(usize, First)>, Error> {
    let constants = |values: [f32; 4]| values.into_iter().enumerate().map(|(i, v)| (i + 1, First::Value(v))).collect();
    match &node.op {
        Op::BatchNormalization(_) => Ok(constants([1.0, 0.0, 0.0, 1.0])),
        Op::Conv(_) | Op::Gemm(_) | Op::MatMul(_) => {
            let shape = match node.inputs.get(1) {
                Some(&Some(id)) if graph.value(id).source == Source::Parameter => graph.value(id).ty.concrete()?,
                _ => return Ok(Vec::new()),
            };
            Ok(weighted(&node.op, &shape))
        }
        _ => Ok(Vec::new()),
    }
}

/// How weight (input 1) and bias (input 2) begin if the weight has this shape.
fn weighted(op: &Op, shape: &[usize]) -> Vec<(usize, First)> {
    let (fan_in, weight) = match (op, shape) {
        (Op::Conv(_), [to, from, kernel @ ..]) => {
            let taps: usize = kernel.iter().product();
            (from * taps, Some(First::Normal((2.0 / (to * taps) as f64).sqrt())))
        }
        (Op::Gemm(op), &[_, from]) if op.trans_b => (from, None),
        (_, &[.., from, _]) => (from, None),
        _ => return Vec::new(),
    };
    let bias = First::Uniform(1.0 / (fan_in as f64).sqrt());
    vec![(1, weight.unwrap_or(bias)), (2, bias)]
}

fn no_rule(graph: &Graph, name: &str) -> Error {
    let reads = |node: &&Node| node.inputs.iter().flatten().any(|&id| graph.value(id).name == name);
    let reason = match graph.nodes().iter().find(reads) {
        Some(node) => format!("read by \"{}\" ({})", node.name, node.op.name()),
        None => "read by no node".into(),
    };
    Error::NoFirstValue { name: name.into(), reason }
}

#[cfg(test)]
mod tests;
