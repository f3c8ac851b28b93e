//! Dense and grouped convolution as matrix products.
//!
//! A 1×1 convolution over channels-last pictures *is* a matrix product. So is any other: what a window sees of a picture are runs of floats, a run
//! for a row of taps, or a run for each tap where they are not neighbours or a group has some of the channels. The runs of neighbouring pixels
//! overlap, so nothing but the place where each row of the matrix begins has to be known. Where windows reach into the padding, the lines of a
//! band of output are copied once into scratch memory that stays in cache, with zeros around them.

use super::bands::Bands;
use super::epilogue::{Epilogue, Finish};
use super::gemm::Block;
use super::packed::{Axis, Layout, PackedB, Panel};
use super::tile::{Runs, offset};
use super::{Out, Window, check_range};
use crate::simd::Isa;
use std::ops::Range;

/// The weights of a convolution, packed for one instruction set.
#[derive(Clone)]
pub struct ConvWeights {
    /// One right-hand side a group, of `kh·kw·(inputs/groups)` × `outputs/groups`.
    groups: Vec<PackedB>,
    inputs: usize,
    outputs: usize,
    kernel: [usize; 2],
}

impl ConvWeights {
    /// Packs weights in ONNX's layout, `shape` = [outputs, inputs / groups, kernel height, kernel width].
    pub fn pack(isa: Isa, groups: usize, shape: [usize; 4], weights: &[f32]) -> ConvWeights {
        let [outputs, inputs, height, width] = shape;
        assert!(groups > 0 && outputs % groups == 0, "{outputs} output channels in {groups} groups");
        assert_eq!(weights.len(), shape.iter().product::<usize>(), "weights of {shape:?}");
        let empty = PackedB::zeroed(isa, height * width * inputs, outputs / groups);
        let kernel = [height, width];
        let mut packed = ConvWeights { groups: vec![empty; groups], inputs: inputs * groups, outputs, kernel };
        packed.panels_mut().for_each(|mut panel| panel.fill(weights));
        packed
    }

    /// The panels of all groups, which can be filled one beside the other from other weights of the same shape.
    pub fn panels_mut(&mut self) -> impl Iterator<Item = Panel<'_>> {
        let taps = self.kernel[0] * self.kernel[1];
        self.groups.iter_mut().enumerate().flat_map(move |(group, packed)| {
            let k = packed.k();
            let rows = Axis { inner: k / taps.max(1), steps: [1, taps] };
            packed.panels_mut(Layout { first: group * k * packed.n(), rows, columns: Axis::even(k) })
        })
    }

    /// Input channels, of all groups.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Output channels, of all groups.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Groups of channels.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Panels of output channels *of one group*: the unit in which channels are divided among threads.
    pub fn panels(&self) -> usize {
        self.groups[0].panels()
    }

    /// The output channels of a panel in the first group.
    pub fn columns(&self, panel: usize) -> Range<usize> {
        self.groups[0].columns(panel)
    }

    /// Floats of scratch that [`conv`] needs for this window in each thread; 0 where pictures are read where they stand.
    pub fn scratch_len(&self, window: &Window) -> usize {
        Bands::new(window, self.inputs).scratch_len()
    }

    pub(super) fn isa(&self) -> Isa {
        self.groups[0].isa()
    }

    /// What a window sees of a group's channels.
    fn runs(&self, window: &Window, bands: &Bands) -> Runs {
        let ([height, width], inputs) = (window.kernel, self.inputs / self.groups.len());
        if self.groups.len() == 1 && window.dilation[1] == 1 {
            return Runs { length: width * inputs, counts: [height, 1], steps: [bands.run_step(), 0] };
        }
        let steps = [bands.run_step(), window.dilation[1] * self.inputs];
        Runs { length: inputs, counts: [height, width], steps }
    }
}

/// The arguments of [`conv`].
#[derive(Clone, Copy)]
pub struct Conv<'a> {
    /// How the kernel slides.
    pub window: Window,
    /// NHWC, dense.
    pub x: &'a [f32],
    /// Filters.
    pub weights: &'a ConvWeights,
    /// Distance of output pixels, at least the output channels.
    pub ldc: usize,
    /// Comes after the sum; its residual is dense.
    pub epilogue: Epilogue<'a>,
}

/// Computes the output `pixels` (flat over batch, height, width) of a convolution, in the `panels` of every group.
///
/// `scratch` holds [`ConvWeights::scratch_len`] floats and belongs to this call.
///
/// # Safety
/// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
pub unsafe fn conv(c: &Conv<'_>, out: Out<'_>, pixels: Range<usize>, panels: Range<usize>, scratch: &mut [f32]) {
    let (window, weights) = (c.window, c.weights);
    check_range(&pixels, window.pixels(), "pixels");
    check_range(&panels, weights.panels(), "panels");
    if pixels.is_empty() || panels.is_empty() {
        return;
    }
    c.check();
    out.check(window.pixels(), weights.outputs, c.ldc);
    assert!(scratch.len() >= weights.scratch_len(&window), "scratch of {}", scratch.len());
    // SAFETY: the lengths of x, output, bias and residual were checked above; disjointness is the caller's.
    unsafe { c.run(out.ptr, pixels, panels, scratch) }
}

impl Conv<'_> {
    /// Asserts that what is read fits the window.
    pub(super) fn check(&self) {
        let (window, weights) = (&self.window, self.weights);
        window.check();
        assert_eq!(window.kernel, weights.kernel, "kernel of window and weights");
        assert_eq!(self.x.len(), window.input_pixels() * weights.inputs, "x for {window:?}");
        self.epilogue.check(window.pixels(), weights.outputs);
    }

    /// Computes `pixels` × `panels`; `y` is where the first channel of pixel 0 lies, or would lie.
    ///
    /// # Safety
    /// The arguments fit the window as [`conv`] checks them, and output pixels `pixels`, `ldc` apart, can be written.
    pub(super) unsafe fn run(&self, y: *mut f32, pixels: Range<usize>, panels: Range<usize>, scratch: &mut [f32]) {
        let (window, weights, n) = (&self.window, self.weights, self.weights.outputs);
        let (groups, finish) = (weights.groups.len(), self.epilogue.finish());
        let bands = Bands::new(window, weights.inputs);
        let mut left = pixels;
        while !left.is_empty() {
            let (rows, a) = bands.next(left.clone(), self.x, scratch);
            left.start = rows.end;
            for (group, b) in weights.groups.iter().enumerate() {
                let first = group * n / groups;
                let (bias, residual) = (offset(finish.bias, first), offset(finish.residual, first));
                let windows = Block {
                    a: a.wrapping_add(group * weights.inputs / groups),
                    row: window.stride[1] * weights.inputs,
                    lines: bands.windows(),
                    runs: weights.runs(window, &bands),
                    b: b.view(),
                    c: y.wrapping_add(first),
                    ldc: self.ldc,
                    accumulate: false,
                    finish: Finish { bias, residual, ..finish },
                    ld_residual: n,
                    rows: rows.clone(),
                    panels: panels.clone(),
                };
                // SAFETY: the windows of these pixels lie in what `Bands::next` points to; the rest is passed on from the caller.
                unsafe { weights.isa().run(windows) }
            }
        }
    }
}
