//! The gradient of the filters of thin inputs, such as pictures: windows so small that a kernel's row leaves most of a vector empty. What each
//! output pixel sees is copied into a row of its own, so that all taps of a filter are one run of floats.

use super::super::bands::Bands;
use super::super::gemm::Lines;
use super::super::{Window, check_range};
use super::conv::{ConvGrad, ConvShape};
use super::{Outer, SLACK, add_outer};
use crate::simd::{Isa, Kernel, Simd};
use std::ops::Range;

/// Floats of patches that are in work at once: 128 KB, a part of the L2 cache.
const BLOCK: usize = 32 << 10;
/// Lanes by which the choice is made, whatever the instruction set has, so that sums are those of any other.
const LANES: usize = 16;
/// The longest patch that is worth its copy.
const MOST: usize = 256;

impl ConvShape {
    /// Whether patches fill fewer vectors than their rows one by one.
    pub(super) fn is_thin(&self) -> bool {
        let (w, patch) = (&self.window, self.patch());
        let by_rows = w.kernel[0] * (w.kernel[1] * self.inputs).div_ceil(LANES);
        self.groups == 1 && w.dilation[1] == 1 && patch <= MOST && patch.div_ceil(LANES) < by_rows
    }

    /// Output pixels whose patches are in work at once.
    fn patches(&self) -> usize {
        (BLOCK / self.row().max(1)).max(1)
    }

    /// Floats from patch to patch: whole vectors, so that none is in two lines of the cache.
    fn row(&self) -> usize {
        self.patch().next_multiple_of(LANES)
    }

    /// Floats of scratch for the pictures with their padding, and for patches.
    pub(super) fn thin_scratch(&self) -> [usize; 2] {
        let bands = Bands::new(&self.window, self.inputs).scratch_len();
        [bands.next_multiple_of(LANES), self.patches().min(self.window.pixels()) * self.row() + SLACK]
    }
}

/// Adds up what output `rows` (flat over batch and height) say, for some outputs; `scratch` holds [`ConvShape::thin_scratch`] floats.
pub(super) fn add(
    isa: Isa,
    g: &ConvGrad<'_>,
    x: &[f32],
    rows: Range<usize>,
    outputs: &Range<usize>,
    scratch: &mut [f32],
    sums: &mut [f32],
) {
    let (conv, w) = (&g.conv, &g.conv.window);
    let (patch, row, bands) = (conv.patch(), conv.row(), Bands::new(w, conv.inputs));
    let (band, patches) = scratch.split_at_mut(conv.thin_scratch()[0]);
    let mut left = rows.start * w.output[1]..rows.end * w.output[1];
    check_range(&left, w.pixels(), "pixels");
    while !left.is_empty() && !outputs.is_empty() {
        let (some, windows) = bands.next(left.clone(), x, band);
        left.start = some.end;
        for first in some.clone().step_by(conv.patches()) {
            let pixels = first..some.end.min(first + conv.patches());
            let (samples, run) = (pixels.len(), w.kernel[1] * conv.inputs);
            let to = &mut patches[..samples * row + SLACK];
            let (lines, down) = (bands.places(), bands.run_step());
            // SAFETY: windows of these pixels lie where the bands say, a run of floats for each row of the kernel; there is room for their copies.
            unsafe { isa.run(Gather { w, windows, lines, pixels, down, run, to, row }) }
            let outer = Outer {
                samples,
                a: &g.gradient[first * conv.outputs + outputs.start..],
                lda: conv.outputs,
                ldb: row,
                ldc: patch,
                ..Outer::dense(samples, &[], outputs.len(), to, patch)
            };
            add_outer(isa, &outer, sums);
        }
    }
}

/// Copies windows below each other.
struct Gather<'a> {
    w: &'a Window,
    /// Where the first line of windows begins, or would begin, and the others from there.
    windows: *const f32,
    lines: Lines,
    pixels: Range<usize>,
    /// Distance of a kernel's rows, and their floats.
    down: usize,
    run: usize,
    to: &'a mut [f32],
    /// Floats from patch to patch.
    row: usize,
}

impl Kernel for Gather<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (width, step) = (self.w.output[1], self.w.stride[1] * self.run / self.w.kernel[1].max(1));
        let (mut pixel, mut patch) = (self.pixels.start, self.to.as_mut_ptr());
        while pixel < self.pixels.end {
            let (line, column) = (pixel / width, pixel % width);
            let count = (width - column).min(self.pixels.end - pixel);
            let first = self.windows.wrapping_add(self.lines.at(line) + column * step);
            for ky in 0..self.w.kernel[0] {
                for i in (0..self.run).step_by(S::LANES) {
                    let n = S::LANES.min(self.run - i);
                    let mut from = first.wrapping_add(ky * self.down + i);
                    let mut to = patch.wrapping_add(ky * self.run + i);
                    for _ in 0..count {
                        // SAFETY: the caller vouches for the windows, and for room for a patch of all pixels.
                        unsafe { S::store_part(to, S::load_part(from, n), n) }
                        (from, to) = (from.wrapping_add(step), to.wrapping_add(self.row));
                    }
                }
            }
            (pixel, patch) = (pixel + count, patch.wrapping_add(count * self.row));
        }
    }
}
