//! Operators that pick entries along axes: by numbers that come with each run, or by ranges.

use super::{Inferred, Operator, arity, axes, axis, single};
use crate::onnx::{NodeReader, NodeWriter};
use crate::{DType, Dim, TensorType};

/// The entries of `data` along an axis that `indices` name: inputs are `data, indices`, and the axes of the indices take the place of that axis.
///
/// Negative indices count from the end. On the rows of a table (axis 0) this is an embedding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gather {
    /// The axis (0 by default).
    pub axis: i64,
}

impl Operator for Gather {
    const NAME: &'static str = "Gather";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let [Some(data), Some(indices)] = arity(inputs, 2)? else { return Err("takes 2 inputs".into()) };
        if !matches!(indices.dtype, DType::I32 | DType::I64) {
            return Err(format!("needs indices that are i32 or i64, not {}", indices.dtype));
        }
        let mut shape = data.shape.clone();
        let at = axis(self.axis, data.rank(), false)?;
        shape.splice(at..=at, indices.shape.iter().cloned());
        Ok(vec![TensorType::new(data.dtype, shape)])
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        Ok(Self { axis: node.int("axis")?.unwrap_or(0) })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        node.int("axis", self.axis);
        Ok(())
    }
}

/// A range of entries along each of some axes; negative bounds count from the end, and bounds outside are moved to it.
///
/// Where the size of an axis is still a symbol, it is taken for long enough that no bound but an endless one lies outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The first entry on each of the axes.
    pub starts: Vec<i64>,
    /// The first that is left out; `i64::MAX`, or `i64::MIN` going backwards, for none.
    pub ends: Vec<i64>,
    /// The axes.
    pub axes: Vec<i64>,
    /// From entry to entry; negative to go backwards.
    pub steps: Vec<i64>,
}

/// Bounds from here on stand for "to the end": exporters write the greatest i32 or i64.
const ENDLESS: i64 = i32::MAX as i64;

/// The first entry and the number of entries of a slice of an axis of `size`.
fn range(size: i64, start: i64, end: i64, step: i64) -> (i64, i64) {
    let from_front = |bound: i64| if bound < 0 { bound.saturating_add(size) } else { bound };
    let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
    let start = from_front(start).clamp(if size > 0 { 0 } else { low }, high.max(low));
    let end = from_front(end).clamp(low, high.max(low));
    let distance = if step > 0 { end - start } else { start - end };
    let step = step.unsigned_abs().min(i64::MAX as u64) as i64;
    (start, if distance > 0 { (distance - 1) / step + 1 } else { 0 })
}

/// The number of entries for a size that is not known yet.
fn symbolic(size: &Dim, start: i64, end: i64, step: i64) -> Dim {
    let bound = |bound: i64, endless: Dim| match bound {
        bound if bound.abs() >= ENDLESS => endless,
        bound if bound < 0 => size.clone() + bound,
        bound => bound.into(),
    };
    let (start, end) = match step > 0 {
        true => (bound(start, 0.into()), bound(end, size.clone())),
        false => (bound(end, (-1).into()), bound(start, size.clone() - 1)),
    };
    let step = step.saturating_abs().min(ENDLESS);
    (end - start + (step - 1)).floor_div(step)
}

impl Slice {
    /// First entry, step and number of entries along each axis of an input of a shape that fits.
    ///
    /// ```
    /// use percept_graph::ops::Slice;
    ///
    /// let back = Slice { starts: vec![-2], ends: vec![i64::MIN], axes: vec![1], steps: vec![-3] };
    /// assert_eq!(back.ranges(&[2, 8]), [(0, 1, 2), (6, -3, 3)]);
    /// ```
    pub fn ranges(&self, shape: &[usize]) -> Vec<(i64, i64, usize)> {
        let mut all: Vec<_> = shape.iter().map(|&size| (0, 1, size)).collect();
        for (i, &at) in self.axes.iter().enumerate() {
            if let Ok(at) = axis(at, shape.len(), false) {
                let (start, count) = range(shape[at] as i64, self.starts[i], self.ends[i], self.steps[i]);
                all[at] = (start, self.steps[i], count as usize);
            }
        }
        all
    }
}

impl Operator for Slice {
    const NAME: &'static str = "Slice";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let x = single(inputs)?;
        axes(&self.axes, x.rank())?;
        let count = self.axes.len();
        if [self.starts.len(), self.ends.len(), self.steps.len()] != [count; 3] || self.steps.contains(&0) {
            return Err(format!("needs a start, an end and a step that is not 0 for each of {count} axes"));
        }
        let mut shape = x.shape.clone();
        for (i, &at) in self.axes.iter().enumerate() {
            let (start, end, step) = (self.starts[i], self.ends[i], self.steps[i]);
            let size = &mut shape[axis(at, x.rank(), false)?];
            *size = match size.as_const() {
                Some(size) => range(size, start, end, step).1.into(),
                None => symbolic(size, start, end, step),
            };
        }
        Ok(vec![TensorType::new(x.dtype, shape)])
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        let starts = node.constant_ints(1)?.ok_or("lacks the starts")?;
        let ends = node.constant_ints(2)?.ok_or("lacks the ends")?;
        let axes = node.constant_ints(3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = node.constant_ints(4)?.unwrap_or_else(|| vec![1; starts.len()]);
        Ok(Self { starts, ends, axes, steps })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        for (name, list) in
            [("starts", &self.starts), ("ends", &self.ends), ("axes", &self.axes), ("steps", &self.steps)]
        {
            node.input_ints(name, list.clone());
        }
        Ok(())
    }
}
