//! The fast f32 kernels, written once over one SIMD trait and independent of the graph.
//!
//! # Interface
//! **Layout.** Activations are channels-last (NHWC), dense, channels not padded; buffers should start on a 64-byte boundary
//! ([`AlignedBuf`](crate::simd::AlignedBuf)). Weights are packed once, for one [`Isa`](crate::simd::Isa), which the packed value remembers.
//!
//! **Work.** A kernel computes a *range* of its output, so that a caller partitions by size and not by thread count. Every output
//! element goes through the same operations in the same order in whatever range it falls: results do not depend on the partition,
//! bit for bit. Nothing allocates.
//!
//! | call | computes | range over | second range |
//! |---|---|---|---|
//! | [`gemm`], [`gemm_add`] | `A·B`, epilogue; added to what is there | rows of the output | panels of columns, `0..b.panels()` |
//! | [`conv`] | any convolution (1×1 without scratch) | output pixels `n·oh·ow` | panels, `0..weights.panels()` |
//! | [`winograd`] | 3×3 convolutions of stride 1, with fewer multiplications | tiles of the output | panels |
//! | [`winograd_patches`], [`winograd_products`] | the same in two parts | tiles of the output | –; panels |
//! | [`conv_pool`] | convolution → max pooling, depth first | output rows `n·oh` | – |
//! | [`planar`] | a convolution of a few channels, as planes | pictures | – |
//! | [`depthwise`] | one filter a channel | output rows `n·oh` | channels (multiples of 16 are best) |
//! | [`bottleneck`] | expand → depthwise → project, depth first | output rows `n·oh` | – |
//! | [`bottleneck_middle`], [`bottleneck_project`] | the same in two parts | panels of channels in the middle; output pixels | –; panels |
//! | [`pool`] | max and average pooling, global too | output pixels `n·oh·ow` | – |
//! | [`binary`] | `+ − × ÷` with numpy broadcasting | flat output elements | – |
//! | [`activate`], [`softmax`], [`layer_norm`], [`normalize_u8`], [`transpose`] | safe, on slices that the caller cuts | – | – |
//!
//! Ranges of pixels or rows of 56 or a multiple leave no remainder in the register tiles. A range must be large enough that its weights are not
//! the greater part of what it reads, and small enough that what one call writes is still in cache when the next reads it: pictures of a large
//! batch are better run one after the other through several layers than all together through each.
//!
//! **Writing from several threads.** The kernels with ranges take an [`Out`], a copyable handle of the whole output buffer, and are
//! `unsafe` for one reason: calls that run at the same time must have disjoint ranges, and nobody may read what is being written.
//!
//! **Epilogue.** [`Epilogue`]: bias, then residual, then activation. Relu and Clip cost nothing noticeable; the others are a second pass
//! over what was just written and is still in cache.
//!
//! Lengths are asserted once a call, at the boundary; a failed assertion is a planner's mistake and names the argument.

mod bands;
mod bottleneck;
mod conv;
mod conv_pool;
mod depthwise;
mod elementwise;
mod epilogue;
mod gemm;
pub mod gradient;
mod halves;
mod layout;
mod norm;
mod packed;
mod planar;
mod pool;
pub(crate) mod recurrent;
mod tile;
mod winograd;

pub use bottleneck::{Bottleneck, BottleneckWeights, Layer, bottleneck, bottleneck_middle, bottleneck_project};
pub use conv::{Conv, ConvWeights, conv};
pub use conv_pool::{ConvPool, conv_pool};
pub use depthwise::{Depthwise, DepthwiseWeights, depthwise};
pub use elementwise::{Binary, BinaryOp, activate, binary, softmax};
pub use epilogue::{Activation, Epilogue};
pub use gemm::{Gemm, gemm, gemm_add, gemm_whole};
pub use layout::{normalize_u8, transpose};
pub use norm::{LayerNorm, layer_norm, layer_norm_grad};
pub use packed::{Axis, Layout, PackedB, Panel};
pub use planar::{Planar, planar};
pub use pool::{Pool, PoolKind, pool};
pub use winograd::{Winograd, WinogradPanel, WinogradWeights, winograd, winograd_patches, winograd_products};

use std::marker::PhantomData;
use std::ops::Range;

/// A buffer that several threads fill at once, each its own part.
///
/// ```
/// let mut buffer = vec![0.0; 8];
/// let out = percept_engine::kernels::Out::new(&mut buffer);
/// assert_eq!(out.len(), 8);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Out<'a> {
    ptr: *mut f32,
    len: usize,
    buffer: PhantomData<&'a mut [f32]>,
}

// SAFETY: an `Out` is written through in `unsafe` kernels only, whose contract is that concurrent calls touch disjoint parts.
unsafe impl Send for Out<'_> {}
// SAFETY: as for `Send`.
unsafe impl Sync for Out<'_> {}

impl<'a> Out<'a> {
    /// The handle of a whole buffer.
    pub fn new(buffer: &'a mut [f32]) -> Self {
        // SAFETY: the exclusive borrow lasts as long as the handle.
        unsafe { Out::from_raw(buffer.as_mut_ptr(), buffer.len()) }
    }

    /// The handle of `len` floats at `ptr`, for buffers inside an arena.
    ///
    /// # Safety
    /// The floats are allocated, initialised and, for `'a`, accessed by nobody else than kernels through copies of this handle.
    pub unsafe fn from_raw(ptr: *mut f32, len: usize) -> Self {
        Out { ptr, len, buffer: PhantomData }
    }

    /// The handle of a part of the buffer.
    pub fn slice(&self, range: Range<usize>) -> Out<'a> {
        check_range(&range, self.len, "slice");
        // SAFETY: the part lies inside the buffer, for which the same promises were made.
        unsafe { Out::from_raw(self.ptr.add(range.start), range.len()) }
    }

    /// A part of the buffer, to be written by safe code.
    ///
    /// # Safety
    /// As long as the slice lives, nobody else reads or writes that part.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice_mut(&self, range: Range<usize>) -> &'a mut [f32] {
        check_range(&range, self.len, "slice");
        // SAFETY: the part lies inside the buffer; the caller has it alone.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(range.start), range.len()) }
    }

    /// Asserts that there is room for `rows` of `columns`, `distance` apart.
    fn check(&self, rows: usize, columns: usize, distance: usize) {
        let end = rows.saturating_sub(1).saturating_mul(distance).saturating_add(columns);
        assert!(
            distance >= columns && (rows == 0 || end <= self.len),
            "output of {} for {rows}×{columns}, {distance} apart",
            self.len
        );
    }

    /// Number of floats.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// How a window slides over pictures: shared by [`conv`], [`depthwise`] and [`pool`].
///
/// `[height, width]` in every pair. The end padding is implied by `output`: whatever a window reaches beyond the picture is padding,
/// so asymmetric padding and `ceil_mode` need nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Pictures.
    pub batch: usize,
    /// Input size.
    pub input: [usize; 2],
    /// Output size.
    pub output: [usize; 2],
    /// Kernel size.
    pub kernel: [usize; 2],
    /// Steps of the window, at least 1.
    pub stride: [usize; 2],
    /// Distance of taps, at least 1.
    pub dilation: [usize; 2],
    /// Padding at the top and at the left.
    pub pad: [usize; 2],
}

impl Window {
    /// Output rows, `batch · height`.
    pub fn rows(&self) -> usize {
        self.batch.saturating_mul(self.output[0])
    }

    /// Output pixels, `batch · height · width`.
    pub fn pixels(&self) -> usize {
        self.rows().saturating_mul(self.output[1])
    }

    /// Taps of the kernel.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Input pixels, `batch · height · width`.
    pub fn input_pixels(&self) -> usize {
        self.batch.saturating_mul(self.input[0]).saturating_mul(self.input[1])
    }

    /// The taps along `axis` that lie inside the picture for output coordinate `o`, and the input coordinate of tap 0 (it may be negative).
    #[inline(always)]
    pub(super) fn reach(&self, axis: usize, o: usize) -> (Range<usize>, isize) {
        let (step, size) = (self.dilation[axis], self.input[axis] as isize);
        let first = (o * self.stride[axis]) as isize - self.pad[axis] as isize;
        let taps = self.kernel[axis];
        // The usual case, without divisions.
        if first >= 0 && taps > 0 && first + (((taps - 1) * step) as isize) < size {
            return (0..taps, first);
        }
        let begin = if first >= 0 { 0 } else { first.unsigned_abs().div_ceil(step) };
        let end = if first >= size { 0 } else { (size - first).unsigned_abs().div_ceil(step) };
        let end = end.min(taps);
        (begin.min(end)..end, first)
    }

    /// The pixels of one output picture: the number of each, row and column.
    fn places(&self) -> impl Iterator<Item = (usize, [usize; 2])> + use<> {
        let [height, width] = self.output;
        (0..height).flat_map(move |oy| (0..width).map(move |ox| (oy * width + ox, [oy, ox])))
    }

    /// Of `outputs` along `axis` those whose tap lies inside the picture, and the input coordinate that the first of them finds there.
    pub(super) fn sees(&self, axis: usize, tap: usize, outputs: Range<usize>) -> (Range<usize>, usize) {
        let (at, pad, stride) = (tap * self.dilation[axis], self.pad[axis], self.stride[axis]);
        let first = outputs.start.max(pad.saturating_sub(at).div_ceil(stride));
        let end = outputs.end.min((self.input[axis] + pad).saturating_sub(at).div_ceil(stride));
        if first < end { (first..end, first * stride + at - pad) } else { (0..0, 0) }
    }

    /// The input rows between the first and the last that output `rows` reach.
    pub(crate) fn seen(&self, rows: &Range<usize>) -> Range<usize> {
        let inside = |row: usize| row.saturating_sub(self.pad[0]).min(self.input[0]);
        let first = rows.start * self.stride[0];
        inside(first)..inside(first + self.span(0, rows.len()))
    }

    /// Input coordinates along `axis` from the first to the last that so many neighbouring outputs see.
    pub(super) fn span(&self, axis: usize, outputs: usize) -> usize {
        let taps = self.kernel[axis].saturating_sub(1) * self.dilation[axis];
        outputs.saturating_sub(1) * self.stride[axis] + taps + 1
    }

    /// All that says how it slides; below [`LIMIT`](Self::LIMIT), so that coordinates of taps are exact.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = usize> {
        let Self { batch: _, input, output, kernel, stride, dilation, pad } = *self;
        [input, output, kernel, stride, dilation, pad].into_iter().flatten()
    }

    /// No size or distance along an axis reaches this.
    pub(crate) const LIMIT: usize = 1 << 31;

    fn check(&self) {
        assert!(self.sizes().all(|size| size < Self::LIMIT), "an axis too long in {self:?}");
        assert!(self.stride.iter().chain(&self.dilation).all(|&s| s > 0), "a stride or dilation of 0 in {self:?}");
    }
}

fn check_range(range: &Range<usize>, end: usize, what: &str) {
    assert!(range.start <= range.end && range.end <= end, "{what} {range:?} outside 0..{end}");
}

#[cfg(test)]
mod conv_tests;
#[cfg(test)]
mod tests;
