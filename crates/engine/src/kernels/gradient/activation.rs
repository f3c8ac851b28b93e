//! Gradients of functions of one number, of softmax, and the loss.

use super::super::Activation;
use super::super::epilogue::normal;
use super::{read, write};
use crate::simd::{Isa, Kernel, Simd, math};

/// Writes `activation'(x) · gradient` to `y`; at a corner the slope is that of the flatter side.
pub fn activation_grad(isa: Isa, activation: Activation, x: &[f32], gradient: &[f32], y: &mut [f32]) {
    assert!(x.len() == y.len() && gradient.len() == y.len(), "x, gradient and y");
    // SAFETY: all slices have one length.
    unsafe { isa.run(Slope { activation, x, gradient, y }) }
}

struct Slope<'a> {
    activation: Activation,
    x: &'a [f32],
    gradient: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Slope<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let len = self.y.len();
        macro_rules! pass {
            (|$x:ident, $dy:ident| $slope:expr) => {
                for i in (0..len).step_by(S::LANES) {
                    let n = S::LANES.min(len - i);
                    let ($x, $dy) = (read::<S>(self.x.as_ptr().add(i), n), read::<S>(self.gradient.as_ptr().add(i), n));
                    write::<S>(self.y.as_mut_ptr().add(i), $slope, n);
                }
            };
        }
        // SAFETY: the lanes lie inside the slices, which have one length; the caller vouches for the instruction set.
        unsafe {
            let (zero, one) = (S::splat(0.0), S::splat(1.0));
            let between = |low: f32, high: f32, x, dy| {
                let below = S::select_lt(x, S::splat(high), dy, zero);
                S::select_lt(S::splat(low), x, below, zero)
            };
            match self.activation {
                Activation::None => pass!(|_x, dy| dy),
                Activation::Relu => pass!(|x, dy| S::select_lt(zero, x, dy, zero)),
                Activation::Clip { min, max } => pass!(|x, dy| between(min, max, x, dy)),
                Activation::LeakyRelu(alpha) => {
                    pass!(|x, dy| S::select_lt(zero, x, dy, S::mul(S::splat(alpha), dy)))
                }
                Activation::Sigmoid => pass!(|x, dy| {
                    let y = math::sigmoid::<S>(x);
                    S::mul(dy, S::mul(y, S::sub(one, y)))
                }),
                Activation::HardSigmoid { alpha, beta } => pass!(|x, dy| {
                    let y = S::mul_add(S::splat(alpha), x, S::splat(beta));
                    between(0.0, 1.0, y, S::mul(S::splat(alpha), dy))
                }),
                Activation::HardSwish => pass!(|x, dy| {
                    let slope = S::mul_add(x, S::splat(1.0 / 3.0), S::splat(0.5));
                    let inner = S::select_lt(x, S::splat(3.0), S::mul(slope, dy), dy);
                    S::select_lt(S::splat(-3.0), x, inner, zero)
                }),
                Activation::Tanh => pass!(|x, dy| {
                    let y = math::tanh::<S>(x);
                    S::mul(dy, S::sub(one, S::mul(y, y)))
                }),
                Activation::Silu => pass!(|x, dy| {
                    let y = math::sigmoid::<S>(x);
                    let slope = S::mul(y, S::mul_add(x, S::sub(one, y), one));
                    S::mul(dy, slope)
                }),
                Activation::Exp => pass!(|x, dy| S::mul(dy, math::exp::<S>(x))),
                Activation::Log => pass!(|x, dy| S::div(dy, x)),
                Activation::Sqrt => pass!(|x, dy| S::div(S::mul(S::splat(0.5), dy), S::sqrt(x))),
                Activation::Abs => pass!(|x, dy| {
                    let negative = S::select_lt(x, zero, S::sub(zero, dy), zero);
                    S::select_lt(zero, x, dy, negative)
                }),
                Activation::Neg => pass!(|_x, dy| S::sub(zero, dy)),
                Activation::Softplus => pass!(|x, dy| S::mul(dy, math::sigmoid::<S>(x))),
                Activation::Erf => pass!(|x, dy| {
                    let density = math::exp::<S>(S::sub(zero, S::mul(x, x)));
                    S::mul(dy, S::mul(S::splat(std::f32::consts::FRAC_2_SQRT_PI), density))
                }),
                Activation::Gelu => pass!(|x, dy| {
                    let density = math::exp::<S>(S::mul(S::splat(-0.5), S::mul(x, x)));
                    // 1 / √(2π)
                    let slope = S::mul_add(S::mul(x, S::splat(0.398_942_3)), density, normal::<S>(x));
                    S::mul(dy, slope)
                }),
                Activation::Pow(p) => pass!(|x, dy| S::mul(S::mul(S::splat(p), dy), math::pow::<S>(x, p - 1.0))),
            }
        }
    }
}

/// Writes the gradient of softmax over runs of `n`, from its result `y`, to `dx`.
pub fn softmax_grad(n: usize, y: &[f32], gradient: &[f32], dx: &mut [f32]) {
    assert!(y.len() == dx.len() && gradient.len() == dx.len(), "y, gradient and dx");
    let rows = y.chunks(n.max(1)).zip(gradient.chunks(n.max(1)));
    for ((y, dy), dx) in rows.zip(dx.chunks_mut(n.max(1))) {
        let dot: f64 = y.iter().zip(dy).map(|(y, dy)| f64::from(*y) * f64::from(*dy)).sum();
        dx.iter_mut().zip(y.iter().zip(dy)).for_each(|(dx, (y, dy))| *dx = y * (dy - dot as f32));
    }
}
