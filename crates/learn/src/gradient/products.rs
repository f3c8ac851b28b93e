//! Derivatives of the products: matrices and convolutions.

use super::Tape;
use crate::{Error, Result};
use percept_graph::{Node, ValueId, ops};

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
        let sum = if tape.rank(right) == 2 && tape.rank(left) > 2 {
            // All rows on the left have met one matrix: one product, not one for each of the leading axes and their sum.
            let [rows, slopes] = [left, slope].map(|x| (x, ops::Flatten { axis: -1 }));
            let (rows, slopes) = (tape.add(rows.1, &[rows.0])?, tape.add(slopes.1, &[slopes.0])?);
            tape.add(ops::Gemm { alpha: 1.0, beta: 0.0, trans_a: true, trans_b: false }, &[rows, slopes])?
        } else {
            let a = transposed(tape, left)?;
            let product = tape.add(ops::MatMul, &[a, slope])?;
            tape.sum_to(product, right)?
        };
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
    bias_of_channels(tape, inputs, dy)?;
    if tape.wants(x) {
        let slope = tape.add(ops::ConvInputGrad { of: op.clone() }, &[dy, weight, x])?;
        tape.give(x, slope)?;
    }
    Ok(())
}

/// The transpose of a convolution is the gradient of its input, so its own gradients are that convolution and the gradient of the weight.
pub(super) fn conv_transpose(
    tape: &mut Tape<'_>,
    op: &ops::ConvTranspose,
    node: &Node,
    inputs: &[ValueId],
    dy: ValueId,
) -> Result<()> {
    let (x, weight) = (inputs[0], inputs[1]);
    let kernel = tape.graph.value(weight).ty.concrete()?;
    let wrong = |reason| Error::Network(format!("node \"{}\": {reason}", node.name));
    let (conv, _) = op.conv(&tape.graph.value(x).ty.shape[2..], &kernel[2..]).map_err(wrong)?;
    if tape.wants(weight) {
        let x = tape.value(x)?;
        let slope = tape.add(ops::ConvWeightGrad { of: conv.clone() }, &[dy, x, weight])?;
        tape.give(weight, slope)?;
    }
    bias_of_channels(tape, inputs, dy)?;
    if tape.wants(x) {
        let slope = tape.add(conv, &[dy, weight])?;
        tape.give(x, slope)?;
    }
    Ok(())
}

/// The gradient of a bias, input 2, which lies along the channels; these are followed by the spatial axes.
fn bias_of_channels(tape: &mut Tape<'_>, inputs: &[ValueId], dy: ValueId) -> Result<()> {
    let Some(&bias) = inputs.get(2).filter(|&&bias| tape.wants(bias)) else { return Ok(()) };
    let axes = (1..tape.rank(dy) as i64 - 1).collect();
    let wide = tape.add(ops::Unsqueeze { axes }, &[bias])?;
    let sum = tape.add(ops::SumTo {}, &[dy, wide])?;
    let slope = tape.add(ops::ReshapeLike {}, &[sum, bias])?;
    tape.give(bias, slope)
}
