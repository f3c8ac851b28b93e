//! Derivatives of the products: matrices and convolutions.

use super::Tape;
use crate::Result;
use percept_graph::{ValueId, ops};

/// `x` with its last two axes exchanged.
fn transposed(tape: &mut Tape<'_>, x: ValueId) -> Result<ValueId> {
    let rank = tape.rank(x);
    let mut perm: Vec<_> = (0..rank).collect();
    perm.swap(rank - 1, rank - 2);
    tape.add(ops::Transpose { perm: Some(perm) }, &[x])
}

/// `dA = dY · Bᵀ`, `dB = Aᵀ · dY`; a vector is a row on the left and a column on the right.
pub(super) fn matmul(tape: &mut Tape<'_>, [a, b]: [ValueId; 2], dy: ValueId) -> Result<()> {
    let (a_vector, b_vector) = (tape.rank(a) == 1, tape.rank(b) == 1);
    let widen = |tape: &mut Tape<'_>, x, axis: i64| tape.add(ops::Unsqueeze { axes: vec![axis] }, &[x]);
    let (mut left, mut right, mut slope) = (tape.value(a)?, tape.value(b)?, dy);
    if b_vector {
        right = widen(tape, right, 1)?;
        slope = widen(tape, slope, -1)?;
    }
    if a_vector {
        left = widen(tape, left, 0)?;
        slope = widen(tape, slope, -2)?;
    }
    if tape.wants(a) {
        let b = transposed(tape, right)?;
        let product = tape.add(ops::MatMul, &[slope, b])?;
        let sum = tape.sum_to(product, left)?;
        let sum = if a_vector { tape.add(ops::ReshapeLike {}, &[sum, a])? } else { sum };
        tape.give(a, sum)?;
    }
    if tape.wants(b) {
        let a = transposed(tape, left)?;
        let product = tape.add(ops::MatMul, &[a, slope])?;
        let sum = tape.sum_to(product, right)?;
        let sum = if b_vector { tape.add(ops::ReshapeLike {}, &[sum, b])? } else { sum };
        tape.give(b, sum)?;
    }
    Ok(())
}

/// The gradients of `Y = alpha · A' · B' + beta · C`, each as one more Gemm.
pub(super) fn gemm(tape: &mut Tape<'_>, op: &ops::Gemm, inputs: &[ValueId], dy: ValueId) -> Result<()> {
    let (a, b) = (inputs[0], inputs[1]);
    let product = |trans_a, trans_b| ops::Gemm { alpha: op.alpha, beta: 0.0, trans_a, trans_b };
    if tape.wants(a) {
        let b = tape.value(b)?;
        let slope = match op.trans_a {
            false => tape.add(product(false, !op.trans_b), &[dy, b])?,
            true => tape.add(product(op.trans_b, true), &[b, dy])?,
        };
        tape.give(a, slope)?;
    }
    if tape.wants(b) {
        let a = tape.value(a)?;
        let slope = match op.trans_b {
            false => tape.add(product(!op.trans_a, false), &[a, dy])?,
            true => tape.add(product(true, op.trans_a), &[dy, a])?,
        };
        tape.give(b, slope)?;
    }
    if let Some(&c) = inputs.get(2).filter(|&&c| tape.wants(c)) {
        let scaled = tape.scaled(dy, op.beta)?;
        let slope = tape.sum_to(scaled, c)?;
        tape.give(c, slope)?;
    }
    Ok(())
}

pub(super) fn conv(tape: &mut Tape<'_>, op: &ops::Conv, inputs: &[ValueId], dy: ValueId) -> Result<()> {
    let (x, weight) = (inputs[0], inputs[1]);
    if tape.wants(weight) {
        let x = tape.value(x)?;
        let slope = tape.add(ops::ConvWeightGrad { of: op.clone() }, &[x, dy, weight])?;
        tape.give(weight, slope)?;
    }
    if let Some(&bias) = inputs.get(2).filter(|&&bias| tape.wants(bias)) {
        // A bias lies along the channels, which are followed by the spatial axes.
        let axes = (1..tape.rank(dy) as i64 - 1).collect();
        let wide = tape.add(ops::Unsqueeze { axes }, &[bias])?;
        let sum = tape.add(ops::SumTo {}, &[dy, wide])?;
        let slope = tape.add(ops::ReshapeLike {}, &[sum, bias])?;
        tape.give(bias, slope)?;
    }
    if tape.wants(x) {
        let slope = tape.add(ops::ConvInputGrad { of: op.clone() }, &[dy, weight, x])?;
        tape.give(x, slope)?;
    }
    Ok(())
}
