//! Convolutions of a few channels, with neighbouring pixels in the lanes of a vector.
//!
//! A map of 6 channels fills 6 of 16 lanes where the channels of a pixel are neighbours. Here they lie as planes, in ONNX's order, and a line of
//! a plane fills its vectors but for the end: LeNet-5's first convolution of 64 pictures takes a quarter of the time. A picture is copied once,
//! with zeros around it and behind its lines, so that whole vectors can be read for every tap. What follows may find the maps of a few channels better as
//! they are (`halves.rs`), or turn them.

use super::tile::unroll;
use super::{Out, Window, check_range};
use crate::simd::{Isa, Kernel, Simd, write};
use std::ops::Range;

/// The most output channels.
const OUTPUTS: usize = 8;
/// The most input channels.
const INPUTS: usize = 4;

/// A convolution of stride 1 in one group, from planes to planes.
#[derive(Clone, Copy)]
pub struct Planar {
    /// How the kernel slides.
    pub window: Window,
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
}

impl Planar {
    /// Whether a convolution is one, and of so few channels that this pays.
    pub fn suits(&self, isa: Isa) -> bool {
        let (w, few) = (&self.window, 1..=OUTPUTS.min(isa.lanes() / 2));
        let plain = w.stride == [1, 1] && w.dilation == [1, 1] && w.pixels() > 0 && w.taps() > 1;
        plain && w.output[1] >= isa.lanes() && (1..=INPUTS).contains(&self.inputs) && few.contains(&self.outputs)
    }

    /// Output channels that are computed: some numbers of them are rounded up.
    pub fn columns(&self) -> usize {
        (self.outputs.next_multiple_of(2)).max(4)
    }

    /// Lines and columns of a copied picture.
    pub(super) fn padded(&self, lanes: usize) -> [usize; 2] {
        let w = &self.window;
        [w.output[0] + w.kernel[0] - 1, w.output[1].next_multiple_of(lanes) + w.kernel[1] - 1]
    }

    /// Floats of a copied picture: the scratch that [`planar`] needs.
    pub fn scratch_len(&self, isa: Isa) -> usize {
        self.padded(isa.lanes()).into_iter().fold(self.inputs, usize::saturating_mul)
    }

    /// Copies a picture with zeros around it.
    pub(super) fn copy(&self, lanes: usize, picture: &[f32], to: &mut [f32]) {
        let (w, [height, width]) = (&self.window, self.padded(lanes));
        let pad = w.pad[1].min(width);
        let inside = w.input[1].min(width - pad);
        for (i, line) in to.chunks_exact_mut(width).take(self.inputs * height).enumerate() {
            let y = (i % height).checked_sub(w.pad[0]).filter(|&y| y < w.input[0]);
            line.fill(0.0);
            if let Some(y) = y {
                let from = &picture[(i / height * w.input[0] + y) * w.input[1]..][..inside];
                line[pad..pad + inside].copy_from_slice(from);
            }
        }
    }

    /// Puts filters in ONNX's layout, `[outputs, inputs, kernel height, kernel width]`, as [`planar`] takes them: [`columns`](Self::columns) for each
    /// channel and tap.
    pub fn pack(&self, weights: &[f32], filters: &mut [f32]) {
        let terms = self.inputs * self.window.taps();
        for (term, row) in filters.chunks_exact_mut(self.columns()).enumerate().take(terms) {
            row.fill(0.0);
            row.iter_mut().zip(weights.iter().skip(term).step_by(terms)).for_each(|(to, &from)| *to = from);
        }
    }

    pub(super) fn check(&self, x: &[f32]) {
        self.window.check();
        assert!(self.columns() <= OUTPUTS, "{} planes", self.outputs);
        assert_eq!(x.len(), self.window.input_pixels() * self.inputs, "x for {:?}", self.window);
    }
}

/// Computes the planes of some `pictures`, from those of `x`, filters as [`Planar::pack`] leaves them, and a bias.
///
/// # Safety
/// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
///
/// ```
/// use percept_engine::{kernels::{Out, Planar, Window, planar}, simd::Isa};
/// let window = Window { batch: 1, input: [1, 4], output: [1, 3], kernel: [1, 2], stride: [1, 1], dilation: [1, 1], pad: [0, 0] };
/// let conv = Planar { window, inputs: 1, outputs: 2 };
/// let (mut filters, mut y) = ([0.0; 8], [0.0; 6]);
/// conv.pack(&[1.0, -1.0, 1.0, 1.0], &mut filters);
/// let mut scratch = vec![0.0; conv.scratch_len(Isa::SCALAR)];
/// // SAFETY: one call.
/// unsafe { planar(Isa::SCALAR, &conv, &[1.0, 2.0, 4.0, 8.0], &filters, Some(&[0.5, 0.0]), Out::new(&mut y), 0..1, &mut scratch) };
/// assert_eq!(y, [-0.5, -1.5, -3.5, 3.0, 6.0, 12.0]);
/// ```
#[allow(clippy::too_many_arguments)]
pub unsafe fn planar(
    isa: Isa,
    conv: &Planar,
    x: &[f32],
    filters: &[f32],
    bias: Option<&[f32]>,
    out: Out<'_>,
    pictures: Range<usize>,
    scratch: &mut [f32],
) {
    conv.check(x);
    check_range(&pictures, conv.window.batch, "pictures");
    assert_eq!(filters.len(), conv.inputs * conv.window.taps() * conv.columns(), "filters");
    assert_eq!(out.len(), conv.window.pixels() * conv.outputs, "output for {:?}", conv.window);
    let mut biases = [0.0; OUTPUTS];
    if let Some(bias) = bias {
        biases[..conv.outputs].copy_from_slice(&bias[..conv.outputs]);
    }
    let size = conv.window.input[0] * conv.window.input[1] * conv.inputs;
    let scratch = &mut scratch[..conv.scratch_len(isa)];
    for picture in pictures {
        conv.copy(isa.lanes(), &x[picture * size..(picture + 1) * size], scratch);
        let plane = conv.window.output[0] * conv.window.output[1];
        let y = out.ptr.wrapping_add(picture * conv.outputs * plane);
        // SAFETY: the copy has a whole vector for every tap of every pixel, and the planes of the picture are the caller's.
        unsafe { isa.run(Planes { conv, x: scratch, filters, biases: &biases, y }) }
    }
}

/// The planes of a picture.
struct Planes<'a> {
    conv: &'a Planar,
    /// Copied.
    x: &'a [f32],
    filters: &'a [f32],
    biases: &'a [f32; OUTPUTS],
    y: *mut f32,
}

impl Kernel for Planes<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: passed on from the caller.
        unsafe {
            match self.conv.columns() {
                4 => self.lines::<S, 4>(),
                6 => self.lines::<S, 6>(),
                _ => self.lines::<S, 8>(),
            }
        }
    }
}

impl Planes<'_> {
    /// # Safety
    /// As [`planar`]; `O` is the number of columns.
    #[inline(always)]
    unsafe fn lines<S: Simd, const O: usize>(&self) {
        let [height, width] = self.conv.window.output;
        for y in 0..height {
            for x in (0..width).step_by(2 * S::LANES) {
                // SAFETY: passed on from the caller.
                unsafe {
                    match width - x > S::LANES {
                        true => self.tile::<S, O, 2>(y, x),
                        false => self.tile::<S, O, 1>(y, x),
                    }
                }
            }
        }
    }

    /// `NV` vectors of a line, from a column on, in all planes.
    ///
    /// # Safety
    /// As [`planar`]; the line goes on for more than `NV − 1` vectors.
    #[inline(always)]
    unsafe fn tile<S: Simd, const O: usize, const NV: usize>(&self, line: usize, column: usize) {
        let (w, [height, width]) = (&self.conv.window, self.conv.padded(S::LANES));
        // SAFETY: the copy has whole vectors for every tap, filters have `O` columns for each, and a plane has the pixels that are written.
        unsafe {
            let (mut acc, biases) = ([[S::splat(0.0); NV]; O], self.biases.as_ptr());
            unroll!(14, O, |I| { unroll!(3, NV, |J| { acc[I][J] = S::splat(*biases.add(I)) }) });
            let mut filters = self.filters.as_ptr();
            for (i, ky) in (0..self.conv.inputs).flat_map(|i| (0..w.kernel[0]).map(move |ky| (i, ky))) {
                let row = self.x.as_ptr().add((i * height + line + ky) * width + column);
                for kx in 0..w.kernel[1] {
                    let mut x = [S::splat(0.0); NV];
                    unroll!(3, NV, |J| { x[J] = S::load(row.add(kx + J * S::LANES)) });
                    unroll!(14, O, |I| {
                        let filter = S::splat(*filters.add(I));
                        unroll!(3, NV, |J| { acc[I][J] = S::mul_add(x[J], filter, acc[I][J]) });
                    });
                    filters = filters.add(O);
                }
            }
            let plane = w.output[0] * w.output[1];
            for (i, acc) in acc.iter().enumerate().take(self.conv.outputs) {
                let to = self.y.add(i * plane + line * w.output[1] + column);
                unroll!(3, NV, |J| {
                    let left = w.output[1] - column - J * S::LANES;
                    write::<S>(to.add(J * S::LANES), acc[J], left.min(S::LANES));
                });
            }
        }
    }
}
