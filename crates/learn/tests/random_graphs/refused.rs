//! What cannot be trained is an error, never a panic.

use percept_engine::{Input, Settings};
use percept_graph::ops::{self, PadMode, Padding};
use percept_graph::{DType, Dim, Graph, Op, Params, Tensor, TensorType};
use percept_learn::trainer::{BatchNorm, Loss, Step, Weights, with_losses};
use proptest::prelude::*;
use proptest::sample::select;
use std::cell::Cell;

/// Activations that a strange operator may ask for.
const MEMORY: usize = 16 << 20;
const IMAGE: [usize; 4] = [2, 4, 7, 5];

/// An operator with the shape of its weight, if it has one.
type Strange = (Op, Option<[usize; 4]>);

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![9 => 1..=4usize, 1 => select(vec![0, 7, 8, 100, 1 << 24, 1 << 40, usize::MAX / 2, usize::MAX])]
}

fn padding() -> impl Strategy<Value = Padding> {
    let lists = prop_oneof![4 => prop::collection::vec(size(), 4), 1 => prop::collection::vec(size(), 0..6)];
    prop_oneof![3 => lists.prop_map(Padding::Explicit), 1 => Just(Padding::SameUpper), 1 => Just(Padding::SameLower)]
}

fn window() -> impl Strategy<Value = (Vec<usize>, Vec<usize>, Vec<usize>, Padding)> {
    let list = || prop_oneof![4 => prop::collection::vec(size(), 2), 1 => prop::collection::vec(size(), 0..4)];
    (list(), list(), list(), padding())
}

fn strange() -> impl Strategy<Value = Strange> {
    let channels = prop_oneof![4 => Just((4, 4, 1)), 2 => Just((4, 2, 2)), 1 => (0..=6usize, 0..=4usize, size())];
    let conv = (window(), channels, [0..=4usize, 0..=4]).prop_map(
        |((_, strides, dilations, padding), (to, from, group), [rows, columns])| {
            let op = ops::Conv { strides, dilations, padding, group };
            (Op::from(op), Some([to, from, rows, columns]))
        },
    );
    let pool = (window(), any::<[bool; 3]>()).prop_map(
        |((kernel_shape, strides, dilations, padding), [is_max, ceil_mode, count_include_pad])| match is_max {
            true => (Op::from(ops::MaxPool { kernel_shape, strides, dilations, padding, ceil_mode }), None),
            false => {
                let ceil = ops::AveragePool { kernel_shape, strides, dilations, padding, ceil_mode, count_include_pad };
                (ceil.into(), None)
            }
        },
    );
    let axis = || prop_oneof![4 => -5..=5i64, 1 => select(vec![i64::MIN, i64::MAX])];
    let axes = move || prop::collection::vec(axis(), 0..4);
    let modes = select(vec![PadMode::Constant(1.0), PadMode::Reflect, PadMode::Edge, PadMode::Wrap]);
    let pads = prop_oneof![4 => prop::collection::vec(-3..=9i64, 8), 1 => prop::collection::vec(axis(), 0..10)];
    let layout = prop_oneof![
        (pads, modes).prop_map(|(pads, mode)| Op::from(ops::Pad { pads, mode })),
        prop::collection::vec(0..6usize, 0..6).prop_map(|perm| ops::Transpose { perm: Some(perm) }.into()),
        prop::collection::vec(axis(), 0..6).prop_map(|shape| {
            let shape = shape.into_iter().map(Dim::from).collect();
            ops::Reshape { shape, allowzero: true }.into()
        }),
        axes().prop_map(|axes| ops::Squeeze { axes: Some(axes) }.into()),
        axes().prop_map(|axes| ops::Unsqueeze { axes }.into()),
        (axes(), any::<bool>()).prop_map(|(axes, keepdims)| ops::ReduceMean { axes: Some(axes), keepdims }.into()),
        axis().prop_map(|axis| ops::Softmax { axis }.into()),
        axis().prop_map(|axis| ops::Concat { axis }.into()),
        axis().prop_map(|axis| ops::Flatten { axis }.into()),
        select(vec![DType::F64, DType::I64, DType::U8, DType::Bool, DType::F32]).prop_map(|to| ops::Cast { to }.into()),
    ];
    prop_oneof![2 => conv, 2 => pool, 3 => layout.prop_map(|op| (op, None))]
}

/// The operator between a convolution and a head that fits whatever comes.
fn network((op, weight): &Strange) -> Result<(Graph, Params), percept_graph::Error> {
    let mut graph = Graph::new("strange");
    let mut params = Params::new();
    let mut parameter = |graph: &mut Graph, name: &str, shape: &[usize]| {
        let ty = TensorType::new(DType::F32, shape.iter().map(|&n| n.into()));
        params.insert(name.into(), Tensor::f32(shape, vec![0.1; shape.iter().product()])?);
        graph.add_parameter(name, ty)
    };
    let [_, channels, rows, columns] = IMAGE;
    let image = TensorType::new(DType::F32, ["N".into(), channels.into(), rows.into(), columns.into()]);
    let x = graph.add_input("x", image)?;
    let first = parameter(&mut graph, "first", &[channels, channels, 1, 1])?;
    let mut inputs = vec![graph.add(ops::Conv::new_2d(1, 0), &[x, first])?];
    if let Some(shape) = weight {
        inputs.push(parameter(&mut graph, "weight", shape)?);
    }
    let y = graph.add(op.clone(), &inputs)?;
    let flat = graph.add(ops::Flatten { axis: 1 }, &[y])?;
    let features = graph.value(flat).ty.shape[1].as_const().and_then(|n| usize::try_from(n).ok());
    let Some(features) = features.filter(|&n| n < 1 << 16) else {
        graph.set_outputs([flat]);
        return Ok((graph, params));
    };
    let head = parameter(&mut graph, "head", &[features, 3])?;
    let logits = graph.add(ops::MatMul, &[flat, head])?;
    graph.set_outputs([logits]);
    Ok((graph, params))
}

fn training(graph: &Graph, params: &Params, settings: Settings) -> Result<(Weights, Step), String> {
    let graph = with_losses(graph, &[Loss::CrossEntropy]).map_err(|e| e.to_string())?;
    let weights = Weights::new(&[&graph], params, BatchNorm::Frozen, |_| true).map_err(|e| e.to_string())?;
    let step = Step::new(&graph, &weights, |_| true, settings).map_err(|e| e.to_string())?;
    Ok((weights, step))
}

/// Trains a step if all agree that it can be done.
fn attempt(strange: &Strange, settings: &Settings) -> Result<f32, String> {
    let (graph, params) = network(strange).map_err(|e| e.to_string())?;
    let settings = Settings { memory_limit: MEMORY, ..settings.clone() };
    let classes = graph.value(graph.outputs()[0]).ty.shape.get(1).and_then(|dim| dim.as_const()).unwrap_or(1);
    let (mut weights, mut step) = training(&graph, &params, settings)?;
    let (image, targets) =
        (vec![0.5; IMAGE.iter().product()], vec![0.5; IMAGE[0] * classes.clamp(0, 1 << 16) as usize]);
    step.run_batch(&mut weights, &IMAGE, Input::F32(&image), &[targets]).map_err(|e| e.to_string())
}

#[test]
fn strange_operators_do_not_panic() {
    let settings = Settings::detect().unwrap().with_threads(2).unwrap();
    let (trained, refused) = (Cell::new(0), Cell::new(0));
    let result = crate::runner(5, 3000).run(&strange(), |strange| {
        let counter = if attempt(&strange, &settings).is_ok() { &trained } else { &refused };
        counter.set(counter.get() + 1);
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
    assert!(trained.get() > 300 && refused.get() > 300, "{} trained, {} refused", trained.get(), refused.get());
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let (graph, mut params) = network(&(ops::Identity.into(), None)).unwrap();
    let settings = || Settings::detect().unwrap();
    let (mut weights, mut step) = training(&graph, &params, settings()).unwrap();
    let mut run =
        |shape: &[usize], image: Input<'_>, targets: &[f32]| step.run_batch(&mut weights, shape, image, &[targets]);
    let numbers = vec![0.5; 4096];
    let shapes: [&[usize]; 9] = [
        &[],
        &[2],
        &[2, 4, 7],
        &[2, 4, 7, 5, 1],
        &[2, 3, 7, 5],
        &[2, 4, 5, 7],
        &[3, 4, 7, 5],
        &[1 << 62, 4, 7, 5],
        &[usize::MAX, 4, 7, 5],
    ];
    for shape in shapes {
        assert!(run(shape, Input::F32(&numbers[..280]), &numbers[..6]).is_err(), "{shape:?}");
    }
    for (image, targets) in [(280, 5), (280, 0), (279, 6), (0, 6), (281, 7)] {
        let step = run(&IMAGE, Input::F32(&numbers[..image]), &numbers[..targets]);
        assert!(step.is_err(), "{image} and {targets} numbers");
    }
    assert!(run(&IMAGE, Input::U8(&[1; 280]), &numbers[..6]).is_err());
    assert!(run(&[0, 4, 7, 5], Input::F32(&[]), &[]).is_err(), "the mean loss of nothing");
    assert!(run(&IMAGE, Input::F32(&numbers[..280]), &numbers[..6]).is_ok());
    params.insert("head".into(), Tensor::f32([3, 140], vec![0.1; 420]).unwrap());
    assert!(training(&graph, &params, settings()).is_err(), "a weight of another shape");
    params.remove("head");
    assert!(training(&graph, &params, settings()).is_err(), "a weight that is missing");
}
