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
//! | weight and bias of a transposed convolution | uniform within `1 / sqrt(fan_in)`, where PyTorch counts output channels as `fan_in` |
//! | embedding | normal, variance 1 |
//! | batch and layer normalisation | weight 1, bias 0, mean 0, variance 1 |
//!
//! That is what torchvision does for ResNets, which count all output channels as `fan_out` even if there are groups; the biases are those of
//! PyTorch's layers. MobileNetV2's last layer is drawn like the others here, where torchvision takes a normal with deviation 0.01.
//!
//! A number depends on the seed, the parameter's name and its place in the parameter alone, and is made of the operations that IEEE 754
//! rounds correctly, not of a system's `ln` or `cos`: so it is the same on every machine.
//!
//! Other first values ([`Init`]) can be given to any parameter, with [`initialize_with`].

mod draw;
mod rule;

pub use rule::{Fan, Init};

use crate::Error;
use draw::key;
use percept_graph::pytorch::recurrent_parameters;
use percept_graph::{Graph, Node, Op, Params, Source, Tensor};
use rule::fans;
use std::collections::HashMap;

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
/// If a parameter is neither part of a convolution, a linear, recurrent or embedding layer nor a normalisation, or its size is not known.
pub fn initialize(graph: &Graph, seed: u64) -> Result<Params, Error> {
    initialize_with(graph, seed, |_, _| None)
}

/// The same with other rules for some parameters: `rule` gets name and shape, and says nothing about those that begin as usual.
///
/// ```
/// use percept_models::init::{Init, initialize_with};
/// use percept_models::Network;
///
/// let graph = Network::find("lenet")?.build(28, 10)?;
/// let params = initialize_with(&graph, 7, |name, shape| match shape {
///     [_, _] => Some(Init::XavierUniform),
///     _ => name.ends_with("bias").then_some(Init::Constant(0.0)),
/// })?;
/// let bound = (6.0 / (84.0 + 10.0_f32)).sqrt();
/// assert!(params["fc3.weight"].as_f32()?.iter().all(|value| value.abs() <= bound));
/// assert!(params["fc3.bias"].as_f32()?.iter().all(|&value| value == 0.0));
/// # Ok::<(), percept_models::Error>(())
/// ```
///
/// # Errors
///
/// If neither `rule` nor a node that reads it says how a parameter begins, or its size is not known.
pub fn initialize_with(
    graph: &Graph,
    seed: u64,
    rule: impl Fn(&str, &[usize]) -> Option<Init>,
) -> Result<Params, Error> {
    let mut usual = HashMap::new();
    for node in graph.nodes() {
        for (place, init, fans) in rules_of(graph, node)? {
            if let Some(&Some(id)) = node.inputs.get(place) {
                usual.entry(graph.value(id).name.as_str()).or_insert((init, fans));
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
        let init = Init::Uniform(1.0 / (hidden as f64).sqrt());
        usual.entry(graph.value(id).name.as_str()).or_insert((init, None));
    }
    let mut params = Params::new();
    for value in graph.parameters() {
        let shape = value.ty.concrete()?;
        let usual = usual.get(value.name.as_str()).copied();
        let init = rule(&value.name, &shape).or(usual.map(|(init, _)| init));
        let init = init.ok_or_else(|| no_rule(graph, &value.name))?;
        let fans = usual.and_then(|(_, fans)| fans).unwrap_or_else(|| fans(&shape));
        let values = init.values(key(seed, &value.name), &shape, fans);
        params.insert(value.name.clone(), Tensor::f32(shape, values)?);
    }
    Ok(params)
}

/// What a parameter reads and what it feeds: numbers of values; nothing if they follow from the shape as usual.
type Fans = Option<[usize; 2]>;

/// How a node's inputs begin if they are parameters, by their places.
fn rules_of(graph: &Graph, node: &Node) -> Result<Vec<(usize, Init, Fans)>, Error> {
    let constants =
        |values: &[f32]| values.iter().enumerate().map(|(i, &v)| (i + 1, Init::Constant(v), None)).collect();
    match &node.op {
        Op::BatchNormalization(_) => Ok(constants(&[1.0, 0.0, 0.0, 1.0])),
        Op::LayerNormalization(_) => Ok(constants(&[1.0, 0.0])),
        Op::Gather(_) => Ok(vec![(0, Init::Normal(1.0), None)]),
        Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::MatMul(_) => {
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
fn weighted(op: &Op, shape: &[usize]) -> Vec<(usize, Init, Fans)> {
    let [fan_in, fan_out] = match (op, shape) {
        (Op::Conv(_) | Op::ConvTranspose(_), [_, _, ..]) => fans(shape),
        (Op::Gemm(op), &[to, from]) if op.trans_b => [from, to],
        (_, &[.., from, to]) => [from, to],
        _ => return Vec::new(),
    };
    let bias = Init::Uniform(1.0 / (fan_in as f64).sqrt());
    let weight = if let Op::Conv(_) = op { Init::KaimingNormal(Fan::Out) } else { bias };
    vec![(1, weight, Some([fan_in, fan_out])), (2, bias, None)]
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
