//! Convolutions and matrix products.

use super::conv::{Conv as Convolution, Way};
use super::edge::{CHANNELS_LAST, Edge, plain};
use super::fuse::{self, Fused};
use super::lower::{Lower, Lowered};
use super::step::{Kernel, Tail, offset_of};
use super::winograd;
use crate::kernels::{BinaryOp, ConvWeights, DepthwiseWeights, PackedB, Window, WinogradWeights};
use percept_graph::ops::{Conv, Gemm, Steps};
use percept_graph::{Node, Op};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// A number for each spatial axis; an error unless there are two.
pub(super) fn pair(list: &[usize]) -> Lowered<[usize; 2]> {
    list.try_into().map_err(|_| "runs with two spatial axes only".into())
}

/// The window of a convolution or pooling over `x[N, C, H, W]`; the end pads are implied by the output.
pub(super) fn window(x: &[usize], output: &[usize], kernel: &[usize], steps: Steps<'_>) -> Lowered<Window> {
    let (strides, dilations, padding) = steps;
    let input = pair(x.get(2..).unwrap_or_default())?;
    let pads = padding.resolve(&input, kernel, strides, dilations);
    let window = Window {
        batch: x[0],
        input,
        output: pair(&output[2..])?,
        kernel: pair(kernel)?,
        stride: pair(strides)?,
        dilation: pair(dilations)?,
        pad: pair(&pads[..2])?,
    };
    match window.sizes().find(|&size| size >= Window::LIMIT) {
        Some(size) => {
            Err(format!("has a size or step of {size} along an axis: the engine takes less than {}", Window::LIMIT))
        }
        None => Ok(window),
    }
}

/// Packed weights, which plans of one network share unless they are `fresh`: known only at run time.
pub(super) fn shared<K: Eq + Hash, W>(
    packed: &mut HashMap<K, Arc<W>>,
    key: K,
    fresh: bool,
    pack: impl FnOnce() -> W,
) -> Arc<W> {
    if fresh { Arc::new(pack()) } else { Arc::clone(packed.entry(key).or_insert_with(|| Arc::new(pack()))) }
}

impl Lower<'_> {
    /// A product with what was fused to it; `last` is the node whose output is made.
    pub(super) fn product(&mut self, last: &Node, fused: &Fused) -> Lowered<()> {
        let node = self.graph.node(fused.anchor);
        let epilogue = fuse::has_epilogue(self.graph, self.params, node);
        match &node.op {
            Op::Conv(op) => self.conv(node, op, last, fused),
            Op::ConvTranspose(op) => self.conv_transpose(node, op, last, fused),
            Op::Gemm(op) if epilogue => self.dense(node, op, last, fused),
            Op::Gemm(op) => self.gemm_in_parts(node, op),
            _ if epilogue => {
                let op = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false };
                self.dense(node, &op, last, fused)
            }
            _ => self.matmul(node),
        }
    }

    /// What is done to the sums of a product whose result lies in `order`.
    pub(super) fn tail(&mut self, bias: Option<Edge>, fused: &Fused, order: &[usize]) -> Lowered<Tail> {
        let residual = fused.residual.map(|id| self.reorder(id, order)).transpose()?;
        let [bias, residual] = [bias, residual].map(|edge| edge.map(|edge| edge.place));
        Ok(Tail { bias, residual, activation: fused.activation })
    }

    /// The window of a convolution of the graph.
    pub(super) fn conv_window(&self, node: &Node) -> Lowered<Window> {
        let (Op::Conv(op), [Some(x), Some(weight), ..]) = (&node.op, &node.inputs[..]) else {
            return Err("is not a convolution".into());
        };
        let [x, weight, y] = [*x, *weight, node.outputs[0]].map(|id| self.shape(id));
        window(&x?, &y?, &weight?[2..], op.steps())
    }

    /// The bias of a convolution, if it has one.
    pub(super) fn bias(&mut self, conv: &Node) -> Lowered<Option<Edge>> {
        conv.inputs.get(2).copied().flatten().map(|id| self.float(id)).transpose()
    }

    fn conv(&mut self, node: &Node, op: &Conv, last: &Node, fused: &Fused) -> Lowered<()> {
        let [Some(x), Some(weight_id), ..] = node.inputs[..] else { return Err("lacks an input".into()) };
        if self.constant_tensor(weight_id).is_err() && self.conv_while_training(node, op, last, fused)? {
            return Ok(());
        }
        let Ok(shape) = <[usize; 4]>::try_from(self.shape(weight_id)?) else {
            return Err("runs with two spatial axes only".into());
        };
        let zeros;
        let (values, fresh) = match self.constant_values(weight_id) {
            Ok(values) => (values, None),
            Err(_) => {
                zeros = vec![0.0; shape.iter().product()];
                (&zeros[..], Some(self.reorder(weight_id, &plain(4))?.place))
            }
        };
        let x = self.reorder(x, &CHANNELS_LAST)?;
        let output = last.outputs[0];
        let window = self.conv_window(node)?;
        let bias = self.bias(node)?;
        let tail = self.tail(bias, fused, &CHANNELS_LAST)?;
        let (isa, name, new) = (self.isa, self.graph.value(weight_id).name.clone(), fresh.is_some());
        let (x, channels) = (x.place, x.shape[1]);
        let kernel = if op.group == shape[0] && shape[1] == 1 && channels == shape[0] && shape[0] > 1 {
            let pack = || DepthwiseWeights::pack(isa, shape[0], window.kernel, values);
            let weights = shared(&mut self.packed.depthwise, name, new, pack);
            Kernel::Depthwise { window, x, weights, fresh, tail }
        } else if let Some(tile) = winograd::tile(&window, [shape[0], shape[1]], op.group) {
            let weights = shared(&mut self.packed.winograd, (name, tile), new, || match fresh {
                Some(_) => WinogradWeights::empty(isa, tile, [shape[0], shape[1]]),
                None => WinogradWeights::pack(isa, tile, [shape[0], shape[1]], values),
            });
            let fresh = fresh.map(|place| (place, Way::Forward));
            Kernel::Winograd(self.winograd(window, x, weights, fresh, tail))
        } else {
            let pack = || ConvWeights::pack(isa, op.group, shape, values);
            let weights = shared(&mut self.packed.conv, name, new, pack);
            Kernel::Conv(Convolution { window, x, weights, fresh, tail, pool: None })
        };
        self.emit(&node.name, output, CHANNELS_LAST.to_vec(), kernel)
    }

    /// A product with a constant matrix.
    fn dense(&mut self, node: &Node, op: &Gemm, last: &Node, fused: &Fused) -> Lowered<()> {
        let [Some(a), Some(b), ..] = node.inputs[..] else { return Err("lacks an input".into()) };
        let rank = self.graph.value(a).ty.rank();
        let order: Vec<usize> = if op.trans_a { vec![1, 0] } else { plain(rank) };
        let x = self.reorder(a, &order)?;
        let weight = self.constant_tensor(b)?;
        let (k, n) = match (weight.shape(), op.trans_b) {
            (&[k, n], false) | (&[n, k], true) => (k, n),
            _ => return Err("needs a matrix on the right".into()),
        };
        let values = self.constant_values(b)?;
        let strides = if op.trans_b { [1, k] } else { [n, 1] };
        let (isa, key) = (self.isa, (self.graph.value(b).name.clone(), op.trans_b));
        let weights = shared(&mut self.packed.dense, key, op.alpha != 1.0, || match op.alpha {
            1.0 => PackedB::pack(isa, k, n, values, strides),
            alpha => PackedB::pack(isa, k, n, &values.iter().map(|v| v * alpha).collect::<Vec<_>>(), strides),
        });
        let bias = node.inputs.get(2).copied().flatten().map(|id| self.constant_values(id)).transpose()?;
        let bias = bias.filter(|c| !c.is_empty()).map(|c| (0..n).map(|i| c[i % c.len()] * op.beta).collect::<Vec<_>>());
        let bias = bias.map(|values| self.constant(&[n], &values));
        let shape = self.shape(last.outputs[0])?;
        let order = plain(shape.len());
        let tail = self.tail(bias, fused, &order)?;
        let m = shape.iter().product::<usize>().checked_div(n).unwrap_or(0);
        self.emit(&node.name, last.outputs[0], order, Kernel::Gemm { m, x: x.place, weights, tail })
    }

    /// A Gemm whose right side or summand is known only at run time: product, factor, summand one after the other.
    fn gemm_in_parts(&mut self, node: &Node, op: &Gemm) -> Lowered<()> {
        let [Some(a), Some(b), ..] = node.inputs[..] else { return Err("lacks an input".into()) };
        let transposed = |flag: bool| if flag { vec![1, 0] } else { vec![0, 1] };
        let x = self.reorder(a, &transposed(op.trans_a))?;
        let b = self.reorder(b, &[0, 1])?;
        let shape = self.shape(node.outputs[0])?;
        let (m, n) = (shape[0], shape[1]);
        let k = if op.trans_b { b.shape[1] } else { b.shape[0] };
        let b_strides = if op.trans_b { [1, k] } else { [n, 1] };
        let mut y = self.slot(shape.clone(), plain(2));
        let packed = PackedB::zeroed(self.isa, k, n);
        let kernel = Kernel::MatMul { m, a: x.place, lda: k, b: b.place, b_strides, offsets: vec![[0; 3]], packed };
        self.push(&node.name, kernel, &y);
        if op.alpha != 1.0 {
            let factor = self.constant(&[], &[op.alpha]);
            y = self.arithmetic(&node.name, BinaryOp::Mul, &y, &factor, &shape);
        }
        if let Some(c) = node.inputs.get(2).copied().flatten() {
            let mut c = self.float(c)?;
            if op.beta != 1.0 {
                let (factor, c_shape) = (self.constant(&[], &[op.beta]), c.shape.clone());
                c = self.arithmetic(&node.name, BinaryOp::Mul, &c, &factor, &c_shape);
            }
            y = self.arithmetic(&node.name, BinaryOp::Add, &y, &c, &shape);
        }
        self.set(node.outputs[0], y);
        Ok(())
    }

    /// Products of matrices known only at run time, with broadcast leading axes; the right side is read as it lies, so a transposed one is not moved.
    fn matmul(&mut self, node: &Node) -> Lowered<()> {
        let [(a_id, a), (_, b)] = self.inputs(node)?;
        let a = self.reorder(a_id, &plain(a.shape.len()))?;
        // A vector is a row on the left and a column on the right.
        let (a_own, b_own) = (a.shape.len().saturating_sub(2), b.shape.len().saturating_sub(2));
        let (a_steps, b_steps) = (a.strides(), b.strides());
        let k = a.shape[a.shape.len() - 1];
        let m = if a.shape.len() == 1 { 1 } else { a.shape[a_own] };
        let (n, columns) = if b.shape.len() == 1 { (1, 1) } else { (b.shape[b_own + 1], b_steps[b_own + 1]) };
        let shape = self.shape(node.outputs[0])?;
        let batch = &shape[..a_own.max(b_own)];
        let axes = |own: usize, edge: &Edge, steps: &[usize]| {
            let step =
                |i: usize| (i + own).checked_sub(batch.len()).filter(|&i| edge.shape[i] != 1).map_or(0, |i| steps[i]);
            (0..batch.len()).map(|i| [batch[i], step(i)]).collect::<Vec<_>>()
        };
        let (a_axes, b_axes) = (axes(a_own, &a, &a_steps), axes(b_own, &b, &b_steps));
        let count: usize = batch.iter().product();
        // One matrix on the right for all rows on the left is one product.
        let one = b_axes.iter().all(|axis| axis[1] == 0) && a.len() == count * m * k;
        let (count, m) = if one { (count.min(1), count * m) } else { (count, m) };
        let offsets = (0..count).map(|i| [offset_of(&a_axes, i), offset_of(&b_axes, i), i * m * n]).collect();
        let (packed, b_strides) = (PackedB::zeroed(self.isa, k, n), [b_steps[b_own], columns]);
        let kernel = Kernel::MatMul { m, a: a.place, lda: k, b: b.place, b_strides, offsets, packed };
        self.emit(&node.name, node.outputs[0], plain(shape.len()), kernel)
    }
}
