//! The gradient of the filters of thin inputs, such as pictures: windows so small that a kernel's row leaves most of a vector empty. What each
//! output pixel sees is copied into a row of its own, so that all taps of a filter are one run of floats.

use super::super::Window;
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

    /// Output rows of a picture whose patches are in work at once.
    pub(super) fn patch_rows(&self) -> usize {
        (BLOCK / (self.window.output[1] * self.patch()).max(1)).clamp(1, self.window.output[0].max(1))
    }

    /// Lines and floats of a line that so many output rows see, with what is padding.
    fn band(&self, rows: usize) -> [usize; 2] {
        [self.window.span(0, rows), self.window.span(1, self.window.output[1]) * self.inputs]
    }

    /// Floats of scratch for them.
    pub(super) fn patches_len(&self) -> usize {
        let rows = self.patch_rows();
        let band = self.band(rows).into_iter().product::<usize>();
        band.next_multiple_of(LANES) + rows * self.window.output[1] * self.row() + 2 * SLACK
    }

    /// Floats from patch to patch: whole vectors, so that none is in two lines of the cache.
    fn row(&self) -> usize {
        self.patch().next_multiple_of(LANES)
    }
}

/// Adds up what output `rows` of one picture (flat over batch and height) say, for some outputs.
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
    if rows.is_empty() || w.output[1] == 0 || outputs.is_empty() {
        return;
    }
    let [lines, line] = conv.band(rows.len());
    let (band, patches) = scratch.split_at_mut((lines * line).next_multiple_of(LANES) + SLACK);
    let (picture, first) = (rows.start / w.output[0], rows.start % w.output[0]);
    let size = w.input[1] * conv.inputs;
    let (left, inside) = (w.pad[1] * conv.inputs, size.min(line.saturating_sub(w.pad[1] * conv.inputs)));
    for (i, to) in band[..lines * line].chunks_exact_mut(line).enumerate() {
        to.fill(0.0);
        if let Some(y) = (first * w.stride[0] + i).checked_sub(w.pad[0]).filter(|&y| y < w.input[0]) {
            to[left.min(line)..][..inside].copy_from_slice(&x[(picture * w.input[0] + y) * size..][..inside]);
        }
    }
    let samples = rows.len() * w.output[1];
    let (patch, row) = (conv.patch(), conv.row());
    let patches = &mut patches[..samples * row + SLACK];
    // SAFETY: the kernel works on slices, whose lengths it looks at.
    unsafe { isa.run(Gather { w, channels: conv.inputs, rows: rows.len(), line, row, band, patches }) }
    let outer = Outer {
        samples,
        a: &g.gradient[rows.start * w.output[1] * conv.outputs + outputs.start..],
        rows: outputs.len(),
        lda: conv.outputs,
        b: patches,
        columns: patch,
        ldb: row,
        runs: [1, 0, 0],
        turns: [1, 0, 0],
        ldc: patch,
    };
    add_outer(isa, &outer, sums);
}

/// Copies the windows of so many output rows from a band that holds all that they see.
struct Gather<'a> {
    w: &'a Window,
    channels: usize,
    rows: usize,
    /// Floats of a line of the band.
    line: usize,
    /// Floats from patch to patch.
    row: usize,
    band: &'a [f32],
    patches: &'a mut [f32],
}

impl Kernel for Gather<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (w, run, width) = (self.w, self.w.kernel[1] * self.channels, self.w.output[1]);
        let step = w.stride[1] * self.channels;
        for oy in 0..self.rows {
            for ky in 0..w.kernel[0] {
                let line = &self.band[(oy * w.stride[0] + ky * w.dilation[0]) * self.line..];
                let patches = &mut self.patches[oy * width * self.row + ky * run..];
                assert!(
                    (width - 1) * step + run + SLACK <= line.len() && (width - 1) * self.row + run <= patches.len()
                );
                for i in (0..run).step_by(S::LANES) {
                    let n = S::LANES.min(run - i);
                    let (mut from, mut to) = (line.as_ptr().wrapping_add(i), patches.as_mut_ptr().wrapping_add(i));
                    for _ in 0..width {
                        // SAFETY: windows lie in the line, with a vector of slack behind the last, and their copies in the patches.
                        unsafe { S::store_part(to, S::load(from), n) }
                        (from, to) = (from.wrapping_add(step), to.wrapping_add(self.row));
                    }
                }
            }
        }
    }
}
