//! Sums of outer products: the gradient of a matrix product with respect to its right side.
//!
//! Both sides are blocks of samples that were just computed and are still in cache, so they are multiplied as they lie, without packing.
//! With 32 registers the tile is 8 × 3 vectors: widths of networks are multiples of 8 far more often than of 14.

use super::super::epilogue::Epilogue;
use super::super::tile::{Tile, panel};
use crate::simd::{Isa, Kernel, Simd};

/// Floats behind the last sample of the right side that may be read, though not used: a vector of the widest instruction set.
pub const SLACK: usize = 16;

/// The arguments of [`add_outer`].
#[derive(Clone, Copy)]
pub struct Outer<'a> {
    /// Samples.
    pub samples: usize,
    /// Left side, samples × rows.
    pub a: &'a [f32],
    /// Rows of the result.
    pub rows: usize,
    /// Distance of the samples in `a`.
    pub lda: usize,
    /// Right side, samples × columns, and [`SLACK`].
    pub b: &'a [f32],
    /// Columns of the result.
    pub columns: usize,
    /// Distance of the samples in `b`.
    pub ldb: usize,
}

/// Adds `Aᵀ·B` to `C[rows × columns]`.
///
/// ```
/// use percept_engine::{kernels::gradient::{Outer, SLACK, add_outer}, simd::Isa};
/// let mut b = [0.0; 2 + SLACK];
/// b[..2].copy_from_slice(&[10.0, 1.0]);
/// let mut c = [100.0; 2];
/// add_outer(Isa::SCALAR, &Outer { samples: 2, a: &[1.0, 2.0, 3.0, 4.0], rows: 2, lda: 2, b: &b, columns: 1, ldb: 1 }, &mut c);
/// assert_eq!(c, [113.0, 124.0]);
/// ```
pub fn add_outer(isa: Isa, o: &Outer<'_>, c: &mut [f32]) {
    if o.samples == 0 || o.rows == 0 || o.columns == 0 {
        return;
    }
    assert!(o.lda >= o.rows && o.ldb >= o.columns, "samples {} and {} apart", o.lda, o.ldb);
    assert!(o.a.len() >= (o.samples - 1) * o.lda + o.rows, "a of {}", o.a.len());
    assert!(o.b.len() >= (o.samples - 1) * o.ldb + o.columns + SLACK, "b of {}", o.b.len());
    assert_eq!(c.len(), o.rows * o.columns, "c");
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
                step: o.lda,
                runs: 1,
                run_step: 0,
                b: o.b.as_ptr().wrapping_add(column),
                b_step: o.ldb,
                k: o.samples,
                c: self.c.as_mut_ptr().wrapping_add(column),
                ldc: o.columns,
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
