//! Graphs made from graphs: cutting out a part, and folding batch normalisation into what comes before it.

use crate::ops::{self, Padding};
use crate::{Error, Graph, Node, NodeId, Op, Params, Source, Tensor, ValueId};

/// Copies the nodes that the outputs need, one by one, from a graph into a new one.
///
/// A rewrite is a walk that copies most nodes and replaces some.
struct Copy<'g> {
    from: &'g Graph,
    to: Graph,
    map: Vec<Option<ValueId>>,
}

impl<'g> Copy<'g> {
    fn new(from: &'g Graph, inputs: &[ValueId]) -> Result<Self, Error> {
        let mut copy = Self { from, to: Graph::new(&from.name), map: vec![None; from.values().len()] };
        for &id in inputs {
            let value = from.value(id);
            copy.map[id.0] = Some(copy.to.add_input(value.name.clone(), value.ty.clone())?);
        }
        Ok(copy)
    }

    fn value(&mut self, id: ValueId) -> Result<ValueId, Error> {
        if let Some(id) = self.map[id.0] {
            return Ok(id);
        }
        let value = self.from.value(id);
        let new = self.to.add_parameter(&value.name, value.ty.clone())?;
        self.map[id.0] = Some(new);
        Ok(new)
    }

    fn node(&mut self, node: &Node) -> Result<(), Error> {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for input in &node.inputs {
            inputs.push(input.map(|id| self.value(id)).transpose()?);
        }
        self.replace(node, node.name.clone(), node.op.clone(), inputs)
    }

    /// Puts another operator in the place of `node`; its outputs keep their names.
    fn replace(&mut self, node: &Node, name: String, op: Op, inputs: Vec<Option<ValueId>>) -> Result<(), Error> {
        let names: Vec<_> = node.outputs.iter().map(|&id| self.from.value(id).name.clone()).collect();
        for (&from, to) in node.outputs.iter().zip(self.to.add_node(name, op, inputs, &names)?) {
            self.map[from.0] = Some(to);
        }
        Ok(())
    }

    fn finish(mut self, outputs: &[ValueId]) -> Result<Graph, Error> {
        let outputs: Vec<_> = outputs.iter().map(|&id| self.value(id)).collect::<Result<_, _>>()?;
        self.to.set_outputs(outputs);
        Ok(self.to)
    }
}

/// The part of `graph` that makes `outputs` from `inputs`: what does not lead there is left out, the inputs stay.
///
/// ```
/// use percept_graph::{Builder, DType, rewrite::cut};
///
/// let net = Builder::new("net");
/// let features = net.input("x", DType::F32, ["N".into(), 8.into()]).linear("body", 4).relu();
/// let graph = net.finish(&[("logits", features.linear("head", 2))])?;
/// let body = cut(&graph, graph.inputs(), &[features.id()])?;
/// assert_eq!((body.nodes().len(), body.parameters().count()), (2, 2));
/// let head = cut(&graph, &[features.id()], graph.outputs())?;
/// assert_eq!((head.nodes().len(), head.parameters().count()), (1, 2));
/// # Ok::<(), percept_graph::Error>(())
/// ```
///
/// # Errors
/// Outputs that need more than `inputs`.
pub fn cut(graph: &Graph, inputs: &[ValueId], outputs: &[ValueId]) -> Result<Graph, Error> {
    let mut needed = vec![false; graph.values().len()];
    outputs.iter().for_each(|id| needed[id.0] = true);
    let makes = |node: &Node, needed: &[bool]| node.outputs.iter().any(|id| needed[id.0] && !inputs.contains(id));
    for node in graph.nodes().iter().rev() {
        if makes(node, &needed) {
            node.inputs.iter().flatten().for_each(|id| needed[id.0] = true);
        }
    }
    if let Some(id) = graph.inputs().iter().find(|id| needed[id.0] && !inputs.contains(id)) {
        let reason = "is an input that the part to be cut out needs, and not among its inputs";
        return Err(Error::parameter(&graph.value(*id).name, reason));
    }
    let mut copy = Copy::new(graph, inputs)?;
    for node in graph.nodes().iter().filter(|node| makes(node, &needed)) {
        copy.node(node)?;
    }
    copy.finish(outputs)
}

/// The values through which everything passes on its way from the inputs to the outputs, first to last: cut there, a graph falls
/// into two that share nothing else.
///
/// ```
/// use percept_graph::{Builder, DType, rewrite::bottlenecks};
///
/// let net = Builder::new("net");
/// let x = net.input("x", DType::F32, ["N".into(), 4.into()]);
/// let sum = x.linear("a", 4) + x.linear("b", 4);
/// let graph = net.finish(&[("y", sum.relu())])?;
/// assert_eq!(bottlenecks(&graph), [sum.id()]);
/// # Ok::<(), percept_graph::Error>(())
/// ```
pub fn bottlenecks(graph: &Graph) -> Vec<ValueId> {
    let mut left = graph.uses();
    let mut flows = vec![false; graph.values().len()];
    graph.inputs().iter().for_each(|id| flows[id.0] = left[id.0] > 0);
    let mut open = flows.iter().filter(|&&flows| flows).count();
    let mut found = Vec::new();
    for node in graph.nodes() {
        for &id in node.inputs.iter().flatten().filter(|id| flows[id.0]) {
            left[id.0] -= 1;
            open -= usize::from(left[id.0] == 0);
        }
        // What is made of parameters alone does not come from the inputs.
        if !node.inputs.iter().flatten().any(|id| flows[id.0]) {
            continue;
        }
        for &id in node.outputs.iter().filter(|id| left[id.0] > 0) {
            flows[id.0] = true;
            open += 1;
        }
        let output = node.outputs[0];
        if open == 1 && flows[output.0] && !graph.outputs().contains(&output) {
            found.push(output);
        }
    }
    found
}

/// Folds each batch normalisation with running statistics into the convolution, transposed or not, before it, and drops what does nothing when a
/// network runs (`Identity`, `Dropout`).
///
/// With `s = scale / sqrt(variance + epsilon)` the convolution's weights are multiplied by `s` for each output channel and its
/// bias becomes `(bias − mean) · s + shift`, calculated in f64. A normalisation with no such convolution before it becomes a
/// depthwise 1×1 convolution. The new parameters are in the second half of the result, under `VALUE.folded.weight` and
/// `VALUE.folded.bias`, together with all others that the new graph needs.
///
/// Errors if `params` does not fit the graph.
pub fn fold_for_inference(graph: &Graph, params: &Params) -> Result<(Graph, Params), Error> {
    graph.check_params(params)?;
    let readers = sole_readers(graph);
    let mut copy = Copy::new(graph, graph.inputs())?;
    let mut folded = Params::new();
    for node in graph.nodes() {
        match &node.op {
            Op::Identity(_) | Op::Dropout(_) => {
                if let [Some(input), ..] = node.inputs[..] {
                    copy.map[node.outputs[0].0] = Some(copy.value(input)?);
                }
            }
            Op::Conv(_) | Op::ConvTranspose(_) if batch_norm_after(graph, node, &readers).is_some() => {}
            Op::BatchNormalization(_) => match BatchNorm::of(graph, node, params)? {
                Some(norm) => norm.fold(&mut copy, &mut folded, &readers, params)?,
                None => copy.node(node)?,
            },
            _ => copy.node(node)?,
        }
    }
    let folded_graph = copy.finish(graph.outputs())?;
    for value in folded_graph.parameters() {
        if let Some(tensor) = params.get(&value.name) {
            folded.insert(value.name.clone(), tensor.clone());
        }
    }
    Ok((folded_graph, folded))
}

/// Replaces every node whose inputs are all parameters or constants by its result, which becomes a parameter called like the value.
///
/// `eval` computes one operator. The second half of the result holds the parameters that the new graph needs.
///
/// Errors if `params` does not fit the graph or a node cannot be computed.
pub fn fold_constants(
    graph: &Graph,
    params: &Params,
    eval: impl Fn(&Op, &[Option<&Tensor>]) -> Result<Vec<Tensor>, String>,
) -> Result<(Graph, Params), Error> {
    graph.check_params(params)?;
    let mut copy = Copy::new(graph, graph.inputs())?;
    let mut known = params.clone();
    for node in graph.nodes() {
        let names: Vec<_> = node.inputs.iter().map(|id| id.map(|id| graph.value(id).name.as_str())).collect();
        let tensors: Option<Vec<_>> =
            names.iter().map(|name| name.map(|name| known.get(name)).map_or(Some(None), |t| t.map(Some))).collect();
        let Some(tensors) = tensors else {
            copy.node(node)?;
            continue;
        };
        let results = eval(&node.op, &tensors).map_err(|reason| Error::Node {
            node: node.name.clone(),
            op: node.op.name(),
            inputs: tensors.iter().flatten().map(|tensor| tensor.ty().to_string()).collect::<Vec<_>>().join(", "),
            reason,
        })?;
        for (&id, tensor) in node.outputs.iter().zip(results) {
            copy.map[id.0] = Some(copy.to.add_parameter(&graph.value(id).name, tensor.ty())?);
            known.insert(graph.value(id).name.clone(), tensor);
        }
    }
    let folded = copy.finish(graph.outputs())?;
    let needed = cut(&folded, folded.inputs(), folded.outputs())?;
    let params =
        needed.parameters().filter_map(|value| Some((value.name.clone(), known.remove(&value.name)?))).collect();
    Ok((needed, params))
}

/// For each value, the node that reads it, if that is the only reader and the value is not an output of the graph.
fn sole_readers(graph: &Graph) -> Vec<Option<NodeId>> {
    let uses = graph.uses();
    let mut readers = vec![None; graph.values().len()];
    for (i, node) in graph.nodes().iter().enumerate() {
        for id in node.inputs.iter().flatten().filter(|id| uses[id.0] == 1) {
            readers[id.0] = Some(NodeId(i));
        }
    }
    readers
}

/// The foldable batch normalisation that alone reads what the convolution `conv` makes.
fn batch_norm_after<'g>(graph: &'g Graph, conv: &Node, readers: &[Option<NodeId>]) -> Option<&'g Node> {
    let constant = |id: &Option<ValueId>| id.is_none_or(|id| graph.value(id).source == Source::Parameter);
    let node = graph.node(readers[conv.outputs[0].0]?);
    let foldable = matches!(&node.op, Op::BatchNormalization(op) if !op.training_mode)
        && node.inputs[0] == Some(conv.outputs[0])
        && node.inputs[1..].iter().chain(&conv.inputs[1..]).all(constant);
    foldable.then_some(node)
}

/// A batch normalisation as a factor and a summand for each channel.
struct BatchNorm<'g> {
    graph: &'g Graph,
    node: &'g Node,
    x: ValueId,
    factor: Vec<f64>,
    summand: Vec<f64>,
}

impl<'g> BatchNorm<'g> {
    /// `None` if the statistics are not parameters or belong to the batch.
    fn of(graph: &'g Graph, node: &'g Node, params: &Params) -> Result<Option<Self>, Error> {
        let Op::BatchNormalization(op) = &node.op else { return Ok(None) };
        let [Some(x), Some(scale), Some(bias), Some(mean), Some(variance)] = node.inputs[..] else { return Ok(None) };
        let statistics = [scale, bias, mean, variance];
        let constant = statistics.iter().all(|&id| graph.value(id).source == Source::Parameter);
        if op.training_mode || !constant || graph.value(x).ty.rank() != 4 {
            return Ok(None);
        }
        let [scale, bias, mean, variance] = statistics.map(|id| values(params, &graph.value(id).name));
        let (scale, bias, mean, variance) = (scale?, bias?, mean?, variance?);
        let factor: Vec<f64> = (0..scale.len())
            .map(|i| f64::from(scale[i]) / (f64::from(variance[i]) + f64::from(op.epsilon)).sqrt())
            .collect();
        let summand = (0..scale.len()).map(|i| f64::from(bias[i]) - f64::from(mean[i]) * factor[i]).collect();
        Ok(Some(Self { graph, node, x, factor, summand }))
    }

    fn fold(
        self,
        copy: &mut Copy<'_>,
        folded: &mut Params,
        readers: &[Option<NodeId>],
        params: &Params,
    ) -> Result<(), Error> {
        let conv = self.graph.producer(self.x).filter(|node| matches!(node.op, Op::Conv(_) | Op::ConvTranspose(_)));
        let conv = conv.filter(|conv| batch_norm_after(self.graph, conv, readers).is_some());
        let Some(conv) = conv else {
            return self.depthwise(copy, folded);
        };
        let [Some(x), Some(weight), ..] = conv.inputs[..] else { return copy.node(self.node) };
        let weight = &params[&self.graph.value(weight).name];
        let bias = match conv.inputs.get(2).copied().flatten() {
            Some(id) => values(params, &self.graph.value(id).name)?.to_vec(),
            None => vec![0.0; self.factor.len()],
        };
        let [first, second] = [weight.shape()[0], weight.shape()[1]];
        let taps = weight.shape()[2..].iter().product::<usize>().max(1);
        // The output channel of each filter of one channel of the input.
        let channel = |filter: usize| match &conv.op {
            Op::ConvTranspose(op) => filter / second / (first / op.group).max(1) * second + filter % second,
            _ => filter / second,
        };
        let filters = weight.as_f32()?.chunks(taps).enumerate().map(|(i, taps)| (taps, self.factor[channel(i)]));
        let scaled = filters.flat_map(|(taps, s)| taps.iter().map(move |&w| (f64::from(w) * s) as f32)).collect();
        let shifted = bias.iter().zip(self.factor.iter().zip(&self.summand));
        let shifted = shifted.map(|(&b, (s, t))| (f64::from(b) * s + t) as f32).collect();
        let x = copy.value(x)?;
        let weight = Tensor::f32(weight.shape(), scaled)?;
        self.emit(copy, folded, conv.op.clone(), x, weight, shifted)
    }

    fn depthwise(self, copy: &mut Copy<'_>, folded: &mut Params) -> Result<(), Error> {
        let channels = self.factor.len();
        let op = ops::Conv { padding: Padding::Explicit(vec![0; 4]), ..ops::Conv::new_2d(1, 0).group(channels) };
        let weight = self.factor.iter().map(|&s| s as f32).collect();
        let bias = self.summand.iter().map(|&t| t as f32).collect();
        let x = copy.value(self.x)?;
        self.emit(copy, folded, op.into(), x, Tensor::f32([channels, 1, 1, 1], weight)?, bias)
    }

    /// Puts `conv` with these constants in the place of the normalisation.
    fn emit(
        &self,
        copy: &mut Copy<'_>,
        folded: &mut Params,
        conv: Op,
        x: ValueId,
        weight: Tensor,
        bias: Vec<f32>,
    ) -> Result<(), Error> {
        let layer = &self.graph.value(self.node.outputs[0]).name;
        let mut inputs = vec![Some(x)];
        for (suffix, tensor) in [("weight", weight), ("bias", Tensor::f32([bias.len()], bias)?)] {
            let key = format!("{layer}.folded.{suffix}");
            inputs.push(Some(copy.to.add_parameter(&key, tensor.ty())?));
            folded.insert(key, tensor);
        }
        copy.replace(self.node, format!("{}.folded", self.node.name), conv, inputs)
    }
}

fn values<'p>(params: &'p Params, name: &str) -> Result<&'p [f32], Error> {
    params.get(name).ok_or_else(|| Error::parameter(name, "has no value"))?.as_f32()
}
