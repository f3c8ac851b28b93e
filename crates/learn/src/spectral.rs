//! Spectral normalisation: weights divided by their greatest singular value, so that no layer is steeper than one.
//!
//! Miyato, Kataoka, Koyama and Yoshida, "Spectral Normalization for Generative Adversarial Networks", ICLR 2018 (arXiv:1802.05957). The singular
//! vectors are followed by the power method, one round before each step, since weights move little in a step: their algorithm 1. That happens
//! here, between steps, and not in the graph, which would need a way to stop gradients: the graph gets `u vᵀ` of each weight as an input
//! ([`percept_graph::Builder::spectral_norm`]), divides by `σ = Σ W ∘ u vᵀ`, and its gradient is that of their equation 12, which takes `u` and `v` for constants.

use crate::random::{mixed, uniform};
use crate::trainer::Weights;
use crate::{Error, Result};
use percept_engine::Input;
use percept_graph::{DIRECTION, Graph};
use std::ops::Range;

/// Rounds of the power method before the first step.
const FIRST: usize = 15;
/// What a vector's length is taken for at least: PyTorch's value.
const SHORTEST: f64 = 1e-12;

/// The directions of the greatest singular values of a graph's normalised weights.
///
/// ```
/// use percept_engine::{Input, Settings};
/// use percept_graph::{Builder, DType, Params, Tensor, ops};
/// use percept_learn::spectral::Spectral;
/// use percept_learn::trainer::{BatchNorm, Step, Weights};
///
/// let net = Builder::new("steepest");
/// let weight = net.spectral_norm("weight", [2.into(), 2.into()]);
/// let y = net.input("x", DType::F32, [1.into(), 2.into()]).apply(ops::MatMul {}, &[weight]);
/// let graph = net.finish(&[("sum", y.apply(ops::ReduceSum { axes: None, keepdims: false }, &[]))])?;
/// let params = Params::from([("weight".to_string(), Tensor::f32([2, 2], vec![3.0, 0.0, 0.0, 2.0])?)]);
/// let mut weights = Weights::new(&[&graph], &params, BatchNorm::Frozen, |_| true)?;
/// let mut spectral = Spectral::new(&graph, &weights, 0)?;
/// assert!((spectral.values(&weights.parameters)[0] - 3.0).abs() < 1e-4);
///
/// spectral.advance(&weights.parameters);
/// let mut step = Step::new(&graph, &weights, |_| true, Settings::detect()?)?;
/// let x = (&[1, 2][..], Input::F32(&[0.0, 3.0]));
/// let inputs: Vec<_> = spectral.inputs().chain([x]).collect();
/// let sum = step.run(&mut weights, &inputs)?;
/// assert!((sum - 2.0).abs() < 1e-4, "2 / 3 of 3");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Spectral {
    layers: Vec<Layer>,
    /// The left singular vectors, one after the other: all that the next round depends on beside the weights.
    pub vectors: Vec<f32>,
    /// `u vᵀ` of each weight.
    directions: Vec<f32>,
}

/// A weight as a matrix.
struct Layer {
    shape: Vec<usize>,
    /// Where it lies among the parameters.
    weight: Range<usize>,
    /// Where its left vector lies, which has an entry for each row.
    vector: Range<usize>,
    /// Where its direction lies.
    direction: Range<usize>,
}

impl Spectral {
    /// For the weights that a graph normalises, in the order of its inputs; they begin in a random direction and are followed for a few rounds.
    ///
    /// # Errors
    /// Weights that were made without one of these.
    pub fn new(graph: &Graph, weights: &Weights, seed: u64) -> Result<Self> {
        let mut layers = Vec::new();
        let (mut rows, mut len) = (0, 0);
        let names = graph.inputs().iter().filter_map(|&id| graph.value(id).name.strip_suffix(DIRECTION));
        for name in names {
            let slice = weights.slices().iter().find(|slice| slice.name == name);
            let slice = slice.ok_or_else(|| Error::Network(format!("\"{name}\" is normalised, but not trained")))?;
            let (vector, direction) = (rows..rows + slice.shape[0], len..len + slice.range.len());
            (rows, len) = (vector.end, direction.end);
            layers.push(Layer { shape: slice.shape.clone(), weight: slice.range.clone(), vector, direction });
        }
        let mut state = mixed(seed, rows as u64);
        let vectors = (0..rows).map(|_| (uniform(&mut state) - 0.5) as f32).collect();
        let mut spectral = Self { layers, vectors, directions: vec![0.0; len] };
        (0..FIRST).for_each(|_| spectral.advance(&weights.parameters));
        Ok(spectral)
    }

    /// One round of the power method for weights that have moved: `v` becomes `Wᵀu` and `u` becomes `Wv`, both of length 1.
    pub fn advance(&mut self, parameters: &[f32]) {
        for layer in &self.layers {
            let (weight, left) = (&parameters[layer.weight.clone()], &mut self.vectors[layer.vector.clone()]);
            let columns = weight.len() / left.len().max(1);
            let mut right = vec![0.0; columns];
            for (row, &u) in weight.chunks_exact(columns.max(1)).zip(&*left) {
                right.iter_mut().zip(row).for_each(|(v, &w)| *v += f64::from(w) * f64::from(u));
            }
            normalise(&mut right);
            let rows = weight.chunks_exact(columns.max(1));
            let mut next: Vec<f64> =
                rows.map(|row| row.iter().zip(&right).map(|(&w, v)| f64::from(w) * v).sum()).collect();
            normalise(&mut next);
            left.iter_mut().zip(&next).for_each(|(u, &next)| *u = next as f32);
            let direction = self.directions[layer.direction.clone()].chunks_exact_mut(columns.max(1));
            for (row, u) in direction.zip(next) {
                row.iter_mut().zip(&right).for_each(|(d, v)| *d = (u * v) as f32);
            }
        }
    }

    /// The singular value of each weight in the direction that was found for it.
    pub fn values(&self, parameters: &[f32]) -> Vec<f64> {
        let value = |layer: &Layer| {
            let pairs = parameters[layer.weight.clone()].iter().zip(&self.directions[layer.direction.clone()]);
            pairs.map(|(&w, &d)| f64::from(w) * f64::from(d)).sum()
        };
        self.layers.iter().map(value).collect()
    }

    /// The directions as inputs of a step, in the order of the graph.
    pub fn inputs(&self) -> impl Iterator<Item = (&[usize], Input<'_>)> {
        self.layers.iter().map(|layer| (&layer.shape[..], Input::F32(&self.directions[layer.direction.clone()])))
    }
}

fn normalise(vector: &mut [f64]) {
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt().max(SHORTEST);
    vector.iter_mut().for_each(|x| *x /= length);
}
