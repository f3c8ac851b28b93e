//! Convolutions and matrix products.

use super::edge::{CHANNELS_LAST, Edge, plain};
use super::fuse::Fused;
use super::lower::{Lower, Lowered};
use super::step::{Kernel, Tail};
use super::winograd::{self, Way};
use crate::kernels::{Activation, BinaryOp, ConvWeights, DepthwiseWeights, PackedB, Window, WinogradWeights};
use percept_graph::ops::{Conv, Gemm, Padding};
use percept_graph::{Node, Op, ValueId};
use std::sync::Arc;

/// The window of a convolution or pooling over `x[N, C, H, W]`; the end pads are implied by the output.
pub(super) fn window(
    x: &[usize],
    output: &[usize],
    kernel: &[usize],
    (strides, dilations, padding): (&[usize], &[usize], &Padding),
) -> Lowered<Window> {
    let pair = |list: &[usize]| <[usize; 2]>::try_from(list).map_err(|_| "runs with two spatial axes only".to_string());
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

impl Lower<'_> {
    /// A product that nothing follows.
    pub(super) fn product_alone(&mut self, node: &Node) -> Lowered<()> {
        self.run_product(node, node, None, Activation::None)
    }

    /// A product with what was fused to it; `last` is the node whose output is made.
    pub(super) fn product(&mut self, last: &Node, fused: &Fused) -> Lowered<()> {
        self.run_product(self.graph.node(fused.anchor), last, fused.residual, fused.activation)
    }

    fn run_product(
        &mut self,
        node: &Node,
        last: &Node,
        residual: Option<ValueId>,
        activation: Activation,
    ) -> Lowered<()> {
        match &node.op {
            Op::Conv(op) => self.conv(node, op, last, residual, activation),
            Op::Gemm(op) if self.is_constant(node.inputs[1]) && self.bias_fits(node) => {
                self.dense(node, op, last, residual, activation)
            }
            Op::Gemm(op) => self.gemm_in_parts(node, op, last),
            _ if self.is_constant(node.inputs[1]) && self.rank(node.inputs[1]) == 2 => {
                let op = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false };
                self.dense(node, &op, last, residual, activation)
            }
            _ => self.matmul(node, last),
        }
    }

    fn is_constant(&self, id: Option<ValueId>) -> bool {
        id.is_some_and(|id| self.constant_tensor(id).is_ok())
    }

    fn rank(&self, id: Option<ValueId>) -> usize {
        id.map_or(0, |id| self.graph.value(id).ty.rank())
    }

    /// Whether C of a Gemm is a constant with one value a column (or one value at all), or absent.
    fn bias_fits(&self, node: &Node) -> bool {
        let Some(id) = node.inputs.get(2).copied().flatten() else { return true };
        let columns = self.graph.value(node.outputs[0]).ty.shape[1].clone();
        self.constant_tensor(id).is_ok_and(|c| {
            let wide: Vec<_> = c.shape().iter().copied().filter(|&size| size != 1).collect();
            wide.is_empty() || (columns == wide[0].into() && wide.len() == 1 && c.shape().last() == wide.first())
        })
    }

    fn tail(
        &mut self,
        residual: Option<(ValueId, &[usize])>,
        bias: Option<Edge>,
        activation: Activation,
    ) -> Lowered<Tail> {
        let residual = residual.map(|(id, order)| self.reorder(id, order)).transpose()?.map(|edge| edge.place);
        Ok(Tail { bias: bias.map(|edge| edge.place), residual, activation })
    }

    fn conv(
        &mut self,
        node: &Node,
        op: &Conv,
        last: &Node,
        residual: Option<ValueId>,
        activation: Activation,
    ) -> Lowered<()> {
        let [Some(x), Some(weight_id), ..] = node.inputs[..] else { return Err("lacks an input".into()) };
        let alone = residual.is_none() && activation == Activation::None;
        if alone && !self.is_constant(Some(weight_id)) && self.conv_while_training(node, op)? {
            return Ok(());
        }
        let Ok(shape) = <[usize; 4]>::try_from(self.shape(weight_id)?) else {
            return Err("runs with two spatial axes only".into());
        };
        let zeros;
        let (values, fresh) = match self.constant_tensor(weight_id) {
            Ok(weight) => (weight.as_f32().map_err(|e| e.to_string())?, None),
            Err(_) => {
                zeros = vec![0.0; shape.iter().product()];
                (&zeros[..], Some(self.reorder(weight_id, &plain(4))?.place))
            }
        };
        let x = self.reorder(x, &CHANNELS_LAST)?;
        let y = self.slot(self.shape(last.outputs[0])?, CHANNELS_LAST.to_vec());
        let window = window(&x.shape, &y.shape, &shape[2..], (&op.strides, &op.dilations, &op.padding))?;
        let bias = node.inputs.get(2).copied().flatten();
        let bias = bias.map(|id| self.float(id)).transpose()?;
        let tail = self.tail(residual.map(|id| (id, &CHANNELS_LAST[..])), bias, activation)?;
        let (isa, name) = (self.isa, self.graph.value(weight_id).name.clone());
        let depthwise = op.group == shape[0] && shape[1] == 1 && x.shape[1] == shape[0] && shape[0] > 1;
        let kernel = if depthwise {
            let pack = || Arc::new(DepthwiseWeights::pack(isa, shape[0], [shape[2], shape[3]], values));
            let weights = match fresh {
                Some(_) => pack(),
                None => Arc::clone(self.packed.depthwise.entry(name).or_insert_with(pack)),
            };
            Kernel::Depthwise { window, x: x.place, weights, fresh, tail }
        } else if let Some(tile) = winograd::tile(&window, [shape[0], shape[1]], op.group) {
            let pack = || Arc::new(WinogradWeights::pack(isa, tile, [shape[0], shape[1]], values));
            let weights = match fresh {
                Some(_) => Arc::new(WinogradWeights::empty(isa, tile, [shape[0], shape[1]])),
                None => Arc::clone(self.packed.winograd.entry((name, tile)).or_insert_with(pack)),
            };
            let fresh = fresh.map(|place| (place, Way::Forward));
            Kernel::Winograd(self.winograd(window, x.place, weights, fresh, tail))
        } else {
            let pack = || Arc::new(ConvWeights::pack(isa, op.group, shape, values));
            let weights = match fresh {
                Some(_) => pack(),
                None => Arc::clone(self.packed.conv.entry(name).or_insert_with(pack)),
            };
            Kernel::Conv { window, x: x.place, weights, fresh, tail }
        };
        self.push(&node.name, kernel, &y);
        self.set(last.outputs[0], y);
        Ok(())
    }

    /// A product with a constant matrix.
    fn dense(
        &mut self,
        node: &Node,
        op: &Gemm,
        last: &Node,
        residual: Option<ValueId>,
        activation: Activation,
    ) -> Lowered<()> {
        let [Some(a), Some(b), ..] = node.inputs[..] else { return Err("lacks an input".into()) };
        let rank = self.graph.value(a).ty.rank();
        let order: Vec<usize> = if op.trans_a { vec![1, 0] } else { plain(rank) };
        let x = self.reorder(a, &order)?;
        let weight = self.constant_tensor(b)?;
        let (k, n) = match (weight.shape(), op.trans_b) {
            (&[k, n], false) | (&[n, k], true) => (k, n),
            _ => return Err("needs a matrix on the right".into()),
        };
        let values = weight.as_f32().map_err(|e| e.to_string())?;
        let strides = if op.trans_b { [1, k] } else { [n, 1] };
        let isa = self.isa;
        let weights = if op.alpha == 1.0 {
            let pack = || Arc::new(PackedB::pack(isa, k, n, values, strides));
            let key = (self.graph.value(b).name.clone(), op.trans_b);
            Arc::clone(self.packed.dense.entry(key).or_insert_with(pack))
        } else {
            let scaled: Vec<_> = values.iter().map(|v| v * op.alpha).collect();
            Arc::new(PackedB::pack(isa, k, n, &scaled, strides))
        };
        let bias = node.inputs.get(2).copied().flatten().map(|id| self.constant_tensor(id)).transpose()?;
        let bias = bias.map(|c| c.as_f32().map_err(|e| e.to_string())).transpose()?;
        let bias = bias.filter(|c| !c.is_empty()).map(|c| (0..n).map(|i| c[i % c.len()] * op.beta).collect::<Vec<_>>());
        let bias = bias.map(|values| self.constant(&[n], &values));
        let shape = self.shape(last.outputs[0])?;
        let order = plain(shape.len());
        let tail = self.tail(residual.map(|id| (id, &order[..])), bias, activation)?;
        let y = self.slot(shape, order);
        let m = y.len().checked_div(n).unwrap_or(0);
        self.push(&node.name, Kernel::Gemm { m, x: x.place, weights, tail }, &y);
        self.set(last.outputs[0], y);
        Ok(())
    }

    /// A Gemm whose right side or summand is known only at run time: product, factor, summand one after the other.
    fn gemm_in_parts(&mut self, node: &Node, op: &Gemm, last: &Node) -> Lowered<()> {
        let [Some(a), Some(b), ..] = node.inputs[..] else { return Err("lacks an input".into()) };
        let transposed = |flag: bool| if flag { vec![1, 0] } else { vec![0, 1] };
        let x = self.reorder(a, &transposed(op.trans_a))?;
        let b = self.reorder(b, &[0, 1])?;
        let shape = self.shape(node.outputs[0])?;
        let (m, n) = (shape[0], shape[1]);
        let k = if op.trans_b { b.shape[1] } else { b.shape[0] };
        let b_strides = if op.trans_b { [1, k] } else { [n, 1] };
        let mut y = self.slot(shape.clone(), plain(2));
        let packed = PackedB::pack(self.isa, k, n, &vec![0.0; k * n], [n, 1]);
        let kernel = Kernel::MatMul { m, a: x.place, b: b.place, b_strides, offsets: vec![[0; 3]], packed };
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
        self.set(last.outputs[0], y);
        Ok(())
    }

    /// Products of matrices known only at run time, with broadcast leading axes.
    fn matmul(&mut self, node: &Node, last: &Node) -> Lowered<()> {
        let [(a_id, a), (b_id, b)] = self.inputs(node)?;
        let (a, b) = (self.reorder(a_id, &plain(a.shape.len()))?, self.reorder(b_id, &plain(b.shape.len()))?);
        // A vector is a row on the left and a column on the right.
        let a_shape = if a.shape.len() == 1 { vec![1, a.shape[0]] } else { a.shape.clone() };
        let b_shape = if b.shape.len() == 1 { vec![b.shape[0], 1] } else { b.shape.clone() };
        let (a_batch, a_matrix) = a_shape.split_at(a_shape.len() - 2);
        let (b_batch, b_matrix) = b_shape.split_at(b_shape.len() - 2);
        let (m, k, n) = (a_matrix[0], a_matrix[1], b_matrix[1]);
        let rank = a_batch.len().max(b_batch.len());
        let size = |batch: &[usize], i: usize| (i + batch.len()).checked_sub(rank).map_or(1, |i| batch[i]);
        let batch: Vec<_> = (0..rank).map(|i| (size(a_batch, i), size(b_batch, i))).collect();
        let batch: Vec<_> = batch.into_iter().map(|(a, b)| if a == 1 { b } else { a }).collect();
        let view = |shape: &[usize]| Edge { place: a.place, shape: shape.to_vec(), order: plain(shape.len()) };
        let (a_steps, b_steps) = (view(a_batch).broadcast_strides(&batch), view(b_batch).broadcast_strides(&batch));
        let offsets = (0..batch.iter().product()).map(|i| {
            let (mut rest, mut from_a, mut from_b) = (i, 0, 0);
            for axis in (0..rank).rev() {
                from_a += rest % batch[axis] * a_steps[axis];
                from_b += rest % batch[axis] * b_steps[axis];
                rest /= batch[axis];
            }
            [from_a * m * k, from_b * k * n, i * m * n]
        });
        let offsets = offsets.collect();
        let packed = PackedB::pack(self.isa, k, n, &vec![0.0; k * n], [n, 1]);
        let shape = self.shape(last.outputs[0])?;
        let order = plain(shape.len());
        let y = self.slot(shape, order);
        let kernel = Kernel::MatMul { m, a: a.place, b: b.place, b_strides: [n, 1], offsets, packed };
        self.push(&node.name, kernel, &y);
        self.set(last.outputs[0], y);
        Ok(())
    }
}
