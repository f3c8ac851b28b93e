//! Dense and grouped convolution as matrix products.
//!
//! A 1×1 convolution over channels-last pictures *is* a matrix product. So is any other of one group whose taps are neighbours: the taps
//! of a kernel row are one run of floats, and the patches of neighbouring pixels are rows of a matrix that overlap, so nothing but the
//! place where each row begins has to be known. Where windows reach into the padding, the lines of a band of output are copied once into
//! scratch memory that stays in cache, with zeros around them. Groups and distant taps gather whole patches instead (`patches.rs`).

use super::bands::Bands;
use super::epilogue::{Epilogue, Finish};
use super::gemm::{Block, PackedB};
use super::patches::Patches;
use super::tile::offset;
use super::{Out, Window, check_range};
use crate::simd::Isa;
use std::ops::Range;

/// Floats of scratch that a band of lines or a block of patches aims at: 256 KB, a part of the L2 cache.
const BLOCK: usize = 64 << 10;
/// Floats that [`Patches`] may write too much: a vector of the widest instruction set.
const SLACK: usize = 16;
/// The fewest and the most pixels of a block of patches; multiples of the register tiles' rows.
const PIXELS: [usize; 2] = [56, 896];

/// The weights of a convolution, packed for one instruction set.
#[derive(Clone)]
pub struct ConvWeights {
    /// One right-hand side a group, of `kh·kw·(inputs/groups)` × `outputs/groups`.
    groups: Vec<PackedB>,
    /// The right-hand side of one group before it is packed.
    rows: Vec<f32>,
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
        let (k, n) = (height * width * inputs, outputs / groups);
        let empty = PackedB::pack(isa, k, n, &vec![0.0; k * n], [n, 1]);
        let (groups, inputs) = (vec![empty; groups], inputs * groups);
        let mut packed = ConvWeights { rows: vec![0.0; k * n], groups, inputs, outputs, kernel: [height, width] };
        packed.repack(weights);
        packed
    }

    /// Packs other weights of the same shape into the same memory.
    pub fn repack(&mut self, weights: &[f32]) {
        let (taps, n) = (self.kernel[0] * self.kernel[1], self.outputs / self.groups.len());
        let inputs = self.inputs / self.groups.len();
        let k = taps * inputs;
        assert_eq!(weights.len(), self.outputs * k, "weights of {} × {k}", self.outputs);
        for (group, packed) in self.groups.iter_mut().enumerate() {
            let filters = &weights[group * n * k..][..n * k];
            for o in 0..n {
                for i in 0..inputs {
                    for t in 0..taps {
                        self.rows[(t * inputs + i) * n + o] = filters[(o * inputs + i) * taps + t];
                    }
                }
            }
            packed.repack(&self.rows, [n, 1]);
        }
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
        match self.form(window) {
            Form::Matrix => 0,
            Form::Windows(bands) => bands.scratch_len(),
            Form::Patches => self.block_pixels() * self.patch_stride() + SLACK,
        }
    }

    pub(super) fn isa(&self) -> Isa {
        self.groups[0].isa()
    }

    fn form(&self, w: &Window) -> Form {
        let one = self.groups.len() == 1;
        match w.kernel == [1, 1] && w.stride == [1, 1] && w.pad == [0, 0] && w.input == w.output && one {
            true => Form::Matrix,
            false if one && w.dilation[1] == 1 => Form::Windows(Bands::new(w, self.inputs)),
            false => Form::Patches,
        }
    }

    /// An odd number of cache lines, so that the rows of a tile do not fall on the same few cache sets.
    fn patch_stride(&self) -> usize {
        16 * (self.groups[0].k().div_ceil(16) | 1)
    }

    fn block_pixels(&self) -> usize {
        (BLOCK / self.patch_stride()).next_multiple_of(56).clamp(PIXELS[0], PIXELS[1])
    }
}

/// How a convolution becomes a matrix product.
enum Form {
    /// It is one.
    Matrix,
    /// Rows are windows over the pictures.
    Windows(Bands),
    /// Rows are copied patches.
    Patches,
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
    let (total, n) = (window.pixels(), weights.outputs);
    check_range(&pixels, total, "pixels");
    check_range(&panels, weights.panels(), "panels");
    if pixels.is_empty() || panels.is_empty() {
        return;
    }
    c.check();
    assert!(
        c.ldc >= n && (total - 1).saturating_mul(c.ldc).saturating_add(n) <= out.len,
        "output of {} with ldc {} for {total}×{n}",
        out.len,
        c.ldc
    );
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
        let (isa, finish) = (weights.isa(), self.epilogue.finish());
        let product = |b, group: usize| {
            let first = group * n / weights.groups.len();
            let bias = offset(finish.bias, first);
            Block {
                a: self.x.as_ptr(),
                row: weights.inputs,
                lines: None,
                step: 1,
                k: 0..weights.groups[0].k(),
                runs: 1,
                run_step: 0,
                b,
                c: y.wrapping_add(first),
                ldc: self.ldc,
                accumulate: false,
                finish: Finish { bias, residual: offset(finish.residual, first), ..finish },
                ld_residual: n,
                rows: pixels.clone(),
                panels: panels.clone(),
            }
        };
        match weights.form(window) {
            // SAFETY: passed on from the caller.
            Form::Matrix => unsafe { isa.run(product(&weights.groups[0], 0)) },
            Form::Windows(bands) => {
                let mut left = pixels.clone();
                while !left.is_empty() {
                    let (rows, a) = bands.next(left.clone(), self.x, scratch);
                    left.start = rows.end;
                    let windows = Block {
                        a,
                        row: window.stride[1] * weights.inputs,
                        lines: Some(bands.places()),
                        k: 0..window.kernel[1] * weights.inputs,
                        runs: window.kernel[0],
                        run_step: bands.run_step(),
                        rows,
                        ..product(&weights.groups[0], 0)
                    };
                    // SAFETY: the windows of these pixels lie in what `Bands::next` points to; the rest is passed on from the caller.
                    unsafe { isa.run(windows) }
                }
            }
            Form::Patches => {
                let row = weights.patch_stride();
                let channels = weights.inputs / weights.groups.len();
                for start in pixels.clone().step_by(weights.block_pixels()) {
                    let some = start..pixels.end.min(start + weights.block_pixels());
                    for (group, b) in weights.groups.iter().enumerate() {
                        let channels = group * channels..(group + 1) * channels;
                        let (x, inputs, pixels) = (self.x, weights.inputs, some.clone());
                        let gather = Patches { window, x, inputs, channels, pixels, scratch, row };
                        // SAFETY: `gather` fills the scratch from checked slices; row 0 of the product's A is such that its rows `some` are
                        // the patches; the rest is passed on from the caller.
                        unsafe {
                            isa.run(gather);
                            let a = scratch.as_ptr().wrapping_sub(some.start * row);
                            isa.run(Block { a, row, rows: some.clone(), ..product(b, group) });
                        }
                    }
                }
            }
        }
    }
}
