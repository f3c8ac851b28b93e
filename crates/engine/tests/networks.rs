//! Whole networks, planned, against the reference.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

mod common;

use common::{difference, numbers, params};
use percept_engine::{Input, Network, Settings};
use percept_graph::ops::{AveragePool, Clip, Concat, Gemm, MatMul, Pad, PadMode, Padding, ReduceMean, Softmax};
use percept_graph::{Builder, DType, Graph, Tensor, Var};

fn settings() -> Settings {
    Settings::detect().unwrap()
}

fn picture(net: &Builder, channels: usize) -> Var<'_> {
    net.input("x", DType::F32, ["N".into(), channels.into(), "H".into(), "W".into()])
}

fn lenet() -> Graph {
    let net = Builder::new("LeNet-5");
    let logits = net
        .input("x", DType::F32, ["N".into(), 1.into(), 28.into(), 28.into()])
        .conv("conv1", 6, 5, |conv| conv.padding(2))
        .tanh()
        .average_pool(2, 2)
        .conv("conv2", 16, 5, |conv| conv)
        .tanh()
        .average_pool(2, 2)
        .flatten()
        .linear("fc1", 120)
        .tanh()
        .linear("fc2", 84)
        .tanh()
        .linear("fc3", 10);
    net.finish(&[("logits", logits)]).unwrap()
}

fn inverted_residuals() -> Graph {
    let net = Builder::new("inverted residuals");
    let x = net.input("x", DType::U8, ["N".into(), "H".into(), "W".into(), 3.into()]).cast(DType::F32);
    let x = x.transpose(&[0, 3, 1, 2]);
    let x = (x - net.constant(Tensor::scalar(127.0))) / net.constant(Tensor::scalar(128.0));
    let stem =
        x.conv_without_bias("stem", 17, 3, |conv| conv.stride(2).same_upper()).batch_norm("stem_bn", 1e-3).relu6();
    let expand = stem.conv_without_bias("expand", 40, 1, |conv| conv).batch_norm("expand_bn", 1e-3).relu6();
    let depth = expand.conv_without_bias("depth", 40, 5, |conv| conv.padding(2).group(40));
    let project = depth.batch_norm("depth_bn", 1e-3).relu6().conv_without_bias("project", 17, 1, |conv| conv);
    let sum = project.batch_norm("project_bn", 1e-3) + stem;
    let down = sum.conv_without_bias("down", 17, 3, |conv| conv.padding(1).stride(2).group(17)).batch_norm("bn", 1e-3);
    let head = down.relu6().global_average_pool().flatten().dropout(0.2).linear("head", 5).softmax();
    net.finish(&[("probabilities", head)]).unwrap()
}

/// Operators in combinations that force layouts to change.
fn mixed() -> Graph {
    let net = Builder::new("mixed");
    let x = picture(&net, 6);
    let a = x.conv("a", 8, 3, |conv| conv.padding(1).group(2)).relu();
    let b = x.conv("b", 8, 1, |conv| conv).sigmoid();
    let joined = a.apply(Concat { axis: 1 }, &[b, x]);
    let padded = joined.apply(Pad { pads: vec![0, 0, 1, 2, 0, 0, 0, 1], mode: PadMode::Reflect }, &[]);
    let pooled = padded.max_pool_padded(3, 2, 1);
    let scale = net.parameter("scale", [22.into(), 1.into(), 1.into()]);
    let scaled = pooled * scale;
    let attention = scaled.apply(Softmax { axis: 1 }, &[]);
    let gated = scaled * scaled.apply(ReduceMean { axes: Some(vec![-1, -2]), keepdims: true }, &[]).tanh();
    let summed = gated - attention;
    let rows = summed.transpose(&[0, 2, 3, 1]).apply(ReduceMean { axes: Some(vec![1, 2]), keepdims: false }, &[]);
    let square = rows.apply(Gemm { alpha: 0.5, beta: 1.0, trans_a: true, trans_b: false }, &[rows]);
    let product = rows.apply(MatMul, &[square]).apply(Clip { min: -0.5, max: 0.5 }, &[]);
    let norm = summed.batch_norm("late", 1e-5);
    net.finish(&[("map", norm), ("rows", product), ("squares", square)]).unwrap()
}

/// Dense 3×3 convolutions over maps of 28, 14 and 7, few and many channels.
fn dense() -> Graph {
    let net = Builder::new("dense");
    let x = net.input("x", DType::F32, ["N".into(), 16.into(), 28.into(), 28.into()]);
    let a = x.conv("a", 40, 3, |conv| conv.padding(1)).relu();
    let b = (a.conv_without_bias("b", 40, 3, |conv| conv.padding(1)) + a).relu().max_pool(2, 2);
    let c = b.conv("c", 152, 3, |conv| conv.padding(1)).sigmoid();
    let d = c.conv("d", 152, 3, |conv| conv.padding(1)).relu6().max_pool(2, 2);
    let e = d.conv("e", 768, 3, |conv| conv.padding(1)).relu();
    net.finish(&[("logits", e.global_average_pool().flatten().linear("head", 5))]).unwrap()
}

/// A first layer that is pooled, and parts of a Concat that are written in place, or are not because somebody else reads them.
fn fire_modules() -> Graph {
    let net = Builder::new("fire modules");
    let stem = picture(&net, 3).conv("stem", 24, 3, |conv| conv.stride(2)).relu().max_pool_padded(3, 2, 1);
    let squeeze = stem.conv("squeeze", 5, 1, |conv| conv).relu();
    let one = squeeze.conv("one", 17, 1, |conv| conv).relu();
    let three = squeeze.conv("three", 32, 3, |conv| conv.padding(1)).sigmoid();
    let first = one.apply(Concat { axis: 1 }, &[three]);
    let again = first.conv("again", 9, 3, |conv| conv.padding(1).stride(2));
    let shared = first.conv("shared", 4, 3, |conv| conv.padding(1).stride(2)).dropout(0.5);
    let second = again.apply(Concat { axis: 1 }, &[shared, again, shared.relu()]);
    net.finish(&[("map", second), ("pooled", second.global_average_pool())]).unwrap()
}

/// Means over all kinds of axes, of pictures in both layouts, of some hundred and some thousand values each.
fn means() -> Graph {
    let net = Builder::new("means");
    let x = picture(&net, 5);
    fn mean<'b>(x: Var<'b>, axes: &[i64]) -> Var<'b> {
        x.apply(ReduceMean { axes: Some(axes.to_vec()), keepdims: true }, &[])
    }
    let y = x.max_pool(1, 1);
    let all: [&[i64]; 9] = [&[0], &[1], &[3], &[1, 2], &[0, 1, 3], &[0, 2, 3], &[1, 2, 3], &[0, 1, 2, 3], &[]];
    let sums = all.iter().map(|axes| mean(x, axes) + mean(y, axes) * y);
    net.finish(&[("y", sums.reduce(|a, b| a + b).unwrap())]).unwrap()
}

#[test]
fn what_a_concat_joins_is_written_in_place() {
    // Picture, stem with pooling, squeeze, two parts of the first Concat; two convolutions, an activation that is a part of the second, its
    // other three, pooling, output.
    let names = steps(&fire_modules());
    assert_eq!(names.len(), 13, "{names:?}");
}

#[test]
fn planned_networks_agree_with_the_reference() {
    let settings = settings();
    let cases: [(Graph, &[usize]); 13] = [
        (fire_modules(), &[2, 3, 67, 95]),
        (fire_modules(), &[1, 3, 20, 21]),
        (separable(), &[1, 3, 65, 47]),
        (separable(), &[9, 3, 8, 9]),
        (lenet(), &[3, 1, 28, 28]),
        (inverted_residuals(), &[2, 33, 47, 3]),
        (inverted_residuals(), &[1, 8, 8, 3]),
        (mixed(), &[2, 6, 9, 12]),
        (mixed(), &[1, 6, 5, 5]),
        (lenet(), &[0, 1, 28, 28]),
        (dense(), &[2, 16, 28, 28]),
        (means(), &[2, 5, 33, 40]),
        (means(), &[1, 5, 1, 7]),
    ];
    for (graph, shape) in cases {
        let params = params(&graph, 7);
        let worst = difference(&graph, &params, &[shape], 3, &settings);
        assert!(worst < 2e-5, "{} at {shape:?}: {worst}", graph.name);
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for (graph, shape) in [
        (inverted_residuals(), [5, 65, 65, 3]),
        (mixed(), [3, 6, 33, 31]),
        (dense(), [3, 16, 28, 28]),
        (fire_modules(), [3, 3, 65, 93]),
    ] {
        let (params, size) = (params(&graph, 1), shape.iter().product());
        let floats = numbers(9, size);
        let bytes: Vec<u8> = (0..size).map(|i| (i * 31 % 256) as u8).collect();
        let is_u8 = graph.value(graph.inputs()[0]).ty.dtype == DType::U8;
        let input = if is_u8 { Input::U8(&bytes) } else { Input::F32(&floats) };
        let run = |threads| {
            let settings = settings().with_threads(threads).unwrap();
            let mut network = Network::new(&graph, &params, settings).unwrap();
            let plan = network.run(&[(&shape, input)]).unwrap();
            plan.output(0).1.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        };
        let one = run(1);
        assert!(one.iter().any(|&bits| bits != 0));
        assert!((2..5).all(|threads| run(threads) == one), "{}", graph.name);
    }
}

#[test]
fn a_large_batch_has_the_bits_of_its_pictures_one_by_one() {
    for (graph, picture) in [
        (inverted_residuals(), [29, 31, 3]),
        (lenet(), [1, 28, 28]),
        (dense(), [16, 28, 28]),
        (fire_modules(), [3, 40, 39]),
    ] {
        let (params, batch, len) = (params(&graph, 3), 21, picture.iter().product::<usize>());
        let bytes: Vec<u8> = (0..batch * len).map(|i| (i * 31 % 251) as u8).collect();
        let floats = numbers(5, batch * len);
        let mut network = Network::new(&graph, &params, settings()).unwrap();
        let mut run = |pictures: std::ops::Range<usize>| {
            let shape = [&[pictures.len()][..], &picture].concat();
            let range = pictures.start * len..pictures.end * len;
            let is_u8 = graph.value(graph.inputs()[0]).ty.dtype == DType::U8;
            let input = if is_u8 { Input::U8(&bytes[range]) } else { Input::F32(&floats[range]) };
            let (shape, values) = network.run(&[(&shape, input)]).unwrap().output(0);
            assert_eq!(shape[0], pictures.len());
            values.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        };
        let alone: Vec<_> = (0..batch).flat_map(|i| run(i..i + 1)).collect();
        assert!([3, 4, 8, 9, 21].into_iter().all(|size| run(0..size) == alone[..alone.len() / batch * size]));
    }
}

/// The beginning of a mobile network: stem, depthwise convolution, projection.
fn separable() -> Graph {
    let net = Builder::new("separable");
    let stem = picture(&net, 3).conv("stem", 24, 3, |conv| conv.stride(2).padding(1)).relu6();
    let depth = stem.conv("depth", 24, 3, |conv| conv.padding(1).group(24)).relu6();
    let head = depth.conv("project", 8, 1, |conv| conv).global_average_pool().flatten().linear("head", 5);
    net.finish(&[("logits", head)]).unwrap()
}

#[test]
fn batches_have_the_same_bits_at_any_number_of_threads() {
    for (graph, picture) in [(separable(), [3, 37, 30]), (lenet(), [1, 28, 28])] {
        let (params, len) = (params(&graph, 3), picture.iter().product::<usize>());
        let floats = numbers(5, 37 * len);
        let run = |threads: usize, batch: usize, timed: bool| {
            let settings = settings().with_threads(threads).unwrap();
            let mut network = Network::new(&graph, &params, settings).unwrap();
            let bindings = network.bindings(&[&[&[batch][..], &picture].concat()]).unwrap();
            let plan = network.plan(&bindings).unwrap();
            if timed {
                plan.time_steps();
            }
            // Twice, so that what one part leaves dirty shows in the next.
            (0..2).for_each(|_| plan.run(&[Input::F32(&floats[..batch * len])]).unwrap());
            assert_eq!(plan.step_times().len(), if timed { plan.work().count() } else { 0 });
            plan.output(0).1.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        };
        let all = run(1, 37, false);
        assert!(all.iter().any(|&bits| bits != 0));
        for (threads, batch) in
            [(2, 0), (1, 1), (2, 1), (8, 1), (2, 2), (3, 2), (2, 5), (3, 8), (2, 15), (8, 21), (2, 37), (3, 37)]
        {
            assert_eq!(
                run(threads, batch, batch % 2 > 0),
                all[..all.len() / 37 * batch],
                "{batch} on {threads} threads"
            );
        }
    }
}

#[test]
fn what_mixes_pictures_is_not_run_in_parts() {
    let graph = mixed();
    let worst = difference(&graph, &params(&graph, 7), &[&[21, 6, 9, 12]], 3, &settings());
    assert!(worst < 2e-5, "{worst}");
}

fn steps(graph: &Graph) -> Vec<String> {
    let mut network = Network::new(graph, &params(graph, 1), settings()).unwrap();
    let sizes = [("N".into(), 1), ("H".into(), 16), ("W".into(), 16)].into();
    network.plan(&sizes).unwrap().work().map(|work| work.node).collect()
}

#[test]
fn what_follows_a_product_is_fused() {
    // Picture, stem, bottleneck, depthwise convolution, pooling, head, softmax.
    let names = steps(&inverted_residuals());
    assert_eq!(names.len(), 7, "{names:?}");
    // Picture in channels-last order, stem to projection, pooling, head.
    let names = steps(&separable());
    assert_eq!(names.len(), 4, "{names:?}");
}

#[test]
fn chains_are_fused_where_nobody_else_reads_what_is_inside() {
    type Read = for<'a> fn(Var<'a>, Var<'a>) -> Option<Var<'a>>;
    let count = |inner: fn(Var<'_>) -> Var<'_>, twice: Read, output: bool| {
        let net = Builder::new("chain");
        let expand = inner(picture(&net, 6).conv("expand", 32, 1, |conv| conv));
        let depth = expand.conv("depth", 32, 3, |conv| conv.padding(1).group(32)).relu6();
        let project = depth.conv("project", 8, 1, |conv| conv);
        let mut outputs = vec![("y", project)];
        outputs.extend(twice(expand, depth).map(|again| ("again", again)));
        outputs.extend(output.then_some(("depth", depth)));
        steps(&net.finish(&outputs).unwrap()).iter().filter(|name| name.starts_with(['e', 'd', 'p'])).count()
    };
    // One step and the copy of the output; the steps that stand apart are the node itself, or its two neighbours.
    let whole = count(|x| x.relu(), |_, _| None, false);
    assert_eq!(count(|x| x, |_, _| None, false), whole);
    assert_eq!(count(|x| x.sigmoid(), |_, _| None, false), whole + 1);
    assert!(count(|x| x.relu(), |expand, _| Some(expand.tanh()), false) > whole);
    assert!(count(|x| x.relu(), |_, depth| Some(depth.tanh()), false) > whole + 1);
    assert!(count(|x| x.relu(), |_, _| None, true) > whole + 1);
}

#[test]
fn wrong_inputs_are_named() {
    let graph = lenet();
    let mut network = Network::new(&graph, &params(&graph, 1), settings()).unwrap();
    let error = network.run(&[(&[1, 3, 28, 28], Input::F32(&[0.0; 3 * 28 * 28]))]).err().unwrap().to_string();
    assert_eq!(error, "input \"x\": the shape [1, 3, 28, 28] does not fit f32[N, 1, 28, 28]");
    let error = network.run(&[(&[1, 1, 28, 28], Input::U8(&[0; 28 * 28]))]).err().unwrap().to_string();
    assert_eq!(error, "input \"x\": needs 784 elements of f32, not 784 of u8");
}

#[test]
fn memory_beyond_the_limit_is_refused_before_it_is_taken() {
    let graph = mixed();
    let mut network = Network::new(&graph, &params(&graph, 1), settings()).unwrap();
    let sizes = [("N".into(), 1000), ("H".into(), 100_000), ("W".into(), 100_000)].into();
    assert!(network.plan(&sizes).err().unwrap().to_string().contains("more than the limit of 8192 MB"));
}

#[test]
fn what_follows_a_product_without_an_epilogue_is_not_lost() {
    let net = Builder::new("net");
    let tensor = |shape: &[usize]| {
        let numbers = (0..shape.iter().product()).map(|i: usize| (i % 7) as f32 - 3.0);
        net.constant(Tensor::f32(shape, numbers.collect()).unwrap())
    };
    // A matrix for each of several, and a summand for each row: neither is a product with a matrix and a bias.
    let batched = net.input("x", DType::F32, [2, 3, 4].map(Into::into)).apply(MatMul {}, &[tensor(&[2, 4, 5])]).relu();
    let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false };
    let by_rows = net.input("a", DType::F32, [3, 4].map(Into::into)).apply(gemm, &[tensor(&[4, 5]), tensor(&[3, 1])]);
    let graph = net.finish(&[("y", batched), ("z", by_rows.relu())]).unwrap();
    let worst = difference(&graph, &params(&graph, 7), &[&[2, 3, 4], &[3, 4]], 3, &settings());
    assert!(worst < 2e-5, "{worst}");
}

#[test]
fn a_product_of_no_terms_is_zero_and_one_of_no_rows_empty() {
    let net = Builder::new("product");
    let [a, b] =
        [("a", ["M", "K"]), ("b", ["K", "N"])].map(|(name, dims)| net.input(name, DType::F32, dims.map(Into::into)));
    let graph = net.finish(&[("y", a.apply(MatMul {}, &[b]))]).unwrap();
    let mut network = Network::new(&graph, &Default::default(), settings()).unwrap();
    let ones = [1.0; 30];
    for (m, k, n) in [(5, 2, 3), (5, 0, 3), (0, 2, 3), (5, 2, 0), (5, 2, 3)] {
        let inputs = [(&[m, k][..], Input::F32(&ones[..m * k])), (&[k, n], Input::F32(&ones[..k * n]))];
        let (shape, y) = network.run(&inputs).unwrap().output(0);
        assert_eq!((shape, y), (&[m, n][..], &vec![k as f32; m * n][..]));
    }
}

#[test]
fn pooling_along_one_axis_is_an_error() {
    let net = Builder::new("net");
    let pool = AveragePool {
        kernel_shape: vec![3],
        strides: vec![1],
        dilations: vec![1],
        padding: Padding::Explicit(vec![1, 1]),
        ceil_mode: false,
        count_include_pad: true,
    };
    let x = net.input("x", DType::F32, [1, 2, 8].map(Into::into));
    let graph = net.finish(&[("y", x.apply(pool, &[]))]).unwrap();
    let mut network = Network::new(&graph, &params(&graph, 1), settings()).unwrap();
    let error = network.plan(&[].into()).err().unwrap().to_string();
    assert!(error.contains("two spatial axes"), "{error}");
}

#[test]
fn scratch_memory_counts_as_memory() {
    // The few windows lie so far apart that what is between them would take 100 GB.
    let net = Builder::new("far");
    let x = net.input("x", DType::F32, [1.into(), 64.into(), 4.into(), 4.into()]);
    let y = x.conv("y", 4, 3, |conv| conv.padding(20_000).stride(20_000));
    let graph = net.finish(&[("y", y)]).unwrap();
    let mut network = Network::new(&graph, &params(&graph, 1), settings()).unwrap();
    let refused = network.plan(&Default::default()).err().unwrap().to_string();
    assert!(refused.contains("MB of memory"), "{refused}");
}

#[test]
fn a_generator_runs_in_as_many_steps_as_it_has_layers() {
    let net = Builder::new("generator");
    let z = net.input("z", DType::F32, ["N".into(), 10.into(), 1.into(), 1.into()]);
    let x = z.conv_transpose_without_bias("first", 12, 4, |conv| conv).batch_norm("bn1", 1e-3).relu();
    let x = x.conv_transpose("second", 18, 4, |conv| conv.stride(2).padding(1).group(2)).batch_norm("bn2", 1e-3);
    let x = x.relu().conv_transpose("third", 3, 3, |conv| conv.stride(2).padding(1).output_padding(1)).tanh();
    let graph = net.finish(&[("picture", x)]).unwrap();
    let params = params(&graph, 5);
    let mut network = Network::new(&graph, &params, settings()).unwrap();
    let (shape, values) = ([1, 10, 1, 1], numbers(1, 10));
    network.run(&[(&shape, Input::F32(&values))]).unwrap();
    let plan = network.plan(&[("N".to_string(), 1)].into()).unwrap();
    let steps =
        plan.work().filter(|work| work.kind.starts_with("ConvTranspose ") && !work.kind.ends_with("moves")).count();
    assert_eq!((steps, network.graph().nodes().len()), (3, 6), "both normalisations are folded");
    for batch in [1, 3, 21] {
        let worst = difference(&graph, &params, &[&[batch, 10, 1, 1]], 3, &settings());
        assert!(worst < 1e-5, "{worst}");
    }
}
