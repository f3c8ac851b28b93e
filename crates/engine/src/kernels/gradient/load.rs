//! Operands that are computed while they are read: what follows a convolution, and the gradient of that.
//!
//! Of a normalised and activated convolution only the convolution's result is stored. Whoever needs what comes after it, or the
//! gradient of it, computes a block of pixels into scratch memory that stays in cache and works on that: arithmetic is cheap, and every
//! pass over a large tensor that is saved is time.

use super::{read, write};
use crate::kernels::check_range;
use crate::simd::{Isa, Kernel, Simd};
use std::ops::Range;

/// Floats of each operand that are fetched ahead. The processor's own prefetching was seen to give up where several operands are read side
/// by side from memory: 12 instead of 40 GB/s.
const AHEAD: usize = 1024;

/// `clamp(factor · x·m + slope · z + summand)` for each element; what is absent is left out, and `m` is 1 or 0 as [`MaskOf`] says.
///
/// `T` is a buffer, or what stands for one until it is there.
#[derive(Clone, Copy, Debug)]
pub struct Recipe<T> {
    /// Channels, innermost in every buffer.
    pub channels: usize,
    /// NHWC, dense, as all the others.
    pub x: T,
    /// The first channel in `x`, and how many `x` has.
    pub columns: [usize; 2],
    /// The derivative of a clamp, if `x` is the gradient of one.
    pub mask: Option<MaskOf<T>>,
    /// Factors, slopes and summands of all channels, one list after the other, and `z`, without which the slopes are not looked at.
    pub affine: Option<(T, Option<T>)>,
    /// Bounds of the result.
    pub clamp: [f32; 2],
}

/// 1 where `factor · x + summand` lies between the bounds, else 0.
#[derive(Clone, Copy, Debug)]
pub struct MaskOf<T> {
    /// What the clamp was applied to, up to factor and summand.
    pub x: T,
    /// Factors, slopes (not looked at) and summands.
    pub coefficients: Option<T>,
    /// The bounds.
    pub clamp: [f32; 2],
}

/// A recipe and all that it needs.
pub type Load<'a> = Recipe<&'a [f32]>;
/// A mask and all that it needs.
pub type Mask<'a> = MaskOf<&'a [f32]>;

impl<T: Copy> Recipe<T> {
    /// What is stored, as it is.
    pub fn stored(channels: usize, x: T) -> Self {
        let clamp = [f32::NEG_INFINITY, f32::INFINITY];
        Self { channels, x, columns: [0, channels], mask: None, affine: None, clamp }
    }

    /// Whether nothing is computed.
    pub fn is_stored(&self) -> bool {
        let whole = self.columns == [0, self.channels];
        whole && self.mask.is_none() && self.affine.is_none() && self.clamp == [f32::NEG_INFINITY, f32::INFINITY]
    }

    /// The same recipe with other operands.
    pub fn map<U>(&self, of: impl Fn(T) -> U) -> Recipe<U> {
        let Self { channels, columns, clamp, .. } = *self;
        let mask = self.mask.map(|m| MaskOf { x: of(m.x), coefficients: m.coefficients.map(&of), clamp: m.clamp });
        let affine = self.affine.map(|(list, z)| (of(list), z.map(&of)));
        Recipe { channels, x: of(self.x), columns, mask, affine, clamp }
    }

    /// All operands.
    pub fn operands(&self) -> impl Iterator<Item = T> {
        let (mask, affine) = (self.mask, self.affine);
        let mask = [mask.map(|m| m.x), mask.and_then(|m| m.coefficients)];
        let affine = [affine.map(|a| a.0), affine.and_then(|a| a.1)];
        [Some(self.x)].into_iter().chain(mask).chain(affine).flatten()
    }
}

impl Load<'_> {
    fn check(&self) {
        let [first, wide] = self.columns;
        let like_x = |x: Option<&[f32]>| x.is_none_or(|x| x.len() == self.x.len() / wide.max(1) * self.channels);
        assert!(first.saturating_add(self.channels) <= wide, "{} channels from {first} on of {wide}", self.channels);
        let three = |list: Option<&[f32]>| list.is_none_or(|list| list.len() == self.channels.saturating_mul(3));
        assert!(like_x(self.mask.map(|m| m.x)) && like_x(self.affine.and_then(|(_, z)| z)), "operands of one size");
        assert!(three(self.mask.and_then(|m| m.coefficients)) && three(self.affine.map(|(c, _)| c)), "coefficients");
    }
}

/// Computes `channels` of `pixels` of an operand into `to`, where pixels are `stride` apart; what `stride` exceeds the channels by may
/// be overwritten.
///
/// ```
/// use percept_engine::{kernels::gradient::{Load, load}, simd::Isa};
/// let x = Load { affine: Some((&[2.0, 0.0, 1.0], None)), clamp: [0.0, f32::INFINITY], ..Load::stored(1, &[-3.0, 4.0]) };
/// let mut y = [0.0; 2];
/// load(Isa::SCALAR, &x, 0..2, 0..1, &mut y, 1);
/// assert_eq!(y, [0.0, 9.0]);
/// ```
pub fn load(isa: Isa, l: &Load<'_>, pixels: Range<usize>, channels: Range<usize>, to: &mut [f32], stride: usize) {
    l.check();
    check_range(&channels, l.channels, "channels");
    check_range(&pixels, l.x.len() / l.columns[1].max(1), "pixels");
    let (len, needed) = (to.len(), pixels.len().saturating_mul(stride));
    assert!(stride >= channels.len() && len >= needed, "{len} for {pixels:?} by {stride}");
    // SAFETY: the lengths were checked above.
    unsafe { isa.run(Block { l, pixels, channels, to, stride }) }
}

struct Block<'a> {
    l: &'a Load<'a>,
    pixels: Range<usize>,
    channels: Range<usize>,
    to: &'a mut [f32],
    stride: usize,
}

impl Kernel for Block<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mask = self.l.mask.map(|m| m.coefficients.is_some());
        let affine = self.l.affine.map(|(_, z)| z.is_some());
        // SAFETY: passed on from the caller.
        unsafe {
            match (mask, affine) {
                (None, None) => self.pass::<S, 0, 0>(),
                (None, Some(false)) => self.pass::<S, 0, 1>(),
                (None, Some(true)) => self.pass::<S, 0, 2>(),
                (Some(false), None) => self.pass::<S, 1, 0>(),
                (Some(false), Some(false)) => self.pass::<S, 1, 1>(),
                (Some(false), Some(true)) => self.pass::<S, 1, 2>(),
                (Some(true), None) => self.pass::<S, 2, 0>(),
                (Some(true), Some(false)) => self.pass::<S, 2, 1>(),
                (Some(true), Some(true)) => self.pass::<S, 2, 2>(),
            }
        }
    }
}

impl Block<'_> {
    /// `MASK`: 1 for a mask, 2 for one with coefficients. `AFFINE`: 1 for factor and summand, 2 for a slope too.
    ///
    /// # Safety
    /// What the recipe names has the lengths that [`load`] checks, and the CPU has the instruction set of `S`.
    #[inline(always)]
    unsafe fn pass<S: Simd, const MASK: u8, const AFFINE: u8>(self) {
        let (l, c, width, [first, wide]) = (self.l, self.l.channels, self.channels.len(), self.l.columns);
        let (operands, null) = (l.map(<[f32]>::as_ptr), std::ptr::null());
        let mask = operands.mask.unwrap_or(MaskOf { x: null, coefficients: None, clamp: [0.0; 2] });
        let mask_list = mask.coefficients.unwrap_or(null);
        let (list, z) = operands.affine.map_or((null, null), |(list, z)| (list, z.unwrap_or(null)));
        // In pixels, for every pixel fetches as much as it reads.
        let ahead = AHEAD.div_ceil(width.max(1));
        for pixel in 0..self.pixels.len() {
            for i in (0..width).step_by(S::LANES) {
                let (n, room) = (S::LANES.min(width - i), S::LANES.min(self.stride - i));
                let at = self.channels.start + i;
                let from = (self.pixels.start + pixel) * c + at;
                let x = operands.x.wrapping_add((self.pixels.start + pixel) * wide + first + at);
                // SAFETY: the channels and pixels lie inside all buffers, and `to` has room for them (`load` checked); what is fetched
                // ahead may lie behind them.
                unsafe {
                    let of = |list: *const f32, k: usize| read::<S>(list.add(k * c + at), n);
                    S::prefetch(x.wrapping_add(ahead * wide));
                    let mut v = read::<S>(x, n);
                    if MASK > 0 {
                        S::prefetch(mask.x.wrapping_add(from + ahead * c));
                        let mut p = read::<S>(mask.x.add(from), n);
                        if MASK == 2 {
                            p = S::mul_add(of(mask_list, 0), p, of(mask_list, 2));
                        }
                        let [above, below] = mask.clamp.map(|x| S::splat(x));
                        let zero = S::splat(0.0);
                        v = S::select_lt(above, p, S::select_lt(p, below, v, zero), zero);
                    }
                    if AFFINE > 0 {
                        v = S::mul_add(of(list, 0), v, of(list, 2));
                    }
                    if AFFINE == 2 {
                        S::prefetch(z.wrapping_add(from + ahead * c));
                        v = S::mul_add(of(list, 1), read::<S>(z.add(from), n), v);
                    }
                    let [low, high] = l.clamp.map(|x| S::splat(x));
                    let to = self.to.as_mut_ptr().add(pixel * self.stride + i);
                    write::<S>(to, S::min(high, S::max(low, v)), room);
                }
            }
        }
    }
}
