//! Dense and grouped convolutions on the way back, and the gradient of the input, through the same matrix product as the convolution itself.

use super::super::epilogue::Activate;
use super::super::{Activation, Epilogue, Gemm, Out, PackedB, Window, check_range, gemm_whole};
use super::{SLACK, read, tap, write};
use crate::simd::{Isa, Kernel, Simd};
use std::ops::Range;

/// Floats of patches that are in work at once: 256 KB, a part of the L2 cache.
pub(super) const BLOCK: usize = 64 << 10;

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

    /// Cuts output rows (flat over batch and height) into blocks: some of one picture, or several whole pictures, because one that is small is few
    /// samples for a sum.
    pub(super) fn blocks(&self, isa: Isa, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let (w, most) = (&self.window, self.block_rows());
        let (picture, height) =
            (w.input[0] * w.input[1] * self.inputs + w.output[0] * w.output[1] * self.outputs, w.output[0]);
        let fitting = if self.stands(isa) { BLOCK / picture.max(1) * height } else { 0 };
        let mut left = rows;
        std::iter::from_fn(move || {
            let whole = left.len().min(fitting) / height.max(1) * height;
            let len = match left.start % height.max(1) {
                0 if whole > height => whole,
                line => left.len().min(height - line).min(most),
            };
            let block = left.start..left.start + len;
            left.start = block.end;
            (!block.is_empty()).then_some(block)
        })
    }

    /// Whether the gradient of the weights reads the input where it stands: else vectors reach beyond the last channel of a pixel, where at the end of
    /// the input there is nothing, so some room is needed behind it.
    pub(super) fn stands(&self, isa: Isa) -> bool {
        (self.inputs / self.groups).is_multiple_of(isa.lanes())
    }

    /// Floats of scratch that a call for gradients needs.
    pub fn scratch_len(&self) -> usize {
        let w = &self.window;
        let lines = w.span(0, self.block_rows()).min(w.input[0]);
        let plain = (self.block() * self.patch()).max(lines * w.input[1] * self.inputs) + SLACK;
        if self.is_thin() { self.thin_scratch().into_iter().fold(0, usize::saturating_add) } else { plain }
    }
}

impl ConvGrad<'_> {
    pub(super) fn check(&self) {
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
