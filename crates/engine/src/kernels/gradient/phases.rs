//! The gradient of a convolution with respect to its input, or a transposed convolution, by phases.
//!
//! Which taps meet a pixel of the input depends on its place modulo the stride. So the pixels of one phase are a convolution of stride 1 over the
//! gradient of the output, by the phase's taps from the last to the first (Shi et al., "Is the deconvolution layer the same as a convolutional
//! layer?", 2016, arXiv:1609.07009). Its sums stay in registers, where the product with all taps makes patches that are written, read and added up;
//! and the filters of a phase are a fraction of all, which stays in the L2 cache.
//!
//! It is no good for fewer channels than a vector has lanes, whose taps share vectors in patches, nor where most of what a phase sees is padding.

use super::super::bands::Bands;
use super::super::epilogue::Finish;
use super::super::gemm::Block;
use super::super::layout;
use super::super::packed::{Layout, Panel, WIDEST};
use super::super::tile::{Runs, offset};
use super::super::{Epilogue, Out, PackedB, Window, check_range};
use super::conv::{BLOCK, ConvGrad, ConvShape};
use crate::simd::Isa;
use std::ops::Range;

/// The most phases.
const PHASES: usize = 64;
/// Taps that are put in place at once.
const TAPS: usize = 16;

/// The pixels of the input whose places are alike modulo the strides.
#[derive(Clone, Copy)]
pub struct Phase {
    /// The convolution that makes them from the gradient of the output.
    window: Window,
    /// Row and column of the first.
    first: [usize; 2],
    /// Taps of the phases before.
    before: usize,
}

impl Phase {
    /// How many there are in all pictures.
    pub fn pixels(&self) -> usize {
        self.window.pixels()
    }

    /// Floating-point operations for all of them.
    pub fn flops(&self, conv: &ConvShape) -> usize {
        let pixels = self.pixels().saturating_mul(conv.outputs / conv.groups.max(1)).saturating_mul(conv.inputs);
        pixels.saturating_mul(2 * self.window.taps())
    }
}

impl ConvShape {
    /// Phases of the input.
    fn phase_count(&self) -> usize {
        self.window.stride[0].saturating_mul(self.window.stride[1])
    }

    /// The phases, and a bool that says whether the window of each begins at the edge of the gradient or before it.
    fn all_phases(&self) -> impl Iterator<Item = (Phase, bool)> {
        let (w, mut before) = (self.window, 0);
        (0..self.phase_count()).map(move |i| {
            let [y, x] = [(0, i / w.stride[1]), (1, i % w.stride[1])].map(|(axis, phase)| along(&w, axis, phase));
            let reach = [0, 1].map(|axis| [y, x][axis].1.saturating_sub(1) * w.dilation[axis]);
            let pad = [0, 1].map(|axis| reach[axis].saturating_sub([y, x][axis].2));
            let fits = [0, 1].iter().all(|&axis| [y, x][axis].1 == 0 || reach[axis] >= [y, x][axis].2);
            let [first, kernel] = [[y.0, x.0], [y.1, x.1]];
            let output = [0, 1].map(|i| w.input[i].saturating_sub(first[i]).div_ceil(w.stride[i]));
            let window = Window { input: w.output, output, kernel, stride: [1; 2], pad, ..w };
            let phase = Phase { window, first, before };
            before += window.taps();
            (phase, fits)
        })
    }

    /// The phases.
    pub fn phases(&self) -> impl Iterator<Item = Phase> {
        self.all_phases().map(|(phase, _)| phase)
    }

    /// Whether the gradient of the input is better computed by phases, where that is possible.
    pub fn prefers_phases(&self, isa: Isa) -> bool {
        let vectors = |n: usize| n.div_ceil(isa.lanes());
        let sums = self.phases().take(PHASES).map(|phase| phase.pixels().saturating_mul(phase.window.taps()));
        let by_phases = sums.fold(0, usize::saturating_add).saturating_mul(vectors(self.inputs / self.groups));
        let by_patches = self.window.pixels().saturating_mul(vectors(self.patch()));
        by_phases.saturating_sub(by_patches) <= by_patches / 4
    }
}

/// Along an axis the first coordinate of a phase, the taps that meet it, and the coordinate of the gradient that the first of these meets there.
fn along(w: &Window, axis: usize, phase: usize) -> (usize, usize, usize) {
    let (stride, pad) = (w.stride[axis], w.pad[axis]);
    let first = (phase + stride - pad % stride) % stride;
    (first, w.kernel[axis].saturating_sub(phase).div_ceil(stride), (first + pad - phase) / stride)
}

/// The filters of a convolution, packed for the gradient of its input by phases.
#[derive(Clone)]
pub struct PhaseWeights {
    /// Of each group a row for each tap and output channel, a column for each input channel.
    groups: Vec<PackedB>,
    /// The taps in the order of the rows.
    taps: Vec<usize>,
}

impl PhaseWeights {
    /// Room for them; none where taps are apart and strided, phases are many, or the window of one does not reach the edge of the gradient.
    pub fn zeroed(isa: Isa, conv: &ConvShape) -> Option<Self> {
        let plain = conv.window.dilation == [1, 1] || conv.window.stride == [1, 1];
        let plain = plain && conv.phase_count() <= PHASES;
        if !plain || !conv.all_phases().all(|(_, fits)| fits) {
            return None;
        }
        let (w, mut taps) = (&conv.window, Vec::with_capacity(conv.window.taps()));
        for (i, phase) in conv.phases().enumerate() {
            let [y, x] = [i / w.stride[1], i % w.stride[1]];
            let [rows, columns] = phase.window.kernel;
            let flat = |ty: usize, tx: usize| (y + ty * w.stride[0]) * w.kernel[1] + x + tx * w.stride[1];
            taps.extend((0..rows).rev().flat_map(|ty| (0..columns).rev().map(move |tx| flat(ty, tx))));
        }
        let [inputs, outputs] = [conv.inputs, conv.outputs].map(|channels| channels / conv.groups);
        let packed = PackedB::zeroed(isa, taps.len() * outputs, inputs);
        Some(Self { groups: vec![packed; conv.groups], taps })
    }

    /// The taps in the order of the packed rows: what is packed for one convolution serves another with the same.
    pub fn taps(&self) -> &[usize] {
        &self.taps
    }

    /// The panels of all groups, which can be filled one beside the other.
    pub fn panels_mut(&mut self) -> impl Iterator<Item = PhasePanel<'_>> {
        let taps = &self.taps[..];
        self.groups.iter_mut().enumerate().flat_map(move |(group, packed)| {
            let (inputs, outputs) = (packed.n(), packed.k() / taps.len().max(1));
            let first = group * outputs;
            packed.panels_mut(Layout::strided([0, 0])).map(move |panel| PhasePanel {
                panel,
                taps,
                inputs,
                outputs: first..first + outputs,
            })
        })
    }

    /// Floats of scratch that a call for a phase needs.
    pub fn scratch_len(&self, conv: &ConvShape) -> usize {
        let bands = conv.phases().map(|phase| Bands::new(&phase.window, conv.outputs).scratch_len());
        bands.max().unwrap_or(0) + rows_at_once(conv) * conv.inputs
    }
}

/// A panel of [`PhaseWeights`], to be filled.
pub struct PhasePanel<'a> {
    panel: Panel<'a>,
    taps: &'a [usize],
    /// Input channels of the group.
    inputs: usize,
    /// The group's output channels.
    outputs: Range<usize>,
}

impl PhasePanel<'_> {
    /// Copies the panel's part of weights in ONNX's layout, `[outputs, inputs / groups, kernel height, kernel width]`.
    pub fn fill(&mut self, weights: &[f32]) {
        let (taps, channels, width) = (self.taps.len(), self.panel.columns.clone(), self.panel.width);
        let mut block = [0.0; TAPS * WIDEST];
        for (row, output) in self.outputs.clone().enumerate() {
            let filters = &weights[(output * self.inputs + channels.start) * taps..][..channels.len() * taps];
            for some in (0..taps).step_by(TAPS).map(|first| first..taps.min(first + TAPS)) {
                let counts = [channels.len(), some.len()];
                layout::Block { x: &filters[some.start..], row: taps, counts, y: &mut block, y_row: width }
                    .run_on(self.panel.isa);
                for (i, tap) in self.taps.iter().enumerate().filter(|(_, tap)| some.contains(tap)) {
                    let to = &mut self.panel.data[(i * self.outputs.len() + row) * width..][..channels.len()];
                    to.copy_from_slice(&block[(tap - some.start) * width..][..to.len()]);
                }
            }
        }
    }
}

/// Pixels that are computed before they are put where they belong.
fn rows_at_once(conv: &ConvShape) -> usize {
    if conv.phase_count() == 1 { 0 } else { (BLOCK / 2 / conv.inputs.max(1) / 56).clamp(1, 8) * 56 }
}

/// Computes some `pixels` of a phase of the gradient with respect to the input, which with bias and activation (a residual is not looked at) is a
/// transposed convolution.
///
/// # Safety
/// Of calls that run at the same time no two have a common pixel of a phase, and nobody reads what they write.
pub unsafe fn conv_input_phase(
    g: &ConvGrad<'_>,
    weights: &PhaseWeights,
    phase: &Phase,
    epilogue: &Epilogue<'_>,
    out: Out<'_>,
    pixels: Range<usize>,
    scratch: &mut [f32],
) {
    g.check();
    let (conv, window) = (&g.conv, &phase.window);
    check_range(&pixels, window.pixels(), "pixels");
    assert_eq!(out.len(), conv.window.input_pixels() * conv.inputs, "output for {:?}", conv.window);
    assert!(scratch.len() >= weights.scratch_len(conv), "scratch of {}", scratch.len());
    epilogue.check(0, conv.inputs);
    let [inputs, outputs] = [conv.inputs, conv.outputs].map(|channels| channels / conv.groups);
    let (most, c, finish) = (rows_at_once(conv), conv.inputs, epilogue.finish());
    let (rows, copies) = scratch.split_at_mut(most * c);
    let bands = Bands::new(window, conv.outputs);
    let [height, width] = window.kernel;
    let runs = if conv.groups == 1 && window.dilation[1] == 1 {
        Runs { length: width * outputs, counts: [height, 1], steps: [bands.run_step(), 0] }
    } else {
        Runs { length: outputs, counts: [height, width], steps: [bands.run_step(), window.dilation[1] * conv.outputs] }
    };
    let mut left = pixels;
    while !left.is_empty() {
        let (band, a) = bands.next(left.clone(), g.gradient, copies);
        left.start = band.end;
        let step = if most == 0 { band.len() } else { most };
        for first in band.clone().step_by(step) {
            let some = first..band.end.min(first + step);
            // Pixel 0 of the pictures, or where it would lie.
            let y = if most == 0 { out.ptr } else { rows.as_mut_ptr().wrapping_sub(first * c) };
            for (group, b) in weights.groups.iter().enumerate() {
                let block = Block {
                    a: a.wrapping_add(group * outputs),
                    row: conv.outputs,
                    lines: bands.windows(),
                    runs,
                    b: b.view().below(phase.before * outputs),
                    c: y.wrapping_add(group * inputs),
                    ldc: c,
                    accumulate: false,
                    finish: Finish { bias: offset(finish.bias, group * inputs), residual: std::ptr::null(), ..finish },
                    ld_residual: 0,
                    rows: some.clone(),
                    panels: 0..b.panels(),
                };
                // SAFETY: the windows of these pixels lie in what `Bands::next` points to; their sums go to scratch memory that has room for them,
                // or to pixels that are the caller's.
                unsafe { b.isa().run(block) }
            }
            if most > 0 {
                // SAFETY: passed on from the caller.
                unsafe { phase.put(conv, some, rows, out) }
            }
        }
    }
}

impl Phase {
    /// Copies pixels to where they belong.
    ///
    /// # Safety
    /// As [`conv_input_phase`].
    unsafe fn put(&self, conv: &ConvShape, pixels: Range<usize>, rows: &[f32], out: Out<'_>) {
        let (w, c, [height, width]) = (&conv.window, conv.inputs, self.window.output);
        let mut rows = rows.chunks_exact(c.max(1));
        let mut left = pixels;
        while !left.is_empty() {
            let (line, column) = (left.start / width, left.start % width);
            let y = line / height * w.input[0] + self.first[0] + line % height * w.stride[0];
            let some = column..width.min(column + left.len());
            left.start += some.len();
            for (x, row) in some.zip(&mut rows) {
                let to = (y * w.input[1] + self.first[1] + x * w.stride[1]) * c;
                // SAFETY: the pixel is the caller's alone.
                unsafe { out.slice_mut(to..to + c) }.copy_from_slice(row);
            }
        }
    }
}
