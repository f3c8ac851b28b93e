//! The memory of plans of real networks, against the least that their lifetimes allow.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use percept_engine::{Network, Plan, Settings};
use percept_graph::ops::Concat;
use percept_graph::{Builder, DType, Graph, Var};
use percept_learn::trainer::{BatchNorm, Loss, Step, Weights, with_losses};
use percept_models::initialize;

/// How much more than the least an arena may take.
const MOST: f64 = 1.2;

fn conv<'b>(x: Var<'b>, name: &str, channels: usize, kernel: usize, stride: usize) -> Var<'b> {
    let conv = x.conv_without_bias(name, channels, kernel, |conv| conv.stride(stride).padding(kernel / 2));
    conv.batch_norm(&format!("{name}_bn"), 1e-5)
}

/// A residual block; `kernels` and what the channels are multiplied with after each convolution.
fn residual<'b>(
    x: Var<'b>,
    name: &str,
    channels: usize,
    layers: &[(usize, usize)],
    stride: usize,
    same: bool,
) -> Var<'b> {
    let mut y = x;
    for (i, &(kernel, times)) in layers.iter().enumerate() {
        let here = if kernel == 3 && layers[..i].iter().all(|layer| layer.0 != 3) { stride } else { 1 };
        y = conv(y, &format!("{name}_{i}"), channels * times, kernel, here);
        y = if i + 1 < layers.len() { y.relu() } else { y };
    }
    let times = layers[layers.len() - 1].1;
    let shortcut = if same { x } else { conv(x, &format!("{name}_shortcut"), channels * times, 1, stride) };
    (y + shortcut).relu()
}

fn resnet(name: &str, side: usize, stem: usize, stages: &[usize], layers: &[(usize, usize)]) -> Graph {
    let net = Builder::new(name);
    let x = net.input("x", DType::F32, ["N".into(), 3.into(), side.into(), side.into()]);
    let large = side > 64;
    let mut x = conv(x, "stem", stem, if large { 7 } else { 3 }, if large { 2 } else { 1 }).relu();
    x = if large { x.max_pool_padded(3, 2, 1) } else { x };
    for (stage, &blocks) in stages.iter().enumerate() {
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let same = block > 0 || stage == 0 && layers.len() == 2;
            x = residual(x, &format!("{stage}_{block}"), stem << stage, layers, stride, same);
        }
    }
    let logits = x.global_average_pool().flatten().linear("fc", 10);
    net.finish(&[("logits", logits)]).unwrap()
}

fn squeezenet() -> Graph {
    let net = Builder::new("squeezenet");
    let x = net.input("x", DType::F32, ["N".into(), 3.into(), 224.into(), 224.into()]);
    let mut x = x.conv("stem", 64, 3, |conv| conv.stride(2)).relu().max_pool_padded(3, 2, 0);
    for (i, (squeeze, expand)) in
        [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)].into_iter().enumerate()
    {
        let squeezed = x.conv(&format!("squeeze{i}"), squeeze, 1, |conv| conv).relu();
        let one = squeezed.conv(&format!("one{i}"), expand, 1, |conv| conv).relu();
        let three = squeezed.conv(&format!("three{i}"), expand, 3, |conv| conv.padding(1)).relu();
        x = one.apply(Concat { axis: 1 }, &[three]);
        x = if i == 1 || i == 3 { x.max_pool_padded(3, 2, 0) } else { x };
    }
    let logits = x.conv("head", 10, 1, |conv| conv).relu().global_average_pool().flatten();
    net.finish(&[("logits", logits)]).unwrap()
}

fn networks() -> Vec<Graph> {
    let by_name = |name: &str| {
        let network = percept_models::Network::find(name).unwrap();
        network.build(network.size, 10).unwrap()
    };
    let mut graphs: Vec<_> =
        ["efficientnet-lite0", "efficientnet-lite2", "mobilenetv2", "resnet18"].into_iter().map(by_name).collect();
    graphs.push(resnet("resnet50", 224, 64, &[3, 4, 6, 3], &[(1, 1), (3, 1), (1, 4)]));
    graphs.push(resnet("resnet20", 32, 16, &[3, 3, 3], &[(3, 1), (3, 1)]));
    graphs.push(squeezenet());
    graphs
}

fn check(plan: &Plan, what: &str) {
    let (bytes, least) = (plan.arena_bytes() as f64, plan.least_arena_bytes() as f64);
    assert!(least > 0.0 && bytes <= MOST * least, "{what}: {bytes} bytes, {:.3} of the least", bytes / least);
}

#[test]
fn arenas_are_hardly_larger_than_what_lives_at_once() {
    for graph in networks() {
        let (params, settings) = (initialize(&graph, 0).unwrap(), Settings::detect().unwrap());
        let mut network = Network::new(&graph, &params, settings.clone()).unwrap();
        let training = with_losses(&graph, &[Loss::CrossEntropy]).unwrap();
        let weights = Weights::new(&[&training], &params, BatchNorm::Batch { momentum: 0.9 }, |_| true).unwrap();
        let mut step = Step::new(&training, &weights, |_| true, settings).unwrap();
        for batch in [1, 8] {
            check(network.plan(&[("N".into(), batch)].into()).unwrap(), &format!("{} of {batch}", graph.name));
        }
        let ty = &graph.value(graph.inputs()[0]).ty;
        let sizes = ty.shape[1..].iter().map(|dim| usize::try_from(dim.as_const().unwrap()).unwrap());
        let shape: Vec<_> = std::iter::once(8).chain(sizes).collect();
        let classes = graph.value(graph.outputs()[0]).ty.shape[1].as_const().unwrap() as usize;
        check(step.plan(&[&shape, &[8, classes]]).unwrap(), &format!("{} while training", graph.name));
    }
}
