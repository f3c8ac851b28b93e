//! Recurrent layers with every optional input, in every direction, with gradients at all outputs: against finite differences in f64, and
//! the engine against the reference, for odd sizes, all instruction sets, several numbers of threads, trained and constant weights.

#![allow(clippy::unwrap_used, clippy::panic)]

use percept_engine::reference::{self, Array};
use percept_engine::simd::Isa;
use percept_engine::{Input, Network, Settings};
use percept_graph::ops::{self, Direction};
use percept_graph::{DType, Graph, Op, Params, Tensor, TensorData, TensorType, ValueId};
use percept_learn::gradient::gradients;

const DIRECTIONS: [Direction; 3] = [Direction::Forward, Direction::Reverse, Direction::Bidirectional];

/// Numbers between −1 and 1 (SplitMix64, Steele et al. 2014).
fn numbers(state: &mut u64, count: usize) -> Vec<f64> {
    let mut next = || {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0)
    };
    (0..count).map(|_| next()).collect()
}

fn layers(hidden_size: usize, direction: Direction) -> [Op; 5] {
    let gru = |linear_before_reset| ops::Gru { hidden_size, direction, linear_before_reset }.into();
    let rnn = |relu| ops::Rnn { hidden_size, direction, relu }.into();
    [ops::Lstm { hidden_size, direction }.into(), gru(true), gru(false), rnn(false), rnn(true)]
}

/// Steps, sequences, features and hidden units.
type Sizes = [usize; 4];

/// A layer on inputs of which `given` says which of bias, lengths and first states there are, with a loss over all outputs.
struct Case {
    graph: Graph,
    inputs: Vec<Array>,
    /// The layer's inputs that are differentiated, by their place.
    of: Vec<usize>,
}

fn case(op: &Op, [steps, batch, features, hidden]: Sizes, given: [bool; 4], outputs: [bool; 3], seed: u64) -> Case {
    let (gates, direction) = match op {
        Op::Lstm(op) => (4, op.direction),
        Op::Gru(op) => (3, op.direction),
        Op::Rnn(op) => (1, op.direction),
        _ => panic!("not recurrent"),
    };
    let (d, lstm) = (direction.reversed().len(), gates == 4);
    let shapes = [
        Some(vec![steps, batch, features]),
        Some(vec![d, gates * hidden, features]),
        Some(vec![d, gates * hidden, hidden]),
        given[0].then(|| vec![d, 2 * gates * hidden]),
        given[1].then(|| vec![batch]),
        given[2].then(|| vec![d, batch, hidden]),
        (given[3] && lstm).then(|| vec![d, batch, hidden]),
    ];
    let (mut graph, mut random, mut inputs, mut of) = (Graph::new("case"), seed, Vec::new(), Vec::new());
    let mut ids = Vec::new();
    let mut add = |graph: &mut Graph, name: String, shape: Vec<usize>, lengths: bool, scale: f64| -> ValueId {
        let dtype = if lengths { DType::I32 } else { DType::F32 };
        let id = graph.add_input(name, TensorType::new(dtype, shape.iter().map(|&n| n.into()))).unwrap();
        let mut data = numbers(&mut random, shape.iter().product());
        data.iter_mut()
            .for_each(|x| *x = if lengths { ((*x + 1.0) / 2.0 * (steps + 1) as f64).floor() } else { *x * scale });
        // As f32 has them, so that the engine gets the same.
        data.iter_mut().for_each(|x| *x = f64::from(*x as f32));
        inputs.push(Array { dtype, shape, data });
        id
    };
    for (i, shape) in shapes.into_iter().enumerate() {
        if i != 4 && shape.is_some() {
            of.push(ids.iter().flatten().count());
        }
        let scale = if i == 1 || i == 2 { (2.0 / hidden as f64).sqrt().min(1.0) } else { 1.0 };
        ids.push(shape.map(|shape| add(&mut graph, format!("input{i}"), shape, i == 4, scale)));
    }
    ids.truncate(if lstm { 7 } else { 6 });
    let made = graph.add_node("layer", op.clone(), ids, &[]).unwrap();
    let mut loss = None;
    for (i, &y) in made.iter().enumerate().filter(|&(i, _)| outputs[i]) {
        let shape = graph.value(y).ty.concrete().unwrap();
        let weights = add(&mut graph, format!("weights{i}"), shape, false, 1.0);
        let product = graph.add(ops::Mul, &[y, weights]).unwrap();
        let mean = graph.add(ops::ReduceMean { axes: None, keepdims: false }, &[product]).unwrap();
        loss = Some(loss.map_or(mean, |other| graph.add(ops::Add, &[other, mean]).unwrap()));
    }
    let loss = loss.unwrap();
    let wanted: Vec<_> = of.iter().map(|&i| graph.inputs()[i]).collect();
    let slopes = gradients(&mut graph, loss, &wanted).unwrap();
    let mut all = vec![loss];
    all.extend(slopes.into_iter().map(Option::unwrap));
    all.extend(made);
    graph.set_outputs(all);
    Case { graph, inputs, of }
}

fn run(graph: &Graph, params: &Params, inputs: &[Array], isa: Isa, threads: usize) -> Vec<Vec<f32>> {
    let settings = Settings { isa, ..Settings::detect().unwrap() }.with_threads(threads).unwrap();
    let mut network = Network::new(graph, params, settings).unwrap();
    let floats: Vec<Vec<f32>> = inputs.iter().map(|x| x.data.iter().map(|&x| x as f32).collect()).collect();
    let integers: Vec<Vec<i32>> = inputs.iter().map(|x| x.data.iter().map(|&x| x as i32).collect()).collect();
    let data = |i: usize| match inputs[i].dtype {
        DType::I32 => Input::I32(&integers[i]),
        _ => Input::F32(&floats[i]),
    };
    let given: Vec<_> = (0..inputs.len()).map(|i| (&inputs[i].shape[..], data(i))).collect();
    // Twice, so that what one run leaves behind shows in the next.
    network.run(&given).unwrap();
    let plan = network.run(&given).unwrap_or_else(|e| panic!("{e}"));
    (0..graph.outputs().len()).map(|i| plan.output(i).1.to_vec()).collect()
}

#[test]
fn gradients_agree_with_finite_differences() {
    for direction in DIRECTIONS {
        for (i, op) in layers(2, direction).iter().enumerate() {
            for bits in 0..16usize {
                let given = [0, 1, 2, 3].map(|bit| bits >> bit & 1 == 1);
                let outputs = if bits % 3 == 0 { [true; 3] } else { [bits % 3 == 1, bits % 3 == 2, false] };
                let Case { graph, mut inputs, of } =
                    case(op, [3, 2, 2, 2], given, outputs, bits as u64 + 100 * i as u64);
                let loss = |inputs: &[Array]| reference::run(&graph, &Params::new(), inputs).unwrap();
                let found = loss(&inputs);
                for (k, &input) in of.iter().enumerate() {
                    for j in 0..inputs[input].data.len() {
                        const STEP: f64 = 1e-5;
                        let x = inputs[input].data[j];
                        let [low, high] = [x - STEP, x + STEP].map(|x| {
                            inputs[input].data[j] = x;
                            loss(&inputs)[0].data[0]
                        });
                        inputs[input].data[j] = x;
                        let (expected, slope) = ((high - low) / (2.0 * STEP), found[1 + k].data[j]);
                        assert!(
                            (slope - expected).abs() < 1e-8,
                            "{op:?} {given:?}, {input}, {j}: {slope}, not {expected}"
                        );
                    }
                }
            }
        }
    }
}

fn assert_close(found: &[Vec<f32>], expected: &[Array], what: &str) {
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.data.len(), "{what}");
        let spread = expected.data.iter().fold(1e-3f64, |max, x| max.max(x.abs()));
        for (x, y) in found.iter().zip(&expected.data) {
            assert!((f64::from(*x) - y).abs() < 2e-5 * spread, "{what}, output {i}: {x}, not {y}");
        }
    }
}

#[test]
fn the_engine_agrees_with_the_reference_at_any_number_of_threads() {
    let sizes =
        [[1, 1, 1, 1], [4, 17, 3, 5], [2, 33, 9, 16], [3, 5, 7, 24], [5, 2, 1, 35], [0, 2, 3, 4], [2, 18, 0, 3]];
    for (i, &sizes) in sizes.iter().enumerate() {
        for direction in DIRECTIONS {
            for (j, op) in layers(sizes[3], direction).iter().enumerate() {
                let bits = i + j;
                let given = [0, 1, 2, 3].map(|bit| (bits * 7 + 5) >> bit & 1 == 1);
                let outputs = [[true; 3], [true, false, false], [false, true, false]][bits % 3];
                let Case { mut graph, inputs, .. } = case(op, sizes, given, outputs, bits as u64);
                if sizes[0] == 0 {
                    // The mean of nothing is no number.
                    let ids = graph.outputs()[1..].to_vec();
                    graph.set_outputs(ids);
                }
                let expected = reference::run(&graph, &Params::new(), &inputs).unwrap();
                for isa in Isa::available() {
                    let what = format!("{isa:?} {op:?} {sizes:?} {given:?}");
                    let runs = [1, 3].map(|threads| run(&graph, &Params::new(), &inputs, isa, threads));
                    let bits = |run: &[Vec<f32>]| run.iter().flatten().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&runs[0]), bits(&runs[1]), "{what}");
                    if sizes[0] > 0 {
                        assert_close(&runs[0], &expected, &what);
                    }
                }
            }
        }
    }
}

/// The layer alone, with everything but X constant: packed once, with nothing kept.
#[test]
fn constant_weights_give_the_same_as_weights_that_move() {
    for direction in DIRECTIONS {
        for op in layers(19, direction) {
            let Case { mut graph, inputs, .. } = case(&op, [6, 18, 5, 19], [true; 4], [true; 3], 3);
            let made = graph.nodes()[0].outputs.clone();
            graph.set_outputs(made);
            let layer = percept_graph::rewrite::cut(&graph, graph.inputs(), graph.outputs()).unwrap();
            let (mut constant, mut params) = (Graph::new("constant"), Params::new());
            let ids: Vec<_> = layer.nodes()[0]
                .inputs
                .iter()
                .enumerate()
                .map(|(i, &id)| {
                    let value = layer.value(id?);
                    let position = layer.inputs().iter().position(|&other| Some(other) == id).unwrap();
                    if i == 0 {
                        return Some(constant.add_input(&value.name, value.ty.clone()).unwrap());
                    }
                    let Array { dtype, shape, data } = &inputs[position];
                    let data = match dtype {
                        DType::I32 => TensorData::I32(data.iter().map(|&x| x as i32).collect()),
                        _ => TensorData::F32(data.iter().map(|&x| x as f32).collect()),
                    };
                    params.insert(value.name.clone(), Tensor::new(shape.clone(), data).unwrap());
                    Some(constant.add_parameter(&value.name, value.ty.clone()).unwrap())
                })
                .collect();
            let outputs = constant.add_node("layer", op.clone(), ids, &[]).unwrap();
            constant.set_outputs(outputs);
            for isa in Isa::available() {
                let moving = run(&layer, &Params::new(), &inputs[..layer.inputs().len()], isa, 2);
                assert_eq!(run(&constant, &params, &inputs[..1], isa, 2), moving, "{isa:?} {op:?}");
            }
        }
    }
}

#[test]
fn gradients_of_two_losses_through_one_layer_do_not_disturb_each_other() {
    let mut graph = Graph::new("two");
    let input = |graph: &mut Graph, name: &str, shape: [usize; 3]| {
        graph.add_input(name, TensorType::new(DType::F32, shape.map(|n| n.into()))).unwrap()
    };
    let [x, w, r] =
        [("x", [3, 2, 4]), ("w", [1, 12, 4]), ("r", [1, 12, 3])].map(|(name, shape)| input(&mut graph, name, shape));
    let op = Op::from(ops::Lstm { hidden_size: 3, direction: Direction::Forward });
    let made = graph.add_node("layer", op, vec![Some(x), Some(w), Some(r)], &[]).unwrap();
    let mut outputs = Vec::new();
    for y in &made[..2] {
        let loss = graph.add(ops::ReduceMean { axes: None, keepdims: false }, &[*y]).unwrap();
        outputs.extend(gradients(&mut graph, loss, &[x, w, r]).unwrap().into_iter().map(Option::unwrap));
    }
    graph.set_outputs(outputs);
    let mut random = 5;
    let inputs: Vec<_> = graph
        .inputs()
        .iter()
        .map(|&id| {
            let shape = graph.value(id).ty.concrete().unwrap();
            Array { dtype: DType::F32, data: numbers(&mut random, shape.iter().product()), shape }
        })
        .collect();
    let expected = reference::run(&graph, &Params::new(), &inputs).unwrap();
    Isa::available()
        .into_iter()
        .for_each(|isa| assert_close(&run(&graph, &Params::new(), &inputs, isa, 2), &expected, "two losses"));
}

#[test]
fn lengths_beyond_the_sequence_are_an_error_that_names_the_input() {
    let op = Op::from(ops::Rnn { hidden_size: 2, direction: Direction::Forward, relu: false });
    for odd in [4, -1] {
        let Case { graph, mut inputs, .. } = case(&op, [3, 2, 2, 2], [false, true, false, false], [true; 3], 1);
        inputs[3].data[1] = f64::from(odd);
        let message = reference::run(&graph, &Params::new(), &inputs).unwrap_err().to_string();
        assert!(message.contains(&format!("has a sequence of {odd} steps, of 3")), "{message}");
        let mut network = Network::new(&graph, &Params::new(), Settings::detect().unwrap()).unwrap();
        let floats: Vec<Vec<f32>> = inputs.iter().map(|x| x.data.iter().map(|&x| x as f32).collect()).collect();
        let lengths = [3, odd];
        let data = |i: usize| if i == 3 { Input::I32(&lengths) } else { Input::F32(&floats[i]) };
        let given: Vec<_> = (0..inputs.len()).map(|i| (&inputs[i].shape[..], data(i))).collect();
        let message = network.run(&given).err().unwrap().to_string();
        assert_eq!(message, format!("input \"input4\": holds {odd}, which is not among lengths from 0 to 3"));
    }
}
