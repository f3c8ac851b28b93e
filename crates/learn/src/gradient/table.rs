//! The derivatives of all operators, a row each; those of the matrix products are in `products.rs`.

use super::{Tape, products};
use crate::{Error, Result};
use percept_graph::{Node, Op, ValueId, ops};

/// Whether an operator is a function of one number.
pub(super) fn is_activation(op: &Op) -> bool {
    use Op::{
        Abs, Clip, Erf, Exp, Gelu, HardSigmoid, HardSwish, LeakyRelu, Log, Neg, Pow, Relu, Sigmoid, Softplus, Sqrt,
        Tanh,
    };
    #[rustfmt::skip]
    let is = matches!(
        op,
        Abs(_) | Clip(_) | Erf(_) | Exp(_) | Gelu(_) | HardSigmoid(_) | HardSwish(_) | LeakyRelu(_) | Log(_) | Neg(_)
            | Pow(_) | Relu(_) | Sigmoid(_) | Softplus(_) | Sqrt(_) | Tanh(_)
    );
    is
}

/// Hands the gradients of the node's outputs, of which there is at least one, on to its inputs.
pub(super) fn derive(tape: &mut Tape<'_>, node: &Node, slopes: &[Option<ValueId>]) -> Result<()> {
    if let Op::Rnn(_) | Op::Gru(_) | Op::Lstm(_) = node.op {
        return recurrent(tape, node, slopes);
    }
    // Derivatives of further outputs, such as running statistics, are asked for by nobody.
    let (Some(dy), true) = (slopes[0], slopes[1..].iter().all(Option::is_none)) else {
        return Err(Error::NoDerivative { node: node.name.clone(), op: node.op.name() });
    };
    let inputs: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
    let [x, rest @ ..] = &inputs[..] else { return Ok(()) };
    let (x, y) = (*x, node.outputs[0]);
    let slope = match &node.op {
        Op::Add(_) | Op::Sub(_) | Op::Mul(_) | Op::Div(_) => return arithmetic(tape, &node.op, [x, rest[0]], y, dy),
        Op::Max(_) => return greater(tape, [x, rest[0]], [x, rest[0]], dy),
        Op::Min(_) => return greater(tape, [rest[0], x], [x, rest[0]], dy),
        Op::MatMul(_) => return products::matmul(tape, [x, rest[0]], dy),
        Op::Gemm(op) => return products::gemm(tape, op, &inputs, dy),
        Op::Conv(op) => return products::conv(tape, op, &inputs, dy),
        Op::ConvTranspose(op) => return products::conv_transpose(tape, op, node, &inputs, dy),
        Op::BatchNormalization(op) => return batch_norm(tape, op, node, dy),
        Op::LayerNormalization(op) => return layer_norm(tape, op, node, dy),
        Op::Concat(op) => return concat(tape, op, &inputs, dy),
        op if is_activation(op) => {
            let x = tape.value(x)?;
            tape.add(ops::ActivationGrad { of: Box::new(op.clone()) }, &[x, dy])?
        }
        Op::Softmax(op) => tape.add(ops::SoftmaxGrad { axis: op.axis }, &[y, dy])?,
        Op::Loss(op) => return loss(tape, op, node, dy),
        Op::MaxPool(op) => {
            let x = tape.value(x)?;
            tape.add(ops::MaxPoolGrad { of: op.clone() }, &[x, dy])?
        }
        Op::AveragePool(op) => tape.add(ops::AveragePoolGrad { of: op.clone() }, &[dy, x])?,
        Op::GlobalAveragePool(_) => {
            let axes = (2..tape.rank(x)).collect();
            tape.add(ops::MeanGrad { axes }, &[dy, x])?
        }
        Op::ReduceMean(op) => {
            let axes = op.axes(tape.rank(x));
            tape.add(ops::MeanGrad { axes }, &[dy, x])?
        }
        Op::ReduceSum(op) => {
            let axes = op.axes(tape.rank(x)).iter().map(|&axis| axis as i64).collect();
            let wide = if op.keepdims { dy } else { tape.add(ops::Unsqueeze { axes }, &[dy])? };
            tape.add(ops::ExpandLike {}, &[wide, x])?
        }
        Op::ReduceMax(op) => {
            let (axes, x) = (op.axes(tape.rank(x)), tape.value(x)?);
            tape.add(ops::ReduceMaxGrad { axes }, &[x, dy])?
        }
        Op::Flatten(_) | Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) => {
            tape.add(ops::ReshapeLike {}, &[dy, x])?
        }
        Op::Transpose(op) => {
            let perm = op.permutation(tape.rank(x));
            let mut back = vec![0; perm.len()];
            perm.iter().enumerate().for_each(|(i, &axis)| back[axis] = i);
            tape.add(ops::Transpose { perm: Some(back) }, &[dy])?
        }
        Op::Gather(op) => tape.add(ops::GatherGrad { of: op.clone() }, &[dy, rest[0], x])?,
        Op::Resize(op) => tape.add(ops::ResizeGrad { of: op.clone() }, &[dy, x])?,
        Op::Slice(op) => tape.add(ops::SliceGrad { of: op.clone() }, &[dy, x])?,
        Op::Pad(op) => tape.add(ops::PadGrad { of: op.clone() }, &[dy, x])?,
        Op::DropoutTraining(op) => tape.add(op.clone(), &[dy, rest[0]])?,
        Op::Identity(_) | Op::Dropout(_) => dy,
        Op::Cast(_) if tape.graph.value(x).ty.dtype.is_float() => {
            let to = tape.graph.value(x).ty.dtype;
            tape.add(ops::Cast { to }, &[dy])?
        }
        _ => return Err(Error::NoDerivative { node: node.name.clone(), op: node.op.name() }),
    };
    tape.give(x, slope)
}

fn arithmetic(tape: &mut Tape<'_>, op: &Op, [a, b]: [ValueId; 2], y: ValueId, dy: ValueId) -> Result<()> {
    if tape.wants(a) {
        let slope = match op {
            Op::Mul(_) => {
                let b = tape.value(b)?;
                tape.add(ops::Mul, &[dy, b])?
            }
            Op::Div(_) => tape.add(ops::Div, &[dy, b])?,
            _ => dy,
        };
        let slope = tape.sum_to(slope, a)?;
        tape.give(a, slope)?;
    }
    if tape.wants(b) {
        let slope = match op {
            Op::Mul(_) => {
                let a = tape.value(a)?;
                tape.add(ops::Mul, &[dy, a])?
            }
            Op::Div(_) => {
                let product = tape.add(ops::Mul, &[dy, y])?;
                let quotient = tape.add(ops::Div, &[product, b])?;
                tape.scaled(quotient, -1.0)?
            }
            Op::Sub(_) => tape.scaled(dy, -1.0)?,
            _ => dy,
        };
        let slope = tape.sum_to(slope, b)?;
        tape.give(b, slope)?;
    }
    Ok(())
}

/// Of Max and Min: `dy` goes to `a` where `large` is greater than `small`, otherwise, and so where both are equal, to `b`. A maximum with a constant
/// thus has the slope of a Relu.
fn greater(tape: &mut Tape<'_>, [large, small]: [ValueId; 2], [a, b]: [ValueId; 2], dy: ValueId) -> Result<()> {
    let (large, small) = (tape.value(large)?, tape.value(small)?);
    let difference = tape.add(ops::Sub, &[large, small])?;
    let first = tape.add(ops::ActivationGrad { of: Box::new(ops::Relu {}.into()) }, &[difference, dy])?;
    if tape.wants(a) {
        let slope = tape.sum_to(first, a)?;
        tape.give(a, slope)?;
    }
    if tape.wants(b) {
        let second = tape.add(ops::Sub, &[dy, first])?;
        let slope = tape.sum_to(second, b)?;
        tape.give(b, slope)?;
    }
    Ok(())
}

fn batch_norm(tape: &mut Tape<'_>, op: &ops::BatchNormalization, node: &Node, dy: ValueId) -> Result<()> {
    let [Some(x), Some(scale), Some(bias), Some(mean), Some(variance)] = node.inputs[..] else { return Ok(()) };
    let of_statistics = !op.training_mode && (tape.wants(mean) || tape.wants(variance));
    if of_statistics {
        return Err(Error::NoDerivative { node: node.name.clone(), op: node.op.name() });
    }
    let value = tape.value(x)?;
    let inputs = [value, scale, mean, variance, dy].map(Some).to_vec();
    let name = format!("{}.gradient", node.name);
    let slopes = tape.graph.add_node(name, ops::BatchNormGrad { of: op.clone() }.into(), inputs, &[])?;
    for (id, slope) in [x, scale, bias].into_iter().zip(slopes) {
        if tape.wants(id) {
            tape.give(id, slope)?;
        }
    }
    Ok(())
}

/// The gradient of a loss was made together with it.
fn loss(tape: &mut Tape<'_>, op: &ops::Loss, node: &Node, dy: ValueId) -> Result<()> {
    let wanted = |i: usize| node.inputs.get(i).copied().flatten().filter(|&id| tape.wants(id));
    let (x, target) = (wanted(0), wanted(1));
    if target.is_some() && !op.kind.is_symmetric() || (2..node.inputs.len()).any(|i| wanted(i).is_some()) {
        return Err(Error::NoDerivative { node: node.name.clone(), op: node.op.name() });
    }
    let slope = if dy == tape.one { node.outputs[1] } else { tape.add(ops::Mul, &[node.outputs[1], dy])? };
    if let Some(target) = target {
        let negated = tape.scaled(slope, -1.0)?;
        tape.give(target, negated)?;
    }
    x.map_or(Ok(()), |x| tape.give(x, slope))
}

fn layer_norm(tape: &mut Tape<'_>, op: &ops::LayerNormalization, node: &Node, dy: ValueId) -> Result<()> {
    let [Some(x), Some(scale), ..] = node.inputs[..] else { return Ok(()) };
    let inputs = [tape.value(x)?, scale, dy].map(Some).to_vec();
    let name = format!("{}.gradient", node.name);
    let slopes = tape.graph.add_node(name, ops::LayerNormGrad { of: op.clone() }.into(), inputs, &[])?;
    for (id, slope) in node.inputs.iter().flatten().copied().zip(slopes) {
        if tape.wants(id) {
            tape.give(id, slope)?;
        }
    }
    Ok(())
}

fn recurrent(tape: &mut Tape<'_>, node: &Node, slopes: &[Option<ValueId>]) -> Result<()> {
    let mut inputs = node.inputs.clone();
    inputs.resize(8, None);
    inputs.extend(slopes);
    let of = Box::new(node.op.clone());
    let slopes =
        tape.graph.add_node(format!("{}.gradient", node.name), ops::RecurrentGrad { of }.into(), inputs, &[])?;
    // All inputs but the lengths, which come fifth.
    let inputs = node.inputs.iter().enumerate().filter(|&(i, _)| i != 4).map(|(_, &id)| id);
    for (id, slope) in inputs.zip(slopes) {
        if let Some(id) = id.filter(|&id| tape.wants(id)) {
            tape.give(id, slope)?;
        }
    }
    Ok(())
}

fn concat(tape: &mut Tape<'_>, op: &ops::Concat, parts: &[ValueId], dy: ValueId) -> Result<()> {
    for (index, &part) in parts.iter().enumerate().filter(|&(_, &part)| tape.wants(part)).collect::<Vec<_>>() {
        let inputs: Vec<_> = std::iter::once(dy).chain(parts.iter().copied()).collect();
        let slope = tape.add(ops::ConcatGrad { axis: op.axis, index }, &inputs)?;
        tape.give(part, slope)?;
    }
    Ok(())
}
