//! Operators that give the same elements another shape.

use super::{Inferred, Operator, axes, axis, single};
use crate::onnx::{NodeReader, NodeWriter};
use crate::{Dim, TensorType};

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

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        Ok(Self { axis: node.int("axis")?.unwrap_or(1) })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        node.int("axis", self.axis);
        Ok(())
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

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        let shape = node.constant_ints(1)?.ok_or("lacks the shape")?;
        let allowzero = node.flag("allowzero")?;
        Ok(Self { shape: shape.into_iter().map(Dim::from).collect(), allowzero })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        let unknown = self.shape.iter().filter(|dim| dim.as_const().is_none_or(|size| size == -1)).count();
        if unknown > 1 {
            return Err("more than one size of the result is unknown, which ONNX cannot express".into());
        }
        node.input_ints("shape", self.shape.iter().map(|dim| dim.as_const().unwrap_or(-1)).collect());
        if self.allowzero {
            node.int("allowzero", 1);
        }
        Ok(())
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

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        let axes = if node.opset() < 13 { node.ints("axes")? } else { node.constant_ints(1)? };
        Ok(Self { axes })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        if let Some(axes) = &self.axes {
            node.input_ints("axes", axes.clone());
        }
        Ok(())
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

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        let axes = if node.opset() < 13 { node.ints("axes")? } else { node.constant_ints(1)? };
        Ok(Self { axes: axes.ok_or("lacks the axes")? })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        node.input_ints("axes", self.axes.clone());
        Ok(())
    }
}
