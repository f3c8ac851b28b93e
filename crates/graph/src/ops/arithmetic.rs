//! Arithmetic of two tensors with numpy's broadcasting.

use super::{Inferred, Operator, arity};
use crate::onnx::{NodeReader, NodeWriter};
use crate::{DType, Dim, TensorType};

/// The shape that two shapes broadcast to; an error if they do not.
///
/// Axes are matched from the back, and an axis of size 1 stretches. A symbol matches itself only: whether two different
/// symbols are equal is known only once they are bound.
///
/// ```
/// use percept_graph::{Dim, ops::broadcast};
///
/// let shape = broadcast(&["N".into(), 3.into(), 1.into()], &[1.into(), 5.into()]);
/// assert_eq!(shape, Ok(vec!["N".into(), 3.into(), 5.into()]));
/// ```
pub fn broadcast(a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, String> {
    let rank = a.len().max(b.len());
    let one = Dim::from(1);
    let at = |shape: &[Dim], i: usize| (i + shape.len()).checked_sub(rank).map_or(one.clone(), |i| shape[i].clone());
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y || y == one => Ok(x),
            (x, y) if x == one => Ok(y),
            (x, y) => Err(format!("axis {i} of the result would be {x} and {y} at once")),
        })
        .collect()
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name;

        impl Operator for $name {
            const NAME: &'static str = stringify!($name);

            fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
                let [Some(a), Some(b)] = arity(inputs, 2)? else { return Err("takes 2 inputs".into()) };
                if a.dtype != b.dtype || a.dtype == DType::Bool {
                    return Err(format!("cannot combine {} and {}", a.dtype, b.dtype));
                }
                Ok(vec![TensorType::new(a.dtype, broadcast(&a.shape, &b.shape)?)])
            }

            fn read(_: &NodeReader<'_>) -> Result<Self, String> {
                Ok(Self)
            }

            fn write(&self, _: &mut NodeWriter<'_>) -> Result<(), String> {
                Ok(())
            }
        }
    )*};
}

binary! {
    /// `a + b`.
    Add,
    /// `a − b`.
    Sub,
    /// `a · b`, element by element.
    Mul,
    /// `a / b`, element by element; integers round towards zero.
    Div,
    /// The greater of `a` and `b`, element by element.
    Max,
    /// The lesser of `a` and `b`, element by element.
    Min,
}
