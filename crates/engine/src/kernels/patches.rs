//! The rows that make a convolution a matrix product: patches of the input, gathered into scratch.
//!
//! Everything is written in ascending order and in whole vectors; what a run writes too much is overwritten by the next, and the
//! scratch ends with room for the last.

use super::Window;
use crate::simd::{Kernel, Simd};
use std::ops::Range;

/// Copies the patches of `pixels` into rows of `scratch`; taps in the padding become zeros.
pub(super) struct Patches<'a> {
    pub(super) window: &'a Window,
    pub(super) x: &'a [f32],
    /// Channels of `x`.
    pub(super) inputs: usize,
    /// Those that are copied.
    pub(super) channels: Range<usize>,
    pub(super) pixels: Range<usize>,
    pub(super) scratch: &'a mut [f32],
    /// Distance of rows, at least taps · channels.
    pub(super) row: usize,
}

impl Kernel for Patches<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let w = self.window;
        let mut to = self.scratch.as_mut_ptr();
        let mut pixel = self.pixels.start;
        while pixel < self.pixels.end {
            let (line, first) = (pixel / w.output[1], pixel % w.output[1]);
            let columns = first..w.output[1].min(first + self.pixels.end - pixel);
            pixel += columns.len();
            let (picture, oy) = (line / w.output[0], line % w.output[0]);
            let (ys, y0) = w.reach(0, oy);
            let lines = Lines { first: (picture * w.input[0]) as isize + y0, inside: ys };
            for ox in columns {
                // SAFETY: there are rows for all pixels and a vector more (scratch length checked by `conv`), and x has its length.
                unsafe { self.patch::<S>(&lines, ox, to) };
                to = to.wrapping_add(self.row);
            }
        }
    }
}

/// The input lines that the kernel's rows meet.
struct Lines {
    /// Line of the first row, among all pictures' lines; it may be outside.
    first: isize,
    /// The rows that lie inside the picture.
    inside: Range<usize>,
}

impl Patches<'_> {
    /// Copies the patch of output column `ox`.
    ///
    /// # Safety
    /// `to` has room for a patch and a vector more, x has the length that the window says, and the CPU has the instruction set of `S`.
    #[inline(always)]
    unsafe fn patch<S: Simd>(&self, lines: &Lines, ox: usize, mut to: *mut f32) {
        let w = self.window;
        let (n, kw) = (self.channels.len(), w.kernel[1]);
        let (xs, x0) = w.reach(1, ox);
        let x = x0.wrapping_add_unsigned(xs.start * w.dilation[1]);
        for ky in 0..w.kernel[0] {
            // SAFETY: the taps in `inside` × `xs` lie inside the picture (`Window::reach`), so their channels lie inside x; all that
            // is written are kw · n floats for each of the kernel's rows.
            unsafe {
                if !lines.inside.contains(&ky) || xs.is_empty() {
                    fill::<S>(to, kw * n);
                } else {
                    let line = lines.first.wrapping_add_unsigned(ky * w.dilation[0]) as usize;
                    let pixel = line * w.input[1] + x as usize;
                    let from = pixel * self.inputs + self.channels.start;
                    fill::<S>(to, xs.start * n);
                    let inner = to.add(xs.start * n);
                    if w.dilation[1] == 1 && n == self.inputs {
                        // The taps of the row are neighbours: one run.
                        self.copy::<S>(from, inner, xs.len() * n);
                    } else {
                        for t in 0..xs.len() {
                            self.copy::<S>(from + t * w.dilation[1] * self.inputs, inner.add(t * n), n);
                        }
                    }
                    fill::<S>(to.add(xs.end * n), (kw - xs.end) * n);
                }
            }
            to = to.wrapping_add(kw * n);
        }
    }

    /// Copies `n` floats of x; runs are short, so a call of `memcpy` would cost more than the copy.
    ///
    /// # Safety
    /// x has `n` floats at `from`, and `to` has room for `n` and a vector less one.
    #[inline(always)]
    unsafe fn copy<S: Simd>(&self, from: usize, to: *mut f32, n: usize) {
        for i in (0..n).step_by(S::LANES) {
            // SAFETY: whole vectors are read only where x has them; the caller vouches for the rest.
            unsafe {
                let x = self.x.as_ptr().add(from + i);
                let left = self.x.len() - (from + i);
                S::store(to.add(i), if left >= S::LANES { S::load(x) } else { S::load_part(x, left) });
            }
        }
    }
}

/// Writes `n` zeros.
///
/// # Safety
/// `to` has room for `n` floats and a vector less one.
#[inline(always)]
unsafe fn fill<S: Simd>(to: *mut f32, n: usize) {
    for i in (0..n).step_by(S::LANES) {
        // SAFETY: as the caller vouches.
        unsafe { S::store(to.add(i), S::splat(0.0)) }
    }
}
