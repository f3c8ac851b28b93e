//! Gradients of dense and grouped convolutions: that of the input through the same matrix product as the convolution itself, that of the
//! weights as a sum of outer products for each tap.

use super::super::epilogue::Activate;
use super::super::{Activation, Epilogue, Gemm, Out, PackedB, Window, check_range, gemm_whole};
use super::{Outer, SLACK, add_outer, patches, read, tap, write};
use crate::simd::{Isa, Kernel, Simd};
use std::ops::Range;

/// Floats of patches that are in work at once: 256 KB, a part of the L2 cache.
const BLOCK: usize = 64 << 10;
/// Floats of a kernel row up to which its taps are taken together.
const SHORT: usize = 32;

/// The shape of a convolution.
#[derive(Clone, Copy)]
pub struct ConvShape {
    /// How the kernel slides over the input.
    pub window: Window,
    /// Groups of channels.
    pub groups: usize,
    /// Channels of the input, of all groups.
    pub inputs: usize,
    /// Channels of the output, of all groups.
    pub outputs: usize,
}

/// A convolution, for its gradients.
#[derive(Clone, Copy)]
pub struct ConvGrad<'a> {
    /// Its shape.
    pub conv: ConvShape,
    /// The gradient of the output, NHWC.
    pub gradient: &'a [f32],
}

impl ConvShape {
    /// Floats of the patch that one output pixel of one group sees.
    pub fn patch(&self) -> usize {
        self.window.taps() * self.inputs / self.groups
    }

    /// Output pixels whose patches are in work at once.
    fn block(&self) -> usize {
        (BLOCK / self.patch().max(1)).clamp(16, 1024)
    }

    /// Pictures whose gradient with respect to the input is computed at once: small ones together, because all weights pass by for each.
    pub fn together(&self) -> usize {
        let w = &self.window;
        (self.block() / (w.output[0] * w.output[1]).max(1)).min(w.batch / 4).max(1)
    }

    /// Output rows that are in work at once while the gradient of the weights is computed.
    fn block_rows(&self) -> usize {
        let w = &self.window;
        (BLOCK / (w.stride[0] * w.input[1] * self.inputs + w.output[1] * self.outputs).max(1)).min(w.output[0]).max(1)
    }

    /// The same in whole pictures, of which one is few samples for a sum if it is small.
    fn block_pictures(&self) -> usize {
        let w = &self.window;
        let picture = w.input[0] * w.input[1] * self.inputs + w.output[0] * w.output[1] * self.outputs;
        BLOCK / picture.max(1)
    }

    /// Whether the gradient of the weights reads the input where it stands: else vectors reach beyond the last channel of a pixel, where at the end of
    /// the input there is nothing, so some room is needed behind it.
    fn stands(&self, isa: Isa) -> bool {
        (self.inputs / self.groups).is_multiple_of(isa.lanes())
    }

    /// Floats of scratch that a call for gradients needs.
    pub fn scratch_len(&self) -> usize {
        let w = &self.window;
        let lines = w.span(0, self.block_rows()).min(w.input[0]);
        let plain = (self.block() * self.patch()).max(lines * w.input[1] * self.inputs) + SLACK;
        if self.is_thin() { plain.max(self.patches_len()) } else { plain }
    }
}

impl ConvGrad<'_> {
    fn check(&self) {
        let w = &self.conv.window;
        w.check();
        assert_eq!(self.gradient.len(), w.pixels() * self.conv.outputs, "gradient for {w:?}");
    }
}

/// Computes `pictures` of the gradient with respect to the input, which with bias and activation (a residual is not looked at) is a transposed
/// convolution.
///
/// `weights` holds, for each group, the filters as a right-hand side of outputs × patch (taps outermost, then channels).
///
/// # Safety
/// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
pub unsafe fn conv_input_grad(
    isa: Isa,
    g: &ConvGrad<'_>,
    weights: &[PackedB],
    epilogue: &Epilogue<'_>,
    out: Out<'_>,
    pictures: Range<usize>,
    scratch: &mut [f32],
) {
    g.check();
    let conv = &g.conv;
    let (w, patch, per_group) = (&conv.window, conv.patch(), conv.outputs / conv.groups);
    check_range(&pictures, w.batch, "pictures");
    assert_eq!(out.len(), w.input_pixels() * conv.inputs, "output for {w:?}");
    epilogue.check(0, conv.inputs);
    let size = w.input[0] * w.input[1] * conv.inputs;
    let pixels = w.output[0] * w.output[1];
    let mut left = pictures;
    while !left.is_empty() {
        let some = left.start..left.end.min(left.start + conv.together());
        left.start = some.end;
        // SAFETY: pictures are the caller's alone.
        let dx = unsafe { out.slice_mut(some.start * size..some.end * size) };
        match epilogue.bias {
            Some(bias) => dx.chunks_exact_mut(conv.inputs.max(1)).for_each(|pixel| pixel.copy_from_slice(bias)),
            None => dx.fill(0.0),
        }
        for first in (0..some.len() * pixels).step_by(conv.block()) {
            let m = conv.block().min(some.len() * pixels - first);
            for (group, b) in weights.iter().enumerate() {
                let a = &g.gradient[(some.start * pixels + first) * conv.outputs + group * per_group..];
                let product = Gemm { m, a, lda: conv.outputs, b, ldc: patch, epilogue: Epilogue::default() };
                let rows = &mut scratch[..m * patch];
                gemm_whole(&product, rows);
                let channels = group * conv.inputs / conv.groups;
                // SAFETY: the rows are patches of pixels of these pictures, and dx is the pictures.
                unsafe { isa.run(Scatter { conv, channels, first, rows, dx }) }
            }
        }
        let (x, y, activation) = (dx.as_ptr(), dx.as_mut_ptr(), epilogue.activation);
        if activation != Activation::None {
            // SAFETY: one run, in place, of the length of the pictures.
            unsafe { isa.run(Activate { x, y, rows: 1, stride: 0, len: some.len() * size, activation }) }
        }
    }
}

/// Adds rows of patches to the pixels that they were taken from.
struct Scatter<'a> {
    conv: &'a ConvShape,
    /// The first channel of the group.
    channels: usize,
    /// The output pixel of the first row, counted over the pictures.
    first: usize,
    rows: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for Scatter<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (w, n) = (&self.conv.window, self.conv.inputs / self.conv.groups);
        // The taps of a kernel row that are neighbours in the picture are one run.
        let together = self.conv.groups == 1 && w.dilation[1] == 1;
        for (i, row) in self.rows.chunks_exact(self.conv.patch().max(1)).enumerate() {
            let (line, ox) = ((self.first + i) / w.output[1], (self.first + i) % w.output[1]);
            let (picture, oy) = (line / w.output[0], line % w.output[0]);
            let dx = &mut self.dx[picture * w.input[0] * w.input[1] * self.conv.inputs..];
            let ((ys, y0), (xs, x0)) = (w.reach(0, oy), w.reach(1, ox));
            let run = if together { xs.len().max(1) } else { 1 };
            for ky in ys {
                for kx in xs.clone().step_by(run) {
                    let to = &mut dx[tap(w, [y0, x0], ky, kx) * self.conv.inputs + self.channels..][..run * n];
                    let from = &row[(ky * w.kernel[1] + kx) * n..][..run * n];
                    for i in (0..run * n).step_by(S::LANES) {
                        let lanes = S::LANES.min(run * n - i);
                        // SAFETY: both runs have `run · n` floats.
                        unsafe {
                            let to = to.as_mut_ptr().add(i);
                            let sum = S::add(read::<S>(to, lanes), read::<S>(from.as_ptr().add(i), lanes));
                            write::<S>(to, sum, lanes);
                        }
                    }
                }
            }
        }
    }
}

/// Adds up the gradient with respect to the weights over output `rows` (flat over batch and height), for some `outputs` of each group.
///
/// `sums` is, for each group, those outputs × patch (taps outermost, then channels); `scratch` holds [`ConvShape::scratch_len`] floats.
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
    // A block is of one picture, and no longer, or of several whole ones.
    let blocks = |most: usize, pictures: usize| {
        let (height, mut left) = (w.output[0], rows.clone());
        std::iter::from_fn(move || {
            let next = (left.start / height.max(1) + 1) * height;
            let several = (left.end - left.start).min(pictures * height) / height.max(1) * height;
            let end = match several > height && left.start.is_multiple_of(height) {
                true => left.start + several,
                false => left.end.min(next).min(left.start + most),
            };
            let block = left.start..end;
            left.start = end;
            (!block.is_empty()).then_some(block)
        })
    };
    if conv.is_thin() {
        return blocks(conv.patch_rows(), 1).for_each(|rows| patches::add(isa, g, x, rows, &outputs, scratch, sums));
    }
    let pictures = if conv.stands(isa) { conv.block_pictures() } else { 1 };
    let blocks = || blocks(conv.block_rows(), pictures);
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
