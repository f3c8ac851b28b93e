//! Gradients of dense and grouped convolutions, through the same matrix product as the convolution itself.

use super::super::patches::Patches;
use super::super::{Epilogue, Gemm, Out, PackedB, Window, check_range, gemm_at_b_whole, gemm_whole};
use super::{read, write};
use crate::simd::{Isa, Kernel, Simd};
use std::ops::Range;

/// Floats of patches that are in work at once: 256 KB, a part of the L2 cache.
const BLOCK: usize = 64 << 10;
/// What [`Patches`] may write too much.
const SLACK: usize = 16;

/// A convolution, for its gradients.
#[derive(Clone, Copy)]
pub struct ConvGrad<'a> {
    /// How the kernel slides over the input.
    pub window: Window,
    /// Groups of channels.
    pub groups: usize,
    /// Channels of the input, of all groups.
    pub inputs: usize,
    /// Channels of the output, of all groups.
    pub outputs: usize,
    /// The gradient of the output, NHWC.
    pub gradient: &'a [f32],
}

impl ConvGrad<'_> {
    /// Floats of the patch that one output pixel of one group sees.
    pub fn patch(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1] * self.inputs / self.groups
    }

    /// Output pixels whose patches are in work at once.
    fn block(&self) -> usize {
        (BLOCK / self.patch().max(1)).clamp(16, 1024)
    }

    /// Floats of scratch that a call needs.
    pub fn scratch_len(&self) -> usize {
        self.block() * (self.patch() + self.outputs / self.groups) + SLACK
    }

    /// Rows that the right-hand side of [`conv_weight_grad`] must have room for.
    pub fn block_pixels(&self) -> usize {
        self.block()
    }

    fn check(&self) {
        self.window.check();
        assert_eq!(self.gradient.len(), self.window.pixels() * self.outputs, "gradient for {:?}", self.window);
    }
}

/// Computes `pictures` of the gradient with respect to the input.
///
/// `weights` holds, for each group, the filters as a right-hand side of outputs × patch (taps outermost, then channels).
///
/// # Safety
/// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
pub unsafe fn conv_input_grad(
    isa: Isa,
    g: &ConvGrad<'_>,
    weights: &[PackedB],
    out: Out<'_>,
    pictures: Range<usize>,
    scratch: &mut [f32],
) {
    g.check();
    let (w, patch, per_group) = (&g.window, g.patch(), g.outputs / g.groups);
    check_range(&pictures, w.batch, "pictures");
    assert_eq!(out.len(), w.input_pixels() * g.inputs, "output for {w:?}");
    let size = w.input[0] * w.input[1] * g.inputs;
    let pixels = w.output[0] * w.output[1];
    for picture in pictures {
        // SAFETY: pictures are the caller's alone.
        let dx = unsafe { out.slice_mut(picture * size..(picture + 1) * size) };
        dx.fill(0.0);
        for first in (0..pixels).step_by(g.block()) {
            let m = g.block().min(pixels - first);
            for (group, b) in weights.iter().enumerate() {
                let a = &g.gradient[(picture * pixels + first) * g.outputs + group * per_group..];
                let product = Gemm { m, a, lda: g.outputs, b, ldc: patch, epilogue: Epilogue::default() };
                let rows = &mut scratch[..m * patch];
                gemm_whole(&product, rows);
                let channels = group * g.inputs / g.groups;
                // SAFETY: the rows are patches of pixels of this picture, and dx is the picture.
                unsafe { isa.run(Scatter { g, channels, first, rows, dx }) }
            }
        }
    }
}

/// Adds rows of patches to the pixels that they were taken from.
struct Scatter<'a> {
    g: &'a ConvGrad<'a>,
    /// The first channel of the group.
    channels: usize,
    /// The output pixel of the first row.
    first: usize,
    rows: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for Scatter<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (w, n) = (&self.g.window, self.g.inputs / self.g.groups);
        for (i, row) in self.rows.chunks_exact(self.g.patch().max(1)).enumerate() {
            let (oy, ox) = ((self.first + i) / w.output[1], (self.first + i) % w.output[1]);
            let ((ys, y0), (xs, x0)) = (w.reach(0, oy), w.reach(1, ox));
            for ky in ys {
                let y = y0.wrapping_add_unsigned(ky * w.dilation[0]).unsigned_abs();
                for kx in xs.clone() {
                    let x = x0.wrapping_add_unsigned(kx * w.dilation[1]).unsigned_abs();
                    let to = &mut self.dx[(y * w.input[1] + x) * self.g.inputs + self.channels..][..n];
                    let from = &row[(ky * w.kernel[1] + kx) * n..][..n];
                    for i in (0..n).step_by(S::LANES) {
                        let lanes = S::LANES.min(n - i);
                        // SAFETY: both runs have `n` floats.
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

/// Adds up the gradient with respect to the weights over output `pixels` (flat over batch, height, width).
///
/// `sums` is, for each group, outputs × patch (taps outermost, then channels); `packed` has room for [`ConvGrad::block_pixels`] rows of
/// a patch.
pub fn conv_weight_grad(
    isa: Isa,
    g: &ConvGrad<'_>,
    x: &[f32],
    pixels: Range<usize>,
    packed: &mut PackedB,
    scratch: &mut [f32],
    sums: &mut [f32],
) {
    g.check();
    let (w, patch, per_group) = (&g.window, g.patch(), g.outputs / g.groups);
    check_range(&pixels, w.pixels(), "pixels");
    assert_eq!(x.len(), w.input_pixels() * g.inputs, "x for {w:?}");
    assert_eq!(sums.len(), g.outputs * patch, "sums");
    assert!(scratch.len() >= g.scratch_len(), "scratch of {}", scratch.len());
    sums.fill(0.0);
    let (rows, columns) = scratch.split_at_mut(g.block() * patch + SLACK);
    let channels = g.inputs / g.groups;
    for first in pixels.clone().step_by(g.block()) {
        let some = first..pixels.end.min(first + g.block());
        for (group, sums) in sums.chunks_exact_mut((per_group * patch).max(1)).enumerate() {
            let channels = group * channels..(group + 1) * channels;
            let gather =
                Patches { window: w, x, inputs: g.inputs, channels, pixels: some.clone(), scratch: rows, row: patch };
            // SAFETY: rows have room for the block's patches and a vector more, and x has its length.
            unsafe { isa.run(gather) };
            packed.repack_rows(some.len(), rows);
            let dy = &g.gradient[some.start * g.outputs..some.end * g.outputs];
            if g.groups == 1 {
                gemm_at_b_whole(per_group, dy, packed, sums);
                continue;
            }
            let columns = &mut columns[..some.len() * per_group];
            for (to, from) in columns.chunks_exact_mut(per_group).zip(dy.chunks_exact(g.outputs)) {
                to.copy_from_slice(&from[group * per_group..][..per_group]);
            }
            gemm_at_b_whole(per_group, columns, packed, sums);
        }
    }
}
