//! The pictures under a convolution's windows, such that every window lies inside: read where they stand, or copied with zeros around.
//!
//! The copy is made for a band of output lines at a time and stays in cache. It writes each input line once, a ninth of what copying
//! the patches of a 3×3 convolution writes.

use super::Window;
use super::gemm::Lines;
use std::ops::Range;

/// Floats that a band aims at: 256 KB, a part of the L2 cache.
const BAND: usize = 64 << 10;
/// The fewest pixels of a band, because the weights pass by for each.
const PIXELS: usize = 56;

/// How the pictures under the windows are read.
pub(super) struct Bands {
    window: Window,
    channels: usize,
    /// Columns of the pictures that are read, and lines.
    width: usize,
    height: usize,
    /// Output lines of a band: whole pictures or less than one. None where pictures are read where they stand.
    lines: Option<usize>,
}

impl Bands {
    pub(super) fn new(w: &Window, channels: usize) -> Self {
        let reach = |axis: usize, outputs: usize| {
            outputs.saturating_sub(1) * w.stride[axis] + w.kernel[axis].saturating_sub(1) * w.dilation[axis] + 1
        };
        let [height, width] = [0, 1].map(|axis| reach(axis, w.output[axis]));
        if w.pad == [0, 0] && height <= w.input[0] && width <= w.input[1] {
            return Self { window: *w, channels, width: w.input[1], height: w.input[0], lines: None };
        }
        let fitting = BAND / (width * channels).max(1);
        let lines = match fitting / height {
            0 => {
                let fitting = fitting.saturating_sub(reach(0, 1)) / w.stride[0] + 1;
                fitting.max(PIXELS.div_ceil(w.output[1].max(1))).min(w.output[0])
            }
            pictures => pictures * w.output[0],
        };
        Self { window: *w, channels, width, height, lines: Some(lines.max(1)) }
    }

    /// Floats of scratch that a band needs.
    pub(super) fn scratch_len(&self) -> usize {
        let (w, all) = (&self.window, self.window.output[0].max(1));
        let lines = self.lines.map_or(0, |lines| match lines / all {
            0 => (lines - 1) * w.stride[0] + w.kernel[0].saturating_sub(1) * w.dilation[0] + 1,
            pictures => pictures * self.height,
        });
        lines * self.width * self.channels
    }

    /// Where the windows begin: they are `stride · channels` apart in a line.
    pub(super) fn places(&self) -> Lines {
        let (w, line) = (&self.window, self.width * self.channels);
        Lines { width: w.output[1], height: w.output[0], line: w.stride[0] * line, picture: self.height * line }
    }

    /// Distance of a kernel's rows.
    pub(super) fn run_step(&self) -> usize {
        self.window.dilation[0] * self.width * self.channels
    }

    /// How many of the pixels `left` are computed together, and where the window of pixel 0 lies, or would lie.
    pub(super) fn next(&self, left: Range<usize>, x: &[f32], scratch: &mut [f32]) -> (Range<usize>, *const f32) {
        let Some(lines) = self.lines else { return (left, x.as_ptr()) };
        let w = &self.window;
        let (first, all) = (left.start / w.output[1], w.output[0]);
        let picture = first / all;
        let end = if lines < all { (first + lines).min((picture + 1) * all) } else { picture * all + lines };
        let some = left.start..left.end.min(end * w.output[1]);
        let (places, end) = (self.places(), some.end.div_ceil(w.output[1]));
        let origin = places.at(first);
        for picture in picture..end.div_ceil(all) {
            let rows = first.max(picture * all)..end.min((picture + 1) * all);
            self.copy(
                picture,
                rows.start - picture * all..rows.end - picture * all,
                x,
                &mut scratch[places.at(rows.start) - origin..],
            );
        }
        (some, scratch.as_ptr().wrapping_sub(origin))
    }

    /// Copies the lines of a picture that the output lines `rows` reach.
    fn copy(&self, picture: usize, rows: Range<usize>, x: &[f32], to: &mut [f32]) {
        let (w, n) = (&self.window, self.channels);
        let first = rows.start * w.stride[0];
        let count = (rows.len() - 1) * w.stride[0] + w.kernel[0].saturating_sub(1) * w.dilation[0] + 1;
        if n == 0 {
            return;
        }
        let pad = w.pad[1].min(self.width) * n;
        let inside = w.input[1].min(self.width - w.pad[1].min(self.width)) * n;
        for (i, line) in to.chunks_exact_mut(self.width * n).take(count).enumerate() {
            let (left, rest) = line.split_at_mut(pad);
            let (middle, right) = rest.split_at_mut(inside);
            left.fill(0.0);
            right.fill(0.0);
            match (first + i).checked_sub(w.pad[0]).filter(|&y| y < w.input[0]) {
                Some(y) => middle.copy_from_slice(&x[(picture * w.input[0] + y) * w.input[1] * n..][..inside]),
                None => middle.fill(0.0),
            }
        }
    }
}
