//! What happens to an output element after its sum: bias, residual, activation.

use crate::simd::{Kernel, Simd, math, read, write};

/// An elementwise activation, with ONNX's meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// x
    #[default]
    None,
    /// max(0, x)
    Relu,
    /// min(max, max(min, x)); Relu6 is `min: 0.0, max: 6.0`.
    Clip {
        /// Lower bound.
        min: f32,
        /// Upper bound.
        max: f32,
    },
    /// x where x ≥ 0, else alpha · x
    LeakyRelu(f32),
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// max(0, min(1, alpha · x + beta))
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Value at 0.
        beta: f32,
    },
    /// x · max(0, min(1, x / 6 + 0.5))
    HardSwish,
    /// tanh x
    Tanh,
    /// x · sigmoid x (swish)
    Silu,
    /// eˣ
    Exp,
    /// ln x
    Log,
    /// √x
    Sqrt,
    /// |x|
    Abs,
    /// −x
    Neg,
    /// ln(1 + eˣ)
    Softplus,
    /// The error function.
    Erf,
    /// x · Φ(x)
    Gelu,
    /// x to a power.
    Pow(f32),
}

impl Activation {
    /// The bounds, where the activation is a clamp.
    pub(crate) fn clamp(self) -> Option<[f32; 2]> {
        match self {
            Activation::None => Some([f32::NEG_INFINITY, f32::INFINITY]),
            Activation::Relu => Some([0.0, f32::INFINITY]),
            Activation::Clip { min, max } => Some([min, max]),
            _ => None,
        }
    }

    /// The activation of a vector.
    ///
    /// # Safety
    /// The CPU has the instruction set of `S`.
    #[inline(always)]
    pub(super) unsafe fn of<S: Simd>(self, x: S::V) -> S::V {
        // SAFETY: arithmetic only; the caller vouches for the instruction set.
        unsafe {
            let (zero, one) = (S::splat(0.0), S::splat(1.0));
            match self {
                Activation::None => x,
                Activation::Relu => S::max(zero, x),
                Activation::Clip { min, max } => S::min(S::splat(max), S::max(S::splat(min), x)),
                Activation::LeakyRelu(alpha) => S::select_lt(x, zero, S::mul(S::splat(alpha), x), x),
                Activation::Sigmoid => math::sigmoid::<S>(x),
                Activation::HardSigmoid { alpha, beta } => {
                    S::max(zero, S::min(one, S::mul_add(S::splat(alpha), x, S::splat(beta))))
                }
                Activation::HardSwish => {
                    let gate = S::mul_add(x, S::splat(1.0 / 6.0), S::splat(0.5));
                    S::mul(x, S::max(zero, S::min(one, gate)))
                }
                Activation::Tanh => math::tanh::<S>(x),
                Activation::Silu => S::mul(x, math::sigmoid::<S>(x)),
                Activation::Exp => math::exp::<S>(x),
                Activation::Log => math::log::<S>(x),
                Activation::Sqrt => S::sqrt(x),
                Activation::Abs => S::max(S::sub(zero, x), x),
                Activation::Neg => S::sub(zero, x),
                Activation::Softplus => math::softplus::<S>(x),
                Activation::Erf => math::erf::<S>(x),
                Activation::Gelu => S::mul(x, normal::<S>(x)),
                Activation::Pow(p) => math::pow::<S>(x, p),
            }
        }
    }
}

/// The distribution function of the normal distribution.
///
/// # Safety
/// The CPU has the instruction set of `S`.
#[inline(always)]
pub(super) unsafe fn normal<S: Simd>(x: S::V) -> S::V {
    // SAFETY: arithmetic only; the caller vouches for the instruction set.
    unsafe {
        let half = S::splat(0.5);
        S::mul_add(half, math::erf::<S>(S::mul(x, S::splat(std::f32::consts::FRAC_1_SQRT_2))), half)
    }
}

/// `activation(sum + bias + residual)`, applied where the output is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// One value a channel.
    pub bias: Option<&'a [f32]>,
    /// Dense, in the shape of the output.
    pub residual: Option<&'a [f32]>,
    /// Comes last.
    pub activation: Activation,
}

impl Epilogue<'_> {
    pub(super) fn check(&self, pixels: usize, channels: usize) {
        if let Some(bias) = self.bias {
            assert_eq!(bias.len(), channels, "bias");
        }
        if let Some(residual) = self.residual {
            assert_eq!(residual.len(), pixels * channels, "residual");
        }
    }

    /// The form that inner loops use.
    pub(super) fn finish(&self) -> Finish {
        let clamp = self.activation.clamp();
        Finish {
            bias: self.bias.map_or(std::ptr::null(), <[f32]>::as_ptr),
            residual: self.residual.map_or(std::ptr::null(), <[f32]>::as_ptr),
            clamp: clamp.unwrap_or([f32::NEG_INFINITY, f32::INFINITY]),
            later: if clamp.is_some() { Activation::None } else { self.activation },
        }
    }
}

/// An epilogue as raw parts: null for what is absent, a clamp in registers, the rest of the activations later.
#[derive(Clone, Copy)]
pub(super) struct Finish {
    pub(super) bias: *const f32,
    pub(super) residual: *const f32,
    pub(super) clamp: [f32; 2],
    pub(super) later: Activation,
}

/// `later` over `rows` runs of `len` floats, `stride` apart, in place or from another buffer of the same layout.
pub(super) struct Activate {
    pub(super) x: *const f32,
    pub(super) y: *mut f32,
    pub(super) rows: usize,
    pub(super) stride: usize,
    pub(super) len: usize,
    pub(super) activation: Activation,
}

impl Kernel for Activate {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: passed on from the caller.
        unsafe {
            // The choice is made once, outside of the loops.
            match self.activation {
                Activation::None => self.each::<S>(Activation::None),
                Activation::Relu => self.each::<S>(Activation::Relu),
                Activation::Clip { min, max } => self.each::<S>(Activation::Clip { min, max }),
                Activation::LeakyRelu(alpha) => self.each::<S>(Activation::LeakyRelu(alpha)),
                Activation::Sigmoid => self.each::<S>(Activation::Sigmoid),
                Activation::HardSigmoid { alpha, beta } => self.each::<S>(Activation::HardSigmoid { alpha, beta }),
                Activation::HardSwish => self.each::<S>(Activation::HardSwish),
                Activation::Tanh => self.each::<S>(Activation::Tanh),
                Activation::Silu => self.each::<S>(Activation::Silu),
                Activation::Exp => self.each::<S>(Activation::Exp),
                Activation::Log => self.each::<S>(Activation::Log),
                Activation::Sqrt => self.each::<S>(Activation::Sqrt),
                Activation::Abs => self.each::<S>(Activation::Abs),
                Activation::Neg => self.each::<S>(Activation::Neg),
                Activation::Softplus => self.each::<S>(Activation::Softplus),
                Activation::Erf => self.each::<S>(Activation::Erf),
                Activation::Gelu => self.each::<S>(Activation::Gelu),
                Activation::Pow(p) => self.each::<S>(Activation::Pow(p)),
            }
        }
    }
}

impl Activate {
    /// Applies an activation, which the compiler knows, to all vectors.
    ///
    /// # Safety
    /// `x` and `y` are valid for `rows` runs of `len` floats, and the CPU has the instruction set of `S`.
    #[inline(always)]
    unsafe fn each<S: Simd>(&self, activation: Activation) {
        for row in 0..self.rows {
            for i in (0..self.len).step_by(S::LANES) {
                let (at, n) = (row * self.stride + i, S::LANES.min(self.len - i));
                // SAFETY: the caller vouches for the runs.
                unsafe { write::<S>(self.y.add(at), activation.of::<S>(read::<S>(self.x.add(at), n)), n) }
            }
        }
    }
}
