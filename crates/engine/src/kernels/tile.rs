//! The micro-kernel of the matrix product: a tile of `MR` rows × `NV` vectors that lives in registers.
//!
//! With 32 registers 14 × 2 vectors of 16 reach the FMA peak: 28 accumulators hide the latency, 14 broadcasts and 2 loads feed 28 FMAs.
//! A matrix whose columns make an odd number of vectors ends with a tile of 8 × 3, because a tile of one vector waits for its
//! broadcasts; where the last vector is half empty, two rows share it. With 16 registers it is 6 × 2 and, for the odd vector,
//! 12 × 1: a tile of 4 × 3 was seen to spill, at half the speed; with 8 registers 4 × 2. Of one vector alone, 12 rows are as many as there
//! are address registers for; 7 × 4 was slower than 14 × 2 on every shape, because twice as much of B passes by.
//!
//! A vector that is half empty costs as much as a full one, a quarter of the time at 24 columns. Where two rows share it, their elements of A are
//! blended, and the half vector of B stands in both halves. An element of the product goes through the operations that it has anywhere.
//!
//! Each row of A has an address of its own, so rows need not be equally far apart; the spills that this costs at 14 rows are hidden.

use super::epilogue::Finish;
use crate::simd::{Kernel, Simd, read, write};

/// Repeats the body for the constants 0..$n (at most $max): arrays indexed by them stay in registers, which LLVM's own unrolling does not promise.
macro_rules! unroll {
    (3, $($rest:tt)*) => { unroll!(@ $($rest)*, 0 1 2) };
    (5, $($rest:tt)*) => { unroll!(@ $($rest)*, 0 1 2 3 4) };
    (14, $($rest:tt)*) => { unroll!(@ $($rest)*, 0 1 2 3 4 5 6 7 8 9 10 11 12 13) };
    (31, $($rest:tt)*) => {
        unroll!(@ $($rest)*, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30)
    };
    (@ $n:expr, |$i:ident| $body:block, $($x:literal)*) => {{ $( if $x < $n { const $i: usize = $x; $body } )* }};
}
pub(super) use unroll;

/// The terms of a sum, as they lie in A: runs of equal length, in rows and columns as the taps of a kernel are.
#[derive(Clone, Copy)]
pub(super) struct Runs {
    /// Terms of a run.
    pub(super) length: usize,
    /// Rows and columns of runs.
    pub(super) counts: [usize; 2],
    /// Their distances.
    pub(super) steps: [usize; 2],
}

impl Runs {
    /// One run.
    pub(super) fn one(length: usize) -> Self {
        Runs { length, counts: [1, 1], steps: [0, 0] }
    }

    /// Where a run begins.
    #[inline(always)]
    pub(super) fn place(&self, row: usize, column: usize) -> usize {
        row * self.steps[0] + column * self.steps[1]
    }
}

/// Where a tile reads and writes; `a(i, k)` of a run lies at `a + i·row + k·step` and the run's place, or with a table at `a + table[i] + …`.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) a: *const f32,
    pub(super) row: usize,
    /// Where each row begins, or null if they are `row` apart.
    pub(super) table: *const usize,
    pub(super) step: usize,
    pub(super) runs: Runs,
    /// As many rows as terms, of `NV` vectors, `b_step` apart, and `b_gap` more between two runs.
    pub(super) b: *const f32,
    pub(super) b_step: usize,
    pub(super) b_gap: usize,
    /// What is added to that behind a row of runs.
    pub(super) b_turn: usize,
    pub(super) c: *mut f32,
    pub(super) ldc: usize,
    /// Columns that exist, more than `NV − 1` vectors.
    pub(super) columns: usize,
    /// Continue the sums that stand in `c`.
    pub(super) accumulate: bool,
    /// `bias` and `residual` point to the tile's first element.
    pub(super) finish: Finish,
    pub(super) ld_residual: usize,
}

/// How far ahead of its use B is asked for, in floats: it may come from memory, where the next panel or page is not foreseen.
const AHEAD: usize = 1024;

impl Tile {
    /// The same `rows` further down.
    #[inline(always)]
    fn below(mut self, rows: usize) -> Self {
        if self.table.is_null() {
            self.a = self.a.wrapping_add(rows * self.row);
        } else {
            self.table = self.table.wrapping_add(rows);
        }
        self.c = self.c.wrapping_add(rows * self.ldc);
        self.finish.residual = offset(self.finish.residual, rows * self.ld_residual);
        self
    }

    /// Where row `i` of A begins.
    ///
    /// # Safety
    /// The table, if there is one, has that row.
    #[inline(always)]
    unsafe fn row(&self, i: usize) -> *const f32 {
        // SAFETY: as the caller vouches.
        self.a.wrapping_add(if self.table.is_null() { i * self.row } else { unsafe { *self.table.add(i) } })
    }
}

/// `p + n`, or null if `p` is null: what is absent stays absent.
#[inline(always)]
pub(super) fn offset(p: *const f32, n: usize) -> *const f32 {
    if p.is_null() { p } else { p.wrapping_add(n) }
}

/// Computes `rows` rows of one panel of `vectors` vectors.
///
/// # Safety
/// All that `tile` points to is valid for `rows` rows, and the CPU has the instruction set of `S`.
#[inline(always)]
pub(super) unsafe fn panel<S: Simd>(mut tile: Tile, rows: usize, vectors: usize) {
    let mut left = rows;
    let half = S::REGISTERS == 32 && 2 * tile.columns == (2 * vectors - 1) * S::LANES && !tile.accumulate;
    while left > 0 {
        // All tiles of a shape in one call.
        macro_rules! step {
            ($mr:literal, $nv:literal) => {
                step!($mr, $nv, false)
            };
            ($mr:literal, $nv:literal, $half:literal) => {{
                let tiles = left / $mr;
                // SAFETY: passed on from the caller; the tiles cover rows that are left.
                unsafe { S::enter(Micro::<$mr, $nv, $half> { tile, tiles }) };
                tiles * $mr
            }};
        }
        let done = match (vectors, left) {
            (2, 14..) if half => step!(14, 2, true),
            (2, 8..) if half => step!(8, 2, true),
            (2, 2..) if half => step!(2, 2, true),
            (3, 8..) if half => step!(8, 3, true),
            (3, 2..) if half => step!(2, 3, true),
            // Two halves keep the units busy, which 14 rows and then 2 do not.
            (2, 8 | 16) if S::REGISTERS == 32 => step!(8, 2),
            (2, 14..) if S::REGISTERS == 32 => step!(14, 2),
            (2, 7..) if S::REGISTERS == 32 => step!(7, 2),
            (2, 6..) if S::REGISTERS >= 16 => step!(6, 2),
            (2, 4..) => step!(4, 2),
            (2, 2..) => step!(2, 2),
            (2, _) => step!(1, 2),
            (3, 8..) if S::REGISTERS == 32 => step!(8, 3),
            (3, 4..) => step!(4, 3),
            (3, 2..) => step!(2, 3),
            (3, _) => step!(1, 3),
            (_, 12..) if S::REGISTERS >= 16 => step!(12, 1),
            (_, 8..) if S::REGISTERS >= 16 => step!(8, 1),
            (_, 4..) => step!(4, 1),
            (_, _) => step!(1, 1),
        };
        left -= done;
        tile = tile.below(done);
    }
}

/// `tiles` tiles one below the other. With `HALF` half of the last vector's columns exist, and it is shared by two rows: that of row 2·i + 1 has
/// the columns of row 2·i in its lower half.
struct Micro<const MR: usize, const NV: usize, const HALF: bool> {
    tile: Tile,
    tiles: usize,
}

impl<const MR: usize, const NV: usize, const HALF: bool> Kernel for Micro<MR, NV, HALF> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mut t = self.tile;
        for _ in 0..self.tiles {
            // SAFETY: passed on from the caller.
            unsafe { Self::tile::<S>(&t) };
            t = t.below(MR);
        }
    }
}

impl<const MR: usize, const NV: usize, const HALF: bool> Micro<MR, NV, HALF> {
    /// One tile.
    ///
    /// # Safety
    /// As [`panel`], for `MR` rows, an even number with `HALF`, and `NV` vectors.
    #[inline(always)]
    unsafe fn tile<S: Simd>(t: &Tile) {
        // As a number that the compiler does not know, half a vector stays in a mask register.
        let last = t.columns - (NV - 1) * S::LANES;
        let lanes = |j: usize| if j + 1 < NV { S::LANES } else { last };
        let shared = |j: usize| HALF && j + 1 == NV;
        // SAFETY: the caller vouches for MR rows of `a`, `c` and `residual` and for all the rows of NV vectors behind `b`; `bias` has
        // `columns` floats. The last vector of a row is touched in full only where it exists in full, and by half if it is shared.
        unsafe {
            let read = |p: *const f32, j: usize| read::<S>(p.add(j * S::LANES), lanes(j));
            // What the next tile writes, which else waits for every line; the short rows of half a vector are foreseen.
            if !HALF {
                unroll!(14, MR, |I| {
                    let row = t.c.cast_const().wrapping_add((MR + I) * t.ldc);
                    unroll!(3, NV, |J| { S::prefetch(row.wrapping_add(J * S::LANES)) });
                });
            }
            let mut acc = [[S::splat(0.0); NV]; MR];
            if t.accumulate {
                unroll!(14, MR, |I| { unroll!(3, NV, |J| { acc[I][J] = read(t.c.add(I * t.ldc), J) }) });
            } else if !t.finish.bias.is_null() {
                unroll!(3, NV, |J| {
                    let bias = t.finish.bias;
                    let bias = if shared(J) { S::load_twice(bias.add(J * S::LANES)) } else { read(bias, J) };
                    unroll!(14, MR, |I| { acc[I][J] = bias });
                });
            }
            let a: [_; MR] = std::array::from_fn(|i| t.row(i));
            let mut b = t.b;
            for y in 0..t.runs.counts[0] {
                for x in 0..t.runs.counts[1] {
                    let mut at = t.runs.place(y, x);
                    for _ in 0..t.runs.length {
                        let mut columns = [S::splat(0.0); NV];
                        unroll!(3, NV, |J| {
                            let b = b.add(J * S::LANES);
                            columns[J] = if shared(J) { S::load_twice(b) } else { S::load(b) };
                        });
                        if NV > 1 && !HALF {
                            unroll!(3, NV, |J| { S::prefetch(b.wrapping_add(AHEAD + J * S::LANES)) });
                        }
                        let mut above = S::splat(0.0);
                        unroll!(14, MR, |I| {
                            let x = S::splat(*a[I].wrapping_add(at));
                            unroll!(3, NV, |J| {
                                if !shared(J) {
                                    acc[I][J] = S::mul_add(x, columns[J], acc[I][J]);
                                } else if I % 2 == 1 {
                                    acc[I][J] = S::mul_add(S::join(above, x, last), columns[J], acc[I][J]);
                                }
                            });
                            above = x;
                        });
                        at += t.step;
                        b = b.wrapping_add(t.b_step);
                    }
                    b = b.wrapping_add(t.b_gap);
                }
                b = b.wrapping_add(t.b_turn);
            }
            if !t.finish.residual.is_null() {
                unroll!(14, MR, |I| {
                    let row = t.finish.residual.add(I * t.ld_residual);
                    unroll!(3, NV, |J| {
                        if !shared(J) {
                            acc[I][J] = S::add(acc[I][J], read(row, J));
                        } else if I % 2 == 1 {
                            let row = row.add(J * S::LANES);
                            acc[I][J] = S::add(acc[I][J], S::load_halves(row.sub(t.ld_residual), row));
                        }
                    });
                });
            }
            let [low, high] = t.finish.clamp.map(|x| S::splat(x));
            unroll!(14, MR, |I| {
                unroll!(3, NV, |J| {
                    let row = t.c.add(I * t.ldc + J * S::LANES);
                    let y = S::min(high, S::max(low, acc[I][J]));
                    if !shared(J) {
                        write::<S>(row, y, lanes(J));
                    } else if I % 2 == 1 {
                        S::store_halves(row.sub(t.ldc), row, y);
                    }
                });
            });
        }
    }
}
