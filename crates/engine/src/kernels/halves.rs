//! The maximum of two by two pixels, side by side, of a plane, and its gradient: what most poolings of planes are.

use super::Window;
use crate::simd::{Kernel, Simd, read, write};
use std::ops::Range;

impl Window {
    /// Whether windows are two by two pixels of the picture, side by side.
    pub fn halves(&self) -> bool {
        let covered = (0..2).all(|axis| 2 * self.output[axis] <= self.input[axis]);
        covered && self.kernel == [2, 2] && self.stride == [2, 2] && self.dilation == [1, 1] && self.pad == [0, 0]
    }

    /// The neighbours of a line among pixels of the output, from the first of them on; and where the first window of them begins in the input.
    fn half_lines(&self, pixels: Range<usize>) -> impl Iterator<Item = (Range<usize>, usize)> {
        let ([height, width], input, mut left) = (self.output, self.input, pixels);
        std::iter::from_fn(move || {
            if left.is_empty() {
                return None;
            }
            let (line, column) = (left.start / width, left.start % width);
            let some = left.start..left.end.min(left.start + width - column);
            left.start = some.end;
            Some((some, (line / height * input[0] + line % height * 2) * input[1] + 2 * column))
        })
    }
}

/// Maxima of output pixels, counted over all planes, of which `y` is the first.
pub(super) struct Halves<'a> {
    pub(super) window: &'a Window,
    pub(super) x: &'a [f32],
    pub(super) pixels: Range<usize>,
    pub(super) y: *mut f32,
}

impl Kernel for Halves<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (some, at) in self.window.half_lines(self.pixels) {
            for i in (0..some.len()).step_by(S::LANES) {
                let n = S::LANES.min(some.len() - i);
                // SAFETY: the input has two lines of two pixels for each window, and the caller vouches for the output.
                unsafe {
                    let line = self.x.as_ptr().add(at + 2 * i);
                    let [a, b] = pairs::<S>(line, n);
                    let [c, d] = pairs::<S>(line.add(self.window.input[1]), n);
                    let greatest = S::max(S::max(d, c), S::max(b, a));
                    write::<S>(self.y.add(some.start + i), greatest, n);
                }
            }
        }
    }
}

/// The gradients of output pixels go to the first of the greatest that each of them saw; all else stays as it is.
pub(super) struct HalvesGrad<'a> {
    pub(super) window: &'a Window,
    pub(super) x: &'a [f32],
    pub(super) dy: &'a [f32],
    pub(super) pixels: Range<usize>,
    pub(super) dx: *mut f32,
}

impl Kernel for HalvesGrad<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let below = self.window.input[1];
        for (some, at) in self.window.half_lines(self.pixels) {
            for i in (0..some.len()).step_by(S::LANES) {
                let n = S::LANES.min(some.len() - i);
                // SAFETY: the input has two lines of two pixels for each window; the caller vouches for its gradient.
                unsafe {
                    let (line, to) = (self.x.as_ptr().add(at + 2 * i), self.dx.add(at + 2 * i));
                    let [a, b] = pairs::<S>(line, n);
                    let [c, d] = pairs::<S>(line.add(below), n);
                    let most = S::select_lt(a, b, b, a);
                    let most = S::select_lt(most, c, c, most);
                    let most = S::select_lt(most, d, d, most);
                    let (zero, left) = (S::splat(0.0), read::<S>(self.dy.as_ptr().add(some.start + i), n));
                    let [own_a, left] = [S::select_lt(a, most, zero, left), S::select_lt(a, most, left, zero)];
                    let [own_b, left] = [S::select_lt(b, most, zero, left), S::select_lt(b, most, left, zero)];
                    let [own_c, left] = [S::select_lt(c, most, zero, left), S::select_lt(c, most, left, zero)];
                    put::<S>(to, S::merge(own_a, own_b), n);
                    put::<S>(to.add(below), S::merge(own_c, S::select_lt(d, most, zero, left)), n);
                }
            }
        }
    }
}

/// The left and the right pixels of `n` windows.
///
/// # Safety
/// `line` is valid for `2 · n` floats, and the CPU has the instruction set of `S`.
#[inline(always)]
unsafe fn pairs<S: Simd>(line: *const f32, n: usize) -> [S::V; 2] {
    // SAFETY: as the caller vouches.
    unsafe {
        if n == S::LANES {
            return S::split(S::load(line), S::load(line.add(n)));
        }
        let low = read::<S>(line, S::LANES.min(2 * n));
        let high = if 2 * n > S::LANES { S::load_part(line.add(S::LANES), 2 * n - S::LANES) } else { S::splat(0.0) };
        S::split(low, high)
    }
}

/// Writes what [`pairs`] reads.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn put<S: Simd>(line: *mut f32, [low, high]: [S::V; 2], n: usize) {
    // SAFETY: as the caller vouches.
    unsafe {
        write::<S>(line, low, S::LANES.min(2 * n));
        if 2 * n > S::LANES {
            write::<S>(line.add(S::LANES), high, 2 * n - S::LANES);
        }
    }
}
