//! Sums of outer products: the gradient of a matrix product with respect to its right side.
//!
//! Both sides are samples that lie in cache, evenly spaced or in runs that are (a convolution's input as one tap sees it), and are multiplied
//! as they lie, without packing.
//! With 32 registers the tile is 8 × 3 vectors: widths of networks are multiples of 8 far more often than of 14.

use super::super::epilogue::Epilogue;
use super::super::tile::{Runs, Tile, panel};
use crate::simd::{Isa, Kernel, Simd};

/// Floats behind the last sample of the right side that may be read, though not used, where the columns are not whole vectors: a vector of
/// the widest instruction set.
pub const SLACK: usize = 16;

/// The arguments of [`add_outer`].
#[derive(Clone, Copy)]
pub struct Outer<'a> {
    /// Samples of a run.
    pub samples: usize,
    /// Left side, runs × samples × rows.
    pub a: &'a [f32],
    /// Rows of the result.
    pub rows: usize,
    /// Distance of the samples in `a`.
    pub lda: usize,
    /// Right side, runs × samples × columns, and [`SLACK`].
    pub b: &'a [f32],
    /// Columns of the result.
    pub columns: usize,
    /// Distance of the samples in `b`, which may overlap.
    pub ldb: usize,
    /// Runs, and their distances in `a` and `b`: 1 and anything if all samples are evenly spaced.
    pub runs: [usize; 3],
    /// How often all of that, and the distances: the same pixels of several pictures.
    pub turns: [usize; 3],
    /// Distance of the result's rows, at least the columns.
    pub ldc: usize,
}

impl<'a> Outer<'a> {
    /// Samples that lie densely on both sides, and a dense result.
    pub fn dense(samples: usize, a: &'a [f32], rows: usize, b: &'a [f32], columns: usize) -> Self {
        Self { samples, a, rows, lda: rows, b, columns, ldb: columns, runs: [1, 0, 0], turns: [1, 0, 0], ldc: columns }
    }

    /// Floats of the left and of the right side from the first to the last, and [`SLACK`] if a vector may reach beyond; all of them
    /// where that is too large a number.
    fn reach(&self, isa: Isa) -> [usize; 2] {
        let last = |step: usize, run: usize, turn: usize, width: usize| {
            let last = [(self.samples, step), (self.runs[0], run), (self.turns[0], turn)];
            last.into_iter().fold(width, |at, (count, step)| at.saturating_add((count - 1).saturating_mul(step)))
        };
        let slack = if self.columns.is_multiple_of(isa.lanes()) { 0 } else { SLACK };
        [
            last(self.lda, self.runs[1], self.turns[1], self.rows),
            last(self.ldb, self.runs[2], self.turns[2], self.columns.saturating_add(slack)),
        ]
    }
}

/// Adds `Aᵀ·B` to `C[rows × columns]`.
///
/// ```
/// use percept_engine::{kernels::gradient::{Outer, SLACK, add_outer}, simd::Isa};
/// let mut b = [0.0; 2 + SLACK];
/// b[..2].copy_from_slice(&[10.0, 1.0]);
/// let mut c = [100.0; 2];
/// add_outer(Isa::SCALAR, &Outer::dense(2, &[1.0, 2.0, 3.0, 4.0], 2, &b, 1), &mut c);
/// assert_eq!(c, [113.0, 124.0]);
/// ```
pub fn add_outer(isa: Isa, o: &Outer<'_>, c: &mut [f32]) {
    if o.samples == 0 || o.runs[0] == 0 || o.turns[0] == 0 || o.rows == 0 || o.columns == 0 {
        return;
    }
    let [a, b] = o.reach(isa);
    assert!(a <= o.a.len() && b <= o.b.len(), "sides of {} and {}, not {a} and {b}", o.a.len(), o.b.len());
    let end = (o.rows - 1).saturating_mul(o.ldc).saturating_add(o.columns);
    assert!(o.ldc >= o.columns && end <= c.len(), "c of {}, not {end}", c.len());
    // SAFETY: the lengths were checked above.
    unsafe { isa.run(Product { o, c }) }
}

struct Product<'a> {
    o: &'a Outer<'a>,
    c: &'a mut [f32],
}

impl Kernel for Product<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let o = self.o;
        let mut column = 0;
        while column < o.columns {
            let vectors = match (o.columns - column).div_ceil(S::LANES) {
                // Four are two panels of two.
                4 => 2,
                3.. if S::REGISTERS == 32 => 3,
                left => left.min(2),
            };
            let columns = (vectors * S::LANES).min(o.columns - column);
            let tile = Tile {
                a: o.a.as_ptr(),
                row: 1,
                table: std::ptr::null(),
                step: o.lda,
                runs: Runs { length: o.samples, counts: [o.turns[0], o.runs[0]], steps: [o.turns[1], o.runs[1]] },
                b: o.b.as_ptr().wrapping_add(column),
                b_step: o.ldb,
                b_gap: o.runs[2].wrapping_sub(o.samples * o.ldb),
                b_turn: o.turns[2].wrapping_sub(o.runs[0].wrapping_mul(o.runs[2])),
                c: self.c.as_mut_ptr().wrapping_add(column),
                ldc: o.ldc,
                columns,
                accumulate: true,
                finish: Epilogue::default().finish(),
                ld_residual: 0,
            };
            // SAFETY: all rows and these columns of the result exist; a vector that reaches beyond the last sample of B ends in the slack
            // (`add_outer` checked).
            unsafe { panel::<S>(tile, o.rows, vectors) }
            column += columns;
        }
    }
}
