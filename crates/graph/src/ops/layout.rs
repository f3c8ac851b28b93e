//! Operators that move, select or relabel elements without computing with them.

use super::{Inferred, Operator, axes, axis, expect_float, single};
use crate::{DType, Dim, Tensor, TensorType};
use std::sync::Arc;

fn product(dims: &[Dim]) -> Dim {
    dims.iter().fold(Dim::from(1), |product, dim| product * dim.clone())
}

/// A matrix: the axes before `axis` become rows, the others columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flatten {
    /// Where the columns begin (1 by default).
    pub axis: i64,
}

impl Operator for Flatten {
    const NAME: &'static str = "Flatten";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let x = single(inputs)?;
        let (rows, columns) = x.shape.split_at(axis(self.axis, x.rank(), true)?);
        Ok(vec![TensorType::new(x.dtype, [product(rows), product(columns)])])
    }
}

/// The same elements in another shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshape {
    /// The new sizes; one of them may be −1 (whatever remains), and 0 copies the input's size unless `allowzero`.
    pub shape: Vec<Dim>,
    /// Whether 0 means an axis without entries.
    pub allowzero: bool,
}

impl Operator for Reshape {
    const NAME: &'static str = "Reshape";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let x = single(inputs)?;
        let mut shape = self.shape.clone();
        let mut rest = None;
        for (i, dim) in shape.iter_mut().enumerate() {
            match dim.as_const() {
                Some(0) if !self.allowzero => {
                    *dim = x.shape.get(i).cloned().ok_or(format!("size 0 at axis {i} has nothing to copy"))?;
                }
                Some(-1) if rest.replace(i).is_some() => return Err("more than one size is -1".into()),
                Some(-1) => *dim = 1.into(),
                Some(size) if size < 0 => return Err(format!("size {size} is negative")),
                _ => {}
            }
        }
        let (from, to) = (product(&x.shape), product(&shape));
        match rest {
            Some(i) => {
                let fits = to.as_const() != Some(0);
                let size = fits.then(|| from.exact_div(&to)).flatten();
                shape[i] = size.ok_or(format!("{from} elements cannot be divided by {to}"))?;
            }
            None if from != to => return Err(format!("{from} elements do not fill a shape of {to}")),
            None => {}
        }
        Ok(vec![TensorType::new(x.dtype, shape)])
    }
}

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
                PadMode::Edge => dim.as_const().map(|size| if size > 0 { i64::MAX } else { 0 }),
                PadMode::Wrap => dim.as_const(),
            };
            if size.as_const().is_some_and(|size| size < 0) || limit.is_some_and(|limit| added > limit.max(0)) {
                return Err(format!("axis {i} of size {dim} cannot be padded by {} and {}", begin[i], end[i]));
            }
            shape.push(size);
        }
        Ok(vec![TensorType::new(x.dtype, shape)])
    }
}

/// Removes axes of size 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Squeeze {
    /// The axes to remove; every axis of size 1 if `None`.
    pub axes: Option<Vec<i64>>,
}

impl Operator for Squeeze {
    const NAME: &'static str = "Squeeze";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let x = single(inputs)?;
        let one = Dim::from(1);
        let gone = match &self.axes {
            Some(list) => axes(list, x.rank())?,
            None => (0..x.rank()).filter(|&i| x.shape[i] == one).collect(),
        };
        if let Some(&i) = gone.iter().find(|&&i| x.shape[i] != one && x.shape[i].as_const().is_some()) {
            return Err(format!("axis {i} has size {}, not 1", x.shape[i]));
        }
        let kept = x.shape.iter().enumerate().filter(|(i, _)| !gone.contains(i));
        Ok(vec![TensorType::new(x.dtype, kept.map(|(_, dim)| dim.clone()))])
    }
}

/// Inserts axes of size 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsqueeze {
    /// The new axes' places in the result.
    pub axes: Vec<i64>,
}

impl Operator for Unsqueeze {
    const NAME: &'static str = "Unsqueeze";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let x = single(inputs)?;
        let rank = x.rank() + self.axes.len();
        let new = axes(&self.axes, rank)?;
        let mut old = x.shape.iter().cloned();
        let shape = (0..rank).map(|i| if new.contains(&i) { Some(1.into()) } else { old.next() });
        Ok(vec![TensorType::new(x.dtype, shape.collect::<Option<Vec<_>>>().ok_or("has too few axes")?)])
    }
}

/// Elements converted to another type; floats become integers by rounding towards zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast {
    /// The new element type.
    pub to: DType,
}

impl Operator for Cast {
    const NAME: &'static str = "Cast";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        Ok(vec![TensorType::new(self.to, single(inputs)?.shape.iter().cloned())])
    }
}

/// The input itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity;

impl Operator for Identity {
    const NAME: &'static str = "Identity";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        Ok(vec![single(inputs)?.clone()])
    }
}

/// The input itself when a network runs; during training a share of the elements is dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    /// The share to drop during training (0.5 by default).
    pub ratio: f32,
}

impl Operator for Dropout {
    const NAME: &'static str = "Dropout";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let x = single(inputs)?;
        expect_float(x)?;
        Ok(vec![x.clone()])
    }
}

/// A tensor that is part of the graph, not a parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// The tensor.
    pub value: Arc<Tensor>,
}

impl Operator for Constant {
    const NAME: &'static str = "Constant";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        if inputs.is_empty() { Ok(vec![self.value.ty()]) } else { Err("takes no inputs".into()) }
    }
}
