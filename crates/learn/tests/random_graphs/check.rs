//! One random network, trained for a step and compared.
//!
//! The planner's f32 must agree with the reference's f64, and that gradient with a finite difference of the loss, so a mistake of the
//! derivative table shows as well as one of a kernel. The rounding of f32 is allowed relative to the largest element of each result,
//! plus a little relative to the largest of all gradients: what cancels exactly (a bias before a batch normalisation) leaves noise of
//! that size.

use crate::build::{Built, Form, MOMENTUM, build};
use crate::recipe::Recipe;
use percept_engine::reference::{self, Array};
use percept_engine::{Input, Settings};
use percept_graph::ops::{Loss as LossOp, LossKind, Reduction};
use percept_graph::{DType, Graph, Params, Tensor, ValueId};
use percept_learn::gradient::gradients;
use percept_learn::optim::{Group, Optimizer, State};
use percept_learn::trainer::{BatchNorm, Loss, Step, Weights, with_losses};
use std::collections::{BTreeMap, BTreeSet};

/// SplitMix64 (Steele et al. 2014).
struct Random(u64);

impl Random {
    /// A number between −1 and 1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) as f64 / u64::MAX as f64 * 2.0 - 1.0) as f32
    }

    fn list(&mut self, len: usize, offset: f32, scale: f32) -> Vec<f32> {
        (0..len).map(|_| offset + scale * self.next()).collect()
    }
}

/// The numbers of a network: parameters, image, targets.
struct Numbers {
    params: Params,
    image: Vec<f32>,
    targets: Vec<f32>,
}

impl Numbers {
    fn draw(graph: &Graph, recipe: &Recipe, seed: u64) -> Self {
        let mut random = Random(seed);
        let params = graph.parameters().map(|value| {
            let shape = value.ty.concrete().unwrap();
            let incoming = shape[1..].iter().product::<usize>().max(1) as f32;
            let (offset, scale) = match value.name.rsplit_once('.').unwrap() {
                (_, "running_var") => (1.0, 0.5),
                (_, "weight") if shape.len() == 1 => (1.0, 0.5),
                (_, "weight") => (0.0, (3.0 / incoming).sqrt()),
                _ => (0.0, 0.5),
            };
            (
                value.name.clone(),
                Tensor::f32(shape.clone(), random.list(shape.iter().product(), offset, scale)).unwrap(),
            )
        });
        let params = params.collect();
        let image = random.list(recipe.image.iter().product(), 0.0, 1.5);
        let mut targets = random.list(recipe.image[0] * recipe.classes, 1.05, 1.0);
        for row in targets.chunks_mut(recipe.classes) {
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|t| *t /= sum);
        }
        Self { params, image, targets }
    }

    /// The inputs of an open graph.
    fn arrays(&self, recipe: &Recipe, graph: &Graph) -> Vec<Array> {
        let array = |shape: &[usize], data: &[f32]| {
            let data = data.iter().map(|&x| x.into()).collect();
            Array { dtype: DType::F32, shape: shape.to_vec(), data }
        };
        let input = |&id: &ValueId| match graph.value(id).name.as_str() {
            "x" => array(&recipe.image, &self.image),
            "dropout.seed" => Array { dtype: DType::I64, shape: vec![1], data: vec![0.0] },
            "targets" => array(&[recipe.image[0], recipe.classes], &self.targets),
            name => Array::from_tensor(&self.params[name]),
        };
        graph.inputs().iter().map(input).collect()
    }
}

/// A step's results, by name.
type Results<T> = BTreeMap<String, Vec<T>>;

/// Whether a parameter is trained: in some networks not those of every other layer, nor biases.
fn trains(recipe: &Recipe, name: &str) -> bool {
    let even = ["l0.", "l2.", "l4.", "l6."].iter().any(|layer| name.starts_with(layer));
    !recipe.partly || !(even || name.ends_with("bias"))
}

/// A step of gradient descent that is short for every parameter.
fn descend(weights: &mut Weights) {
    let largest = weights.gradients.iter().fold(1.0, |a: f32, b| a.max(b.abs()));
    let sgd = Optimizer::Sgd { momentum: 0.0, nesterov: false };
    let groups = [Group { range: 0..weights.gradients.len(), rate: 1.0, weight_decay: 0.0 }];
    let mut state = State::new(&sgd, weights.gradients.len());
    let (parameters, slopes) = (&mut weights.parameters, &weights.gradients);
    sgd.step(&mut state, &groups, 0.01 / largest, parameters, slopes).unwrap();
}

/// What the planner makes of a step; also takes it, and one with another batch after it.
fn planned(recipe: &Recipe, graph: &Graph, numbers: &Numbers, settings: &Settings) -> Result<Results<f32>, String> {
    let batch_norm = if recipe.frozen { BatchNorm::Frozen } else { BatchNorm::Batch { momentum: MOMENTUM } };
    let train = |name: &str| trains(recipe, name);
    let graph = with_losses(graph, &[Loss::CrossEntropy]).map_err(|e| e.to_string())?;
    let mut weights = Weights::new(&[&graph], &numbers.params, batch_norm, train).map_err(|e| e.to_string())?;
    let mut training = Step::new(&graph, &weights, |_| true, settings.clone()).map_err(|e| e.to_string())?;
    let mut step = |weights: &mut Weights, [n, c, h, w]: [usize; 4]| {
        let image = &numbers.image[..n * c * h * w];
        training.run_batch(weights, &[n, c, h, w], Input::F32(image), &[&numbers.targets[..n * recipe.classes]])
    };
    let loss = step(&mut weights, recipe.image).map_err(|e| e.to_string())?;
    let mut results = Results::from([("loss".to_string(), vec![loss])]);
    for slice in weights.slices() {
        results.insert(slice.name.clone(), weights.gradients[slice.range.clone()].to_vec());
    }
    let params = weights.params().map_err(|e| e.to_string())?;
    for (name, tensor) in params.into_iter().filter(|(name, _)| name.contains("running")) {
        results.insert(name, tensor.as_f32().unwrap().to_vec());
    }
    descend(&mut weights);
    let [_, shape @ ..] = recipe.image;
    for batch in [recipe.image[0], 1] {
        let loss = step(&mut weights, [batch, shape[0], shape[1], shape[2]]).map_err(|e| e.to_string())?;
        if !loss.is_finite() {
            return Err(format!("after a step, the loss of {batch} images is {loss}"));
        }
    }
    Ok(results)
}

/// What the reference makes of a step, and the names of all operators that took part.
fn expected(recipe: &Recipe, numbers: &Numbers) -> Result<(Results<f64>, BTreeSet<&'static str>), String> {
    let Built { mut graph, statistics } = build(recipe, Form::Open { of_batch: !recipe.frozen });
    let logits = graph.outputs()[0];
    let targets = graph.add_input("targets", graph.value(logits).ty.clone()).unwrap();
    let kind = LossKind::SoftmaxCrossEntropy { ignore_index: -1, label_smoothing: 0.0 };
    let loss = graph.add(LossOp { kind, reduction: Reduction::Mean }, &[logits, targets]).unwrap();
    let trained = |name: &str| {
        !["x", "targets", "dropout.seed"].contains(&name) && !name.contains("running") && trains(recipe, name)
    };
    let of: Vec<_> = graph.inputs().iter().copied().filter(|&id| trained(&graph.value(id).name)).collect();
    let mut forward = graph.clone();
    forward.set_outputs([loss]);
    let slopes = gradients(&mut graph, loss, &of).map_err(|e| e.to_string())?;
    let names: Vec<_> = of.iter().map(|&id| graph.value(id).name.clone()).collect();
    let names: Vec<_> = std::iter::once("loss".into()).chain(names).chain(statistics.keys().cloned()).collect();
    let slopes = slopes.into_iter().map(Option::unwrap);
    graph.set_outputs(std::iter::once(loss).chain(slopes).chain(statistics.values().copied()).collect::<Vec<_>>());
    let inputs = numbers.arrays(recipe, &graph);
    let found = reference::run(&graph, &Params::new(), &inputs).map_err(|e| e.to_string())?;
    let mut results: Results<f64> = names.into_iter().zip(found.into_iter().map(|array| array.data)).collect();
    finite_difference(&forward, inputs, &results)?;
    for (name, old) in numbers.params.iter().filter(|(name, _)| name.contains("running")) {
        results.entry(name.clone()).or_insert_with(|| Array::from_tensor(old).data);
    }
    Ok((results, graph.nodes().iter().map(|node| node.op.name()).collect()))
}

/// Compares the slope along one random direction with the change of the loss.
fn finite_difference(forward: &Graph, inputs: Vec<Array>, slopes: &Results<f64>) -> Result<(), String> {
    const STEP: f64 = 1e-6;
    let mut random = Random(1);
    let (mut ahead, mut behind) = (inputs.clone(), inputs);
    let (mut slope, mut size) = (0.0, 0.0);
    for (i, &id) in forward.inputs().iter().enumerate() {
        let Some(slopes) = slopes.get(&forward.value(id).name) else { continue };
        if forward.value(id).name.contains("running") {
            continue;
        }
        for (j, dy) in slopes.iter().enumerate() {
            let direction = f64::from(random.next());
            ahead[i].data[j] += STEP * direction;
            behind[i].data[j] -= STEP * direction;
            slope += dy * direction;
            size += (dy * direction).abs();
        }
    }
    let loss = |inputs: &[Array]| reference::run(forward, &Params::new(), inputs).map(|y| y[0].data[0]);
    let (ahead, behind) = (loss(&ahead).map_err(|e| e.to_string())?, loss(&behind).map_err(|e| e.to_string())?);
    let difference = (ahead - behind) / (2.0 * STEP);
    match (slope - difference).abs() <= 1e-5 * size + 1e-7 {
        true => Ok(()),
        false => Err(format!("the slope of the loss is {slope}, not {difference}")),
    }
}

fn compare(found: &Results<f32>, expected: &Results<f64>) -> Result<(), String> {
    if !found.keys().eq(expected.keys()) {
        return Err(format!("results are {:?}, not {:?}", found.keys(), expected.keys()));
    }
    let largest = |data: &[f64]| data.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
    let steepest = expected.iter().filter(|(name, _)| !name.contains("running")).map(|(_, data)| largest(data));
    let noise = 5e-6 * steepest.fold(0.0, f64::max);
    for ((name, found), expected) in found.iter().zip(expected.values()) {
        let tolerance = 1e-4 * largest(expected) + noise + 1e-6;
        for (i, (x, y)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(*x) - y).abs();
            if error.is_nan() || error > tolerance {
                return Err(format!("{name}, element {i}: {x}, not {y} (tolerance {tolerance:e})"));
            }
        }
    }
    Ok(())
}

/// Checks a network with numbers from a seed; gives back the names of the operators that it was made of.
pub(crate) fn check(recipe: &Recipe, seed: u64, settings: &[Settings; 2]) -> Result<BTreeSet<&'static str>, String> {
    let graph = build(recipe, Form::Plain).graph;
    let numbers = Numbers::draw(&graph, recipe, seed);
    let found = planned(recipe, &graph, &numbers, &settings[0])?;
    if found != planned(recipe, &graph, &numbers, &settings[1])? {
        return Err("another number of threads gives other results".into());
    }
    let (expected, operators) = expected(recipe, &numbers)?;
    compare(&found, &expected).map(|()| operators)
}
