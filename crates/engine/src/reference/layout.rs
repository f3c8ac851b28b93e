//! What only moves or converts elements.

use super::{Array, from_fn, index, position};
use crate::plan::from_front;
use percept_graph::ops::{Concat, ConcatGrad, Gather, Pad, PadMode, Resize, Slice, Terms, Transpose};
use percept_graph::{DType, TensorType};

pub(super) fn transpose(ty: &TensorType, x: &Array, op: &Transpose) -> Result<Array, String> {
    let perm = op.permutation(x.shape.len());
    from_fn(ty, |at| {
        let mut from = vec![0; at.len()];
        perm.iter().zip(at).for_each(|(&axis, &i)| from[axis] = i);
        x.data[index(&x.shape, &from)]
    })
}

pub(super) fn concat(ty: &TensorType, given: &[&Array], op: &Concat) -> Result<Array, String> {
    let axis = from_front(op.axis, ty.shape.len());
    from_fn(ty, |at| {
        let mut from = at.to_vec();
        for part in given {
            if from[axis] < part.shape[axis] {
                return part.data[index(&part.shape, &from)];
            }
            from[axis] -= part.shape[axis];
        }
        f64::NAN
    })
}

/// The place in the input that `at` shows of it, `None` for the filling.
fn padded_from(op: &Pad, shape: &[usize], at: &[usize]) -> Option<usize> {
    let mut from = Vec::with_capacity(at.len());
    for (axis, &i) in at.iter().enumerate() {
        let (i, size) = (i as i64 - op.pads[axis], shape[axis] as i64);
        let inside = match op.mode {
            PadMode::Constant(_) => i,
            PadMode::Edge => i.clamp(0, size - 1),
            PadMode::Wrap => i.rem_euclid(size),
            PadMode::Reflect => {
                let i = i.abs();
                if i >= size { 2 * (size - 1) - i } else { i }
            }
        };
        from.push(usize::try_from(inside).ok().filter(|_| inside < size)?);
    }
    Some(index(shape, &from))
}

pub(super) fn pad(ty: &TensorType, x: &Array, op: &Pad) -> Result<Array, String> {
    let fill = if let PadMode::Constant(value) = op.mode { value.into() } else { 0.0 };
    from_fn(ty, |at| padded_from(op, &x.shape, at).map_or(fill, |i| x.data[i]))
}

pub(super) fn pad_grad(ty: &TensorType, gradient: &Array, op: &Pad) -> Result<Array, String> {
    let mut dx = Array::zeros(ty)?;
    for (i, dy) in gradient.data.iter().enumerate() {
        if let Some(from) = padded_from(op, &dx.shape, &position(&gradient.shape, i)) {
            dx.data[from] += dy;
        }
    }
    Ok(dx)
}

pub(super) fn concat_grad(ty: &TensorType, given: &[&Array], op: &ConcatGrad) -> Result<Array, String> {
    let axis = from_front(op.axis, ty.shape.len());
    let begin: usize = given[1..=op.index].iter().map(|part| part.shape[axis]).sum();
    from_fn(ty, |at| {
        let mut from = at.to_vec();
        from[axis] += begin;
        given[0].data[index(&given[0].shape, &from)]
    })
}

/// The place in data of this shape that a position of a Gather's result shows.
fn picked(shape: &[usize], indices: &Array, op: &Gather, at: &[usize]) -> Result<usize, String> {
    let axis = from_front(op.axis, shape.len());
    let (outer, rest) = at.split_at(axis);
    let (own, inner) = rest.split_at(indices.shape.len());
    let (id, size) = (indices.data[index(&indices.shape, own)], shape[axis] as f64);
    if id < -size || id >= size {
        return Err(format!("index {id} is not among {size} entries"));
    }
    let id = if id < 0.0 { id + size } else { id };
    Ok(index(shape, &[outer, &[id as usize], inner].concat()))
}

pub(super) fn gather(ty: &TensorType, given: &[&Array], op: &Gather) -> Result<Array, String> {
    let [data, indices] = given[..] else { return Err("takes 2 inputs".into()) };
    let mut y = Array::zeros(ty)?;
    for i in 0..y.data.len() {
        y.data[i] = data.data[picked(&data.shape, indices, op, &position(&y.shape, i))?];
    }
    Ok(y)
}

pub(super) fn gather_grad(ty: &TensorType, given: &[&Array], op: &Gather) -> Result<Array, String> {
    let [gradient, indices, like] = given[..] else { return Err("takes 3 inputs".into()) };
    let mut dx = Array::zeros(ty)?;
    for (i, dy) in gradient.data.iter().enumerate() {
        dx.data[picked(&like.shape, indices, op, &position(&gradient.shape, i))?] += dy;
    }
    Ok(dx)
}

/// The place in an input of this shape that a position of a slice shows.
fn sliced(shape: &[usize], op: &Slice, at: &[usize]) -> usize {
    let entry = |((start, step, _), &i): (_, &usize)| (start + step * i as i64) as usize;
    index(shape, &op.ranges(shape).into_iter().zip(at).map(entry).collect::<Vec<_>>())
}

pub(super) fn slice(ty: &TensorType, x: &Array, op: &Slice) -> Result<Array, String> {
    from_fn(ty, |at| x.data[sliced(&x.shape, op, at)])
}

pub(super) fn slice_grad(ty: &TensorType, gradient: &Array, op: &Slice) -> Result<Array, String> {
    let mut dx = Array::zeros(ty)?;
    for (i, dy) in gradient.data.iter().enumerate() {
        dx.data[sliced(&dx.shape.clone(), op, &position(&gradient.shape, i))] += dy;
    }
    Ok(dx)
}

/// The places in an input of shape `from` that make the entry at a position of a result of shape `to`, and their weights: the products of those
/// along the axes.
fn mixed([from, to]: [&[usize]; 2], op: &Resize, at: &[usize]) -> Terms {
    let mut all = vec![(0, 1.0)];
    for axis in 0..from.len() {
        let terms = op.terms(axis, from[axis], to[axis]);
        let own = terms.map_or_else(|| vec![(at[axis], 1.0)], |terms| terms[at[axis]].clone());
        let next = |&(place, weight): &(usize, f64)| {
            own.iter().map(move |&(i, share)| (place * from[axis] + i, weight * share)).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(next).collect();
    }
    all
}

pub(super) fn resize(ty: &TensorType, x: &Array, op: &Resize) -> Result<Array, String> {
    let to = ty.concrete().map_err(|e| e.to_string())?;
    from_fn(ty, |at| mixed([&x.shape, &to], op, at).into_iter().map(|(i, weight)| x.data[i] * weight).sum())
}

pub(super) fn resize_grad(ty: &TensorType, gradient: &Array, op: &Resize) -> Result<Array, String> {
    let mut dx = Array::zeros(ty)?;
    let from = dx.shape.clone();
    for (i, dy) in gradient.data.iter().enumerate() {
        for (to, weight) in mixed([&from, &gradient.shape], op, &position(&gradient.shape, i)) {
            dx.data[to] += dy * weight;
        }
    }
    Ok(dx)
}

pub(super) fn cast(x: &Array, to: DType) -> Array {
    let convert = |x: f64| match to {
        DType::F64 => x,
        DType::F32 => f64::from(x as f32),
        DType::I64 => x as i64 as f64,
        DType::I32 => f64::from(x as i32),
        DType::I8 => f64::from(x as i64 as i8),
        DType::U8 => f64::from(x as i64 as u8),
        DType::Bool => f64::from(u8::from(x != 0.0)),
    };
    Array { dtype: to, ..x.map(convert) }
}
