//! Whole networks take training steps to the same bits at any number of threads, and near to the same numbers on any instruction set.

#![allow(clippy::unwrap_used)]

use percept_engine::simd::Isa;
use percept_engine::{Input, Settings};
use percept_learn::trainer::{BatchNorm, Loss, Step, Weights, with_losses};
use percept_models::{Network, initialize};

const SIZE: usize = 48;
const CLASSES: usize = 7;

/// The losses of two short steps of gradient descent, their gradients, and the running statistics after them.
fn train(name: &str, threads: usize, isa: Isa) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let graph = Network::find(name).unwrap().build(SIZE, CLASSES).unwrap();
    let params = initialize(&graph, 1).unwrap();
    let settings = Settings { isa, ..Settings::detect().unwrap() }.with_threads(threads).unwrap();
    let batch_norm = BatchNorm::Batch { momentum: 0.9 };
    let graph = with_losses(&graph, &[Loss::CrossEntropy]).unwrap();
    let mut weights = Weights::new(&[&graph], &params, batch_norm, |_| true).unwrap();
    let mut step = Step::new(&graph, &weights, |_| true, settings).unwrap();
    let (mut losses, mut gradients) = (Vec::new(), Vec::new());
    // The second batch is of another size.
    for batch in [6, 5] {
        let pictures: Vec<u8> = (0..batch * SIZE * SIZE * 3).map(|i| (i * 31 % 251 + i / 997 % 5) as u8).collect();
        let mut targets = vec![0.0; batch * CLASSES];
        (0..batch).for_each(|i| targets[i * CLASSES + i * 3 % CLASSES] = 1.0);
        let pictures = Input::U8(&pictures);
        losses.push(step.run_batch(&mut weights, &[batch, SIZE, SIZE, 3], pictures, &[&targets]).unwrap());
        gradients.extend_from_slice(&weights.gradients);
        // So short that rounding does not grow: see bench/training/README.md. Gradients of untrained networks may be huge.
        let rate = 1e-3 / norm(weights.gradients.iter().copied()) as f32;
        weights.parameters.iter_mut().zip(&weights.gradients).for_each(|(p, g)| *p -= rate * g);
    }
    (losses, gradients, weights.running)
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

/// The root of the sum of squares.
fn norm(numbers: impl Iterator<Item = f32>) -> f64 {
    numbers.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

fn check(name: &str) {
    let isa = *Isa::available().last().unwrap();
    let (losses, gradients, running) = train(name, 1, isa);
    assert!(gradients.iter().all(|x| x.is_finite()), "{name}");
    for threads in [2, 3, 8] {
        let other = train(name, threads, isa);
        assert_eq!(bits(&losses), bits(&other.0), "{name}: losses with {threads} threads");
        assert!(bits(&gradients) == bits(&other.1), "{name}: gradients with {threads} threads");
        assert!(bits(&running) == bits(&other.2), "{name}: statistics with {threads} threads");
    }
    for isa in Isa::available() {
        let found = train(name, 2, isa);
        let near = losses.iter().zip(&found.0).all(|(a, b)| (a - b).abs() <= 1e-3 * a.abs());
        assert!(near, "{name} on {}: {:?}, not {losses:?}", isa.name(), found.0);
        // Of the first step: after it, the parameters differ.
        let first = &gradients[..gradients.len() / 2];
        let apart = norm(first.iter().zip(&found.1).map(|(a, b)| a - b)) / norm(first.iter().copied());
        assert!(apart < 0.02, "{name} on {}: gradients {apart:.1e} apart", isa.name());
    }
}

#[test]
fn inverted_residuals() {
    check("mobilenetv2");
    check("efficientnet-lite0");
}

#[test]
fn residuals() {
    check("resnet18");
}
