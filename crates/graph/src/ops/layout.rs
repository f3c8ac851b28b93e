//! Operators that move elements without computing with them.

use super::{Inferred, Operator, axes, axis, single};
use crate::onnx::{NodeReader, NodeWriter};
use crate::{Tensor, TensorType};

/// The axes in another order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transpose {
    /// For each new axis the old one; reversed if `None`.
    pub perm: Option<Vec<usize>>,
}

impl Transpose {
    /// For each new axis the old one, for an input of `rank` axes.
    pub fn permutation(&self, rank: usize) -> Vec<usize> {
        self.perm.clone().unwrap_or_else(|| (0..rank).rev().collect())
    }
}

impl Operator for Transpose {
    const NAME: &'static str = "Transpose";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let x = single(inputs)?;
        let perm = self.permutation(x.rank());
        let mut sorted = perm.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..x.rank()) {
            return Err(format!("{perm:?} does not name each of the {} axes once", x.rank()));
        }
        Ok(vec![TensorType::new(x.dtype, perm.iter().map(|&i| x.shape[i].clone()))])
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        Ok(Self { perm: node.sizes("perm")? })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        if let Some(perm) = &self.perm {
            node.sizes("perm", perm);
        }
        Ok(())
    }
}

/// Tensors one after the other along an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concat {
    /// The axis along which sizes add up.
    pub axis: i64,
}

impl Operator for Concat {
    const NAME: &'static str = "Concat";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let parts = inputs.iter().copied().collect::<Option<Vec<_>>>().filter(|parts| !parts.is_empty());
        let parts = parts.ok_or("takes at least 1 input, none left out")?;
        let first = parts[0];
        let along = axis(self.axis, first.rank(), false)?;
        let mut shape = first.shape.clone();
        for part in &parts[1..] {
            if part.dtype != first.dtype || part.rank() != first.rank() {
                return Err("inputs have different element types or numbers of axes".into());
            }
            for (i, dim) in part.shape.iter().enumerate() {
                if i == along {
                    shape[i] = shape[i].clone() + dim.clone();
                } else if *dim != shape[i] {
                    return Err(format!("axis {i} is {} here and {dim} there", shape[i]));
                }
            }
        }
        Ok(vec![TensorType::new(first.dtype, shape)])
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        Ok(Self { axis: node.int("axis")?.ok_or("lacks the axis")? })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        node.int("axis", self.axis);
        Ok(())
    }
}

/// What `Pad` puts around its input.
#[derive(Clone, Debug, PartialEq)]
pub enum PadMode {
    /// One value.
    Constant(f32),
    /// The input mirrored at its edge, without repeating the edge.
    Reflect,
    /// The nearest element of the edge.
    Edge,
    /// The input repeated.
    Wrap,
}

/// Something added around a tensor; negative pads cut away.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    /// So many at the beginning of each axis, then so many at the end of each.
    pub pads: Vec<i64>,
    /// What is added.
    pub mode: PadMode,
}

impl Operator for Pad {
    const NAME: &'static str = "Pad";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let x = single(inputs)?;
        if self.pads.len() != 2 * x.rank() {
            return Err(format!("{} pads do not cover both ends of {} axes", self.pads.len(), x.rank()));
        }
        let (begin, end) = self.pads.split_at(x.rank());
        let mut shape = Vec::with_capacity(x.rank());
        for (i, dim) in x.shape.iter().enumerate() {
            let (size, added) = (dim.clone() + begin[i] + end[i], begin[i].max(end[i]));
            let limit = match self.mode {
                PadMode::Constant(_) => None,
                PadMode::Reflect => dim.as_const().map(|size| size - 1),
                PadMode::Edge | PadMode::Wrap => dim.as_const().map(|size| if size > 0 { i64::MAX } else { 0 }),
            };
            if size.as_const().is_some_and(|size| size < 0) || limit.is_some_and(|limit| added > limit.max(0)) {
                return Err(format!("axis {i} of size {dim} cannot be padded by {} and {}", begin[i], end[i]));
            }
            shape.push(size);
        }
        Ok(vec![TensorType::new(x.dtype, shape)])
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        let given = node.constant_ints(1)?.ok_or("lacks the pads")?;
        let value = node.constant_float(2)?.unwrap_or(0.0);
        let rank = node.input_type(0)?.rank();
        let pads = match node.constant_ints(3)? {
            None => given,
            Some(list) => {
                let (mut pads, begin) = (vec![0; 2 * rank], given.len() / 2);
                if given.len() != 2 * list.len() {
                    return Err(format!("{} pads do not cover both ends of {} axes", given.len(), list.len()));
                }
                axes(&list, rank)?;
                for (i, &at) in list.iter().enumerate() {
                    let at = axis(at, rank, false)?;
                    (pads[at], pads[at + rank]) = (given[i], given[i + begin]);
                }
                pads
            }
        };
        let mode = match node.string("mode", "constant")?.as_str() {
            "constant" => PadMode::Constant(value),
            "reflect" => PadMode::Reflect,
            "edge" => PadMode::Edge,
            "wrap" => PadMode::Wrap,
            other => return Err(format!("mode {other} is not known")),
        };
        Ok(Self { pads, mode })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        let mode = match self.mode {
            PadMode::Constant(_) => "constant",
            PadMode::Reflect => "reflect",
            PadMode::Edge => "edge",
            PadMode::Wrap => return Err("mode wrap needs opset 19".into()),
        };
        node.input_ints("pads", self.pads.clone());
        node.string("mode", mode);
        if let PadMode::Constant(value) = self.mode {
            node.input("value", &Tensor::scalar(value));
        }
        Ok(())
    }
}
