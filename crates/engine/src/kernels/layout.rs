//! Pictures in: bytes to floats, and the order of axes.

use super::check_range;
use crate::simd::{Isa, Kernel, Simd, read, write};
use std::ops::Range;

/// Writes `x · scale[c] + shift[c]` for bytes whose last axis is the channels (how a picture becomes a network's input).
///
/// ```
/// use percept_engine::{kernels::normalize_u8, simd::Isa};
/// let mut y = [0.0; 2];
/// normalize_u8(Isa::SCALAR, &[0, 255], &[1.0, 0.5], &[-1.0, 0.5], &mut y);
/// assert_eq!(y, [-1.0, 128.0]);
/// ```
pub fn normalize_u8(isa: Isa, x: &[u8], scale: &[f32], shift: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "x and y");
    assert_eq!(scale.len(), shift.len(), "scale and shift");
    assert!(
        x.is_empty() || (!scale.is_empty() && x.len().is_multiple_of(scale.len())),
        "x of {} for {} channels",
        x.len(),
        scale.len()
    );
    // SAFETY: the kernel works on slices.
    unsafe { isa.run(Normalize { x, scale, shift, y }) }
}

struct Normalize<'a> {
    x: &'a [u8],
    scale: &'a [f32],
    shift: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Normalize<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // A whole number of vectors and of pixels of 1, 2, 3 or 4 channels; the compiler vectorises loops of fixed length.
        const RUN: usize = 48;
        let channels = self.scale.len();
        let runs = if RUN.is_multiple_of(channels) { self.x.len() / RUN * RUN } else { 0 };
        let ((xs, x_tail), (ys, y_tail)) = (self.x.split_at(runs), self.y.split_at_mut(runs));
        if runs > 0 {
            let [scale, shift]: [[f32; RUN]; 2] =
                [self.scale, self.shift].map(|v| std::array::from_fn(|i| v[i % channels]));
            for (x, y) in xs.as_chunks::<RUN>().0.iter().zip(ys.as_chunks_mut::<RUN>().0) {
                for i in 0..RUN {
                    y[i] = f32::from(x[i]) * scale[i] + shift[i];
                }
            }
        }
        for (x, y) in x_tail.chunks_exact(channels.max(1)).zip(y_tail.chunks_exact_mut(channels.max(1))) {
            for c in 0..channels {
                y[c] = f32::from(x[c]) * self.scale[c] + self.shift[c];
            }
        }
    }
}

/// Writes `rows` of the transpose of `x[m×n]`: NCHW to NHWC for a picture of m channels and n pixels, and back with the two exchanged.
///
/// `y` holds just these rows, which are `row` apart, m at least.
///
/// ```
/// use percept_engine::{kernels::transpose, simd::Isa};
/// let mut y = [0.0; 4];
/// transpose(Isa::SCALAR, [2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 1..3, &mut y, 2);
/// assert_eq!(y, [2.0, 5.0, 3.0, 6.0]);
/// ```
pub fn transpose(isa: Isa, [m, n]: [usize; 2], x: &[f32], rows: Range<usize>, y: &mut [f32], row: usize) {
    check_range(&rows, n, "rows");
    assert_eq!(x.len(), m * n, "x");
    assert!(y.len() == rows.len() * row && row >= m, "y");
    match m {
        _ if row > m => Block { x: &x[rows.start..], row: n, counts: [m, rows.len()], y, y_row: row }.run_on(isa),
        2 => interleave::<2>(n, x, rows, y),
        3 => interleave::<3>(n, x, rows, y),
        4 => interleave::<4>(n, x, rows, y),
        9 => interleave::<9>(n, x, rows, y),
        _ if m == 0 || rows.is_empty() => {}
        _ => Block { x: &x[rows.start..], row: n, counts: [m, rows.len()], y, y_row: m }.run_on(isa),
    }
}

/// Floats of a square of the longest vectors.
const SQUARE: usize = 16 * 16;

/// A block of so many rows and columns, whose transpose goes to `y`.
pub(super) struct Block<'a> {
    /// From the first element on.
    pub(super) x: &'a [f32],
    /// Distance of rows in `x`.
    pub(super) row: usize,
    pub(super) counts: [usize; 2],
    pub(super) y: &'a mut [f32],
    pub(super) y_row: usize,
}

impl Block<'_> {
    /// Writes the transpose.
    pub(super) fn run_on(self, isa: Isa) {
        let [m, n] = self.counts;
        if m == 0 || n == 0 {
            return;
        }
        assert!((m - 1) * self.row + n <= self.x.len() && (n - 1) * self.y_row + m <= self.y.len(), "{m} × {n}");
        // SAFETY: both sides have room for the block.
        unsafe { isa.run(self) }
    }
}

impl Kernel for Block<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Block { x, row, counts: [m, n], y, y_row } = self;
        let [mut part, mut turned] = [[0.0; SQUARE]; 2];
        for i in (0..m).step_by(S::LANES) {
            for j in (0..n).step_by(S::LANES) {
                let [rows, columns] = [S::LANES.min(m - i), S::LANES.min(n - j)];
                // SAFETY: the block lies within both sides, which the caller checked, and a part of one in the squares.
                unsafe {
                    let (from, to) = (x.as_ptr().add(i * row + j), y.as_mut_ptr().add(j * y_row + i));
                    if rows == S::LANES && columns == S::LANES {
                        S::transpose(from, row, to, y_row);
                        continue;
                    }
                    for r in 0..rows {
                        S::store(part.as_mut_ptr().add(r * S::LANES), read::<S>(from.add(r * row), columns));
                    }
                    S::transpose(part.as_ptr(), S::LANES, turned.as_mut_ptr(), S::LANES);
                    for c in 0..columns {
                        write::<S>(to.add(c * y_row), S::load(turned.as_ptr().add(c * S::LANES)), rows);
                    }
                }
            }
        }
    }
}

/// The transpose of a few long lines, such as a picture's colours: a loop that compilers turn into shuffles of vectors.
fn interleave<const M: usize>(n: usize, x: &[f32], rows: Range<usize>, y: &mut [f32]) {
    let lines: [&[f32]; M] = std::array::from_fn(|i| &x[i * n..][rows.clone()]);
    let pixels = &mut y.as_chunks_mut::<M>().0[..rows.len()];
    for (p, pixel) in pixels.iter_mut().enumerate() {
        for i in 0..M {
            pixel[i] = lines[i][p];
        }
    }
}
