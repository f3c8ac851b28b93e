//! Gradients of poolings, activations, softmax and the loss on every instruction set against their definition.

use super::tests::windows;
use super::*;
use crate::kernels::tests::{ACTIVATIONS, cases, close, exact, halved, values};
use crate::kernels::{Activation, Out, Pool, PoolKind, activate, pool};
use crate::simd::Isa;
use proptest::prelude::*;

/// Corners, at which a slope is a matter of taste.
fn corners(activation: Activation) -> Vec<f64> {
    match activation {
        Activation::Relu | Activation::LeakyRelu(_) | Activation::Abs => vec![0.0],
        Activation::Clip { min, max } => vec![min.into(), max.into()],
        Activation::HardSigmoid { alpha, beta } => {
            let at = |y: f64| (y - f64::from(beta)) / f64::from(alpha);
            vec![at(0.0), at(1.0)]
        }
        Activation::HardSwish => vec![-3.0, 3.0],
        _ => Vec::new(),
    }
}

proptest! {
    #![proptest_config(cases(2048))]

    #[test]
    fn activations_have_their_slopes(n in 0usize..70, which in 0..ACTIVATIONS.len(), scale in 1f32..20.0) {
        let activation = ACTIVATIONS[which];
        let (x, dy): (Vec<f32>, _) = (values(n, 1).iter().map(|x| x * scale).collect(), values(n, 2));
        let near = |x: f32| corners(activation).iter().any(|corner| (f64::from(x) - corner).abs() < 1e-3);
        let h = 1e-6;
        let slope = |x: f64| (exact(activation, x + h) - exact(activation, x - h)) / (2.0 * h);
        let want: Vec<_> = x.iter().zip(&dy).map(|(&x, &dy)| slope(x.into()) * f64::from(dy)).collect();
        for isa in Isa::available() {
            let mut got = vec![f32::NAN; n];
            activation_grad(isa, activation, &x, &dy, &mut got);
            let at = || (0..n).filter(|&i| !near(x[i]));
            close(&at().map(|i| got[i]).collect::<Vec<_>>(), &at().map(|i| want[i]).collect::<Vec<_>>(), isa.name());
        }
    }

    #[test]
    fn functions_of_positive_numbers_have_their_slopes(n in 0usize..70, which in 0usize..7, scale in 0.1f32..20.0) {
        let pow = Activation::Pow;
        let activation = [Activation::Log, Activation::Sqrt, pow(2.0), pow(-1.0), pow(0.5), pow(1.7), pow(-2.3)][which];
        let (x, dy): (Vec<f32>, _) = (values(n, 1).iter().map(|x| (x + 0.6) * scale).collect(), values(n, 2));
        let h = 1e-6;
        let slope = |x: f64| (exact(activation, x + h) - exact(activation, x - h)) / (2.0 * h);
        let want: Vec<_> = x.iter().zip(&dy).map(|(&x, &dy)| slope(x.into()) * f64::from(dy)).collect();
        let exact: Vec<_> = x.iter().map(|&x| exact(activation, x.into())).collect();
        for isa in Isa::available() {
            let mut got = vec![f32::NAN; n];
            activation_grad(isa, activation, &x, &dy, &mut got);
            close(&got, &want, isa.name());
            activate(isa, activation, &x, &mut got);
            close(&got, &exact, isa.name());
        }
    }

    /// Of a mean, which is linear: the sums of `dy · pool(x)` and `x · gradient` are one number.
    #[test]
    fn a_mean_hands_back_what_it_took(w in windows(), c in 0usize..20, padded in any::<bool>(), pad_end in [0usize..3, 0usize..3]) {
        let kind = if padded { PoolKind::AverageWithPadding { pad_end } } else { PoolKind::Average };
        let (x, dy) = (values(w.input_pixels() * c, 1), values(w.pixels() * c, 2));
        let (mut y, mut dx) = (vec![f32::NAN; dy.len()], vec![f32::NAN; x.len()]);
        // SAFETY: one call at a time.
        unsafe {
            pool(Isa::SCALAR, &Pool { window: w, kind, channels: c, x: &x }, Out::new(&mut y), 0..w.pixels());
            pool_grad(Isa::SCALAR, &PoolGrad { window: w, kind, channels: c, x: None, gradient: &dy }, Out::new(&mut dx), 0..w.batch);
        }
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let (out, back) = (dot(&y, &dy), dot(&x, &dx));
        prop_assert!((out - back).abs() < 1e-4 * (1.0 + out.abs()), "{out} and {back}");
    }

    #[test]
    fn a_maximum_hands_back_to_where_it_was(w in windows(), c in 0usize..20, halves in any::<bool>()) {
        let (w, c) = if halves { (halved(w), 1) } else { (w, c) };
        let (x, dy) = (values(w.input_pixels() * c, 1), values(w.pixels() * c, 2));
        let mut want = vec![0.0; x.len()];
        let (from, to) = (w.input[0] * w.input[1], w.output[0] * w.output[1]);
        for (picture, channel) in (0..w.batch).flat_map(|b| (0..c).map(move |c| (b, c))) {
            let mut best: Vec<Option<usize>> = vec![None; to];
            super::tests::meetings(&w, |a, b, _| {
                let at = (picture * from + a) * c + channel;
                if best[b].is_none_or(|most| x[at] > x[most]) {
                    best[b] = Some(at);
                }
            });
            for (o, at) in best.into_iter().enumerate() {
                if let Some(at) = at {
                    want[at] += f64::from(dy[(picture * to + o) * c + channel]);
                }
            }
        }
        let all = PoolGrad { window: w, kind: PoolKind::Max, channels: c, x: Some(&x), gradient: &dy };
        for isa in Isa::available() {
            let mut dx = vec![f32::NAN; x.len()];
            // SAFETY: one call.
            unsafe { pool_grad(isa, &all, Out::new(&mut dx), 0..w.batch) };
            close(&dx, &want, isa.name());
        }
    }

    #[test]
    fn softmax_has_its_gradient(rows in 0usize..6, n in 1usize..40) {
        let (x, dy) = (values(rows * n, 1), values(rows * n, 2));
        let softmax = |row: &[f32]| {
            let e: Vec<f64> = row.iter().map(|&x| f64::from(x).exp()).collect();
            let total: f64 = e.iter().sum();
            e.into_iter().map(move |e| e / total).collect::<Vec<_>>()
        };
        let p: Vec<f64> = x.chunks(n).flat_map(softmax).collect();
        let y: Vec<f32> = p.iter().map(|&p| p as f32).collect();
        let sum = |list: &[f32], with: &dyn Fn(usize) -> f64, row: usize| -> f64 {
            (row * n..(row + 1) * n).map(|i| f64::from(list[i]) * with(i)).sum()
        };
        let want: Vec<_> = (0..rows * n).map(|i| p[i] * (f64::from(dy[i]) - sum(&dy, &|i| p[i], i / n))).collect();
        let mut got = vec![f32::NAN; rows * n];
        softmax_grad(n, &y, &dy, &mut got);
        close(&got, &want, "softmax");
    }
}
