//! Matrix products.

use super::{Array, arithmetic::broadcast, from_fn, shown};
use percept_graph::TensorType;
use percept_graph::ops::Gemm;

pub(super) fn matmul(ty: &TensorType, given: &[&Array]) -> Result<Array, String> {
    let [a, b] = given[..] else { return Err("takes 2 inputs".into()) };
    // A vector is a row on the left and a column on the right; its axis is not in the result.
    let a_shape = if a.shape.len() == 1 { vec![1, a.shape[0]] } else { a.shape.clone() };
    let b_shape = if b.shape.len() == 1 { vec![b.shape[0], 1] } else { b.shape.clone() };
    let inner = b_shape[b_shape.len() - 2];
    let entry = |x: &Array, shape: &[usize], batch: &[usize], row: usize, column: usize| {
        let (outer, matrix) = shape.split_at(shape.len() - 2);
        x.data[(shown(outer, batch) * matrix[0] + row) * matrix[1] + column]
    };
    from_fn(ty, |at| {
        let mut at = at.to_vec();
        let column = if b.shape.len() == 1 { Some(0) } else { at.pop() };
        let row = if a.shape.len() == 1 { Some(0) } else { at.pop() };
        let (row, column) = (row.unwrap_or(0), column.unwrap_or(0));
        (0..inner).map(|k| entry(a, &a_shape, &at, row, k) * entry(b, &b_shape, &at, k, column)).sum()
    })
}

pub(super) fn gemm(ty: &TensorType, given: &[&Array], op: &Gemm) -> Result<Array, String> {
    let [a, b, ..] = given[..] else { return Err("takes 2 to 3 inputs".into()) };
    let entry = |x: &Array, transposed: bool, row: usize, column: usize| {
        let (row, column) = if transposed { (column, row) } else { (row, column) };
        x.data[row * x.shape[1] + column]
    };
    let inner = a.shape[if op.trans_a { 0 } else { 1 }];
    from_fn(ty, |at| {
        let product = (0..inner).map(|k| entry(a, op.trans_a, at[0], k) * entry(b, op.trans_b, k, at[1]));
        let summand = given.get(2).map_or(0.0, |c| f64::from(op.beta) * broadcast(c, at));
        f64::from(op.alpha) * product.sum::<f64>() + summand
    })
}
