//! Functions of one number, and softmax.

use super::{Inferred, Operator, axis, expect_float, single};
use crate::onnx::{NodeReader, NodeWriter};
use crate::{Tensor, TensorType};

/// Activations whose attributes are numbers with a default.
macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident = $default:expr),* $(,)? };)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $($(#[$field_doc])* pub $field: f32),* }

        impl Operator for $name {
            const NAME: &'static str = stringify!($name);

            fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
                let x = single(inputs)?;
                expect_float(x)?;
                Ok(vec![x.clone()])
            }

            fn read(_node: &NodeReader<'_>) -> Result<Self, String> {
                Ok(Self { $($field: _node.float(stringify!($field), $default)?),* })
            }

            fn write(&self, _node: &mut NodeWriter<'_>) -> Result<(), String> {
                $(_node.float(stringify!($field), self.$field);)*
                Ok(())
            }
        }
    )*};
}

unary! {
    /// `max(x, 0)`.
    Relu {};
    /// `x` above zero, `alpha · x` below.
    LeakyRelu {
        /// Slope below zero.
        alpha = 0.01,
    };
    /// `1 / (1 + exp(−x))`.
    Sigmoid {};
    /// `alpha · x + beta` limited to `0..=1`.
    HardSigmoid {
        /// Slope.
        alpha = 0.2,
        /// Value at zero.
        beta = 0.5,
    };
    /// `x · HardSigmoid(x)` with `alpha` 1/6 and `beta` 0.5.
    HardSwish {};
    /// Hyperbolic tangent.
    Tanh {};
    /// `eˣ`.
    Exp {};
    /// Natural logarithm.
    Log {};
    /// Square root.
    Sqrt {};
    /// Absolute value.
    Abs {};
    /// `−x`.
    Neg {};
    /// `ln(1 + eˣ)`.
    Softplus {};
    /// Error function, `2/√π · ∫₀ˣ exp(−t²) dt`.
    Erf {};
}

/// `x · Φ(x)`, where `Φ` is the distribution function of the normal distribution (Hendrycks and Gimpel, "Gaussian Error Linear Units",
/// arXiv:1606.08415).
#[derive(Clone, Debug, PartialEq)]
pub struct Gelu;

impl Operator for Gelu {
    const NAME: &'static str = "Gelu";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        Relu {}.infer(inputs)
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        match node.string("approximate", "none")?.as_str() {
            "none" => Ok(Self),
            other => Err(format!("the approximation {other} is not supported: export the exact function")),
        }
    }

    fn write(&self, _: &mut NodeWriter<'_>) -> Result<(), String> {
        Ok(())
    }

    fn opset(&self) -> i64 {
        20
    }
}

/// `xᵖ` for a constant exponent.
#[derive(Clone, Debug, PartialEq)]
pub struct Pow {
    /// The exponent.
    pub exponent: f32,
}

impl Operator for Pow {
    const NAME: &'static str = "Pow";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        Relu {}.infer(inputs)
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        Ok(Self { exponent: node.constant_float(1)?.ok_or("lacks the exponent")? })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        node.input("exponent", &Tensor::scalar(self.exponent));
        Ok(())
    }
}

/// `x` limited to `min..=max`.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// Lower limit; minus infinity if there is none.
    pub min: f32,
    /// Upper limit; plus infinity if there is none.
    pub max: f32,
}

impl Operator for Clip {
    const NAME: &'static str = "Clip";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let x = single(inputs)?;
        expect_float(x)?;
        Ok(vec![x.clone()])
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        let (min, max) = (node.constant_float(1)?, node.constant_float(2)?);
        Ok(Self { min: min.unwrap_or(f32::NEG_INFINITY), max: max.unwrap_or(f32::INFINITY) })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        match self.min {
            f32::NEG_INFINITY => node.skip_input(),
            min => node.input("min", &Tensor::scalar(min)),
        }
        if self.max != f32::INFINITY {
            node.input("max", &Tensor::scalar(self.max));
        }
        Ok(())
    }
}

/// `exp(x)` divided by its sum along one axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    /// The axis whose entries add up to one; negative counts from the back.
    pub axis: i64,
}

impl Operator for Softmax {
    const NAME: &'static str = "Softmax";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let x = single(inputs)?;
        expect_float(x)?;
        axis(self.axis, x.rank(), false)?;
        Ok(vec![x.clone()])
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        let default = if node.opset() < 13 { 1 } else { -1 };
        Ok(Self { axis: node.int("axis")?.unwrap_or(default) })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        node.int("axis", self.axis);
        Ok(())
    }
}
