//! Losses: each part of the rows or elements, which are cut by size, leaves a sum, and its part of the gradient if that is wanted.

use super::super::edge::{Edge, plain};
use super::super::lower::{Lower, Lowered};
use super::super::memory::Memory;
use super::super::simple::with_last;
use super::super::step::Place;
use super::super::tasks::{ELEMENTS, part, tasks};
use super::Training;
use crate::Pool;
use crate::kernels::Out;
use crate::kernels::gradient::{
    Ctc, Elements, Rows, Targets, check_labels, check_lengths, cross_entropy_rows, element_losses, exps,
    multi_margin_rows,
};
use crate::simd::Isa;
use percept_graph::ops::{self, LossKind, Reduction};
use percept_graph::{Node, ValueId};

/// The sums of the parts.
pub(in super::super) struct Loss {
    op: ops::Loss,
    /// The input's sizes; of rows, their number and that of the classes.
    sizes: Vec<usize>,
    x: Place,
    targets: Place,
    /// Whether the targets are integers.
    hard: bool,
    /// Labels of a sequence at most.
    most: usize,
    /// Weights or lengths.
    rest: [Option<Place>; 2],
    /// Where the gradient goes.
    slope: Option<usize>,
    parts: usize,
}

impl Lower<'_> {
    pub(super) fn loss(&mut self, node: &Node, op: &ops::Loss) -> Lowered<()> {
        let [Some(x), Some(targets), rest @ ..] = &node.inputs[..] else { return Err("lacks an input".into()) };
        let rest = [0, 1].map(|i| rest.get(i).copied().flatten());
        let shape = self.shape(*x)?;
        let (by_class, rank) = (op.kind.is_by_class(), shape.len());
        let order = match op.kind {
            LossKind::Ctc { .. } => plain(rank),
            _ if by_class => with_last(&plain(rank), 1),
            _ => self.float(*x)?.order,
        };
        let edge = self.reorder(*x, &order)?;
        let hard = !self.graph.value(*targets).ty.dtype.is_float();
        let targets = if hard { self.integers(*targets)? } else { self.reorder(*targets, &order)? };
        let mut others = [None, None];
        for (place, id) in others.iter_mut().zip(rest) {
            let Some(id) = id else { continue };
            *place = Some(match &op.kind {
                LossKind::Ctc { .. } => self.integers(id)?.place,
                _ if by_class => self.float(id)?.place,
                _ => self.spread(node, id, &edge)?.place,
            });
        }
        let (mut sizes, len) = (shape.clone(), edge.len());
        if by_class {
            sizes = vec![len / shape[1].max(1), shape[1]];
        }
        let units = match op.kind {
            LossKind::Ctc { .. } => shape[1],
            _ => tasks(len, ELEMENTS).min(if by_class { sizes[0] } else { len }),
        };
        let parts = units.max(1);
        let mut slope = None;
        if self.uses[node.outputs[1].index()] > 0 {
            let to = self.slot(shape, order);
            slope = if let Place::Slot(slot) = to.place { Some(slot) } else { None };
            self.set(node.outputs[1], to);
        }
        let (op, x, most, targets) =
            (op.clone(), edge.place, targets.shape.last().copied().unwrap_or(0), targets.place);
        let sums = Training::Loss(Loss { op, sizes, x, targets, hard, most, rest: others, slope, parts });
        let sums = self.list(node, parts, sums).place;
        self.make(node, Vec::new(), Training::ColumnSums { x: sums, columns: 1, parts: 1, factor: 1.0 })
    }

    /// A weight for each element of `like`.
    fn spread(&mut self, node: &Node, id: ValueId, like: &Edge) -> Lowered<Edge> {
        let edge = self.float(id)?;
        if edge.shape == like.shape {
            return self.reorder(id, &like.order);
        }
        let edge = self.reorder(id, &plain(edge.shape.len()))?;
        let wide = [vec![1; like.shape.len() - edge.shape.len()], edge.shape].concat();
        let edge = Edge { place: edge.place, order: plain(wide.len()), shape: wide.clone() };
        let to = self.slot(like.shape.clone(), like.order.clone());
        let entry = |axis: usize, i: usize| Some(if wide[axis] == 1 { 0 } else { i });
        self.gather(&node.name, &edge, &to, (&like.shape, 0), 0.0, entry);
        Ok(to)
    }
}

impl Loss {
    pub(super) fn reads(&self) -> Vec<Place> {
        [self.x, self.targets].into_iter().chain(self.rest.into_iter().flatten()).collect()
    }

    pub(super) fn writes(&self) -> Vec<usize> {
        self.slope.into_iter().collect()
    }

    /// Sequences are computed in f64: scores' log-sums, and what [`Ctc`] needs.
    pub(super) fn scratch(&self) -> usize {
        match self.op.kind {
            LossKind::Ctc { .. } => 2 * (self.sizes[0] + Ctc::scratch(self.sizes[0], self.most)),
            _ => 0,
        }
    }

    /// Elements of the input.
    pub(in super::super) fn len(&self) -> usize {
        self.sizes.iter().product()
    }

    pub(super) fn run(&self, memory: &Memory<'_>, out: Out<'_>, pool: &Pool, isa: Isa) -> Result<(), String> {
        let (x, rest) = (memory.read(self.x), self.rest.map(|place| place.map(|place| memory.read(place))));
        let slope = self.slope.map(|slot| memory.write(slot));
        if let LossKind::Ctc { blank, zero_infinity } = self.op.kind {
            return self.sequences(memory, (x, slope, out), (blank, zero_infinity), pool, isa);
        }
        let targets = memory.read(self.targets);
        let (labels, ignored) = (memory.input(self.targets), self.ignored());
        let (unit, units) = if self.op.kind.is_by_class() { (self.sizes[1], self.sizes[0]) } else { (1, self.len()) };
        if self.hard {
            check_labels((0..units).map(|i| labels.integer(i)), self.sizes[1], ignored)?;
        }
        let counts = |i: usize| Some(labels.integer(i)).filter(|label| self.hard && Some(*label) != ignored);
        let total = match (self.op.reduction, self.op.kind.is_weighted_mean(), rest[0]) {
            (Reduction::Sum, ..) => 1.0,
            (_, true, weight) if self.hard => {
                (0..units).filter_map(counts).map(|label| weight.map_or(1.0, |w| f64::from(w[label as usize]))).sum()
            }
            (_, true, Some(weight)) if !self.op.kind.is_by_class() => {
                weight.iter().map(|&weight| f64::from(weight)).sum()
            }
            _ => units as f64,
        };
        pool.run(self.parts, &|task, _| {
            let own = part(units, 1, self.parts, task);
            let range = own.start * unit..own.end * unit;
            // SAFETY: the parts are disjoint.
            let slope = slope.map(|slope| unsafe { slope.slice_mut(range.clone()) });
            let (x, scale) = (&x[range.clone()], (1.0 / total) as f32);
            let soft = if self.hard { &[] } else { &targets[range.clone()] };
            let label = |row: usize| counts(own.start + row).map(|label| label as usize);
            let targets = if self.hard { Targets::Labels(&label) } else { Targets::Soft(soft) };
            let rows = Rows { classes: unit, x, targets, weight: rest[0], scale };
            let sum = match &self.op.kind {
                _ if x.is_empty() => 0.0,
                LossKind::SoftmaxCrossEntropy { label_smoothing, .. } => {
                    cross_entropy_rows(isa, &rows, *label_smoothing, slope)
                }
                LossKind::MultiMargin { margin, squared } => multi_margin_rows(&rows, *margin, *squared, slope),
                kind => {
                    let [weight, positive] = rest.map(|list| list.map(|list| &list[range.clone()]));
                    element_losses(isa, &Elements { kind, x, targets: soft, weight, positive, scale }, slope)
                }
            };
            // SAFETY: each task has a sum of its own.
            unsafe { out.slice_mut(task..task + 1) }.fill((sum / total) as f32);
        });
        Ok(())
    }

    fn ignored(&self) -> Option<i64> {
        if let LossKind::SoftmaxCrossEntropy { ignore_index, .. } = self.op.kind { Some(ignore_index) } else { None }
    }

    /// A task for each sequence.
    fn sequences(
        &self,
        memory: &Memory<'_>,
        (x, slope, out): (&[f32], Option<Out<'_>>, Out<'_>),
        (blank, zero_infinity): (usize, bool),
        pool: &Pool,
        isa: Isa,
    ) -> Result<(), String> {
        let [times, batch, classes] = self.sizes[..] else { return Err("needs scores [T, N, C]".into()) };
        let list = |place: Place| {
            let input = memory.input(place);
            (0..input.spec().1).map(|i| input.integer(i)).collect::<Vec<_>>()
        };
        let (labels, [Some(inputs), Some(lengths)]) = (list(self.targets), self.rest.map(|place| place.map(list)))
        else {
            return Err("lacks the lengths".into());
        };
        let most = self.most;
        check_lengths([times, classes, most], blank, &labels, &inputs, &lengths)?;
        pool.run(self.parts.min(batch), &|n, thread| {
            let labels = &labels[n * most..][..lengths[n] as usize];
            let row = |t: usize| (t * batch + n) * classes..(t * batch + n + 1) * classes;
            // SAFETY: sequences are disjoint.
            let slope = |t: usize| slope.map(|slope| unsafe { slope.slice_mut(row(t)) });
            let share =
                if self.op.reduction == Reduction::Mean { 1.0 / (labels.len().max(1) * batch) as f64 } else { 1.0 };
            // SAFETY: of the thread that runs this task, and asked for once, and aligned to 64 bytes; any bits are numbers.
            let (_, scratch, _) = unsafe { memory.scratch(thread).align_to_mut::<f64>() };
            let (log_sums, scratch) = scratch.split_at_mut(times);
            let own = inputs[n] as usize;
            for (t, log_sum) in log_sums.iter_mut().enumerate() {
                let mut slope = slope(t);
                let [largest, sum] = exps(isa, &x[row(t)], slope.as_deref_mut());
                *log_sum = largest + sum.ln();
                let factor = if t < own { (share / sum) as f32 } else { 0.0 };
                slope.into_iter().flatten().for_each(|e| *e *= factor);
            }
            let emit = |t: usize, class: usize| f64::from(x[row(t)][class]) - log_sums[t];
            let posterior = |t: usize, class: usize, p: f64| {
                slope(t).into_iter().for_each(|slope| slope[class] -= (share * p) as f32);
            };
            let wanted = self.slope.map(|_| posterior);
            let loss = Ctc { times: own, blank, labels }.run(emit, scratch, wanted);
            if loss.is_infinite() {
                let fill = if zero_infinity { 0.0 } else { f32::NAN };
                (0..own).filter_map(slope).for_each(|slope| slope.fill(fill));
            }
            // SAFETY: each task has a sum of its own.
            let sum = unsafe { out.slice_mut(n..n + 1) };
            sum.fill(if loss.is_infinite() && zero_infinity { 0.0 } else { (share * loss) as f32 });
        });
        if batch == 0 {
            // SAFETY: no task runs.
            unsafe { out.slice_mut(0..out.len()) }.fill(0.0);
        }
        Ok(())
    }
}
