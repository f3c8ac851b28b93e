//! Gradients of the filters of dense and grouped convolutions: a sum of outer products for each tap.

use super::super::check_range;
use super::conv::{BLOCK, ConvGrad};
use super::{Outer, SLACK, add_outer, patches};
use crate::simd::Isa;
use std::ops::Range;

/// Floats of a kernel row up to which its taps are taken together.
const SHORT: usize = 32;

/// Adds up the gradient with respect to the weights over output `rows` (flat over batch and height), for some `outputs` of each group.
///
/// `sums` is, for each group, those outputs × patch (taps outermost, then channels); `scratch` holds [`scratch_len`](super::ConvShape::scratch_len) floats.
///
/// Input and gradient are read where they stand: what a tap sees of some rows of a picture are runs of evenly spaced pixels.
pub fn conv_weight_grad(
    isa: Isa,
    g: &ConvGrad<'_>,
    x: &[f32],
    rows: Range<usize>,
    outputs: Range<usize>,
    scratch: &mut [f32],
    sums: &mut [f32],
) {
    g.check();
    let (conv, w) = (&g.conv, &g.conv.window);
    check_range(&rows, w.rows(), "rows");
    check_range(&outputs, conv.outputs / conv.groups, "outputs");
    assert_eq!(x.len(), w.input_pixels() * conv.inputs, "x for {w:?}");
    assert_eq!(sums.len(), conv.groups * outputs.len() * conv.patch(), "sums");
    assert!(scratch.len() >= conv.scratch_len(), "scratch of {}", scratch.len());
    sums.fill(0.0);
    let taps = w.taps();
    if conv.is_thin() {
        return patches::add(isa, g, x, rows, &outputs, scratch, sums);
    }
    let blocks = || conv.blocks(isa, rows.clone());
    // Either the pixels or the sums of a tap stay in cache.
    if sums.len() <= BLOCK {
        for rows in blocks() {
            let tile = Rows::new(isa, g, x, rows, scratch);
            (0..taps).for_each(|tap| tile.add_tap(isa, tap, &outputs, sums));
        }
    } else {
        for tap in 0..taps {
            blocks().for_each(|rows| Rows::new(isa, g, x, rows, scratch).add_tap(isa, tap, &outputs, sums));
        }
    }
}

/// Output rows of one picture, or of several pictures, and the input rows that they see.
struct Rows<'a> {
    g: &'a ConvGrad<'a>,
    picture: usize,
    pictures: usize,
    rows: Range<usize>,
    x: &'a [f32],
    /// The input row that `x` begins with, counted over all pictures.
    line: usize,
}

impl<'a> Rows<'a> {
    fn new(isa: Isa, g: &'a ConvGrad<'a>, x: &'a [f32], rows: Range<usize>, scratch: &'a mut [f32]) -> Self {
        let w = &g.conv.window;
        let (picture, first) = (rows.start / w.output[0].max(1), rows.start % w.output[0].max(1));
        let pictures = (rows.len() / w.output[0].max(1)).max(1);
        let rows = first..first + rows.len() / pictures;
        if g.conv.stands(isa) {
            return Self { g, picture, pictures, rows, x, line: 0 };
        }
        let (lines, size) = (w.seen(&rows), w.input[1] * g.conv.inputs);
        let line = picture * w.input[0] + lines.start;
        let some = &x[line * size..(line + lines.len()) * size];
        scratch[..some.len()].copy_from_slice(some);
        Self { g, picture, pictures, rows, x: &scratch[..some.len() + SLACK], line }
    }

    /// Adds what a tap sees.
    ///
    /// Where the taps of a kernel row are a short run of floats (the first layer: 3 channels), they are one wherever all of them are inside
    /// the picture.
    fn add_tap(&self, isa: Isa, tap: usize, outputs: &Range<usize>, sums: &mut [f32]) {
        let (g, w) = (self.g, &self.g.conv.window);
        let (taps, kx) = (w.kernel[1], tap % w.kernel[1]);
        let all = 0..w.output[1];
        if w.dilation[1] > 1 || g.conv.groups > 1 || taps * g.conv.inputs > SHORT {
            return self.add(isa, tap, 1, all, outputs, sums);
        }
        // The outputs that see the first tap inside, and of those the ones that see the last.
        let inner = w.sees(1, taps - 1, w.sees(1, 0, all.clone()).0).0;
        if kx == 0 {
            self.add(isa, tap, taps, inner.clone(), outputs, sums);
        }
        self.add(isa, tap, 1, 0..inner.start, outputs, sums);
        self.add(isa, tap, 1, inner.end..all.end, outputs, sums);
    }

    /// Adds what so many neighbouring `taps`, of which `tap` is the first, see of output `columns`.
    fn add(&self, isa: Isa, tap: usize, taps: usize, columns: Range<usize>, outputs: &Range<usize>, sums: &mut [f32]) {
        let (conv, w) = (&self.g.conv, &self.g.conv.window);
        let (ys, y) = w.sees(0, tap / w.kernel[1], self.rows.clone());
        let (xs, x) = w.sees(1, tap % w.kernel[1], columns);
        if ys.is_empty() || xs.is_empty() || outputs.is_empty() {
            return;
        }
        let (channels, per_group, patch) = (conv.inputs / conv.groups, conv.outputs / conv.groups, conv.patch());
        let x = ((self.picture * w.input[0] + y - self.line) * w.input[1] + x) * conv.inputs;
        let dy = ((self.picture * w.output[0] + ys.start) * w.output[1] + xs.start) * conv.outputs;
        for group in 0..conv.groups {
            let outer = Outer {
                samples: xs.len(),
                a: &self.g.gradient[dy + group * per_group + outputs.start..],
                rows: outputs.len(),
                lda: conv.outputs,
                b: &self.x[x + group * channels..],
                columns: taps * channels,
                ldb: w.stride[1] * conv.inputs,
                runs: [ys.len(), w.output[1] * conv.outputs, w.stride[0] * w.input[1] * conv.inputs],
                turns: [self.pictures, w.output[0] * w.output[1] * conv.outputs, w.input[0] * w.input[1] * conv.inputs],
                ldc: patch,
            };
            add_outer(isa, &outer, &mut sums[group * outputs.len() * patch + tap * channels..]);
        }
    }
}
