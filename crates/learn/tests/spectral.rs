//! Spectral normalisation against PyTorch's, singular values against numpy's, gradients against finite differences.

#![allow(clippy::unwrap_used)]

use percept_engine::{Input, Settings};
use percept_graph::{Builder, DType, Graph, Params, Tensor, Var, ops};
use percept_learn::spectral::Spectral;
use percept_learn::trainer::{BatchNorm, Step, Weights};
use serde::Deserialize;

#[derive(Deserialize)]
struct Array {
    shape: Vec<usize>,
    values: Vec<f32>,
}

#[derive(Deserialize)]
struct Case {
    shape: Vec<usize>,
    weight: Vec<f32>,
    before: Vec<f32>,
    after: Vec<f32>,
    input: Array,
    output: Vec<f32>,
    factors: Vec<f32>,
    gradient: Vec<f32>,
    greatest: f64,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("golden/spectral.json")).unwrap()
}

fn sum(x: Var<'_>) -> Var<'_> {
    x.apply(ops::ReduceSum { axes: None, keepdims: false }, &[])
}

impl Case {
    /// The sum of the layer's output times the factors, and the output.
    fn graph(&self) -> Graph {
        let net = Builder::new("layer");
        let input = net.input("x", DType::F32, self.input.shape.iter().map(|&size| size.into()));
        let weight = net.spectral_norm("weight", self.shape.iter().map(|&size| size.into()));
        let y = input.apply(ops::Conv::new_2d(1, 0).stride(2).padding(1), &[weight]);
        let side = (self.input.shape[2] + 2 - self.shape[2]) / 2 + 1;
        let shape = vec![self.input.shape[0], self.shape[0], side, side];
        let factors = net.constant(Tensor::f32(shape, self.factors.clone()).unwrap());
        net.finish(&[("sum", sum(y * factors)), ("y", y)]).unwrap()
    }

    fn weights(&self, graph: &Graph) -> Weights {
        let weight = Tensor::f32(self.shape.clone(), self.weight.clone()).unwrap();
        Weights::new(&[graph], &Params::from([("weight".into(), weight)]), BatchNorm::Frozen, |_| true).unwrap()
    }
}

#[track_caller]
fn close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!((x - y).abs() < 2e-5 * y.abs().max(1.0), "{what}, {i}: {x}, not {y}");
    }
}

#[test]
fn a_step_is_that_of_pytorch() {
    for case in cases() {
        let graph = case.graph();
        let mut weights = case.weights(&graph);
        let mut spectral = Spectral::new(&graph, &weights, 0).unwrap();
        spectral.vectors.clone_from(&case.before);
        spectral.advance(&weights.parameters);
        close(&spectral.vectors, &case.after, "vector");
        let mut step = Step::new(&graph, &weights, |_| true, Settings::detect().unwrap()).unwrap();
        let input = (&case.input.shape[..], Input::F32(&case.input.values));
        let inputs: Vec<_> = std::iter::once(input).chain(spectral.inputs()).collect();
        step.run(&mut weights, &inputs).unwrap();
        close(step.output(1).unwrap().1, &case.output, "output");
        close(&weights.gradients, &case.gradient, "gradient");
    }
}

#[test]
fn the_value_converges_to_the_greatest_singular_value() {
    for case in cases() {
        let graph = case.graph();
        let weights = case.weights(&graph);
        let mut spectral = Spectral::new(&graph, &weights, 7).unwrap();
        (0..200).for_each(|_| spectral.advance(&weights.parameters));
        let found = spectral.values(&weights.parameters)[0];
        assert!((found - case.greatest).abs() < 1e-5 * case.greatest, "{found}, not {}", case.greatest);
    }
}

#[test]
fn the_gradient_takes_the_vectors_for_constants() {
    let case = &cases()[0];
    let net = Builder::new("normalised");
    let weight = net.spectral_norm("weight", case.shape.iter().map(|&size| size.into()));
    let factors = net.constant(Tensor::f32(case.shape.clone(), case.gradient.clone()).unwrap());
    let graph = net.finish(&[("sum", sum(weight * factors))]).unwrap();
    let mut weights = case.weights(&graph);
    let spectral = Spectral::new(&graph, &weights, 1).unwrap();
    let inputs: Vec<_> = spectral.inputs().collect();
    let Input::F32(direction) = inputs[0].1 else { panic!("a direction is a list of numbers") };
    // The definition in doubles: Σ f ∘ W / Σ W ∘ u vᵀ.
    let value = |weight: &[f64]| {
        let sum_with = |list: &[f32]| weight.iter().zip(list).map(|(w, &x)| w * f64::from(x)).sum::<f64>();
        sum_with(&case.gradient) / sum_with(direction)
    };
    let mut step = Step::new(&graph, &weights, |_| true, Settings::detect().unwrap()).unwrap();
    step.run(&mut weights, &inputs).unwrap();
    let mut at: Vec<f64> = case.weight.iter().map(|&w| w.into()).collect();
    let differences: Vec<f32> = (0..at.len())
        .map(|i| {
            let mut moved = |by| {
                at[i] = f64::from(case.weight[i]) + by;
                value(&at)
            };
            let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            moved(0.0);
            difference as f32
        })
        .collect();
    close(&weights.gradients, &differences, "gradient");
}

#[test]
fn a_weight_that_is_not_trained_is_named() {
    let case = &cases()[0];
    let graph = case.graph();
    let weight = Tensor::f32(case.shape.clone(), case.weight.clone()).unwrap();
    let params = Params::from([("weight".into(), weight)]);
    let weights = Weights::new(&[&graph], &params, BatchNorm::Frozen, |_| false).unwrap();
    let error = Spectral::new(&graph, &weights, 0).err().unwrap().to_string();
    assert!(error.contains("\"weight\" is normalised, but not trained"), "{error}");
}
