//! Means, sums and maxima along axes.

use super::{Inferred, Operator, axes, expect_float, single};
use crate::TensorType;
use crate::onnx::{NodeReader, NodeWriter};

fn reduced(x: &TensorType, list: Option<&[i64]>, keepdims: bool) -> Result<TensorType, String> {
    expect_float(x)?;
    let reduced = list.map_or(Ok((0..x.rank()).collect()), |list| axes(list, x.rank()))?;
    let kept = x.shape.iter().enumerate().filter_map(|(i, dim)| match (reduced.contains(&i), keepdims) {
        (false, _) => Some(dim.clone()),
        (true, true) => Some(1.into()),
        (true, false) => None,
    });
    Ok(TensorType::new(x.dtype, kept))
}

/// Reductions, each with the first opset whose axes are an input.
macro_rules! reductions {
    ($($(#[$doc:meta])* $name:ident, $opset:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            /// The axes that go; all if `None`.
            pub axes: Option<Vec<i64>>,
            /// Whether the axes stay, with size 1.
            pub keepdims: bool,
        }

        impl $name {
            /// The axes counted from the front, for an input of `rank` axes that fits.
            pub fn axes(&self, rank: usize) -> Vec<usize> {
                self.axes.as_ref().map_or_else(|| (0..rank).collect(), |list| axes(list, rank).unwrap_or_default())
            }
        }

        impl Operator for $name {
            const NAME: &'static str = stringify!($name);

            fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
                Ok(vec![reduced(single(inputs)?, self.axes.as_deref(), self.keepdims)?])
            }

            fn read(node: &NodeReader<'_>) -> Result<Self, String> {
                let axes = if node.opset() < $opset { node.ints("axes")? } else { node.constant_ints(1)? };
                let keepdims = node.int("keepdims")?.unwrap_or(1) != 0;
                let nothing = node.flag("noop_with_empty_axes")?;
                let axes = match axes.filter(|axes| !axes.is_empty()) {
                    None if nothing => Some(Vec::new()),
                    axes => axes,
                };
                Ok(Self { axes, keepdims })
            }

            fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
                match &self.axes {
                    Some(axes) if axes.is_empty() => node.int("noop_with_empty_axes", 1),
                    Some(axes) if node.opset() < $opset => node.ints("axes", axes.iter().copied()),
                    Some(axes) => node.input_ints("axes", axes.clone()),
                    None => {}
                }
                node.int("keepdims", self.keepdims.into());
                Ok(())
            }

            fn opset(&self) -> i64 {
                let nothing = self.axes.as_ref().is_some_and(Vec::is_empty);
                crate::onnx::OPSET.max(if nothing { $opset } else { 0 })
            }
        }
    )*};
}

reductions! {
    /// The mean along some axes.
    ReduceMean, 18;
    /// The sum along some axes.
    ReduceSum, 13;
    /// The greatest entry along some axes.
    ReduceMax, 18;
}
