//! The way back through all steps.

use super::{Cell, Sequences, Weights, add_product, split, take};
use crate::Pool;
use crate::kernels::Out;
use crate::kernels::recurrent::{GruAfterGrad, GruGrad, GruResetGrad, LstmGrad, Plus, ReluGrad, TanhGrad, pointwise};
use crate::plan::memory::Memory;
use crate::plan::step::Place;
use crate::simd::Isa;
use std::ops::Range;

/// Replaces gates by the gradients of their sums; of a GRU that resets after the product, what `R` made by its gradient too.
pub(in super::super) struct RecurrentGrad {
    pub(super) sequences: Sequences,
    /// `R` of each direction and part.
    pub(super) r: Weights,
    /// The gradients of the outputs.
    pub(super) slopes: [Option<Place>; 3],
    pub(super) y: Place,
    pub(super) gates: usize,
    pub(super) extra: Option<usize>,
    /// Receives the state before each step, zeros behind the end of a sequence.
    pub(super) old: usize,
    /// Receives the gradient of the first cell.
    pub(super) cell: Option<usize>,
    /// Receives the gradients of the sums added up over the steps and sequences of each task, if they are asked for.
    pub(super) totals: Option<usize>,
}

impl RecurrentGrad {
    pub(in super::super) fn reads(&self) -> Vec<Place> {
        let own = self.slopes.into_iter().chain([self.r.fresh, Some(self.y)]);
        own.flatten().chain(self.sequences.reads()).chain(self.writes().into_iter().map(Place::Slot)).collect()
    }

    /// The slots written beside the gradient of the first state.
    pub(in super::super) fn writes(&self) -> Vec<usize> {
        [Some(self.gates), self.extra, Some(self.old), self.cell, self.totals].into_iter().flatten().collect()
    }

    pub(in super::super) fn scratch(&self) -> usize {
        (1 + super::BAND) * self.sequences.sizes.hidden
    }

    pub(in super::super) fn sequences(&self) -> &Sequences {
        &self.sequences
    }

    pub(in super::super) fn run(&mut self, memory: &Memory<'_>, out: Out<'_>, pool: &Pool, isa: Isa) {
        self.r.pack(memory, pool);
        let sizes = self.sequences.sizes;
        pool.run(sizes.reversed.len() * sizes.bands(), &|task, thread| {
            // SAFETY: the scratch memory is of the thread that runs this task, and asked for once.
            self.band(memory, out, isa, task, unsafe { memory.scratch(thread) });
        });
    }

    fn band(&self, memory: &Memory<'_>, out: Out<'_>, isa: Isa, task: usize, scratch: &mut [f32]) {
        let s = &self.sequences.sizes;
        let (d, rows) = s.task(task);
        let (hidden, n, m) = (s.hidden, s.sums(), rows.len());
        let (zeros, products) = scratch.split_at_mut(hidden);
        let products = Out::new(&mut products[..m * hidden]);
        zeros.fill(0.0);
        let (zeros, y): (&[f32], _) = (zeros, memory.read(self.y));
        let [gates, old] = [self.gates, self.old].map(|slot| memory.write(slot));
        let [cell, extra] = [self.cell, self.extra].map(|slot| slot.map(|slot| memory.write(slot)));
        let block =
            |t: Option<usize>, width: usize| s.row(d, t, rows.start, width).start..s.row(d, t, rows.end, width).start;
        let slope = |i: usize, range: Range<usize>| self.slopes[i].map_or(zeros, |place| &memory.read(place)[range]);
        let state = |b: usize| s.row(d, None, b, hidden);
        for b in rows.clone() {
            take(out, state(b)).copy_from_slice(slope(1, state(b)));
            if let Some(cell) = cell {
                take(cell, state(b)).copy_from_slice(slope(2, state(b)));
            }
        }
        let mut totals = self.totals.map(|slot| take(memory.write(slot), task * n..(task + 1) * n));
        totals.iter_mut().for_each(|totals| totals.fill(0.0));
        let r = &self.r.packed[d * s.cell.parts().len()..];
        for t in (0..s.steps).rev().map(|k| self.sequences.at(d, k)) {
            let (sums, extras) =
                (gates.slice(block(Some(t), n)), extra.map(|extra| extra.slice(block(Some(t), hidden))));
            let mut any = false;
            for (i, b) in rows.clone().enumerate() {
                let (length, row) = (self.sequences.length(memory, b), i * hidden..(i + 1) * hidden);
                let (gates, before) = (take(sums, i * n..(i + 1) * n), take(old, s.row(d, Some(t), b, hidden)));
                if t >= length {
                    gates.fill(0.0);
                    before.fill(0.0);
                    extras.into_iter().for_each(|extra| take(extra, row.clone()).fill(0.0));
                    continue;
                }
                any = true;
                let last = self.sequences.before(d, t, length);
                before.copy_from_slice(match last {
                    Some(t) => &y[s.y(d, t, b)],
                    None => self.sequences.first(memory, 0, d, b, zeros),
                });
                let (dh, dy) = (take(out, state(b)), slope(0, s.y(d, t, b)));
                match (s.cell, cell, extra) {
                    (Cell::Lstm, Some(cell), Some(cells)) => {
                        let c = |t: usize| -> &[f32] { take(cells, s.row(d, Some(t), b, hidden)) };
                        let before = last.map_or_else(|| self.sequences.first(memory, 1, d, b, zeros), c);
                        let ([i, o, f, n], dc) = (split(gates, hidden), take(cell, state(b)));
                        pointwise(isa, LstmGrad, [i, o, f, n, dh, dc], [before, c(t), dy]);
                    }
                    (Cell::Gru { .. }, ..) => {
                        let [z, _, n] = split(gates, hidden);
                        pointwise(isa, GruGrad, [z, n, dh], [before, dy]);
                    }
                    (Cell::Rnn { relu: true }, ..) => pointwise(isa, ReluGrad, [gates, dh], [dy]),
                    _ => pointwise(isa, TanhGrad, [gates, dh], [dy]),
                }
            }
            if !any {
                continue;
            }
            if let Cell::Gru { after } = s.cell {
                let left = &*take(sums, 2 * hidden..m * n);
                if !after {
                    take(products, 0..m * hidden).fill(0.0);
                    add_product(left, m, n, &r[1].0, products, hidden);
                }
                for (i, b) in rows.clone().enumerate().filter(|&(_, b)| t < self.sequences.length(memory, b)) {
                    let row = i * hidden..(i + 1) * hidden;
                    let ([_, reset, dn], dh) = (split(take(sums, i * n..(i + 1) * n), hidden), take(out, state(b)));
                    match extras {
                        Some(q) if after => pointwise(isa, GruAfterGrad, [reset, take(q, row)], [dn]),
                        _ => {
                            let before = take(old, s.row(d, Some(t), b, hidden));
                            pointwise(isa, GruResetGrad, [reset, dh], [take(products, row), before]);
                        }
                    }
                }
                if let (true, Some(dq)) = (after, extras) {
                    add_product(take(dq, 0..m * hidden), m, hidden, &r[1].0, out.slice(block(None, hidden)), hidden);
                }
            }
            let sums = &*take(sums, 0..m * n);
            if let Some(totals) = &mut totals {
                sums.chunks_exact(n).for_each(|row| pointwise(isa, Plus, [totals], [row]));
            }
            add_product(sums, m, n, &r[0].0, out.slice(block(None, hidden)), hidden);
        }
    }
}
