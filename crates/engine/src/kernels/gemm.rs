//! Matrix products over a right-hand side that is packed into panels.

use super::epilogue::{Activate, Epilogue, Finish};
use super::packed::{PackedB, Panel, View};
use super::tile::{Runs, Tile, offset, panel};
use super::{Out, check_range};
use crate::simd::{Kernel, Simd};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Bytes of A that a block of rows may take, so that it stays in the L2 cache while every panel of B passes by.
const BLOCK_BYTES: usize = 256 << 10;
/// Bytes of B up to which it stays in the L1 cache, so that a tile of A meets all of it at once.
const SMALL_BYTES: usize = 24 << 10;

/// The most rows of a block whose rows begin where a table says.
const TABLE: usize = 448;

impl Panel<'_> {
    /// Computes the panel's columns of `C[m×n] = A[m×k] · B`; rows of A are `k` apart, those of C `ldc`.
    ///
    /// # Safety
    /// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
    pub unsafe fn multiply(&self, m: usize, a: &[f32], out: Out<'_>, ldc: usize) {
        let k = self.data.len() / self.width;
        assert!(m > 0 && m * k <= a.len(), "a of {} for {m}×{k}", a.len());
        out.check(m, self.columns.end, ldc);
        let (isa, n) = (self.isa, self.columns.len());
        let block = Block {
            a: a.as_ptr(),
            row: k,
            lines: None,
            runs: Runs::one(k),
            b: View { isa, k, n, first: 0, data: self.data },
            c: out.ptr.wrapping_add(self.columns.start),
            ldc,
            accumulate: false,
            finish: Epilogue::default().finish(),
            ld_residual: n,
            rows: 0..m,
            panels: 0..1,
        };
        // SAFETY: the lengths of `a` and `out` were checked above; disjointness is the caller's.
        unsafe { isa.run(block) }
    }
}

/// The arguments of [`gemm`]: `C[m×n] = epilogue(A[m×k] · B[k×n])`.
#[derive(Clone, Copy)]
pub struct Gemm<'a> {
    /// Rows of the whole A and C.
    pub m: usize,
    /// Row-major, rows `lda` apart.
    pub a: &'a [f32],
    /// Distance of A's rows, at least `k`.
    pub lda: usize,
    /// The right-hand side.
    pub b: &'a PackedB,
    /// Distance of the output's rows, at least `n`.
    pub ldc: usize,
    /// Comes after the sum; its residual is dense, m × n.
    pub epilogue: Epilogue<'a>,
}

/// Computes `rows` × `panels` of `C = epilogue(A·B)`.
///
/// # Safety
/// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
///
/// ```
/// use percept_engine::{kernels::{gemm, Epilogue, Gemm, Out, PackedB}, simd::Isa};
/// let b = PackedB::pack(Isa::SCALAR, 2, 1, &[10.0, 1.0], [1, 1]);
/// let mut c = [0.0; 2];
/// let product = Gemm { m: 2, a: &[1.0, 2.0, 3.0, 4.0], lda: 2, b: &b, ldc: 1, epilogue: Epilogue::default() };
/// // SAFETY: one call.
/// unsafe { gemm(&product, Out::new(&mut c), 0..2, 0..b.panels()) };
/// assert_eq!(c, [12.0, 34.0]);
/// ```
pub unsafe fn gemm(g: &Gemm<'_>, out: Out<'_>, rows: Range<usize>, panels: Range<usize>) {
    // SAFETY: passed on from the caller.
    unsafe { product(g, out, rows, panels, false) }
}

/// Adds `rows` × `panels` of `A·B` to `C`, without epilogue.
///
/// # Safety
/// As [`gemm`].
pub unsafe fn gemm_add(g: &Gemm<'_>, out: Out<'_>, rows: Range<usize>, panels: Range<usize>) {
    assert!(g.epilogue.bias.is_none(), "a sum that goes on has no bias");
    // SAFETY: passed on from the caller.
    unsafe { product(g, out, rows, panels, true) }
}

/// [`gemm`] or [`gemm_add`].
///
/// # Safety
/// As [`gemm`].
unsafe fn product(g: &Gemm<'_>, out: Out<'_>, rows: Range<usize>, panels: Range<usize>, accumulate: bool) {
    let (k, n) = (g.b.k, g.b.n);
    check_range(&rows, g.m, "rows");
    check_range(&panels, g.b.panels(), "panels");
    if rows.is_empty() || panels.is_empty() {
        return;
    }
    assert!(g.lda >= k, "lda {} for k {k}", g.lda);
    assert!((g.m - 1).saturating_mul(g.lda).saturating_add(k) <= g.a.len(), "a of {} for {}×{k}", g.a.len(), g.m);
    out.check(g.m, n, g.ldc);
    g.epilogue.check(g.m, n);
    let finish = g.epilogue.finish();
    let block = Block {
        a: g.a.as_ptr(),
        row: g.lda,
        lines: None,
        runs: Runs::one(k),
        b: g.b.view(),
        c: out.ptr,
        ldc: g.ldc,
        accumulate,
        finish,
        ld_residual: n,
        rows,
        panels,
    };
    // SAFETY: the lengths of `a`, `out`, bias and residual were checked above; disjointness is the caller's.
    unsafe { g.b.isa.run(block) }
}

/// Computes all of `C = epilogue(A·B)` on the calling thread, for callers that divide their own work and for crates without `unsafe`.
///
/// ```
/// use percept_engine::{kernels::{Epilogue, Gemm, PackedB, gemm_whole}, simd::Isa};
/// let b = PackedB::pack(Isa::SCALAR, 2, 1, &[10.0, 1.0], [1, 1]);
/// let mut c = [0.0; 2];
/// gemm_whole(&Gemm { m: 2, a: &[1.0, 2.0, 3.0, 4.0], lda: 2, b: &b, ldc: 1, epilogue: Epilogue::default() }, &mut c);
/// assert_eq!(c, [12.0, 34.0]);
/// ```
pub fn gemm_whole(g: &Gemm<'_>, c: &mut [f32]) {
    // SAFETY: `c` is borrowed exclusively and there is one call.
    unsafe { gemm(g, Out::new(c), 0..g.m, 0..g.b.panels()) }
}

/// A product of checked arguments; `a`, `c` and `finish` point to element (0, 0).
///
/// The runs of the sum follow each other in B without gaps.
pub(super) struct Block<'a> {
    pub(super) a: *const f32,
    pub(super) row: usize,
    /// Of windows over pictures: rows are `row` apart along a line only.
    pub(super) lines: Option<Lines>,
    pub(super) runs: Runs,
    pub(super) b: View<'a>,
    pub(super) c: *mut f32,
    pub(super) ldc: usize,
    /// Continue the sums that stand in `c`.
    pub(super) accumulate: bool,
    pub(super) finish: Finish,
    pub(super) ld_residual: usize,
    pub(super) rows: Range<usize>,
    pub(super) panels: Range<usize>,
}

/// Rows of A that are windows over pictures, line by line.
#[derive(Clone, Copy)]
pub(super) struct Lines {
    /// Windows in a line.
    pub(super) width: usize,
    /// Lines in a picture.
    pub(super) height: usize,
    /// Distance of lines.
    pub(super) line: usize,
    /// Distance of pictures.
    pub(super) picture: usize,
}

impl Lines {
    /// Where line `i` begins, seen from line 0.
    pub(super) fn at(&self, i: usize) -> usize {
        i % self.height * self.line + i / self.height * self.picture
    }

    /// Writes where each of the rows from `first` on begins, if neighbours in a line are `row` apart.
    fn fill(&self, row: usize, first: usize, table: &mut [MaybeUninit<usize>]) {
        let (mut line, mut column) = (first / self.width, first % self.width);
        let mut begin = self.at(line);
        for entry in table {
            entry.write(begin + column * row);
            column += 1;
            if column == self.width {
                (line, column) = (line + 1, 0);
                begin = self.at(line);
            }
        }
    }
}

impl Kernel for Block<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let fitting = (BLOCK_BYTES / 4 / self.b.k.max(1)).max(1);
        let small = self.b.k * self.b.n * 4 <= SMALL_BYTES;
        let mut table = [MaybeUninit::uninit(); TABLE];
        let block = match self.lines {
            _ if small && self.panels.len() > 1 => 56,
            // Windows overlap, so that many rows are few bytes.
            Some(_) => TABLE,
            None => fitting.next_multiple_of(56),
        };
        for r in self.rows.clone().step_by(block) {
            let rows = block.min(self.rows.end - r);
            let (a, rows_at) = match &self.lines {
                Some(lines) => {
                    lines.fill(self.row, r, &mut table[..rows]);
                    (self.a, table.as_ptr().cast())
                }
                None => (self.a.wrapping_add(r * self.row), std::ptr::null()),
            };
            for p in self.panels.clone() {
                let columns = self.b.columns(p);
                let width = columns.len().next_multiple_of(S::LANES);
                let tile = Tile {
                    a,
                    row: self.row,
                    table: rows_at,
                    step: 1,
                    b: self.b.data.as_ptr().wrapping_add(self.b.k * columns.start + self.b.first * width),
                    b_step: width,
                    b_gap: 0,
                    b_turn: 0,
                    runs: self.runs,
                    c: self.c.wrapping_add(r * self.ldc + columns.start),
                    ldc: self.ldc,
                    columns: columns.len(),
                    accumulate: self.accumulate,
                    finish: Finish {
                        bias: offset(self.finish.bias, columns.start),
                        residual: offset(self.finish.residual, r * self.ld_residual + columns.start),
                        ..self.finish
                    },
                    ld_residual: self.ld_residual,
                };
                // SAFETY: the caller checked that A, C, bias and residual cover the rows and columns.
                unsafe { panel::<S>(tile, rows, width / S::LANES) }
                if self.finish.later != super::Activation::None {
                    let (x, y) = (tile.c.cast_const(), tile.c);
                    let pass =
                        Activate { x, y, rows, stride: self.ldc, len: columns.len(), activation: self.finish.later };
                    // SAFETY: the pass covers what the panel just wrote.
                    unsafe { S::enter(pass) }
                }
            }
        }
    }
}
