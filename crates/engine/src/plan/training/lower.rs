//! From the operators of learning to steps.

use super::super::edge::{CHANNELS_LAST, Edge, from_front, plain};
use super::super::fuse;
use super::super::lazy::Lazy;
use super::super::lower::{Lower, Lowered};
use super::super::product::window;
use super::super::simple::{average, with_last};
use super::super::step::{Kernel, Place};
use super::Training;
use crate::kernels::gradient::MaskOf;
use crate::kernels::{BinaryOp, PoolKind, Window};
use percept_graph::ops::{AveragePool, BatchNormalization, LayerNormalization, MaxPool, PadMode};
use percept_graph::{Node, Op, ValueId};

/// Rows of a matrix that are added up one after the other.
const ROWS: usize = 512;
/// Elements of normalised rows that are worth a task with sums of its own.
const NORMED: usize = 1 << 16;

impl Lower<'_> {
    pub(in super::super) fn training(&mut self, node: &Node) -> Lowered<()> {
        let ids: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
        match (&node.op, &ids[..]) {
            (Op::Loss(op), _) => self.loss(node, op),
            (Op::ActivationGrad(op), &[x, gradient]) => self.activation_grad(node, &op.of, x, gradient),
            (Op::DropoutTraining(op), &[x, seed]) => {
                // Places are counted in the graph's order.
                let (x, seed) = (self.plainly(x)?, self.integers(seed)?.place);
                let dropout = Training::Dropout { x: x.place, seed, ratio: op.ratio, key: op.key };
                self.make(node, plain(x.shape.len()), dropout)
            }
            (Op::SoftmaxGrad(op), &[y, gradient]) => {
                let shape = self.shape(y)?;
                let axis = from_front(op.axis, shape.len());
                let order = with_last(&plain(shape.len()), axis);
                let from = [self.reorder(y, &order)?.place, self.reorder(gradient, &order)?.place];
                self.make(node, order, Training::Softmax { n: shape[axis], from })
            }
            (Op::ConvInputGrad(op), &[dy, weight, like]) => self.conv_input(node, &op.of, [dy, weight, like]),
            (Op::ConvWeightGrad(op), &[x, dy, like]) => self.conv_weight(node, &op.of, [x, dy, like]),
            (Op::RecurrentGrad(op), &[..]) => self.recurrent_grad(node, &op.of),
            (Op::BatchNormGrad(op), &[..]) => self.batch_norm_grad(node, &op.of),
            (Op::LayerNormGrad(op), &[x, scale, gradient]) => self.layer_norm_grad(node, &op.of, [x, scale, gradient]),
            (Op::MaxPoolGrad(op), &[x, gradient]) => self.max_pool_grad(node, &op.of, x, gradient),
            (Op::AveragePoolGrad(op), &[gradient, like]) => self.average_pool_grad(node, &op.of, gradient, like),
            (Op::MeanGrad(op), &[gradient, like]) => self.mean_grad(node, &op.axes, gradient, like),
            (Op::ReduceMaxGrad(op), &[x, gradient]) => {
                let (x, window, channels) = self.reduction(x, &op.axes)?;
                let gradient = self.plainly(gradient)?.place;
                let pool = Training::Pool { window, kind: PoolKind::Max, channels, x: Some(x.place), gradient };
                self.make(node, x.order, pool)
            }
            (Op::ExpandLike(_), &[x, like]) => {
                let (x, shape) = (self.float(x)?, self.shape(like)?);
                self.expand(node, &x, shape)
            }
            (Op::SumTo(_), &[x, like]) => self.sum_to(node, x, like),
            (Op::GatherGrad(op), &[gradient, indices, like]) => {
                let shape = self.shape(like)?;
                let (ids, [outer, size, inner], order) = self.table(node, &op.of, indices, &shape)?;
                let gradient = self.reorder(gradient, &order)?.place;
                self.make(node, plain(shape.len()), Training::Scatter { gradient, ids, outer, size, inner })
            }
            (Op::SliceGrad(op), &[gradient, like]) => {
                let ranges = op.of.ranges(&self.shape(like)?);
                self.scattered(node, gradient, |axis, i| {
                    let ((start, step, count), i) = (ranges[axis], i as i64);
                    let at = usize::try_from((i - start) / step).ok().filter(|&at| at < count);
                    at.filter(|_| (i - start) % step == 0)
                })
            }
            (Op::ResizeGrad(op), &[gradient, like]) => {
                let (from, to) = (self.shape(like)?, self.shape(gradient)?);
                // What an entry has made is what it gets a share of.
                let turned = |axis: usize| {
                    let mut back = vec![Vec::new(); from[axis]];
                    let terms = op.of.terms(axis, from[axis], to[axis])?;
                    let all = terms.iter().enumerate().flat_map(|(i, terms)| terms.iter().map(move |term| (i, term)));
                    all.for_each(|(i, &(entry, weight))| back[entry].push((i, weight)));
                    Some(back)
                };
                self.mix(node, gradient, &(0..from.len()).map(turned).collect::<Vec<_>>())
            }
            (Op::PadGrad(op), &[gradient, _]) => match op.of.mode {
                PadMode::Constant(_) => self.cut(node, gradient, &op.of.pads),
                _ => Err("has a gradient only where it pads with a constant".into()),
            },
            (Op::ConcatGrad(op), &[gradient, ..]) => {
                let mut begin = vec![0; self.graph.value(gradient).ty.rank()];
                let axis = from_front(op.axis, begin.len());
                let before = ids[1..=op.index].iter().map(|&id| Ok(self.shape(id)?[axis] as i64));
                begin[axis] = before.sum::<Lowered<i64>>()?;
                if axis != 1 {
                    return self.cut(node, gradient, &begin);
                }
                let (all, channels) = (self.stored(gradient)?, self.shape(node.outputs[0])?[1]);
                self.lazy.insert(node.outputs[0], Lazy { channels, columns: [begin[1] as usize, all.channels], ..all });
                Ok(())
            }
            _ => Err("cannot be planned with these inputs".into()),
        }
    }

    pub(in super::super) fn plainly(&mut self, id: ValueId) -> Lowered<Edge> {
        let rank = self.graph.value(id).ty.rank();
        self.reorder(id, &plain(rank))
    }

    /// Adds the step that makes the node's first output.
    pub(super) fn make(&mut self, node: &Node, order: Vec<usize>, training: Training) -> Lowered<()> {
        let y = self.slot(self.shape(node.outputs[0])?, order);
        self.push(&node.name, Kernel::Training(training), &y);
        self.set(node.outputs[0], y);
        Ok(())
    }

    /// A step whose result is a list of numbers that no value of the graph is.
    pub(in super::super) fn list(&mut self, node: &Node, len: usize, training: Training) -> Edge {
        let to = self.slot(vec![len], plain(1));
        self.push(&node.name, Kernel::Training(training), &to);
        to
    }

    /// `count` numbers of a list from `begin` on.
    fn part_of(&mut self, node: &Node, list: &Edge, begin: usize, count: usize) -> Edge {
        let to = self.slot(vec![count], plain(1));
        self.gather(&node.name, list, &to, (&[count], 0), 0.0, |_, i| Some(begin + i));
        to
    }

    /// The gradient of a clamp is computed where it is read.
    fn activation_grad(&mut self, node: &Node, of: &Op, x: ValueId, gradient: ValueId) -> Lowered<()> {
        let activation = fuse::activation(of).ok_or("is not the gradient of an activation")?;
        let lazily = self.graph.value(x).ty.rank() > 1 && !self.is_planar(x);
        let (Some(clamp), true) = (activation.clamp(), lazily) else {
            let x = self.float(x)?;
            let from = [x.place, self.reorder(gradient, &x.order)?.place];
            return self.make(node, x.order, Training::Activation { activation, from });
        };
        let Lazy { x, affine, .. } = self.operand(x)?;
        let mask = MaskOf { x, coefficients: affine.map(|(list, _)| list), clamp };
        let lazy = self.operand(gradient)?;
        let gradient = if lazy.mask.is_none() && lazy.affine.is_none() { lazy } else { self.stored(gradient)? };
        self.lazy.insert(node.outputs[0], Lazy { mask: Some(mask), ..gradient });
        Ok(())
    }

    /// The mean and the variance that a normalisation uses: those of the batch, computed once in a plan, or those given.
    fn statistics_of(&mut self, node: &Node, of_batch: bool, x: &Edge, given: [ValueId; 2]) -> Lowered<[Edge; 2]> {
        let (true, Some(id)) = (of_batch, node.inputs[0]) else {
            return Ok([self.float(given[0])?, self.float(given[1])?]);
        };
        if let Some(found) = self.statistics.get(&id) {
            return Ok(found.clone());
        }
        let channels = x.shape[1];
        let (partial, counts) = self.forward_sums(node, x);
        let both = self.list(node, 2 * channels, Training::Statistics { partial, counts });
        let found = [0, 1].map(|i| self.part_of(node, &both, i * channels, channels));
        self.statistics.insert(id, found.clone());
        Ok(found)
    }

    /// A batch normalisation whose statistics or parameters are known only at run time.
    pub(in super::super) fn batch_norm_at_run_time(&mut self, node: &Node, op: &BatchNormalization) -> Lowered<()> {
        let [Some(id), Some(scale), Some(bias), Some(mean), Some(variance)] = node.inputs[..] else {
            return Err("needs 5 inputs".into());
        };
        let x = self.channels_last(id)?;
        let [used_mean, used_variance] = self.statistics_of(node, op.training_mode, &x, [mean, variance])?;
        let (scale, bias) = (self.float(scale)?.place, self.float(bias)?.place);
        let (from, channels, epsilon) = ([scale, bias, used_mean.place, used_variance.place], x.shape[1], op.epsilon);
        let key = (from, epsilon.to_bits());
        let coefficients = match self.folds.get(&key) {
            Some(&list) => list,
            None => self.list(node, 3 * channels, Training::Fold { from, epsilon }).place,
        };
        self.folds.insert(key, coefficients);
        let lazy = Lazy { affine: Some((coefficients, None)), ..Lazy::stored(channels, x.place) };
        self.lazy.insert(node.outputs[0], lazy);
        for (i, (old, new)) in [(mean, used_mean), (variance, used_variance)].into_iter().enumerate() {
            let Some(&output) = node.outputs.get(i + 1) else { break };
            let old = self.float(old)?;
            let shape = old.shape.clone();
            let share = |lower: &mut Self, x: &Edge, factor: f32| {
                let factor = lower.constant(&[], &[factor]);
                lower.arithmetic(&node.name, BinaryOp::Mul, x, &factor, &shape)
            };
            let (kept, added) = (share(self, &old, op.momentum), share(self, &new, 1.0 - op.momentum));
            let sum = self.arithmetic(&node.name, BinaryOp::Add, &kept, &added, &shape);
            self.set(output, sum);
        }
        Ok(())
    }

    fn batch_norm_grad(&mut self, node: &Node, op: &BatchNormalization) -> Lowered<()> {
        let [Some(id), Some(scale), Some(mean), Some(variance), Some(gradient)] = node.inputs[..] else {
            return Err("needs 5 inputs".into());
        };
        let x = self.channels_last(id)?;
        let lazy = self.operand(gradient)?;
        let gradient = if lazy.affine.is_none() { lazy } else { self.stored(gradient)? };
        let [mean, variance] = self.statistics_of(node, op.training_mode, &x, [mean, variance])?.map(|edge| edge.place);
        let (channels, epsilon) = (x.shape[1], op.epsilon);
        let pixels = x.len() / channels.max(1);
        let partial = self.backward_sums(node, &x, gradient, mean);
        let from = [partial, variance];
        let both = self.list(node, 2 * channels, Training::ParameterGradients { from, epsilon });
        for (output, begin) in [(1, channels), (2, 0)] {
            let slope = self.part_of(node, &both, begin, channels);
            self.set(node.outputs[output], slope);
        }
        let from = [both.place, self.float(scale)?.place, mean, variance];
        let pixels = if op.training_mode { pixels } else { 0 };
        let fold = Training::FoldGradient { from, epsilon, pixels };
        let coefficients = self.list(node, 3 * channels, fold).place;
        let z = op.training_mode.then_some(x.place);
        self.lazy.insert(node.outputs[0], Lazy { affine: Some((coefficients, z)), ..gradient });
        Ok(())
    }

    fn layer_norm_grad(&mut self, node: &Node, op: &LayerNormalization, inputs: [ValueId; 3]) -> Lowered<()> {
        let (shape, own) = (self.shape(inputs[0])?, self.shape(inputs[1])?);
        let [x, scale, gradient] = inputs.map(|id| self.plainly(id).map(|edge| edge.place));
        let n: usize = own.iter().product();
        let parts = (shape.iter().product::<usize>() / NORMED).clamp(1, 32);
        let slot = self.slots.len();
        let dx = self.slot(shape.clone(), plain(shape.len()));
        let step = Training::LayerNorm { n, from: [x?, scale?, gradient?], epsilon: op.epsilon, parts, dx: slot };
        let partial = self.list(node, 2 * n * parts, step).place;
        let sums = Training::ColumnSums { x: partial, columns: 2 * n, parts: 1, factor: 1.0 };
        let both = self.list(node, 2 * n, sums);
        self.set(node.outputs[0], dx);
        for (i, begin) in [(1, 0), (2, n)] {
            let slope = self.part_of(node, &both, begin, n);
            self.set(node.outputs[i], Edge { shape: own.clone(), order: plain(own.len()), ..slope });
        }
        Ok(())
    }

    fn max_pool_grad(&mut self, node: &Node, op: &MaxPool, x: ValueId, dy: ValueId) -> Lowered<()> {
        let window = window(&self.shape(x)?, &self.shape(dy)?, &op.kernel_shape, op.steps())?;
        if self.is_planar(x) && window.halves() {
            let [x, gradient] = [self.plainly(x)?, self.plainly(dy)?];
            let window = Window { batch: window.batch * x.shape[1], ..window };
            let (x, gradient) = (Some(x.place), gradient.place);
            return self.make(node, plain(4), Training::Pool { window, kind: PoolKind::Max, channels: 1, x, gradient });
        }
        let x = self.reorder(x, &CHANNELS_LAST)?.place;
        self.pool_grad(node, window, PoolKind::Max, Some(x), dy)
    }

    fn average_pool_grad(&mut self, node: &Node, op: &AveragePool, dy: ValueId, like: ValueId) -> Lowered<()> {
        let x = self.shape(like)?;
        let window = window(&x, &self.shape(dy)?, &op.kernel_shape, op.steps())?;
        self.pool_grad(node, window, average(op, &x[2..])?, None, dy)
    }

    /// The gradient of a pooling; of a maximum, `x` says where it was.
    fn pool_grad(&mut self, node: &Node, window: Window, kind: PoolKind, x: Option<Place>, dy: ValueId) -> Lowered<()> {
        let dy = self.reorder(dy, &CHANNELS_LAST)?;
        let pool = Training::Pool { window, kind, channels: dy.shape[1], x, gradient: dy.place };
        self.make(node, CHANNELS_LAST.to_vec(), pool)
    }

    /// The gradient of a mean: the same everywhere along the axes, divided by their size.
    fn mean_grad(&mut self, node: &Node, axes: &[usize], dy: ValueId, like: ValueId) -> Lowered<()> {
        let shape = self.shape(like)?;
        let wide: Vec<_> = (0..shape.len()).map(|i| if axes.contains(&i) { 1 } else { shape[i] }).collect();
        let dy = self.plainly(dy)?;
        let dy = Edge { shape: wide.clone(), order: plain(shape.len()), ..dy };
        let count: usize = axes.iter().map(|&axis| shape[axis]).product();
        let factor = self.constant(&[], &[1.0 / count as f32]);
        let share = self.arithmetic(&node.name, BinaryOp::Mul, &dy, &factor, &wide);
        self.expand(node, &share, shape)
    }

    /// A value repeated along its axes of size 1.
    fn expand(&mut self, node: &Node, x: &Edge, shape: Vec<usize>) -> Lowered<()> {
        let order = if shape.len() == 4 { CHANNELS_LAST.to_vec() } else { plain(shape.len()) };
        let y = self.slot(shape, order);
        self.gather(&node.name, x, &y, (&y.shape, 0), 0.0, |axis, i| Some(if x.shape[axis] == 1 { 0 } else { i }));
        self.set(node.outputs[0], y);
        Ok(())
    }

    fn sum_to(&mut self, node: &Node, id: ValueId, like: ValueId) -> Lowered<()> {
        let (x, shape) = (self.shape(id)?, self.shape(like)?);
        let missing = x.len() - shape.len();
        let gone = |&axis: &usize| axis < missing || shape[axis - missing] != x[axis];
        self.sum(node, id, &(0..x.len()).filter(gone).collect::<Vec<_>>(), 1.0)
    }

    /// Sums over `axes`, times a factor.
    pub(in super::super) fn sum(&mut self, node: &Node, id: ValueId, axes: &[usize], factor: f32) -> Lowered<()> {
        if self.is_planar(id) && axes == [0, 2, 3] {
            let x = self.plainly(id)?;
            let [batch, channels, n] = [x.shape[0], x.shape[1], x.shape[2] * x.shape[3]];
            let x = self.list(node, batch * channels, Training::RowSums { x: x.place, n }).place;
            let rank = self.graph.value(node.outputs[0]).ty.rank();
            return self.make(node, plain(rank), Training::ColumnSums { x, columns: channels, parts: 1, factor });
        }
        let (x, [batch, count, columns]) = self.matrices(id, axes, false)?;
        let parts = batch * count.div_ceil(ROWS).max(1);
        let mut from = x.place;
        if parts > batch {
            from =
                self.list(node, parts * columns, Training::ColumnSums { x: from, columns, parts, factor: 1.0 }).place;
        }
        let rank = self.graph.value(node.outputs[0]).ty.rank();
        self.make(node, plain(rank), Training::ColumnSums { x: from, columns, parts: batch, factor })
    }

    /// A value as matrices that follow each other, whose columns run along `axes`, on request in the graph's order: how many there are, and
    /// their rows and columns.
    fn matrices(&mut self, id: ValueId, axes: &[usize], in_order: bool) -> Lowered<(Edge, [usize; 3])> {
        let order = self.float(id)?.order;
        let last = order.len().saturating_sub(1);
        let (outer, rest) = order.split_at((0..last).take_while(|i| order[*i] == *i && !axes.contains(i)).count());
        let (mut reduced, mut inner): (Vec<_>, Vec<_>) = rest.iter().partition(|axis| axes.contains(axis));
        inner.sort_unstable();
        if in_order {
            reduced.sort_unstable();
        }
        let x = self.reorder(id, &[outer, &reduced, &inner].concat())?;
        let size = |axes: &[usize]| axes.iter().map(|&axis| x.shape[axis]).product::<usize>();
        let sizes = [size(outer), size(&reduced), size(&inner)];
        Ok((x, sizes))
    }

    /// The same as pictures of one column, for a pooling over all of their rows, and their channels.
    pub(in super::super) fn reduction(&mut self, id: ValueId, axes: &[usize]) -> Lowered<(Edge, Window, usize)> {
        let (x, [batch, rows, channels]) = self.matrices(id, axes, true)?;
        if rows == 0 {
            return Err("has nothing to take the greatest of".into());
        }
        let (input, output) = ([rows, 1], [1, 1]);
        let window = Window { batch, input, output, kernel: input, stride: [1; 2], dilation: [1; 2], pad: [0; 2] };
        Ok((x, window, channels))
    }

    /// What lies in a gradient from `begin` on, which says a position along each axis; zeros where there is nothing.
    fn cut(&mut self, node: &Node, dy: ValueId, begin: &[i64]) -> Lowered<()> {
        let size = self.shape(dy)?;
        let at = |axis: usize, i: usize| usize::try_from(i as i64 + begin[axis]).ok();
        self.scattered(node, dy, |axis, i| at(axis, i).filter(|&at| at < size[axis]))
    }

    /// What a gradient has for each position along each axis; zeros where `source` names nothing.
    fn scattered(&mut self, node: &Node, dy: ValueId, source: impl Fn(usize, usize) -> Option<usize>) -> Lowered<()> {
        let gradient = self.float(dy)?;
        let y = self.slot(self.shape(node.outputs[0])?, gradient.order.clone());
        self.gather(&node.name, &gradient, &y, (&y.shape, 0), 0.0, source);
        self.set(node.outputs[0], y);
        Ok(())
    }
}
