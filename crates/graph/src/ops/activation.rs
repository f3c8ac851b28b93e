//! Functions of one number, and softmax.

use super::{Inferred, Operator, axis, expect_float, single};
use crate::TensorType;

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ty),* $(,)? };)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $ty),* }

        impl Operator for $name {
            const NAME: &'static str = stringify!($name);

            fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
                let x = single(inputs)?;
                expect_float(x)?;
                Ok(vec![x.clone()])
            }
        }
    )*};
}

unary! {
    /// `max(x, 0)`.
    Relu {};
    /// `x` above zero, `alpha · x` below.
    LeakyRelu {
        /// Slope below zero (0.01 by default).
        alpha: f32,
    };
    /// `x` limited to `min..=max`.
    Clip {
        /// Lower limit; minus infinity if there is none.
        min: f32,
        /// Upper limit; plus infinity if there is none.
        max: f32,
    };
    /// `1 / (1 + exp(−x))`.
    Sigmoid {};
    /// `alpha · x + beta` limited to `0..=1`.
    HardSigmoid {
        /// Slope (0.2 by default).
        alpha: f32,
        /// Value at zero (0.5 by default).
        beta: f32,
    };
    /// `x · HardSigmoid(x)` with `alpha` 1/6 and `beta` 0.5.
    HardSwish {};
    /// Hyperbolic tangent.
    Tanh {};
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
}
