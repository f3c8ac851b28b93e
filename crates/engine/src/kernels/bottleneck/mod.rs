//! Inverted residuals and separable convolutions, depth first: expand → depthwise → project without the wide maps in between.
//!
//! The wide map of a mobile network is six times its input; written to memory and read back it costs more time than the arithmetic. Here
//! a task computes a band of output rows, a few rows (a chunk) at a time: for each panel of channels the rows of the expanding convolution that the
//! chunk needs and the one before did not have go to a ring of rows that stays in the L1 cache, the depthwise convolution reads the ring and
//! writes the chunk's pixels to the middle, in blocks of a vector of channels, and the projection multiplies the middle, which is still in the L2 cache.
//! A row is computed twice only where two bands meet. At low resolution a chunk is a whole picture, or several.
//! The first convolution of a picture can stand in the place of the expansion: its map is the largest of a network.
//!
//! Where there are fewer bands than threads, [`bottleneck_middle`] and [`bottleneck_project`] divide the same work by channels, with the middle
//! of all pictures in memory. Every element goes through the operations of [`conv`](super::conv()) and
//! [`depthwise`](super::depthwise()) in their order, so the result has the bits of the layers one by one.

mod weights;

pub use weights::{BottleneckWeights, Layer};

use super::depthwise::{Lines, Place, Rows};
use super::epilogue::Epilogue;
use super::gemm::Block;
use super::tile::Runs;
use super::{Conv, Out, Window, check_range};
use crate::simd::{Kernel, Simd};
use std::ops::Range;
use weights::{Cut, Expand, spread};

/// The arguments of [`bottleneck`].
#[derive(Clone, Copy)]
pub struct Bottleneck<'a> {
    /// How the depthwise kernel slides.
    pub window: Window,
    /// How the kernel of the expansion slides, unless it is 1×1: from the picture to the input of the depthwise convolution.
    pub stem: Option<Window>,
    /// NHWC, dense.
    pub x: &'a [f32],
    /// The layers.
    pub weights: &'a BottleneckWeights,
    /// Comes after the projection; its residual is dense.
    pub epilogue: Epilogue<'a>,
}

impl Bottleneck<'_> {
    fn check(&self, out: Option<Out<'_>>) {
        let (w, weights) = (&self.window, self.weights);
        let first = self.first();
        w.check();
        first.check();
        assert_eq!(w.kernel, weights.kernel, "kernel of window and weights");
        assert_eq!(first.kernel, weights.expansion().unwrap_or([1, 1]), "kernel of the first layer");
        assert_eq!((first.batch, first.output), (w.batch, w.input), "{first:?} before {w:?}");
        assert_eq!(self.x.len(), first.input_pixels() * weights.inputs, "x for {first:?}");
        self.epilogue.check(w.pixels(), weights.outputs());
        if let Some(out) = out {
            assert_eq!(out.len, w.pixels() * weights.outputs(), "output for {w:?}");
        }
    }

    /// The window of the expansion.
    fn first(&self) -> Window {
        let w = self.window;
        let pointwise = Window { output: w.input, kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pad: [0, 0], ..w };
        self.stem.unwrap_or(pointwise)
    }

    /// The scratch in its parts: the rings, the scratch of the expansion, and what is left.
    fn parts<'s>(&self, cut: &Cut, scratch: &'s mut [f32]) -> (*mut f32, &'s mut [f32], &'s mut [f32]) {
        let (ring, rest) = scratch.split_at_mut(self.weights.ring_len(cut, &self.window));
        let (expand_scratch, rest) = rest.split_at_mut(self.weights.expand_scratch_len(self.stem.as_ref()));
        (ring.as_mut_ptr(), expand_scratch, rest)
    }
}

/// Computes the output `rows` (flat over batch and height).
///
/// `scratch` holds [`BottleneckWeights::scratch_len`] floats and belongs to this call.
///
/// # Safety
/// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
pub unsafe fn bottleneck(b: &Bottleneck<'_>, out: Out<'_>, rows: Range<usize>, scratch: &mut [f32]) {
    check_range(&rows, b.window.rows(), "rows");
    b.check(Some(out));
    let cut = b.weights.cut(&b.window);
    let (ring, expand_scratch, middle) = b.parts(&cut, scratch);
    let block = spread(cut.pixels);
    assert!(middle.len() >= b.weights.channels * block, "scratch of {}", middle.len());
    let middle = Middle { start: middle.as_mut_ptr(), block };
    let run = Chunks { b, cut, ring, expand_scratch, middle, panels: 0..b.weights.panels(), out: Some(out.ptr), rows };
    // SAFETY: the lengths of x, output, bias, residual, ring and middle were checked above; disjointness is the caller's.
    unsafe { b.weights.isa.run(run) }
}

/// Computes the `panels` of all pixels up to the projection, into `middle` ([`BottleneckWeights::middle_len`] floats).
///
/// `scratch` holds [`BottleneckWeights::scratch_len`] floats and belongs to this call.
///
/// # Safety
/// Of calls that run at the same time no two have a common panel, and nobody reads what they write.
pub unsafe fn bottleneck_middle(b: &Bottleneck<'_>, middle: Out<'_>, panels: Range<usize>, scratch: &mut [f32]) {
    check_range(&panels, b.weights.panels(), "panels");
    b.check(None);
    assert_eq!(middle.len, b.weights.middle_len(&b.window), "middle for {:?}", b.window);
    let cut = b.weights.cut(&b.window);
    let (ring, expand_scratch, _) = b.parts(&cut, scratch);
    let middle = Middle { start: middle.ptr, block: spread(b.window.pixels()) };
    let run = Chunks { b, cut, ring, expand_scratch, middle, panels, out: None, rows: 0..b.window.rows() };
    // SAFETY: the lengths of x, ring and middle were checked above; disjointness is the caller's.
    unsafe { b.weights.isa.run(run) }
}

/// Computes the output `pixels` × `panels` ([`BottleneckWeights::output_panels`]) from the middle of all pixels.
///
/// # Safety
/// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
pub unsafe fn bottleneck_project(
    b: &Bottleneck<'_>,
    middle: &[f32],
    out: Out<'_>,
    pixels: Range<usize>,
    panels: Range<usize>,
) {
    check_range(&pixels, b.window.pixels(), "pixels");
    check_range(&panels, b.weights.output_panels(), "panels");
    b.check(Some(out));
    assert_eq!(middle.len(), b.weights.middle_len(&b.window), "middle for {:?}", b.window);
    let block = b.project(middle.as_ptr(), spread(b.window.pixels()), out.ptr, pixels, panels);
    // SAFETY: the lengths of middle, output, bias and residual were checked above; disjointness is the caller's.
    unsafe { b.weights.isa.run(block) }
}

impl<'a> Bottleneck<'a> {
    /// The product of the projection; `middle` is where pixel 0 lies or would lie, its blocks of channels are `block` pixels apart.
    fn project(
        &self,
        middle: *const f32,
        block: usize,
        out: *mut f32,
        pixels: Range<usize>,
        panels: Range<usize>,
    ) -> Block<'a> {
        let (lanes, n) = (self.weights.isa.lanes(), self.weights.outputs());
        Block {
            a: middle,
            row: lanes,
            lines: None,
            runs: Runs { length: lanes, counts: [1, self.weights.channels / lanes], steps: [0, block * lanes] },
            b: self.weights.project.view(),
            c: out,
            ldc: n,
            accumulate: false,
            finish: self.epilogue.finish(),
            ld_residual: n,
            rows: pixels,
            panels,
        }
    }

    /// The input lines, counted over all pictures, between the first and the last that output rows can meet.
    fn lines(&self, rows: &Range<usize>) -> Range<usize> {
        let w = &self.window;
        let of = |row: usize| (row / w.output[0] * w.input[0], w.seen(&(row % w.output[0]..row % w.output[0] + 1)));
        let ((first, begin), (last, end)) = (of(rows.start), of(rows.end - 1));
        first + begin.start..last + end.end
    }
}

/// The blocks between depthwise convolution and projection: of one chunk where the projection follows at once, else of all pixels.
#[derive(Clone, Copy)]
struct Middle {
    start: *mut f32,
    /// Distance of blocks, in pixels.
    block: usize,
}

/// Rows of a bottleneck whose arguments are checked, in some panels; with the projection if there is an output.
struct Chunks<'a> {
    b: &'a Bottleneck<'a>,
    cut: Cut,
    ring: *mut f32,
    expand_scratch: &'a mut [f32],
    middle: Middle,
    panels: Range<usize>,
    out: Option<*mut f32>,
    rows: Range<usize>,
}

impl Kernel for Chunks<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        let height = self.b.window.output[0];
        let mut row = self.rows.start;
        while row < self.rows.end {
            let left = self.rows.end - row;
            let cut = &self.cut;
            let (rows, chunk) = match row % height {
                0 if left >= height => {
                    let pictures = cut.pictures.min(left / height);
                    (pictures * height, if cut.rings { cut.rows } else { pictures * height })
                }
                begun => (left.min(height - begun), cut.rows),
            };
            // SAFETY: passed on from the caller; the band lies in `rows`.
            unsafe { self.band::<S>(row..row + rows, chunk) };
            row += rows;
        }
    }
}

impl Chunks<'_> {
    /// A band of rows of one picture, or of whole pictures if they are one chunk.
    ///
    /// # Safety
    /// The band lies in `rows`, and a chunk is no larger than the cut that ring and middle have room for; the CPU has the instruction set of `S`.
    #[inline(always)]
    unsafe fn band<S: Simd>(&mut self, band: Range<usize>, chunk: usize) {
        let base = self.b.lines(&band).start;
        let mut next = base;
        for row in band.clone().step_by(chunk) {
            let rows = row..band.end.min(row + chunk);
            // The lines that the chunk needs and the ring does not have.
            let needed = self.b.lines(&rows);
            let start = next.max(needed.start);
            let lines = start..needed.end.max(start);
            next = lines.end;
            // SAFETY: passed on from the caller.
            unsafe { self.chunk::<S>(rows, lines, base) }
        }
    }

    /// The output `rows` of a chunk, after the `lines` that the ring lacks for them; `base` is the line at the ring's start.
    ///
    /// # Safety
    /// As [`band`](Self::band); the ring has the other lines that the rows meet, and `lines` overwrite none of them.
    #[inline(always)]
    unsafe fn chunk<S: Simd>(&mut self, rows: Range<usize>, lines: Range<usize>, base: usize) {
        let b = self.b;
        let (w, weights) = (&b.window, b.weights);
        let pixels = rows.start * w.output[1]..rows.end * w.output[1];
        let first = if self.out.is_some() { pixels.start * S::LANES } else { 0 };
        let middle = self.middle.start.wrapping_sub(first);
        for panel in self.panels.clone() {
            let (channels, taps) = weights.panel_taps(panel);
            // SAFETY: a prefetch reads nothing.
            taps.chunks(16).for_each(|line| unsafe { S::prefetch(line.as_ptr()) });
            let x = match &weights.expand {
                None => Lines { start: b.x.as_ptr(), first: 0, mask: usize::MAX, pixel: weights.channels },
                Some(expand) => {
                    // SAFETY: passed on from the caller.
                    unsafe { self.expand(expand, panel, lines.clone(), base) };
                    let ring = self.ring(&channels).cast_const().wrapping_sub(channels.start);
                    Lines { start: ring, first: base, mask: self.cut.lines - 1, pixel: channels.len() }
                }
            };
            let epilogue = Epilogue { bias: Some(&weights.bias), residual: None, activation: weights.activation };
            let depthwise = Rows {
                w: *w,
                x,
                taps: taps.as_ptr().wrapping_sub(channels.start),
                y: Place { start: middle, pixel: S::LANES, channel: self.middle.block },
                n: channels.len(),
                finish: epilogue.finish(),
                rows: rows.clone(),
                channels,
            };
            // SAFETY: the lines that the rows meet are in x or in the ring, and the middle has room for the chunk's pixels.
            unsafe { S::enter(depthwise) }
        }
        if let Some(out) = self.out {
            let panels = 0..weights.output_panels();
            // SAFETY: the middle holds the chunk's pixels; output, bias and residual were checked.
            unsafe { S::enter(b.project(middle, self.middle.block, out, pixels, panels)) }
        }
    }

    /// The ring of a panel.
    fn ring(&self, channels: &Range<usize>) -> *mut f32 {
        let before = if self.cut.rings { channels.start } else { 0 };
        self.ring.wrapping_add(self.cut.lines * self.b.window.input[1] * before)
    }

    /// Computes lines of a panel into its ring, whose first line is `base`.
    ///
    /// # Safety
    /// The lines lie inside the pictures, and the ring has room for them.
    unsafe fn expand(&mut self, expand: &Expand, panel: usize, lines: Range<usize>, base: usize) {
        let (b, window) = (self.b, self.b.first());
        let (channels, width) = (expand.weights.columns(panel), window.output[1]);
        let epilogue = Epilogue { bias: Some(&expand.bias), residual: None, activation: expand.activation };
        let conv = Conv { window, x: b.x, weights: &expand.weights, ldc: channels.len(), epilogue };
        let mut line = lines.start;
        while line < lines.end {
            let place = (line - base) & (self.cut.lines - 1);
            let end = lines.end.min(line + self.cut.lines - place);
            let start = place.wrapping_sub(line).wrapping_mul(width * channels.len()).wrapping_sub(channels.start);
            let y = self.ring(&channels).wrapping_add(start);
            // SAFETY: pixel 0 would lie such that the lines up to `end` lie in the ring; x and the scratch were checked.
            unsafe { conv.run(y, line * width..end * width, panel..panel + 1, self.expand_scratch) }
            line = end;
        }
    }
}
