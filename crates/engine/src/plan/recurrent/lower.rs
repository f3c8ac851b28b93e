//! From the operators to steps.

use super::{Cell, Recurrent, RecurrentGrad, Sequences, Sizes, Weights};
use crate::kernels::{BinaryOp, Layout, PackedB};
use crate::plan::edge::{Edge, plain};
use crate::plan::lower::{Lower, Lowered};
use crate::plan::product::shared;
use crate::plan::step::{Kernel, Place};
use crate::plan::training::Training;
use percept_graph::{Node, Op, TensorData, ValueId};

/// Rows of a matrix that are added up one after the other.
const ROWS: usize = 512;

/// How far rows of so many floats lie apart: a multiple of 4 KB would bring all rows of a register tile to the same lines of the L1 cache.
fn apart(row: usize) -> usize {
    if row.is_multiple_of(1024) { row + 16 } else { row }
}

/// What a layer on these inputs keeps for its way back.
pub(in super::super) struct Kept {
    op: Op,
    inputs: [Option<ValueId>; 8],
    sizes: Sizes,
    y: Edge,
    gates: Edge,
    extra: Option<Edge>,
}

fn slot_of(edge: &Edge) -> Lowered<usize> {
    if let Place::Slot(slot) = edge.place { Ok(slot) } else { Err("has a result that is no slot".into()) }
}

fn padded(inputs: &[Option<ValueId>]) -> [Option<ValueId>; 8] {
    std::array::from_fn(|i| inputs.get(i).copied().flatten())
}

impl Lower<'_> {
    pub(in super::super) fn recurrent(&mut self, node: &Node) -> Lowered<()> {
        let inputs = padded(&node.inputs);
        let back = |other: &Node| {
            matches!(&other.op, Op::RecurrentGrad(op) if *op.of == node.op) && padded(&other.inputs) == inputs
        };
        let keeps = self.graph.nodes().iter().any(back);
        let (outputs, kept) = self.recurrent_forward(&node.name, &node.op, inputs, keeps)?;
        node.outputs.iter().zip(outputs).for_each(|(&id, edge)| self.set(id, edge));
        if keeps {
            self.recurrent.push(kept);
        }
        Ok(())
    }

    fn sizes(&self, op: &Op, inputs: &[Option<ValueId>; 8]) -> Lowered<Sizes> {
        let (cell, direction) = match op {
            Op::Lstm(op) => (Cell::Lstm, op.direction),
            Op::Gru(op) => (Cell::Gru { after: op.linear_before_reset }, op.direction),
            Op::Rnn(op) => (Cell::Rnn { relu: op.relu }, op.direction),
            _ => return Err("is not recurrent".into()),
        };
        let [Some(x), _, Some(r), ..] = *inputs else { return Err("takes X, W and R".into()) };
        let (x, r) = (self.shape(x)?, self.shape(r)?);
        let [steps, batch, inputs] = x[..] else { return Err("needs X [T, B, I]".into()) };
        Ok(Sizes { cell, steps, batch, inputs, hidden: r[2], reversed: direction.reversed() })
    }

    /// Lengths and first states.
    fn sequences(&mut self, sizes: Sizes, inputs: &[Option<ValueId>; 8]) -> Lowered<Sequences> {
        let lengths = inputs[4].map(|id| self.lengths(id, sizes.steps)).transpose()?;
        let mut first = |i: usize| inputs[i].map(|id| Ok::<_, String>(self.plainly(id)?.place)).transpose();
        Ok(Sequences { sizes, lengths, first: [first(5)?, first(6)?] })
    }

    fn lengths(&mut self, id: ValueId, steps: usize) -> Lowered<Place> {
        let Ok(tensor) = self.constant_tensor(id) else {
            let place = self.integers(id)?.place;
            if let Place::Input(i) = place {
                self.asked.push((i, 0..=steps as i64, format!("lengths from 0 to {steps}")));
            }
            return Ok(place);
        };
        let TensorData::I32(lengths) = tensor.data() else { return Err(format!("has lengths of {}", tensor.dtype())) };
        match lengths.iter().find(|&&length| length < 0 || length as usize > steps) {
            Some(length) => Err(format!("has a sequence of {length} steps, of {steps}")),
            None => {
                let floats: Vec<_> = lengths.iter().map(|&length| length as f32).collect();
                Ok(self.constant(&[floats.len()], &floats).place)
            }
        }
    }

    /// Matrices of so many rows and columns that lie so in a weight, for the way forward or back.
    fn weights(&mut self, id: ValueId, forward: bool, matrices: &[(usize, usize, Layout)]) -> Lowered<Weights> {
        let values = self.constant_values(id).ok();
        let fresh = if values.is_some() { None } else { Some(self.plainly(id)?.place) };
        let (isa, name) = (self.isa, &self.graph.value(id).name);
        let pack = |(i, &(k, n, layout)): (usize, &(usize, usize, Layout))| {
            let key = (format!("{name} {i} of a recurrent layer"), forward);
            let packed = shared(&mut self.packed.dense, key, fresh.is_some(), || {
                let mut packed = PackedB::zeroed(isa, k, n);
                if let Some(values) = values {
                    packed.panels_mut(layout).for_each(|mut panel| panel.fill(values));
                }
                packed
            });
            (packed, layout)
        };
        Ok(Weights { fresh, packed: matrices.iter().enumerate().map(pack).collect() })
    }

    fn recurrent_forward(
        &mut self,
        name: &str,
        op: &Op,
        inputs: [Option<ValueId>; 8],
        keeps: bool,
    ) -> Lowered<(Vec<Edge>, Kept)> {
        let sizes = self.sizes(op, &inputs)?;
        let [Some(x), Some(w), Some(r), bias, ..] = inputs else { return Err("takes X, W and R".into()) };
        let Sizes { cell, steps, batch, inputs: features, hidden, .. } = sizes;
        let (directions, sums) = (sizes.reversed.len(), sizes.sums());
        let transposed = |first: usize, k: usize| Layout { first, ..Layout::strided([1, k]) };
        let rows_of_w: Vec<_> =
            (0..directions).map(|d| (features, sums, transposed(d * sums * features, features))).collect();
        let w = self.weights(w, true, &rows_of_w)?;
        let part =
            |(d, first, count)| (hidden, count * hidden, transposed((d * sums + first * hidden) * hidden, hidden));
        let parts: Vec<_> = sizes.parts().map(part).collect();
        let r = self.weights(r, true, &parts)?;
        let x = self.plainly(x)?.place;
        let bias = bias.map(|id| self.plainly(id)).transpose()?.map(|edge| edge.place);
        let state = vec![directions, batch, hidden];
        let y = self.slot(vec![steps, directions, batch, hidden], plain(4));
        let h = self.slot(state.clone(), plain(3));
        let c = (cell == Cell::Lstm).then(|| self.slot(state.clone(), plain(3)));
        let gates = self.slot(vec![directions, steps, batch, sums], plain(4));
        let extra = match cell {
            Cell::Lstm if !keeps => None,
            Cell::Rnn { .. } => None,
            _ if keeps => Some(self.slot(vec![directions, steps, batch, hidden], plain(4))),
            _ => Some(self.slot(state, plain(3))),
        };
        let slot = |edge: &Option<Edge>| edge.as_ref().map(slot_of).transpose();
        let sequences = self.sequences(sizes, &inputs)?;
        let (gates_slot, y_slot) = (slot_of(&gates)?, slot_of(&y)?);
        let step = Recurrent {
            sequences,
            x,
            w,
            r,
            bias,
            gates: gates_slot,
            y: y_slot,
            cell: slot(&c)?,
            extra: slot(&extra)?,
            keeps,
        };
        self.push(name, Kernel::Recurrent(Box::new(step)), &h);
        let kept = Kept { op: op.clone(), inputs, sizes, y: y.clone(), gates, extra };
        Ok(([Some(y), Some(h), c].into_iter().flatten().collect(), kept))
    }

    pub(in super::super) fn recurrent_grad(&mut self, node: &Node, of: &Op) -> Lowered<()> {
        let inputs = padded(&node.inputs);
        // Gates are replaced by gradients, so that they serve once.
        let known = self.recurrent.iter().position(|kept| kept.op == *of && kept.inputs == inputs);
        let kept = match known {
            Some(i) => self.recurrent.swap_remove(i),
            None => self.recurrent_forward(&node.name, of, inputs, true)?.1,
        };
        let sizes = kept.sizes;
        let Sizes { cell, steps, batch, hidden, .. } = sizes;
        let (directions, sums) = (sizes.reversed.len(), sizes.sums());
        let [_, _, Some(r), ..] = inputs else { return Err("takes X, W and R".into()) };
        let part = |(d, first, count): (usize, usize, usize)| {
            let layout = Layout { first: (d * sums + first * hidden) * hidden, ..Layout::strided([hidden, 1]) };
            (count * hidden, hidden, layout)
        };
        let r = self.weights(r, false, &sizes.parts().map(part).collect::<Vec<_>>())?;
        let mut slopes = [None; 3];
        for (slope, id) in slopes.iter_mut().zip(node.inputs.iter().skip(8)) {
            *slope = id.map(|id| self.plainly(id)).transpose()?.map(|edge| edge.place);
        }
        let state = vec![directions, batch, hidden];
        let dh = self.slot(state.clone(), plain(3));
        let dc = (cell == Cell::Lstm).then(|| self.slot(state, plain(3)));
        let old = self.slot(vec![directions, steps, batch, hidden], plain(4));
        let asked = self.uses[node.outputs[3].index()] > 0;
        let totals = asked.then(|| self.slot(vec![directions, sizes.bands(), sums], plain(3)));
        let sequences = self.sequences(sizes, &inputs)?;
        let slot = |edge: &Option<Edge>| edge.as_ref().map(slot_of).transpose();
        let (gates, extra, cell, added) = (slot_of(&kept.gates)?, slot(&kept.extra)?, slot(&dc)?, slot(&totals)?);
        let (y, old_slot) = (kept.y.place, slot_of(&old)?);
        let step = RecurrentGrad { sequences, r, slopes, y, gates, extra, old: old_slot, cell, totals: added };
        self.push(&node.name, Kernel::RecurrentGrad(Box::new(step)), &dh);
        self.set(node.outputs[4], dh);
        if let (Some(dc), Some(&id)) = (dc, node.outputs.get(5)) {
            self.set(id, dc);
        }
        self.recurrent_products(node, &kept, &old, totals)
    }

    /// The gradients of input and parameters from those of the sums, as far as somebody asks for them.
    fn recurrent_products(&mut self, node: &Node, kept: &Kept, old: &Edge, totals: Option<Edge>) -> Lowered<()> {
        let Kept { sizes, inputs, gates, extra, .. } = kept;
        let [Some(x), Some(w), ..] = *inputs else { return Err("takes X, W and R".into()) };
        let (rows, sums, hidden, features) = (sizes.rows(), sizes.sums(), sizes.hidden, sizes.inputs);
        let (directions, asked) =
            (sizes.reversed.len(), |lower: &Self, i: usize| lower.uses[node.outputs[i].index()] > 0);
        if asked(self, 0) {
            let b = self.plainly(w)?.place;
            let mut sum: Option<Edge> = None;
            for d in 0..directions {
                let offsets = vec![[d * rows * sums, d * sums * features, 0]];
                let packed = PackedB::zeroed(self.isa, sums, features);
                let shape = self.shape(x)?;
                let dx = self.slot(shape.clone(), plain(3));
                let (a, b_strides) = (gates.place, [features, 1]);
                let kernel = Kernel::MatMul { m: rows, a, lda: sums, b, b_strides, offsets, packed };
                self.push(&node.name, kernel, &dx);
                sum = Some(match sum {
                    Some(other) => self.arithmetic(&node.name, BinaryOp::Add, &other, &dx, &shape),
                    None => dx,
                });
            }
            sum.into_iter().for_each(|dx| self.set(node.outputs[0], dx));
        }
        if asked(self, 1) || asked(self, 2) {
            let (across, lda) = (self.across(node, gates, sums, sizes), apart(rows));
            let offsets = (0..directions).map(|d| [d * sums * lda, 0, d * sums * features]).collect();
            let (b, packed) = (self.plainly(x)?.place, PackedB::zeroed(self.isa, rows, features));
            let dw = self.slot(vec![directions, sums, features], plain(3));
            let (a, b_strides) = (across.place, [features, 1]);
            let kernel = Kernel::MatMul { m: sums, a, lda, b, b_strides, offsets, packed };
            self.push(&node.name, kernel, &dw);
            self.set(node.outputs[1], dw);
            let dr = self.slot(vec![directions, sums, hidden], plain(3));
            for (i, &count) in sizes.cell.parts().iter().enumerate() {
                // The last gate of a GRU has another left or right side.
                let (mut left, mut right, mut first) = (across.place, old.place, sums - hidden);
                match (i, extra) {
                    (0, _) | (_, None) => first = 0,
                    (_, Some(extra)) if (sizes.cell == Cell::Gru { after: true }) => {
                        left = self.across(node, extra, hidden, sizes).place;
                    }
                    (_, Some(extra)) => right = extra.place,
                }
                let own = left != across.place;
                let at = |d: usize| lda * if own { d * hidden } else { d * sums + first };
                let offsets =
                    (0..directions).map(|d| [at(d), d * rows * hidden, (d * sums + first) * hidden]).collect();
                let packed = PackedB::zeroed(self.isa, rows, hidden);
                let b_strides = [hidden, 1];
                let kernel = Kernel::MatMul { m: count * hidden, a: left, lda, b: right, b_strides, offsets, packed };
                self.push(&node.name, kernel, &dr);
            }
            self.set(node.outputs[2], dr);
        }
        if let Some(totals) = totals {
            let both = vec![directions, 2, sums];
            let db = self.slot(both.clone(), plain(3));
            let sum = self.sums(node, &totals, sums, directions);
            self.gather(&node.name, &sum, &db, (&both, 0), 0.0, |axis, i| Some(if axis == 1 { 0 } else { i }));
            if let (Cell::Gru { after: true }, Some(dq)) = (sizes.cell, extra) {
                let sum = self.sums_of_steps(node, dq, hidden, sizes);
                let (shape, offset) = ([directions, 1, hidden], 2 * sums - hidden);
                self.gather(&node.name, &sum, &db, (&shape, offset), 0.0, |_, i| Some(i));
            }
            self.set(node.outputs[3], Edge { shape: vec![directions, 2 * sums], order: plain(2), ..db });
        }
        Ok(())
    }

    /// Rows of all steps as columns, for each direction, [`apart`].
    fn across(&mut self, node: &Node, rows: &Edge, width: usize, sizes: &Sizes) -> Edge {
        let (batch, m) = (sizes.reversed.len(), sizes.rows());
        let to = self.slot(vec![batch, width, apart(m)], plain(3));
        self.push(&node.name, Kernel::Transpose { x: rows.place, batch, m, n: width, row: apart(m) }, &to);
        to
    }

    /// Rows of all steps added up, for each direction.
    fn sums_of_steps(&mut self, node: &Node, rows: &Edge, columns: usize, sizes: &Sizes) -> Edge {
        let parts = sizes.reversed.len() * sizes.rows().div_ceil(ROWS).max(1);
        let part = self.sums(node, rows, columns, parts);
        self.sums(node, &part, columns, sizes.reversed.len())
    }

    /// Rows added up, in so many parts.
    fn sums(&mut self, node: &Node, rows: &Edge, columns: usize, parts: usize) -> Edge {
        let sums = Training::ColumnSums { x: rows.place, columns, parts, factor: 1.0 };
        let sum = self.list(node, parts * columns, sums);
        Edge { shape: vec![parts, 1, columns], order: plain(3), ..sum }
    }
}
