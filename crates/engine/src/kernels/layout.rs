//! Pictures in: bytes to floats, and the order of axes.

use super::check_range;
use crate::simd::{Isa, Kernel, Simd};
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
/// `y` holds just these rows, `rows.len()` × m.
///
/// ```
/// let mut y = [0.0; 4];
/// percept_engine::kernels::transpose([2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 1..3, &mut y);
/// assert_eq!(y, [2.0, 5.0, 3.0, 6.0]);
/// ```
pub fn transpose([m, n]: [usize; 2], x: &[f32], rows: Range<usize>, y: &mut [f32]) {
    /// Rows and columns of a block, whose lines of both sides stay in the L1 cache.
    const BLOCK: usize = 16;
    check_range(&rows, n, "rows");
    assert_eq!(x.len(), m * n, "x");
    assert_eq!(y.len(), rows.len() * m, "y");
    match m {
        2 => return interleave::<2>(n, x, rows, y),
        3 => return interleave::<3>(n, x, rows, y),
        4 => return interleave::<4>(n, x, rows, y),
        9 => return interleave::<9>(n, x, rows, y),
        _ => {}
    }
    for i in (0..m).step_by(BLOCK) {
        for first in rows.clone().step_by(BLOCK) {
            let (length, count) = (BLOCK.min(rows.end - first), BLOCK.min(m - i));
            // Not where they go at once: lines a power of two apart would drive each other out of the cache.
            let mut block = [[0.0; BLOCK]; BLOCK];
            for k in 0..count {
                let from = &x[(i + k) * n + first..][..length];
                block.iter_mut().zip(from).for_each(|(row, &from)| row[k] = from);
            }
            for (row, from) in (first - rows.start..).zip(&block[..length]) {
                y[row * m + i..][..count].copy_from_slice(&from[..count]);
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
