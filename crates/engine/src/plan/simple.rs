//! Every operator that is not a product: arithmetic, activations, pooling; what only moves elements is done in [`moves`](super::moves).

use super::edge::{CHANNELS_LAST, Edge, from_front, plain};
use super::fuse::{self, Normalize};
use super::lower::{Lower, Lowered};
use super::product::{pair, window};
use super::step::Kernel;
use crate::kernels::{Activation, BinaryOp, PoolKind, Window};
use percept_graph::ops::{AveragePool, BatchNormalization, Padding, Softmax, Steps};
use percept_graph::{DType, Node, Op};

impl Lower<'_> {
    pub(super) fn simple(&mut self, node: &Node) -> Lowered<()> {
        if let Some(activation) = fuse::activation(&node.op) {
            return self.activate(node, activation);
        }
        match &node.op {
            Op::Add(_) => self.binary(node, BinaryOp::Add),
            Op::Sub(_) => self.binary(node, BinaryOp::Sub),
            Op::Mul(_) => self.binary(node, BinaryOp::Mul),
            Op::Div(_) => self.binary(node, BinaryOp::Div),
            Op::Max(_) => self.binary(node, BinaryOp::Max),
            Op::Min(_) => self.binary(node, BinaryOp::Min),
            Op::Softmax(op) => self.softmax(node, op),
            Op::MaxPool(op) => self.pool(node, &op.kernel_shape, op.steps(), PoolKind::Max),
            Op::AveragePool(op) => {
                let [(_, x)] = self.inputs(node)?;
                let kind = average(op, &x.shape[2..])?;
                self.pool(node, &op.kernel_shape, op.steps(), kind)
            }
            Op::GlobalAveragePool(_) => self.mean(node, |rank| (2..rank).collect()),
            Op::ReduceMean(op) => self.mean(node, |rank| op.axes(rank)),
            Op::ReduceSum(op) => {
                let [(id, x)] = self.inputs(node)?;
                self.sum(node, id, &op.axes(x.shape.len()), 1.0)
            }
            Op::ReduceMax(op) => {
                let [(id, x)] = self.inputs(node)?;
                let (x, window, channels) = self.reduction(id, &op.axes(x.shape.len()))?;
                let order = plain(self.graph.value(node.outputs[0]).ty.rank());
                let pool = Kernel::Pool { window, kind: PoolKind::Max, channels, x: x.place };
                self.emit(&node.name, node.outputs[0], order, pool)
            }
            Op::Transpose(op) => self.transpose(node, op),
            Op::Flatten(_) | Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::ReshapeLike(_) => {
                self.reshape(node)
            }
            Op::LayerNormalization(op) => {
                let inputs = node.inputs.iter().flatten().map(|&id| Ok(self.plainly(id)?.place));
                let (places, shape) = (inputs.collect::<Lowered<Vec<_>>>()?, self.shape(node.outputs[0])?);
                let n = shape[from_front(op.axis, shape.len())..].iter().product();
                let (x, scale, bias) = (places[0], places[1], places.get(2).copied());
                let norm = Kernel::LayerNorm { n, x, scale, bias, epsilon: op.epsilon };
                self.emit(&node.name, node.outputs[0], plain(shape.len()), norm)
            }
            Op::Resize(op) => self.resize(node, op),
            Op::Gather(op) => self.lookup(node, op),
            Op::Slice(op) => self.slice(node, op),
            Op::Concat(op) => self.concat(node, op),
            Op::Pad(op) => self.pad(node, op),
            Op::Identity(_) | Op::Dropout(_) => self.alias(node),
            Op::Cast(op) if op.to == DType::F32 => {
                let [(_, x)] = self.inputs(node)?;
                self.set(node.outputs[0], x);
                Ok(())
            }
            Op::Cast(op) if matches!(op.to, DType::I32 | DType::I64) => self.alias(node),
            Op::Cast(op) => Err(format!("casts to {} at run time: the engine computes with f32", op.to)),
            Op::BatchNormalization(op) => self.batch_norm(node, op),
            Op::Rnn(_) | Op::Gru(_) | Op::Lstm(_) => self.recurrent(node),
            Op::Constant(_) | Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::MatMul(_) => {
                Err("is handled elsewhere".into())
            }
            _ => self.training(node),
        }
    }

    fn alias(&mut self, node: &Node) -> Lowered<()> {
        let x = self.any(node.inputs[0].ok_or("lacks an input")?)?;
        self.set(node.outputs[0], x);
        Ok(())
    }

    /// `a op b`, written in the memory order of the larger operand.
    pub(super) fn arithmetic(&mut self, name: &str, op: BinaryOp, a: &Edge, b: &Edge, shape: &[usize]) -> Edge {
        let order = [a, b].into_iter().find(|x| x.shape == shape).map_or(plain(shape.len()), |x| x.order.clone());
        let (a, b) = (self.innermost(name, a, &order, shape), self.innermost(name, b, &order, shape));
        let y = self.slot(shape.to_vec(), order);
        let in_order = |x: &Edge| {
            let strides = x.broadcast_strides(shape);
            y.order.iter().map(|&axis| strides[axis]).collect::<Vec<_>>()
        };
        let (dims, a_strides, b_strides) = joined(&y.dims(), &in_order(&a), &in_order(&b));
        self.push(name, Kernel::Binary { op, a: a.place, b: b.place, dims, a_strides, b_strides }, &y);
        y
    }

    /// The operand such that its innermost axis is that of the result (axes of size 1 do not count), or broadcast there.
    fn innermost(&mut self, name: &str, x: &Edge, order: &[usize], shape: &[usize]) -> Edge {
        let Some(&last) = order.iter().rfind(|&&axis| shape[axis] != 1) else { return x.clone() };
        let missing = order.len() - x.shape.len();
        match last.checked_sub(missing) {
            Some(axis) if x.shape[axis] != 1 && x.strides()[axis] != 1 => {
                let own = order.iter().filter_map(|&axis| axis.checked_sub(missing)).collect();
                self.copy(name, x, own)
            }
            _ => x.clone(),
        }
    }

    fn binary(&mut self, node: &Node, op: BinaryOp) -> Lowered<()> {
        if op == BinaryOp::Add && self.add_to_lazy(node)? {
            return Ok(());
        }
        let [(_, a), (_, b)] = self.inputs(node)?;
        let shape = self.shape(node.outputs[0])?;
        let y = self.arithmetic(&node.name, op, &a, &b, &shape);
        self.set(node.outputs[0], y);
        Ok(())
    }

    fn activate(&mut self, node: &Node, activation: Activation) -> Lowered<()> {
        if self.clamp_lazily(node, activation) {
            return Ok(());
        }
        let [(_, x)] = self.inputs(node)?;
        self.emit(&node.name, node.outputs[0], x.order, Kernel::Activate { activation, x: x.place })
    }

    /// A batch normalisation that no convolution took in: a factor and a summand for each channel.
    fn batch_norm(&mut self, node: &Node, op: &BatchNormalization) -> Lowered<()> {
        let [Some(x), Some(scale), Some(bias), Some(mean), Some(variance)] = node.inputs[..] else {
            return Err("needs 5 inputs".into());
        };
        if op.training_mode || [scale, bias, mean, variance].iter().any(|&id| self.constant_tensor(id).is_err()) {
            return self.batch_norm_at_run_time(node, op);
        }
        let [scale, bias, mean, variance] = [scale, bias, mean, variance].map(|id| self.constant_values(id));
        let (bias, mean) = (bias?, mean?);
        let factor: Vec<_> = scale?.iter().zip(variance?).map(|(s, v)| s / (v + op.epsilon).sqrt()).collect();
        let summand: Vec<_> = (0..factor.len()).map(|i| bias[i] - mean[i] * factor[i]).collect();
        let x = self.float(x)?;
        let mut channels = vec![1; x.shape.len() - 1];
        channels[0] = factor.len();
        let (factor, summand) = (self.constant(&channels, &factor), self.constant(&channels, &summand));
        let shape = x.shape.clone();
        let scaled = self.arithmetic(&node.name, BinaryOp::Mul, &x, &factor, &shape);
        let y = self.arithmetic(&node.name, BinaryOp::Add, &scaled, &summand, &shape);
        self.set(node.outputs[0], y);
        Ok(())
    }

    fn softmax(&mut self, node: &Node, op: &Softmax) -> Lowered<()> {
        let [(id, x)] = self.inputs(node)?;
        let axis = from_front(op.axis, x.shape.len());
        let mut order = with_last(&x.order, axis);
        if !x.lies_in(&order) {
            order = with_last(&plain(x.shape.len()), axis);
        }
        let x = self.reorder(id, &order)?;
        self.emit(&node.name, node.outputs[0], order, Kernel::Softmax { n: x.shape[axis], x: x.place })
    }

    fn pool(&mut self, node: &Node, kernel: &[usize], steps: Steps<'_>, kind: PoolKind) -> Lowered<()> {
        let [(id, x)] = self.inputs(node)?;
        let window = window(&x.shape, &self.shape(node.outputs[0])?, kernel, steps)?;
        if kind == PoolKind::Max && self.pool_conv(id, window, node.outputs[0])? {
            return Ok(());
        }
        if kind == PoolKind::Max && self.is_planar(id) && window.halves() {
            let window = Window { batch: window.batch * x.shape[1], ..window };
            let pool = Kernel::Pool { window, kind, channels: 1, x: x.place };
            return self.emit(&node.name, node.outputs[0], plain(4), pool);
        }
        let x = self.reorder(id, &CHANNELS_LAST)?;
        let pool = Kernel::Pool { window, kind, channels: x.shape[1], x: x.place };
        self.emit(&node.name, node.outputs[0], CHANNELS_LAST.to_vec(), pool)
    }

    /// The mean over the axes that `axes` gives for a rank: a pooling where they are those of a picture.
    fn mean(&mut self, node: &Node, axes: impl FnOnce(usize) -> Vec<usize>) -> Lowered<()> {
        let [(id, x)] = self.inputs(node)?;
        let rank = x.shape.len();
        let axes = axes(rank);
        let order = plain(self.graph.value(node.outputs[0]).ty.rank());
        if rank == 4 && axes == [2, 3] && x.len() > 0 {
            let steps: Steps<'_> = (&[1, 1], &[1, 1], &Padding::Explicit(vec![0; 4]));
            let window = window(&x.shape, &[x.shape[0], x.shape[1], 1, 1], &x.shape[2..], steps)?;
            let x = self.reorder(id, &CHANNELS_LAST)?;
            let pool = Kernel::Pool { window, kind: PoolKind::Average, channels: x.shape[1], x: x.place };
            let order = if order.len() == 4 { CHANNELS_LAST.to_vec() } else { order };
            return self.emit(&node.name, node.outputs[0], order, pool);
        }
        let factor = 1.0 / axes.iter().map(|&axis| x.shape[axis]).product::<usize>() as f32;
        self.sum(node, id, &axes, factor)
    }

    pub(super) fn normalize(&mut self, last: &Node, normalize: &Normalize) -> Lowered<()> {
        let x = self.edges[normalize.input.index()].as_ref().ok_or("is not an input")?.place;
        // Axis `i` of the result is axis `perm[i]` of the input, which lies in row-major order.
        let order = (0..normalize.perm.len()).map(|axis| normalize.perm.iter().position(|&p| p == axis));
        let order = order.collect::<Option<Vec<_>>>().ok_or("has an invalid permutation")?;
        let (scale, shift) = (normalize.scale.clone(), normalize.shift.clone());
        self.emit(&last.name, last.outputs[0], order, Kernel::Normalize { x, scale, shift })
    }
}

/// How a pooling of pictures of size `x` averages.
pub(super) fn average(op: &AveragePool, x: &[usize]) -> Lowered<PoolKind> {
    if !op.count_include_pad {
        return Ok(PoolKind::Average);
    }
    let pads = op.padding.resolve(x, &op.kernel_shape, &op.strides, &op.dilations);
    Ok(PoolKind::AverageWithPadding { pad_end: pair(&pads[pads.len() / 2..])? })
}

pub(super) fn with_last(order: &[usize], axis: usize) -> Vec<usize> {
    order.iter().copied().filter(|&a| a != axis).chain([axis]).collect()
}

/// Neighbouring dimensions joined where both operands allow it, so that the innermost runs are long.
fn joined(dims: &[usize], a: &[usize], b: &[usize]) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
    let mut axes: Vec<[usize; 3]> = Vec::with_capacity(dims.len());
    for i in (0..dims.len()).rev().filter(|&i| dims[i] != 1) {
        match axes.last_mut() {
            Some([size, x, y]) if a[i] == *x * *size && b[i] == *y * *size => *size *= dims[i],
            _ => axes.push([dims[i], a[i], b[i]]),
        }
    }
    if axes.is_empty() {
        axes.push([1, 0, 0]);
    }
    let [all, in_a, in_b] = [0, 1, 2].map(|part| axes.iter().rev().map(|axis| axis[part]).collect());
    (all, in_a, in_b)
}
