//! Every row of the derivative table against finite differences in f64, over odd shapes and all optional inputs.

#![allow(clippy::unwrap_used, clippy::panic)]

use percept_engine::reference::{self, Array};
use percept_engine::simd::Isa;
use percept_engine::{Input, Network, Settings};
use percept_graph::ops::{self, Coordinates, Direction, Extent, Interpolation, LossKind, PadMode, Padding, Rounding};
use percept_graph::{DType, Graph, Op, Params, TensorType, ValueId};
use percept_learn::gradient::gradients;
use std::collections::BTreeSet;

/// Numbers between −1 and 1, none of them equal: SplitMix64 (Steele et al. 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64 * 2.0 - 1.0
    }

    fn array(&mut self, shape: &[usize], offset: f64, scale: f64) -> Array {
        let data = (0..shape.iter().product()).map(|_| offset + scale * self.next()).collect();
        Array { dtype: DType::F32, shape: shape.to_vec(), data }
    }
}

/// An operator with the shapes of its inputs; those of `fixed` are not differentiated.
struct Case {
    op: Op,
    shapes: Vec<Vec<usize>>,
    fixed: Vec<usize>,
    /// What is added to all numbers, so that none is near a corner or, for variances and divisors, near zero.
    offset: f64,
    scale: f64,
    /// An input of integers, which name one of so many entries.
    ids: Option<(usize, usize)>,
}

fn case(op: impl Into<Op>, shapes: &[&[usize]]) -> Case {
    let shapes = shapes.iter().map(|shape| shape.to_vec()).collect();
    Case { op: op.into(), shapes, fixed: Vec::new(), offset: 0.0, scale: 1.0, ids: None }
}

impl Case {
    fn fixed(self, fixed: &[usize]) -> Self {
        Self { fixed: fixed.to_vec(), ..self }
    }

    /// The input at `index` is not differentiated: it names some of `size` entries, from both ends.
    fn ids(self, index: usize, size: usize) -> Self {
        Self { fixed: vec![index], ids: Some((index, size)), ..self }
    }

    fn dtype(&self, input: usize) -> DType {
        if self.ids.is_some_and(|(index, _)| index == input) { DType::I64 } else { DType::F32 }
    }

    fn draw(&self, random: &mut Random) -> Vec<Array> {
        let mut all: Vec<_> = self.shapes.iter().map(|shape| random.array(shape, self.offset, self.scale)).collect();
        if let Some((index, size)) = self.ids {
            all[index].dtype = DType::I64;
            all[index].data.iter_mut().for_each(|x| *x = (*x * size as f64).floor());
        }
        all
    }

    fn around(self, offset: f64, scale: f64) -> Self {
        Self { offset, scale, ..self }
    }
}

/// The loss: a sum of the operator's result with random weights, as a mean.
fn network(case: &Case) -> Graph {
    let mut graph = Graph::new(case.op.name());
    let shape_of = |i, shape: &[usize]| TensorType::new(case.dtype(i), shape.iter().map(|&n| n.into()));
    let inputs: Vec<_> = case
        .shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| graph.add_input(format!("x{i}"), shape_of(i, shape)).unwrap())
        .collect();
    let y = graph.add_node("y", case.op.clone(), inputs.iter().copied().map(Some).collect(), &[]).unwrap()[0];
    let weights = graph.add_input("weights", graph.value(y).ty.clone()).unwrap();
    let product = graph.add(ops::Mul, &[y, weights]).unwrap();
    let loss = graph.add(ops::ReduceMean { axes: None, keepdims: false }, &[product]).unwrap();
    let of: Vec<_> = inputs.iter().enumerate().filter(|(i, _)| !case.fixed.contains(i)).map(|(_, &x)| x).collect();
    let slopes = gradients(&mut graph, loss, &of).unwrap_or_else(|e| panic!("{:?}: {e}", case.op));
    let mut outputs = vec![loss];
    outputs.extend(slopes.into_iter().map(|slope| slope.expect("the loss depends on every input")));
    graph.set_outputs(outputs);
    graph
}

fn check(case: &Case) {
    if case.shapes.iter().any(|shape| shape.iter().product::<usize>() > 1000) {
        return; // Large enough that threads share the work: for the planner.
    }
    let graph = network(case);
    let mut random = Random(7);
    let mut inputs = case.draw(&mut random);
    let weights = &graph.value(graph.find("weights").unwrap()).ty;
    inputs.push(Array { dtype: weights.dtype, ..random.array(&weights.concrete().unwrap(), 0.0, 1.0) });
    let run = |inputs: &[Array]| reference::run(&graph, &Params::new(), inputs).unwrap();
    let found = run(&inputs);
    let differentiated = (0..case.shapes.len()).filter(|i| !case.fixed.contains(i));
    for (k, i) in differentiated.enumerate() {
        assert_eq!(found[1 + k].shape, case.shapes[i], "{:?}", case.op);
        for j in 0..inputs[i].data.len() {
            const STEP: f64 = 1e-5;
            let mut at = |x: f64| {
                let old = std::mem::replace(&mut inputs[i].data[j], x);
                let loss = run(&inputs)[0].data[0];
                inputs[i].data[j] = old;
                loss
            };
            let x = found_input(case, i, j);
            let expected = (at(x + STEP) - at(x - STEP)) / (2.0 * STEP);
            let slope = found[1 + k].data[j];
            assert!((slope - expected).abs() < 1e-7, "{:?}, input {i}, element {j}: {slope}, not {expected}", case.op);
        }
    }
}

/// The number that `check` drew for an element of an input.
fn found_input(case: &Case, input: usize, element: usize) -> f64 {
    let mut random = Random(7);
    case.shapes.iter().map(|shape| random.array(shape, case.offset, case.scale)).nth(input).unwrap().data[element]
}

fn conv(strides: [usize; 2], dilations: [usize; 2], padding: Padding, group: usize) -> ops::Conv {
    ops::Conv { strides: strides.to_vec(), dilations: dilations.to_vec(), padding, group }
}

fn convolutions() -> Vec<Case> {
    let pads = |pads: [usize; 4]| Padding::Explicit(pads.to_vec());
    let plain = ops::ConvTranspose::new_2d;
    let widened =
        ops::ConvTranspose { output_padding: vec![2, 1], padding: pads([1, 0, 0, 2]), ..plain(3, 0).group(2) };
    let same = |strides: [usize; 2]| ops::ConvTranspose { strides: strides.to_vec(), ..plain(1, 0).same_upper() };
    vec![
        case(plain(2, 1), &[&[2, 3, 4, 2], &[3, 2, 4, 4], &[2]]),
        case(plain(1, 0), &[&[2, 3, 1, 1], &[3, 5, 4, 3]]),
        case(plain(1, 1).dilation(2), &[&[1, 2, 3, 4], &[2, 3, 3, 3]]),
        case(widened, &[&[2, 4, 3, 3], &[4, 2, 3, 4], &[4]]),
        case(same([2, 3]), &[&[1, 2, 3, 3], &[2, 2, 3, 3]]),
        case(plain(1, 0), &[&[2, 3, 4, 3], &[3, 2, 1, 1], &[2]]),
        case(plain(2, 1).group(3), &[&[2, 3, 3, 4], &[3, 1, 4, 4], &[3]]),
        case(plain(1, 1), &[&[1, 18, 9, 9], &[18, 17, 3, 3], &[17]]),
        case(conv([1, 1], [1, 1], pads([0; 4]), 1), &[&[2, 3, 1, 1], &[4, 3, 1, 1]]),
        case(conv([1, 1], [1, 1], pads([1; 4]), 1), &[&[2, 2, 5, 3], &[3, 2, 3, 3], &[3]]),
        case(conv([2, 1], [1, 1], pads([0, 1, 2, 0]), 1), &[&[1, 2, 6, 4], &[3, 2, 3, 2]]),
        case(conv([2, 2], [1, 2], Padding::SameUpper, 1), &[&[1, 1, 5, 7], &[2, 1, 3, 3], &[2]]),
        case(conv([3, 2], [2, 1], Padding::SameLower, 2), &[&[2, 4, 7, 5], &[6, 2, 2, 3]]),
        case(conv([1, 1], [1, 1], pads([2; 4]), 3), &[&[1, 3, 4, 4], &[3, 1, 5, 5], &[3]]),
        case(conv([2, 2], [1, 1], pads([0, 0, 1, 1]), 2), &[&[1, 2, 6, 6], &[4, 1, 3, 3]]),
        case(
            ops::Conv { strides: vec![2], dilations: vec![1], padding: pads_1d(), group: 1 },
            &[&[2, 2, 7], &[3, 2, 3]],
        ),
    ]
}

fn resize(scales: &[f32], coordinates: Coordinates, interpolation: Interpolation) -> Case {
    case(ops::Resize { to: Extent::Scales(scales.to_vec()), coordinates, interpolation }, &[&[2, 3, 4, 5]])
}

fn slice(starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64]) -> ops::Slice {
    let [starts, ends, axes, steps] = [starts, ends, axes, steps].map(<[i64]>::to_vec);
    ops::Slice { starts, ends, axes, steps }
}

fn pads_1d() -> Padding {
    Padding::Explicit(vec![1, 0])
}

fn pools() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kernel, strides, pads, ceil_mode) in
        [([2, 2], [2, 2], [0; 4], false), ([3, 3], [2, 1], [1, 1, 0, 1], false), ([3, 2], [2, 2], [0; 4], true)]
    {
        let (kernel_shape, strides, dilations) = (kernel.to_vec(), strides.to_vec(), vec![1, 1]);
        let padding = Padding::Explicit(pads.to_vec());
        let shape: &[&[usize]] = &[&[2, 2, 6, 5]];
        let max = ops::MaxPool { kernel_shape, strides, dilations, padding, ceil_mode };
        for count_include_pad in [false, true] {
            let ops::MaxPool { kernel_shape, strides, dilations, padding, ceil_mode } = max.clone();
            let mean = ops::AveragePool { kernel_shape, strides, dilations, padding, ceil_mode, count_include_pad };
            cases.push(case(mean, shape));
        }
        cases.push(case(max, shape));
    }
    cases
}

fn norm(training_mode: bool) -> ops::BatchNormalization {
    ops::BatchNormalization { training_mode, ..ops::BatchNormalization::new(1e-3) }
}

fn products() -> Vec<Case> {
    let mut cases = vec![
        case(ops::MatMul, &[&[3, 4], &[4, 2]]),
        case(ops::MatMul, &[&[2, 1, 3, 4], &[5, 4, 2]]),
        case(ops::MatMul, &[&[2, 3, 4], &[4, 5]]),
        case(ops::MatMul, &[&[2, 3, 4, 5], &[2, 3, 5, 6]]),
        case(ops::MatMul, &[&[4], &[4, 2]]),
        case(ops::MatMul, &[&[4], &[3, 4, 2]]),
        case(ops::MatMul, &[&[2, 3, 4], &[4]]),
        case(ops::MatMul, &[&[4], &[4]]),
    ];
    for (trans_a, trans_b) in [(false, false), (false, true), (true, false), (true, true)] {
        let a: &[usize] = if trans_a { &[4, 3] } else { &[3, 4] };
        let b: &[usize] = if trans_b { &[2, 4] } else { &[4, 2] };
        for c in [&[2][..], &[3, 1], &[3, 2], &[]] {
            cases.push(case(ops::Gemm { alpha: 0.5, beta: 3.0, trans_a, trans_b }, &[a, b, c]));
        }
        cases.push(case(ops::Gemm { alpha: 1.0, beta: 1.0, trans_a, trans_b }, &[a, b]));
    }
    cases
}

fn loss(kind: LossKind) -> ops::Loss {
    ops::Loss { kind, reduction: ops::Reduction::Mean }
}

fn cases() -> Vec<Case> {
    let broadcasts: [[&[usize]; 2]; 4] = [[&[2, 3], &[2, 3]], [&[2, 3, 4], &[3, 1]], [&[1], &[2, 3]], [&[], &[2]]];
    let arithmetic: [fn() -> Op; 6] = [
        || ops::Add.into(),
        || ops::Sub.into(),
        || ops::Mul.into(),
        || ops::Div.into(),
        || ops::Max.into(),
        || ops::Min.into(),
    ];
    let mut all: Vec<_> =
        arithmetic.iter().flat_map(|op| broadcasts.iter().map(|shapes| case(op(), shapes).around(2.0, 1.0))).collect();
    let x: &[&[usize]] = &[&[3, 7]];
    let wide = |op: Op| case(op, x).around(0.0, 4.5);
    all.extend([
        wide(ops::Relu {}.into()),
        wide(ops::LeakyRelu { alpha: 0.25 }.into()),
        wide(ops::Clip { min: -1.0, max: 2.0 }.into()),
        wide(ops::Sigmoid {}.into()),
        wide(ops::HardSigmoid { alpha: 0.25, beta: 0.5 }.into()),
        wide(ops::HardSwish {}.into()),
        wide(ops::Tanh {}.into()),
        case(ops::Exp {}, x),
        wide(ops::Abs {}.into()),
        wide(ops::Neg {}.into()),
        wide(ops::Softplus {}.into()),
        wide(ops::Erf {}.into()),
        wide(ops::Gelu.into()),
        case(ops::Log {}, x).around(2.0, 1.0),
        case(ops::Sqrt {}, x).around(2.0, 1.0),
        case(ops::Pow { exponent: 3.0 }, x),
        case(ops::Pow { exponent: -1.5 }, x).around(2.0, 1.0),
        case(ops::Softmax { axis: -1 }, &[&[2, 3, 4]]),
        case(ops::Softmax { axis: 1 }, &[&[2, 3, 4]]),
        case(loss(LossKind::SoftmaxCrossEntropy { ignore_index: -1, label_smoothing: 0.1 }), &[&[3, 5], &[3, 5]])
            .fixed(&[1]),
        case(loss(LossKind::SquaredError), &[&[3, 5], &[3, 5], &[5]]).fixed(&[2]),
        case(loss(LossKind::AbsoluteError), &[&[3, 5], &[3, 5]]),
        case(loss(LossKind::Huber { delta: 0.5, slope: 2.0 }), &[&[3, 5], &[3, 5], &[3, 1]]).fixed(&[2]),
        case(loss(LossKind::BinaryCrossEntropyWithLogits), &[&[3, 5], &[3, 5], &[], &[5]]).fixed(&[1, 2, 3]),
        case(loss(LossKind::Hinge), &[&[3, 5], &[3, 5]]).fixed(&[1]),
        case(norm(true), &[&[3, 2, 2, 3], &[2], &[2], &[2], &[2]]).fixed(&[3, 4]).around(1.5, 1.0),
        case(norm(false), &[&[3, 2, 2, 3], &[2], &[2], &[2], &[2]]).fixed(&[3, 4]).around(1.5, 1.0),
        case(norm(true), &[&[5, 3], &[3], &[3], &[3], &[3]]).fixed(&[3, 4]).around(1.5, 1.0),
        case(ops::LayerNormalization { axis: -1, epsilon: 1e-3 }, &[&[2, 3, 7], &[7], &[7]]),
        case(ops::LayerNormalization { axis: 1, epsilon: 0.1 }, &[&[3, 2, 4, 2], &[2, 4, 2], &[2, 4, 2]]),
        case(ops::LayerNormalization { axis: -1, epsilon: 0.1 }, &[&[4, 19], &[19]]),
        case(ops::LayerNormalization { axis: 2, epsilon: 1e-3 }, &[&[7, 250, 80], &[80], &[80]]),
        case(ops::GlobalAveragePool, &[&[2, 3, 4, 5]]),
        case(ops::ReduceMean { axes: Some(vec![-1, 0]), keepdims: false }, &[&[2, 3, 4]]),
        case(ops::ReduceMean { axes: Some(vec![1]), keepdims: true }, &[&[2, 3, 4]]),
        case(ops::ReduceMean { axes: None, keepdims: true }, &[&[2, 3]]),
        case(ops::ReduceSum { axes: Some(vec![-1, 0]), keepdims: false }, &[&[2, 3, 4]]),
        case(ops::ReduceSum { axes: Some(vec![]), keepdims: false }, &[&[2, 3]]),
        case(ops::ReduceSum { axes: None, keepdims: true }, &[&[2, 3, 2, 2]]),
        case(ops::ReduceMax { axes: Some(vec![1]), keepdims: false }, &[&[2, 7, 3]]),
        case(ops::ReduceMax { axes: Some(vec![-1, 0]), keepdims: true }, &[&[2, 3, 2, 4]]),
        case(ops::ReduceMax { axes: Some(vec![0]), keepdims: false }, &[&[5]]),
        case(ops::ReduceMax { axes: None, keepdims: false }, &[&[2, 3]]),
        case(ops::Gather { axis: 0 }, &[&[5, 3], &[2, 7]]).ids(1, 5),
        case(ops::Gather { axis: 0 }, &[&[40, 130], &[9, 11]]).ids(1, 40),
        case(ops::Gather { axis: -2 }, &[&[2, 4, 3], &[3]]).ids(1, 4),
        case(ops::Gather { axis: 1 }, &[&[2, 4], &[]]).ids(1, 4),
        case(slice(&[1, -1], &[i64::MAX, i64::MIN], &[0, -1], &[2, -2]), &[&[6, 5]]),
        case(slice(&[-2], &[100], &[1], &[1]), &[&[2, 7, 3]]),
        case(slice(&[3], &[4], &[2], &[1]), &[&[1, 2, 5, 2]]),
        resize(&[1.0, 1.0, 2.0, 3.0], Coordinates::HalfPixel, Interpolation::Linear),
        resize(&[1.0, 1.0, 1.7, 0.6], Coordinates::AlignCorners, Interpolation::Linear),
        resize(&[1.0, 1.0, 0.5, 2.0], Coordinates::Asymmetric, Interpolation::Nearest(Rounding::Floor)),
        case(ops::Flatten { axis: 2 }, &[&[2, 3, 4]]),
        case(ops::Reshape { shape: vec![4.into(), (-1).into()], allowzero: false }, &[&[2, 3, 4]]),
        case(ops::Squeeze { axes: Some(vec![1]) }, &[&[2, 1, 4]]),
        case(ops::Unsqueeze { axes: vec![0, -1] }, &[&[2, 3]]),
        case(ops::Transpose { perm: Some(vec![2, 0, 1]) }, &[&[2, 3, 4]]),
        case(ops::Transpose { perm: None }, &[&[2, 3]]),
        case(ops::Concat { axis: 1 }, &[&[2, 3, 2], &[2, 1, 2], &[2, 2, 2]]),
        case(ops::Concat { axis: -1 }, &[&[2, 3]]),
        case(ops::Identity, x),
        case(ops::Dropout { ratio: 0.5 }, x),
        case(ops::Cast { to: DType::F64 }, x),
    ]);
    for mode in [PadMode::Constant(0.5), PadMode::Reflect, PadMode::Edge, PadMode::Wrap] {
        all.push(case(ops::Pad { pads: vec![0, 2, 1, -1], mode }, &[&[3, 4]]));
    }
    for direction in [Direction::Forward, Direction::Bidirectional] {
        let d = direction.reversed().len();
        let shapes =
            |gates: usize| [vec![3, 2, 4], vec![d, gates * 3, 4], vec![d, gates * 3, 3], vec![d, 2 * gates * 3]];
        let recurrent = |op: Op, gates: usize| case(op, &shapes(gates).each_ref().map(|shape| &shape[..]));
        all.extend([
            recurrent(ops::Lstm { hidden_size: 3, direction }.into(), 4),
            recurrent(ops::Gru { hidden_size: 3, direction, linear_before_reset: true }.into(), 3),
            recurrent(ops::Rnn { hidden_size: 3, direction, relu: false }.into(), 1),
        ]);
    }
    all.extend(convolutions());
    all.extend(pools());
    all.extend(products());
    all
}

#[test]
fn every_row_agrees_with_finite_differences() {
    let cases = cases();
    cases.iter().for_each(check);
    let seen: BTreeSet<_> = cases.iter().map(|case| case.op.name()).collect();
    let missing: Vec<_> = Op::NAMES.iter().filter(|name| !seen.contains(*name) && **name != "Constant").collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

/// What the engine says that it does not run: other element types, other than two spatial axes, gradients of other than constant pads.
fn is_planned(case: &Case) -> bool {
    match &case.op {
        Op::Cast(_) => false,
        Op::Conv(op) => op.strides.len() == 2,
        Op::Pad(op) => matches!(op.mode, PadMode::Constant(_)),
        _ => true,
    }
}

#[test]
fn the_planner_agrees_with_the_reference_at_any_number_of_threads() {
    for isa in Isa::available() {
        for case in cases().iter().filter(|case| is_planned(case)) {
            let graph = network(case);
            let mut random = Random(11);
            let mut inputs = case.draw(&mut random);
            inputs.push(random.array(&graph.value(graph.find("weights").unwrap()).ty.concrete().unwrap(), 0.0, 1.0));
            for input in &mut inputs {
                input.data.iter_mut().for_each(|x| *x = f64::from(*x as f32));
            }
            compare(&graph, &inputs, isa, case.op.name());
        }
    }
}

/// Compares outputs with the reference's, at one thread and at three.
fn compare(graph: &Graph, inputs: &[Array], isa: Isa, what: &str) {
    let expected = reference::run(graph, &Params::new(), inputs).unwrap();
    let runs = [1, 3].map(|threads| run(graph, inputs, isa, threads));
    assert_eq!(runs[0], runs[1], "{what}");
    for (found, expected) in runs[0].iter().zip(&expected) {
        for (x, y) in found.iter().zip(&expected.data) {
            assert!((f64::from(*x) - y).abs() < 2e-5 * (1.0 + y.abs()), "{isa:?} {what}: {x}, not {y}");
        }
    }
}

/// An inverted residual of a last stage: its products are worth more tasks than its few pixels can be divided into.
#[test]
fn few_pixels_of_many_channels_have_right_gradients() {
    let (pixels, narrow, wide) = ([2, 256, 5, 5], 256, 320);
    let mut graph = Graph::new("block");
    let input = |graph: &mut Graph, name: &str, shape: &[usize]| {
        graph.add_input(name, TensorType::new(DType::F32, shape.iter().map(|&n| n.into()))).unwrap()
    };
    let x = input(&mut graph, "x", &pixels);
    let (mut y, mut trained) = (x, Vec::new());
    for (i, (outputs, inputs, kernel, group)) in
        [(wide, narrow, 1, 1), (wide, 1, 3, wide), (narrow, wide, 1, 1)].into_iter().enumerate()
    {
        let weight = input(&mut graph, &format!("weight{i}"), &[outputs, inputs, kernel, kernel]);
        let list = |graph: &mut Graph, name: &str| input(graph, &format!("{name}{i}"), &[outputs]);
        let norms = ["scale", "bias", "mean", "variance"].map(|name| list(&mut graph, name));
        let pads = Padding::Explicit(vec![kernel / 2; 4]);
        y = graph.add(conv([1, 1], [1, 1], pads, group), &[y, weight]).unwrap();
        y = graph.add(norm(true), &[y, norms[0], norms[1], norms[2], norms[3]]).unwrap();
        y = graph.add(ops::Clip { min: 0.0, max: 6.0 }, &[y]).unwrap();
        trained.extend([weight, norms[0], norms[1]]);
    }
    trained.push(x);
    slopes_agree(graph, y, &trained);
}

/// A first convolution of a few channels, whose maps lie as planes where vectors are long enough, and what follows it.
#[test]
fn maps_of_a_few_channels_have_right_gradients() {
    let mut graph = Graph::new("planes");
    let input = |graph: &mut Graph, name: &str, shape: &[usize]| {
        graph.add_input(name, TensorType::new(DType::F32, shape.iter().map(|&n| n.into()))).unwrap()
    };
    let x = input(&mut graph, "x", &[3, 2, 19, 22]);
    let first =
        ["weight1", "bias1"].map(|name| input(&mut graph, name, if name == "bias1" { &[6] } else { &[6, 2, 5, 5] }));
    let second = input(&mut graph, "weight2", &[20, 6, 3, 3]);
    let conv1 = conv([1, 1], [1, 1], Padding::Explicit(vec![2; 4]), 1);
    let y = graph.add(conv1, &[x, first[0], first[1]]).unwrap();
    let y = graph.add(ops::Relu {}, &[y]).unwrap();
    let (two, padding) = (vec![2, 2], Padding::Explicit(vec![0; 4]));
    let pool =
        ops::MaxPool { kernel_shape: two.clone(), strides: two, dilations: vec![1, 1], padding, ceil_mode: false };
    let y = graph.add(pool, &[y]).unwrap();
    let y = graph.add(conv([1, 1], [1, 1], Padding::Explicit(vec![0; 4]), 1), &[y, second]).unwrap();
    slopes_agree(graph, y, &[first[0], first[1], second, x]);
}

/// Strides larger than 1 on the way back, of channels that fill vectors, and of pads that are not alike.
#[test]
fn strided_convolutions_have_right_gradients() {
    for (kernel, stride, pads) in
        [([4, 4], [2, 2], [1, 1, 1, 1]), ([3, 2], [2, 3], [0, 1, 1, 0]), ([3, 3], [3, 1], [2, 1, 2, 1])]
    {
        let mut graph = Graph::new("strides");
        let mut input = |name: &str, shape: &[usize]| {
            graph.add_input(name, TensorType::new(DType::F32, shape.iter().map(|&n| n.into()))).unwrap()
        };
        let (x, weight) = (input("x", &[2, 33, 11, 13]), input("weight", &[18, 33, kernel[0], kernel[1]]));
        let back = input("back", &[18, 35, kernel[0], kernel[1]]);
        let op = conv(stride, [1, 1], Padding::Explicit(pads.to_vec()), 1);
        let y = graph.add(op.clone(), &[x, weight]).unwrap();
        let wide = ops::ConvTranspose::new_2d(stride[0], 0);
        let wide = ops::ConvTranspose { strides: stride.to_vec(), padding: Padding::Explicit(pads.to_vec()), ..wide };
        let y = graph.add(wide, &[y, back]).unwrap();
        slopes_agree(graph, y, &[x, weight, back]);
    }
}

/// Compares the gradients of a weighted mean of `y` with those of the reference on every instruction set.
fn slopes_agree(mut graph: Graph, y: ValueId, trained: &[ValueId]) {
    let weights = graph.add_input("weights", graph.value(y).ty.clone()).unwrap();
    let product = graph.add(ops::Mul, &[y, weights]).unwrap();
    let loss = graph.add(ops::ReduceMean { axes: None, keepdims: false }, &[product]).unwrap();
    let slopes = gradients(&mut graph, loss, trained).unwrap();
    graph.set_outputs(slopes.into_iter().map(|slope| slope.expect("the loss depends on all")).collect::<Vec<_>>());
    let mut random = Random(3);
    let mut inputs = Vec::new();
    for &id in graph.inputs() {
        let value = graph.value(id);
        let positive = if value.name.starts_with("variance") { 2.0 } else { 0.0 };
        let mut array = random.array(&value.ty.concrete().unwrap(), positive, 1.0);
        array.data.iter_mut().for_each(|x| *x = f64::from(*x as f32));
        inputs.push(array);
    }
    let name = graph.name.clone();
    Isa::available().into_iter().for_each(|isa| compare(&graph, &inputs, isa, &name));
}

fn run(graph: &Graph, inputs: &[Array], isa: Isa, threads: usize) -> Vec<Vec<f32>> {
    let settings = Settings { isa, ..Settings::detect().unwrap() }.with_threads(threads).unwrap();
    let mut network = Network::new(graph, &Params::new(), settings).unwrap();
    let floats: Vec<Vec<f32>> = inputs.iter().map(|x| x.data.iter().map(|&x| x as f32).collect()).collect();
    let integers: Vec<Vec<i64>> = inputs.iter().map(|x| x.data.iter().map(|&x| x as i64).collect()).collect();
    let given = |i: usize| match inputs[i].dtype {
        DType::I64 => (&inputs[i].shape[..], Input::I64(&integers[i])),
        _ => (&inputs[i].shape[..], Input::F32(&floats[i])),
    };
    let given: Vec<_> = (0..inputs.len()).map(given).collect();
    let plan = network.run(&given).unwrap_or_else(|e| panic!("{e}"));
    (0..graph.outputs().len()).map(|i| plan.output(i).1.to_vec()).collect()
}

#[test]
fn what_gradients_are_made_of_is_all_tested() {
    let graphs: Vec<_> = cases().iter().map(network).collect();
    let seen: BTreeSet<_> = graphs.iter().flat_map(|graph| graph.nodes().iter().map(|node| node.op.name())).collect();
    // Dropout takes a seed of integers: random graphs have it.
    let elsewhere = ["DropoutTraining"];
    let missing = Op::TRAINING_NAMES.iter().filter(|name| !seen.contains(*name) && !elsewhere.contains(*name));
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

#[test]
fn a_missing_row_names_node_and_operator() {
    let mut graph = Graph::new("net");
    let x = graph.add_input("x", TensorType::new(DType::F32, [2.into(), 3.into()])).unwrap();
    let targets = graph.add_input("targets", TensorType::new(DType::F32, [2.into(), 3.into()])).unwrap();
    let logits = graph.add_input("logits", TensorType::new(DType::F32, [2.into(), 3.into()])).unwrap();
    let sum = graph.add(ops::Add, &[x, targets]).unwrap();
    let kind = LossKind::SoftmaxCrossEntropy { ignore_index: -1, label_smoothing: 0.0 };
    let loss = graph.add(loss(kind), &[logits, sum]).unwrap();
    let message = gradients(&mut graph, loss, &[x]).unwrap_err().to_string();
    assert!(message.starts_with("node \"Loss_1\" (Loss) has no derivative"), "{message}");
}

#[test]
fn a_value_used_twice_gets_both_gradients() {
    let mut graph = Graph::new("net");
    let x = graph.add_input("x", TensorType::new(DType::F32, [2.into()])).unwrap();
    let y = graph.add(ops::Tanh {}, &[x]).unwrap();
    let square = graph.add(ops::Mul, &[y, y]).unwrap();
    let loss = graph.add(ops::ReduceMean { axes: None, keepdims: false }, &[square]).unwrap();
    let slope = gradients(&mut graph, loss, &[x]).unwrap()[0].unwrap();
    graph.set_outputs([slope]);
    let x = Array { dtype: DType::F32, shape: vec![2], data: vec![0.3, -0.7] };
    let found = reference::run(&graph, &Params::new(), std::slice::from_ref(&x)).unwrap();
    for (x, slope) in x.data.iter().zip(&found[0].data) {
        let y = x.tanh();
        assert!((slope - y * (1.0 - y * y)).abs() < 1e-12);
    }
}
