use crate::{Network, Settings, Work};
use percept_graph::ops::{Conv, ConvInputGrad, ConvWeightGrad};
use percept_graph::{Bindings, Builder, DType, Dim, Graph, Params, Tensor, TensorType};

fn work(graph: &Graph, batch: usize) -> Vec<Work> {
    let mut params = Params::new();
    for value in graph.parameters() {
        let shape = value.ty.concrete().unwrap();
        let ones = vec![1.0; shape.iter().product()];
        params.insert(value.name.clone(), Tensor::f32(shape, ones).unwrap());
    }
    // One thread, so that the batch is one part.
    let settings = Settings::detect().unwrap().with_threads(1).unwrap();
    let mut network = Network::new(graph, &params, settings).unwrap();
    network.plan(&Bindings::from([("N".into(), batch)])).unwrap().work().collect()
}

fn of<'w>(work: &'w [Work], kind: &str) -> &'w Work {
    work.iter().find(|work| work.kind == kind).unwrap_or_else(|| panic!("{kind} in {work:?}"))
}

#[test]
fn convolutions_count_two_for_a_multiply_add() {
    let net = Builder::new("net");
    let x = net.input("x", DType::U8, ["N".into(), 8.into(), 8.into(), 3.into()]).cast(DType::F32);
    let x = (x - net.constant(Tensor::scalar(127.0))).transpose(&[0, 3, 1, 2]);
    let stem = x.conv("stem", 16, 3, |conv| conv.stride(2).padding(1)).relu();
    let depth = stem.conv_without_bias("depth", 16, 5, |conv| conv.padding(2).group(16));
    let project = depth.conv_without_bias("project", 16, 1, |conv| conv) + stem;
    let grouped = project.conv("grouped", 8, 3, |conv| conv.group(2));
    let head = grouped.max_pool(2, 2).flatten().linear("fc", 10).softmax();
    let graph = net.finish(&[("probabilities", head)]).unwrap();
    let work = work(&graph, 2);
    // 2 pictures of 4 x 4 pixels and 16 channels, from 3 x 3 taps of 3 channels; bias and Relu.
    let stem = of(&work, "Conv 3x3");
    assert_eq!((stem.node.as_str(), stem.flops), ("stem", 2 * 512 * 27 + 2 * 512));
    assert_eq!((stem.bytes_read, stem.bytes_written), (4 * (2 * 64 * 3 + 16 * 27 + 16), 4 * 512));
    // One step: 25 taps, bias and clamp; 16 channels; and the residual, which is an operand too.
    let chain = of(&work, "Conv depthwise, 1x1");
    assert_eq!(chain.flops, 512 * (2 * 25 + 2) + 2 * 512 * 16 + 512);
    assert_eq!(chain.bytes_read, 4 * (512 + 512 + 16 * 25 + 256));
    // 2 x 2 pixels of 8 channels, which see 8 of 16 channels, and the greatest of each 4.
    let grouped = of(&work, "Conv 3x3 grouped, MaxPool");
    assert_eq!((grouped.flops, grouped.bytes_written), (2 * 64 * 9 * 8 + 64 + 16 * 4, 4 * 16));
    let dense = of(&work, "Gemm");
    assert_eq!((dense.flops, dense.bytes_read), (2 * 20 * 8 + 20, 4 * (16 + 80 + 10)));
    assert_eq!(of(&work, "Softmax").flops, 4 * 20);
    let bytes = of(&work, "Cast and scale");
    assert_eq!((bytes.flops, bytes.bytes_read, bytes.bytes_written), (2 * 384, 384, 4 * 384));
}

#[test]
fn what_an_algorithm_saves_is_not_executed() {
    let net = Builder::new("net");
    let x = net.input("x", DType::F32, ["N".into(), 32.into(), 14.into(), 14.into()]);
    let graph = net.finish(&[("y", x.conv("conv", 48, 3, |conv| conv.padding(1)).relu())]).unwrap();
    let work = work(&graph, 3);
    let conv = of(&work, "Conv 3x3 Winograd");
    let after = 2 * 3 * 196 * 48;
    assert_eq!(conv.flops, 2 * 3 * 196 * 9 * 32 * 48 + after);
    // 16 tiles of 36 products for each picture and pair of channels.
    assert_eq!(conv.executed, 2 * 3 * 16 * 36 * 32 * 48 + after);
    assert_eq!(conv.bytes_read, 4 * (3 * 196 * 32 + 36 * 32 * 48 + 48));
}

#[test]
fn products_of_two_inputs_and_what_only_moves() {
    let net = Builder::new("net");
    let a = net.input("a", DType::F32, ["N".into(), 3.into(), 4.into()]);
    let b = net.input("b", DType::F32, ["N".into(), 4.into(), 5.into()]);
    let product = a.apply(percept_graph::ops::MatMul {}, &[b]);
    let both = product.apply(percept_graph::ops::Concat { axis: 1 }, &[product]);
    let graph = net.finish(&[("y", both + net.constant(Tensor::scalar(1.0)))]).unwrap();
    let work = work(&graph, 2);
    let product = of(&work, "MatMul");
    assert_eq!((product.flops, product.bytes_read), (2 * 2 * 3 * 4 * 5, 4 * (2 * 12 + 2 * 20)));
    // Each half of the result is a step.
    let half = of(&work, "Concat");
    assert_eq!((half.flops, half.bytes_read, half.bytes_written), (0, 4 * 30, 4 * 30));
    assert_eq!((of(&work, "Add").flops, of(&work, "Add").bytes_read), (60, 4 * 61));
}

#[test]
fn gradients_of_a_convolution_count_as_it_does() {
    let mut graph = Graph::new("net");
    let float = |shape: [usize; 4]| TensorType::new(DType::F32, shape.map(Dim::from));
    for (kernel, group) in [(3, 1), (1, 1), (3, 16)] {
        let of = Conv::new_2d(1, kernel / 2).group(group);
        let name = |what: &str| format!("{what} {kernel} {group}");
        let x = graph.add_input(name("x"), float([2, 16, 6, 6])).unwrap();
        let weight = graph.add_input(name("w"), float([16, 16 / group, kernel, kernel])).unwrap();
        let dx = graph.add(ConvInputGrad { of: of.clone() }, &[x, weight, x]).unwrap();
        let dw = graph.add(ConvWeightGrad { of }, &[x, x, weight]).unwrap();
        let outputs = [graph.outputs(), &[dx, dw]].concat();
        graph.set_outputs(outputs);
    }
    let work = work(&graph, 2);
    for (gradient, dense) in [("ConvInputGrad", "3x3 Winograd"), ("ConvWeightGrad", "3x3")] {
        let flops = |kind: &str| of(&work, &format!("{gradient} {kind}")).flops;
        assert_eq!(flops(dense), 2 * 72 * 16 * 16 * 9);
        assert_eq!(flops("1x1"), 2 * 72 * 16 * 16);
        assert_eq!(flops("3x3 depthwise"), 2 * 72 * 16 * 9);
    }
}

#[test]
fn steps_are_timed_only_if_that_is_asked_for() {
    let net = Builder::new("net");
    let x = net.input("x", DType::F32, ["N".into(), 64.into()]);
    let graph = net.finish(&[("y", x.sigmoid().softmax())]).unwrap();
    let mut network = Network::new(&graph, &Params::new(), Settings::detect().unwrap()).unwrap();
    let plan = network.plan(&Bindings::from([("N".into(), 100)])).unwrap();
    let x = vec![0.5; 6400];
    plan.run(&[crate::Input::F32(&x)]).unwrap();
    assert!(plan.step_times().is_empty());
    plan.time_steps();
    plan.run(&[crate::Input::F32(&x)]).unwrap();
    assert_eq!(plan.step_times().len(), plan.work().count());
    assert!(plan.step_times().iter().all(|time| !time.is_zero()));
}
