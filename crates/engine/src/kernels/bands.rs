//! The pictures under a convolution's windows, such that every window lies inside: read where they stand, or copied with zeros around.
//!
//! The copy is made for a band of output lines at a time and stays in cache. It writes each input line once, a ninth of what copying
//! the patches of a 3×3 convolution writes.

use super::Window;
use super::gemm::Lines;
use std::ops::Range;

/// Floats that a band aims at: 256 KB, a part of the L2 cache.
const BAND: usize = 64 << 10;
/// The fewest pixels of a band, because the weights pass by for each and its last register tile may be small.
const PIXELS: usize = 112;

/// How the pictures under the windows are read.
pub(super) struct Bands {
    window: Window,
    channels: usize,
    /// Columns of the pictures that are read, and lines.
    width: usize,
    height: usize,
    /// Lines between two rows of the kernel.
    apart: usize,
    /// Output lines of a band: whole pictures or less than one. None where pictures are read where they stand.
    lines: Option<usize>,
}

impl Bands {
    pub(super) fn new(w: &Window, channels: usize) -> Self {
        let [height, width] = [0, 1].map(|axis| w.span(axis, w.output[axis]));
        if w.pad == [0, 0] && height <= w.input[0] && width <= w.input[1] {
            let ([height, width], apart) = (w.input, w.dilation[0]);
            return Self { window: *w, channels, width, height, apart, lines: None };
        }
        let fitting = BAND / width.saturating_mul(channels).max(1);
        let lines = match fitting / height {
            0 => {
                let fitting = fitting.saturating_sub(w.span(0, 1)) / w.stride[0] + 1;
                fitting.max(PIXELS.div_ceil(w.output[1].max(1))).min(w.output[0])
            }
            pictures => pictures * w.output[0],
        };
        let mut bands = Self { window: *w, channels, width, height, apart: 1, lines: Some(lines.max(1)) };
        // Of rows far apart, what lies between is not copied.
        bands.apart = w.dilation[0].min(lines.min(w.output[0]).saturating_sub(1) * w.stride[0] + 1);
        bands.height = bands.lines_under(w.output[0]);
        bands
    }

    /// Lines of a copy for so many output lines of a picture.
    fn lines_under(&self, outputs: usize) -> usize {
        let w = &self.window;
        outputs.saturating_sub(1) * w.stride[0] + w.kernel[0].saturating_sub(1) * self.apart + 1
    }

    /// Floats of scratch that a band needs.
    pub(super) fn scratch_len(&self) -> usize {
        let all = self.window.output[0].max(1);
        let lines = self.lines.map_or(0, |lines| match lines / all {
            0 => self.lines_under(lines),
            pictures => pictures * self.height,
        });
        lines.saturating_mul(self.width).saturating_mul(self.channels)
    }

    /// Where the windows begin, `stride · channels` apart in a line; none if all are equally far apart.
    pub(super) fn windows(&self) -> Option<Lines> {
        let w = &self.window;
        let even = self.lines.is_none() && w.stride == [1, 1] && w.input == w.output;
        (!even).then(|| self.places())
    }

    /// Where lines of windows begin.
    pub(super) fn places(&self) -> Lines {
        let (w, line) = (&self.window, self.width * self.channels);
        Lines { width: w.output[1], height: w.output[0], line: w.stride[0] * line, picture: self.height * line }
    }

    /// Distance of a kernel's rows.
    pub(super) fn run_step(&self) -> usize {
        self.apart * self.width * self.channels
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
        if n == 0 {
            return;
        }
        let pad = w.pad[1].min(self.width) * n;
        let inside = w.input[1].min(self.width - w.pad[1].min(self.width)) * n;
        for (i, line) in to.chunks_exact_mut(self.width * n).take(self.lines_under(rows.len())).enumerate() {
            let (left, rest) = line.split_at_mut(pad);
            let (middle, right) = rest.split_at_mut(inside);
            left.fill(0.0);
            right.fill(0.0);
            let ky = (i / self.apart).min(w.kernel[0].saturating_sub(1));
            let y = first + ky * w.dilation[0] + (i - ky * self.apart);
            match y.checked_sub(w.pad[0]).filter(|&y| y < w.input[0]) {
                Some(y) => middle.copy_from_slice(&x[(picture * w.input[0] + y) * w.input[1] * n..][..inside]),
                None => middle.fill(0.0),
            }
        }
    }
}
