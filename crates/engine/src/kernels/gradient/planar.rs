//! The gradient of the filters of a convolution of a few channels, whose maps lie as planes: see [`Planar`].

use super::super::check_range;
use super::super::planar::Planar;
use super::super::tile::unroll;
use crate::simd::{Isa, Kernel, Simd, read};
use std::ops::Range;

impl Planar {
    /// Floats of scratch that [`planar_weight_grad`] needs: a copied picture, and a vector for each sum.
    pub fn grad_scratch_len(&self, isa: Isa) -> usize {
        self.scratch_len(isa).saturating_add(self.inputs * self.window.taps() * self.columns() * isa.lanes())
    }
}

/// The gradient with respect to the filters over some `pictures`, in ONNX's layout, `[outputs, inputs, kernel height, kernel width]`; `x` and the
/// gradient of the output lie as planes.
pub fn planar_weight_grad(
    isa: Isa,
    conv: &Planar,
    x: &[f32],
    gradient: &[f32],
    pictures: Range<usize>,
    scratch: &mut [f32],
    sums: &mut [f32],
) {
    conv.check(x);
    let (w, terms) = (&conv.window, conv.inputs * conv.window.taps());
    check_range(&pictures, w.batch, "pictures");
    assert_eq!(gradient.len(), w.pixels() * conv.outputs, "gradient for {w:?}");
    assert_eq!(sums.len(), conv.outputs * terms, "sums");
    let (copy, vectors) = scratch[..conv.grad_scratch_len(isa)].split_at_mut(conv.scratch_len(isa));
    vectors.fill(0.0);
    let size = [w.input, w.output].map(|[height, width]| height * width);
    for picture in pictures {
        let [x_at, dy_at] = [picture * size[0] * conv.inputs, picture * size[1] * conv.outputs];
        conv.copy(isa.lanes(), &x[x_at..x_at + size[0] * conv.inputs], copy);
        let dy = &gradient[dy_at..dy_at + size[1] * conv.outputs];
        // SAFETY: the copy has a whole vector for every tap of every pixel, and the sums have one for every term and column.
        unsafe { isa.run(Planes { conv, x: copy, dy, vectors: vectors.as_mut_ptr() }) }
    }
    let (columns, lanes) = (conv.columns(), isa.lanes());
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum = vectors[(i % terms * columns + i / terms) * lanes..][..lanes].iter().sum();
    }
}

/// The sums over a picture.
struct Planes<'a> {
    conv: &'a Planar,
    /// Copied.
    x: &'a [f32],
    dy: &'a [f32],
    /// A vector for each term and column, which goes on.
    vectors: *mut f32,
}

impl Kernel for Planes<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: passed on from the caller.
        unsafe {
            match self.conv.columns() {
                4 => self.terms::<S, 2>(),
                6 => self.terms::<S, 3>(),
                _ => self.terms::<S, 4>(),
            }
        }
    }
}

impl Planes<'_> {
    /// All terms, for half of the columns and then the others: with five taps that is as many sums as there are registers for.
    ///
    /// # Safety
    /// As [`planar_weight_grad`] calls it; `O` is half of the columns.
    #[inline(always)]
    unsafe fn terms<S: Simd, const O: usize>(&self) {
        let (w, [height, width]) = (&self.conv.window, self.conv.padded(S::LANES));
        for (i, ky) in (0..self.conv.inputs).flat_map(|i| (0..w.kernel[0]).map(move |ky| (i, ky))) {
            let mut kx = 0;
            while kx < w.kernel[1] {
                let (row, term) = ((i * height + ky) * width + kx, (i * w.kernel[0] + ky) * w.kernel[1] + kx);
                for first in [0, O] {
                    // SAFETY: passed on from the caller; so many taps are left.
                    unsafe {
                        match w.kernel[1] - kx {
                            5.. => self.taps::<S, O, 5>(row, term, first),
                            3.. => self.taps::<S, O, 3>(row, term, first),
                            _ => self.taps::<S, O, 1>(row, term, first),
                        }
                    }
                }
                kx += match w.kernel[1] - kx {
                    5.. => 5,
                    3.. => 3,
                    _ => 1,
                };
            }
        }
    }

    /// Neighbouring taps from a term on, whose inputs begin at `row` of the copy, for the columns from `first` on.
    ///
    /// # Safety
    /// As [`Self::terms`].
    #[inline(always)]
    unsafe fn taps<S: Simd, const O: usize, const TAPS: usize>(&self, row: usize, term: usize, first: usize) {
        let ([height, width], stride) = (self.conv.window.output, self.conv.padded(S::LANES)[1]);
        // Columns that are no outputs get sums that nobody reads.
        let planes: [_; O] = std::array::from_fn(|i| {
            let plane = if first + i < self.conv.outputs { first + i } else { 0 };
            self.dy.as_ptr().wrapping_add(plane * height * width)
        });
        // SAFETY: every plane has `height` × `width` floats, of which a vector reads those that there are; the copy has whole vectors.
        unsafe {
            let sums = self.vectors.add((term * 2 * O + first) * S::LANES);
            let mut acc = [[S::splat(0.0); O]; TAPS];
            unroll!(5, TAPS, |K| { unroll!(14, O, |I| { acc[K][I] = S::load(sums.add((K * 2 * O + I) * S::LANES)) }) });
            for y in 0..height {
                for x in (0..width).step_by(S::LANES) {
                    let lanes = S::LANES.min(width - x);
                    let mut dy = [S::splat(0.0); O];
                    unroll!(14, O, |I| { dy[I] = read::<S>(planes[I].add(y * width + x), lanes) });
                    unroll!(5, TAPS, |K| {
                        let x = S::load(self.x.as_ptr().add(row + y * stride + x + K));
                        unroll!(14, O, |I| { acc[K][I] = S::mul_add(dy[I], x, acc[K][I]) });
                    });
                }
            }
            unroll!(5, TAPS, |K| { unroll!(14, O, |I| { S::store(sums.add((K * 2 * O + I) * S::LANES), acc[K][I]) }) });
        }
    }
}
