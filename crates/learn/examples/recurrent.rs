//! Times a step of training of stacked recurrent layers, as a contender of `bench/recurrent`: `recurrent KIND LAYERS FEATURES HIDDEN BATCH STEPS INPUT OUTPUT`.
//!
//! KIND is `lstm`, `gru` or `rnn`. INPUT holds little-endian f32: the parameters of all layers as PyTorch orders them, the input `[T, B, I]`, and a
//! weight for each output, `[T, B, H]`. OUTPUT receives the mean of the weighted outputs and its gradients with respect to all parameters in the same
//! order. Then, for each line of standard input, a number of seconds, steps are timed.

#[path = "../../../bench/peers/rust/bursts.rs"]
mod bursts;

use percept_engine::{Input, Network, Settings};
use percept_graph::ops::{Mul, ReduceMean};
use percept_graph::{Bindings, Builder, DType, Graph, Params, Recurrence, Tensor, pytorch};
use percept_learn::gradient::gradients;
use std::error::Error;

const PARAMETERS: [&str; 4] = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];

/// The names of all parameters in PyTorch's order.
fn names(layers: usize) -> impl Iterator<Item = String> {
    (0..layers).flat_map(|layer| PARAMETERS.map(|name| format!("net.{name}_l{layer}")))
}

/// The layers with a loss behind them.
fn network(kind: &str, layers: usize, features: usize, hidden: usize) -> Result<Graph, Box<dyn Error>> {
    let net = Builder::new(kind);
    let mut x = net.input("x", DType::F32, ["T".into(), "B".into(), features.into()]);
    for layer in 0..layers {
        let given = Recurrence::default().layer(layer);
        let states = match kind {
            "lstm" => x.lstm("net", hidden, given),
            "gru" => x.gru("net", hidden, given),
            "rnn" => x.rnn("net", hidden, given),
            _ => return Err(format!("{kind:?} is none of lstm, gru, rnn").into()),
        };
        x = states.sequence;
    }
    let weights = net.input("weights", DType::F32, ["T".into(), "B".into(), hidden.into()]);
    let loss = x.apply(Mul, &[weights]).apply(ReduceMean { axes: None, keepdims: false }, &[]);
    Ok(net.finish(&[("loss", loss)])?)
}

/// The same with parameters as inputs, and their gradients as outputs.
fn training(graph: &Graph, layers: usize) -> Result<Graph, Box<dyn Error>> {
    let mut open = Graph::new(&graph.name);
    let mut inputs = Vec::new();
    for &id in graph.inputs() {
        let value = graph.value(id);
        inputs.push(open.add_input(&value.name, value.ty.clone())?);
    }
    let mut parameters = Vec::new();
    for name in names(layers) {
        let value = graph.value(graph.find(&name)?);
        parameters.push(open.add_input(&name, value.ty.clone())?);
    }
    let ids: Vec<_> = names(layers).map(|name| graph.find(&name)).collect::<Result<_, _>>()?;
    let all = [graph.inputs(), &ids].concat();
    let opened = percept_graph::rewrite::cut(graph, &all, graph.outputs())?;
    let loss = open.append(&opened, &[inputs, parameters.clone()].concat())?[0];
    let slopes = gradients(&mut open, loss, &parameters)?;
    let slopes: Vec<_> = slopes.into_iter().collect::<Option<_>>().ok_or("a parameter does not matter")?;
    open.set_outputs([vec![loss], slopes].concat());
    Ok(open)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, layers, features, hidden, batch, steps, input, output] = &arguments[..] else {
        return Err("usage: recurrent KIND LAYERS FEATURES HIDDEN BATCH STEPS INPUT OUTPUT".into());
    };
    let layers = layers.parse()?;
    let graph = network(kind, layers, features.parse()?, hidden.parse()?)?;
    let bytes = std::fs::read(input)?;
    let mut rest: Vec<f32> = bytes.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
    let mut params = Params::new();
    for name in names(layers) {
        let shape = graph.value(graph.find(&name)?).ty.concrete()?[1..].to_vec();
        let behind = rest.split_off(shape.iter().product());
        params.insert(name, Tensor::f32(shape, std::mem::replace(&mut rest, behind))?);
    }
    pytorch::from_pytorch(&graph, &mut params)?;
    let open = training(&graph, layers)?;
    let sizes = Bindings::from([("T".into(), steps.parse()?), ("B".into(), batch.parse()?)]);
    let x = open.value(open.inputs()[0]).ty.shape.iter().map(|dim| dim.eval(&sizes)).collect::<Option<Vec<_>>>();
    let weights = rest.split_off(x.ok_or("a size is missing")?.iter().product());
    let mut network = Network::new(&open, &Params::new(), Settings::detect()?)?;
    let plan = network.plan(&sizes)?;
    let mut given = vec![Input::F32(&rest), Input::F32(&weights)];
    for name in names(layers) {
        given.push(Input::F32(params[&name].as_f32()?));
    }
    if std::env::var_os("PERCEPT_PROFILE").is_some() {
        plan.time_steps();
        (0..20).try_for_each(|_| plan.run(&given))?;
        for (work, time) in plan.work().zip(plan.step_times()) {
            let rate = work.flops as f64 / time.as_secs_f64() / 1e9;
            eprintln!("{:>9.1} µs {rate:7.1} GFLOP/s  {} ({})", time.as_secs_f64() * 1e6, work.kind, work.node);
        }
    }
    plan.run(&given)?;
    let mut found = Params::new();
    for (i, name) in names(layers).enumerate() {
        let (shape, values) = plan.output(1 + i);
        found.insert(name, Tensor::f32(shape, values.to_vec())?);
    }
    pytorch::to_pytorch(&graph, &mut found)?;
    let mut written = plan.output(0).1.to_vec();
    names(layers).try_for_each(|name| found[&name].as_f32().map(|values| written.extend_from_slice(values)))?;
    std::fs::write(output, written.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())?;
    bursts::serve(|| Ok(plan.run(&given)?))
}
