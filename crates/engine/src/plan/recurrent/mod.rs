//! Recurrent layers: a step for the whole sequence, and one for the way back.
//!
//! The products of all inputs with `W` are one large product. What follows is cut into bands of sequences and runs through all steps of a band
//! without waiting for other threads: the product of the band's states with `R`, which is packed once, is added to the sums in place, and the
//! gates' functions follow while the sums are in cache. The way back does the same with the gradients of the sums, and leaves the gradients
//! of inputs and weights to large products over all steps (`lower.rs`).
//!
//! What the way forward keeps are the gates, which stand where their sums were, and one row more a step and sequence: the cell of an LSTM, what `R`
//! multiplies or makes last in a GRU. The gradients of the sums replace the gates. A layer without a way back keeps nothing: its cell
//! is that of the output, and a GRU's row lasts for a step.

mod backward;
mod lower;

pub(super) use backward::RecurrentGrad;
pub(super) use lower::Kept;

use super::memory::Memory;
use super::step::{Place, run_gemm};
use super::tasks::{fill, part};
use crate::Pool;
use crate::kernels::recurrent::{Gru, GruAfter, GruReset, Lstm, Relu, Tanh, pointwise};
use crate::kernels::{Epilogue, Gemm, Layout, Out, PackedB, gemm_add};
use crate::simd::Isa;
use std::ops::Range;
use std::sync::Arc;

/// The most sequences of a band.
const BAND: usize = 16;

/// What happens in a step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    Lstm,
    /// With the reset gate before or after the product with `R`.
    Gru {
        after: bool,
    },
    Rnn {
        relu: bool,
    },
}

impl Cell {
    /// The gates that each part of `R` makes.
    fn parts(self) -> &'static [usize] {
        match self {
            Self::Lstm => &[4],
            Self::Gru { .. } => &[2, 1],
            Self::Rnn { .. } => &[1],
        }
    }
}

/// The sizes of a layer.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) cell: Cell,
    pub(super) steps: usize,
    pub(super) batch: usize,
    pub(super) inputs: usize,
    pub(super) hidden: usize,
    /// For each direction, whether it begins at the end.
    pub(super) reversed: &'static [bool],
}

impl Sizes {
    /// Direction, first gate and gates of each part of `R`.
    pub(super) fn parts(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let parts = self.cell.parts();
        let of = move |d| (0..parts.len()).map(move |i| (d, parts[..i].iter().sum(), parts[i]));
        (0..self.reversed.len()).flat_map(of)
    }

    /// Sums of all gates in a step of a sequence.
    pub(super) fn sums(&self) -> usize {
        self.hidden * self.cell.parts().iter().sum::<usize>()
    }

    /// Steps of all sequences.
    pub(super) fn rows(&self) -> usize {
        self.steps * self.batch
    }

    /// Sums of all steps and directions.
    pub(super) fn products(&self) -> usize {
        self.reversed.len() * self.rows() * self.sums()
    }

    fn bands(&self) -> usize {
        self.batch.div_ceil(BAND)
    }

    /// Direction and sequences of a task.
    fn task(&self, task: usize) -> (usize, Range<usize>) {
        (task / self.bands(), part(self.batch, 1, self.bands(), task % self.bands()))
    }

    /// A row of `width` of a state or, at a step, of something of all steps.
    fn row(&self, d: usize, t: Option<usize>, b: usize, width: usize) -> Range<usize> {
        let before = t.map_or(d, |t| d * self.steps + t);
        let begin = (before * self.batch + b) * width;
        begin..begin + width
    }

    /// The row of the output.
    fn y(&self, d: usize, t: usize, b: usize) -> Range<usize> {
        let begin = ((t * self.reversed.len() + d) * self.batch + b) * self.hidden;
        begin..begin + self.hidden
    }
}

/// Matrices of weights, packed when the plan is made or, of weights that move, in each run.
pub(super) struct Weights {
    pub(super) fresh: Option<Place>,
    pub(super) packed: Vec<(Arc<PackedB>, Layout)>,
}

impl Weights {
    fn pack(&mut self, memory: &Memory<'_>, pool: &Pool) {
        let Some(place) = self.fresh else { return };
        let from = memory.read(place);
        let panels = self.packed.iter_mut().flat_map(|(packed, layout)| Arc::make_mut(packed).panels_mut(*layout));
        fill(pool, from.len(), panels, |panel| panel.fill(from));
    }
}

/// The sequences of a layer: what both ways ask for.
pub(super) struct Sequences {
    pub(super) sizes: Sizes,
    pub(super) lengths: Option<Place>,
    /// The first states.
    pub(super) first: [Option<Place>; 2],
}

impl Sequences {
    /// Steps of a sequence.
    fn length(&self, memory: &Memory<'_>, b: usize) -> usize {
        let length = match self.lengths {
            None => return self.sizes.steps,
            Some(place @ Place::Input(_)) => memory.input(place).integer(b) as usize,
            Some(place) => memory.read(place)[b] as usize,
        };
        length.min(self.sizes.steps)
    }

    /// Which step comes `k`th in a direction, whether a sequence is that long, and the step before it, if it is not the first.
    fn at(&self, d: usize, k: usize) -> usize {
        if self.sizes.reversed[d] { self.sizes.steps - 1 - k } else { k }
    }

    fn before(&self, d: usize, t: usize, length: usize) -> Option<usize> {
        if self.sizes.reversed[d] { Some(t + 1).filter(|&t| t < length) } else { t.checked_sub(1) }
    }

    /// A sequence's first state, and zeros where there is none.
    fn first<'m>(&self, memory: &'m Memory<'_>, state: usize, d: usize, b: usize, zeros: &'m [f32]) -> &'m [f32] {
        self.first[state].map_or(zeros, |place| &memory.read(place)[self.sizes.row(d, None, b, self.sizes.hidden)])
    }

    fn reads(&self) -> impl Iterator<Item = Place> {
        self.lengths.into_iter().chain(self.first.into_iter().flatten())
    }
}

/// The way forward.
pub(super) struct Recurrent {
    pub(super) sequences: Sequences,
    pub(super) x: Place,
    /// `W` of each direction, and `R` of each direction and part.
    pub(super) w: Weights,
    pub(super) r: Weights,
    pub(super) bias: Option<Place>,
    /// Sums, then gates: of all directions, one after the other.
    pub(super) gates: usize,
    pub(super) y: usize,
    pub(super) cell: Option<usize>,
    pub(super) extra: Option<usize>,
    /// Whether `extra` has a row for each step.
    pub(super) keeps: bool,
}

/// Rows of the calling task's sequences in its direction.
fn take(out: Out<'_>, range: Range<usize>) -> &mut [f32] {
    // SAFETY: those rows are the task's alone, in all slots that a recurrent step writes, and `band` borrows a row once at a time.
    unsafe { out.slice_mut(range) }
}

/// A row's parts of `width`.
fn split<const N: usize>(row: &mut [f32], width: usize) -> [&mut [f32]; N] {
    let mut parts = row.chunks_exact_mut(width);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

impl Recurrent {
    pub(super) fn reads(&self) -> Vec<Place> {
        let own = [Some(self.x), self.w.fresh, self.r.fresh, self.bias];
        own.into_iter().flatten().chain(self.sequences.reads()).collect()
    }

    /// The slots written beside the last state.
    pub(super) fn writes(&self) -> Vec<usize> {
        [Some(self.gates), Some(self.y), self.cell, self.extra].into_iter().flatten().collect()
    }

    /// Elements of weights that were packed with the plan.
    pub(super) fn packed_weights(&self) -> usize {
        let constant = [&self.w, &self.r].into_iter().filter(|weights| weights.fresh.is_none());
        constant.flat_map(|weights| &weights.packed).map(|(packed, _)| packed.k() * packed.n()).sum()
    }

    pub(super) fn scratch(&self) -> usize {
        self.sequences.sizes.sums() + 2 * self.sequences.sizes.hidden
    }

    pub(super) fn run(&mut self, memory: &Memory<'_>, out: Out<'_>, pool: &Pool, isa: Isa) {
        self.w.pack(memory, pool);
        self.r.pack(memory, pool);
        let (sizes, gates) = (self.sequences.sizes, memory.write(self.gates));
        let (m, n, x) = (sizes.rows(), sizes.sums(), memory.read(self.x));
        for (d, (w, _)) in self.w.packed.iter().enumerate().filter(|_| m > 0) {
            let product = Gemm { m, a: x, lda: sizes.inputs, b: w, ldc: n, epilogue: Epilogue::default() };
            run_gemm(&product, gates.slice(d * m * n..(d + 1) * m * n), pool);
        }
        pool.run(sizes.reversed.len() * sizes.bands(), &|task, thread| {
            let (d, rows) = sizes.task(task);
            // SAFETY: the scratch memory is of the thread that runs this task, and asked for once.
            self.band(memory, out, isa, d, rows, unsafe { memory.scratch(thread) });
        });
    }

    /// All steps of some sequences in one direction, which no other task has.
    fn band(&self, memory: &Memory<'_>, out: Out<'_>, isa: Isa, d: usize, rows: Range<usize>, scratch: &mut [f32]) {
        let s = &self.sequences.sizes;
        let (hidden, n, m) = (s.hidden, s.sums(), rows.len());
        let (biases, rest) = scratch.split_at_mut(n);
        let (bias_q, zeros) = rest[..2 * hidden].split_at_mut(hidden);
        zeros.fill(0.0);
        self.biases(memory, d, biases, bias_q);
        let (zeros, bias): (&[f32], Vec<&[f32]>) = (zeros, biases.chunks_exact(hidden).collect());
        let [gates, y] = [self.gates, self.y].map(|slot| memory.write(slot));
        let [cell, extra] = [self.cell, self.extra].map(|slot| slot.map(|slot| memory.write(slot)));
        let block =
            |t: Option<usize>, width: usize| s.row(d, t, rows.start, width).start..s.row(d, t, rows.end, width).start;
        let states = take(out, block(None, hidden));
        let mut cells = cell.map(|cell| take(cell, block(None, hidden)));
        for (i, b) in rows.clone().enumerate() {
            let row = i * hidden..(i + 1) * hidden;
            states[row.clone()].copy_from_slice(self.sequences.first(memory, 0, d, b, zeros));
            if let Some(cells) = &mut cells {
                cells[row].copy_from_slice(self.sequences.first(memory, 1, d, b, zeros));
            }
        }
        let r = &self.r.packed[d * s.cell.parts().len()..];
        for t in (0..s.steps).map(|k| self.sequences.at(d, k)) {
            let runs = |b: usize| t < self.sequences.length(memory, b);
            rows.clone().filter(|&b| !runs(b)).for_each(|b| take(y, s.y(d, t, b)).fill(0.0));
            if !rows.clone().any(runs) {
                continue;
            }
            let kept = Some(t).filter(|_| self.keeps);
            let extras = extra.map(|extra| extra.slice(block(kept, hidden)));
            let sums = gates.slice(block(Some(t), n));
            add_product(states, m, hidden, &r[0].0, sums, n);
            if let (Cell::Gru { after: true }, Some(q)) = (s.cell, extras) {
                take(q, 0..m * hidden).chunks_exact_mut(hidden).for_each(|row| row.copy_from_slice(bias_q));
                add_product(states, m, hidden, &r[1].0, q, hidden);
            }
            if let (Cell::Gru { after: false }, Some(both)) = (s.cell, extras) {
                for i in 0..m {
                    let [z, reset, _] = split(take(sums, i * n..(i + 1) * n), hidden);
                    let row = i * hidden..(i + 1) * hidden;
                    pointwise(isa, GruReset, [z, reset, take(both, row.clone())], [bias[0], bias[1], &states[row]]);
                }
                add_product(take(both, 0..m * hidden), m, hidden, &r[1].0, sums.slice(2 * hidden..m * n), n);
            }
            for (i, b) in rows.clone().enumerate().filter(|&(_, b)| runs(b)) {
                let row = i * hidden..(i + 1) * hidden;
                let (h, gates) = (&mut states[row.clone()], take(sums, i * n..(i + 1) * n));
                match (s.cell, &mut cells, extras) {
                    (Cell::Lstm, Some(cells), kept) => {
                        let ([i, o, f, n], c) = (split(gates, hidden), &mut cells[row.clone()]);
                        pointwise(isa, Lstm, [i, o, f, n, c, h], [bias[0], bias[1], bias[2], bias[3]]);
                        if let Some(kept) = kept {
                            take(kept, row.clone()).copy_from_slice(&cells[row.clone()]);
                        }
                    }
                    (Cell::Gru { after: true }, _, Some(q)) => {
                        let [z, r, n] = split(gates, hidden);
                        pointwise(isa, GruAfter, [z, r, n, h], [take(q, row.clone()), bias[0], bias[1], bias[2]]);
                    }
                    (Cell::Gru { .. }, ..) => {
                        let [z, _, n] = split(gates, hidden);
                        pointwise(isa, Gru, [n, h], [z, bias[2]]);
                    }
                    (Cell::Rnn { relu: true }, ..) => pointwise(isa, Relu, [gates, h], [bias[0]]),
                    _ => pointwise(isa, Tanh, [gates, h], [bias[0]]),
                }
                take(y, s.y(d, t, b)).copy_from_slice(&states[row]);
            }
        }
    }

    /// The biases of `W` and `R`, added up; that of `R` apart where `r` multiplies it.
    fn biases(&self, memory: &Memory<'_>, d: usize, to: &mut [f32], apart: &mut [f32]) {
        to.fill(0.0);
        apart.fill(0.0);
        let Some(bias) = self.bias.map(|place| memory.read(place)) else { return };
        let n = to.len();
        let (w, r) = bias[2 * d * n..2 * (d + 1) * n].split_at(n);
        let together = if let Cell::Gru { after: true } = self.sequences.sizes.cell { 2 * apart.len() } else { n };
        to.copy_from_slice(w);
        to[..together].iter_mut().zip(r).for_each(|(to, r)| *to += r);
        if together < n {
            apart.copy_from_slice(&r[together..]);
        }
    }
}

/// Adds the product of `m` rows, `lda` apart, with packed weights to `out`, whose rows are `ldc` apart and the calling task's alone.
fn add_product(a: &[f32], m: usize, lda: usize, b: &PackedB, out: Out<'_>, ldc: usize) {
    let product = Gemm { m, a, lda, b, ldc, epilogue: Epilogue::default() };
    // SAFETY: no other task reads or writes these rows.
    unsafe { gemm_add(&product, out, 0..m, 0..b.panels()) }
}
