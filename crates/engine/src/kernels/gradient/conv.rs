//! Dense and grouped convolutions on the way back, and the gradient of the input, through the same matrix product as the convolution itself.

use super::super::epilogue::Activate;
use super::super::{Activation, Epilogue, Gemm, Out, PackedB, Window, check_range, gemm_whole};
use super::{SLACK, read, write};
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

    /// Output lines of a picture whose patches are in work at once: some times as many as an input line is part of, since these are computed again for
    /// the input lines that follow.
    fn patch_lines(&self) -> usize {
        let w = &self.window;
        let least = (w.span(0, 1) - 1) / w.stride[0] * 4 + 3;
        (self.block() / w.output[1].max(1)).max(least).min(w.output[0])
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
        let patches = self.block().max(self.patch_lines().saturating_mul(w.output[1])).saturating_mul(self.patch());
        let plain = patches.max(lines * w.input[1] * self.inputs).saturating_add(SLACK);
        if self.is_thin() { self.thin_scratch().into_iter().fold(0, usize::saturating_add).max(plain) } else { plain }
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
    let lines = conv.patch_lines();
    let whole = lines == w.output[0];
    // Input lines that are part of no more output lines than that.
    let step = if whole { w.input[0] } else { (lines - 1) * w.stride[0] + 1 - w.span(0, 1) };
    let meetings = [0, 1].map(|axis| Meetings::new(w, axis));
    let mut left = pictures;
    while !left.is_empty() {
        let some = left.start..left.end.min(left.start + if whole { conv.together() } else { 1 });
        left.start = some.end;
        for first in (0..w.input[0]).step_by(step.max(1)) {
            let input = first..w.input[0].min(first + step);
            let lines = if whole { 0..w.output[0] } else { meetings[0].outputs(input.clone()) };
            let m = if whole { some.len() * lines.len() } else { lines.len() } * w.output[1];
            for (group, b) in weights.iter().enumerate() {
                let a = &g.gradient[(some.start * w.output[0] + lines.start) * w.output[1] * conv.outputs..];
                let a = &a[(group * per_group).min(a.len())..];
                let product = Gemm { m, a, lda: conv.outputs, b, ldc: patch, epilogue: Epilogue::default() };
                gemm_whole(&product, &mut scratch[..m * patch]);
                for (i, picture) in some.clone().enumerate() {
                    let patches = &scratch[i * lines.len() * w.output[1] * patch..];
                    let channels = group * conv.inputs / conv.groups;
                    let (bias, lines, input) = (epilogue.bias, lines.clone(), input.clone());
                    let gather =
                        Gather { conv, meetings: &meetings, channels, bias, patches, lines, picture, input, out };
                    // SAFETY: pictures are the caller's alone.
                    unsafe { isa.run(gather) }
                }
            }
        }
        let size = w.input[0] * w.input[1] * conv.inputs;
        let (x, activation) = (out.ptr.wrapping_add(some.start * size), epilogue.activation);
        if activation != Activation::None {
            // SAFETY: one run, in place, of the length of the pictures.
            unsafe { isa.run(Activate { x, y: x, rows: 1, stride: 0, len: some.len() * size, activation }) }
        }
    }
}

/// Which taps meet the coordinates of the input along an axis, and where.
struct Meetings {
    /// For each coordinate the first tap, the coordinate of the output that it meets there, and how many meet.
    first: Vec<[usize; 3]>,
    /// From one that meets to the next: taps forwards, and coordinates of the output back.
    steps: [usize; 2],
}

impl Meetings {
    fn new(w: &Window, axis: usize) -> Self {
        let (stride, dilation, taps, outputs) = (w.stride[axis], w.dilation[axis], w.kernel[axis], w.output[axis]);
        let steps = [stride, dilation].map(|step| step / gcd(stride, dilation));
        let meets = |i: usize| {
            let at = i + w.pad[axis];
            let output = |tap: usize| {
                at.checked_sub(tap * dilation).filter(|at| at.is_multiple_of(stride)).map(|at| at / stride)
            };
            let inside = |&tap: &usize| output(tap).is_some_and(|output| output < outputs);
            let first = (0..taps).find(inside);
            let count = first.map_or(0, |first| (first..taps).step_by(steps[0]).take_while(inside).count());
            [first.unwrap_or(0), first.and_then(output).unwrap_or(0), count]
        };
        Self { first: (0..w.input[axis]).map(meets).collect(), steps }
    }

    /// The coordinates of the output from the first to the last that some of the input meet.
    fn outputs(&self, inputs: Range<usize>) -> Range<usize> {
        let some = self.first[inputs].iter().filter(|[_, _, count]| *count > 0);
        let ends = some.map(|[_, first, count]| first - (count - 1) * self.steps[1]..first + 1);
        ends.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0)
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Adds up, for each pixel of some input lines of a picture, what it was in the patches that it is part of. To add every patch to its pixels instead would
/// read and write each of these again and again, of which neighbours overlap.
struct Gather<'a> {
    conv: &'a ConvShape,
    meetings: &'a [Meetings; 2],
    /// The first channel of the group.
    channels: usize,
    bias: Option<&'a [f32]>,
    /// Of these output lines of the picture, and room behind them for a vector.
    patches: &'a [f32],
    lines: Range<usize>,
    picture: usize,
    input: Range<usize>,
    out: Out<'a>,
}

impl Kernel for Gather<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (conv, w, [ys, xs]) = (self.conv, &self.conv.window, self.meetings);
        let (n, patch) = (conv.inputs / conv.groups, conv.patch());
        let line_step = (ys.steps[0] * w.kernel[1] * n).wrapping_sub(ys.steps[1] * w.output[1] * patch);
        let step = (xs.steps[0] * n).wrapping_sub(xs.steps[1] * patch);
        for y in self.input {
            let [ky, oy, y_count] = ys.first[y];
            let line = ky * w.kernel[1] * n + oy.wrapping_sub(self.lines.start).wrapping_mul(w.output[1] * patch);
            for (x, &[kx, ox, x_count]) in xs.first.iter().enumerate() {
                let first = self.patches.as_ptr().wrapping_add(line.wrapping_add(kx * n + ox * patch));
                let pixel = ((self.picture * w.input[0] + y) * w.input[1] + x) * conv.inputs + self.channels;
                for i in (0..n).step_by(S::LANES) {
                    let lanes = S::LANES.min(n - i);
                    // SAFETY: the meetings lie in these patches, behind which a whole vector can be read; the pixel is the caller's.
                    unsafe {
                        let bias = self.bias.map(|bias| read::<S>(bias.as_ptr().add(self.channels + i), lanes));
                        let mut sum = bias.unwrap_or(S::splat(0.0));
                        let mut row = first.wrapping_add(i);
                        for _ in 0..y_count {
                            let mut at = row;
                            for _ in 0..x_count {
                                sum = S::add(sum, S::load(at));
                                at = at.wrapping_add(step);
                            }
                            row = row.wrapping_add(line_step);
                        }
                        write::<S>(self.out.ptr.wrapping_add(pixel + i), sum, lanes);
                    }
                }
            }
        }
    }
}
