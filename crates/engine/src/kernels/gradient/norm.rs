//! Sums for each channel, and a factor and summand for each channel: what batch normalisation is made of, both ways.

use super::super::{Out, check_range};
use super::{read, write};
use crate::simd::{Isa, Kernel, Simd};
use std::ops::Range;

/// Pixels whose channels are added up before the next channels are looked at: their cache lines stay near.
const BLOCK: usize = 64;

/// The arguments of [`channel_sums`].
#[derive(Clone, Copy)]
pub struct ChannelSums<'a> {
    /// Channels, innermost in `x` and `gradient`.
    pub channels: usize,
    /// NHWC, dense.
    pub x: &'a [f32],
    /// Like `x`.
    pub gradient: Option<&'a [f32]>,
    /// What is subtracted from `x` first, for each channel.
    pub shift: &'a [f32],
}

/// Adds up over `pixels`, for each channel, `u` (the first half of `sums`) and `u · (x − shift)` (the second), where `u` is the gradient
/// or, without one, `x − shift`.
pub fn channel_sums(isa: Isa, s: &ChannelSums<'_>, pixels: Range<usize>, sums: &mut [f32]) {
    let c = s.channels;
    check_range(&pixels, s.x.len() / c.max(1), "pixels");
    assert!(sums.len() == 2 * c && s.shift.len() == c, "sums of {c} channels");
    assert!(s.gradient.is_none_or(|gradient| gradient.len() == s.x.len()), "gradient");
    sums.fill(0.0);
    let gradient = s.gradient.map_or(std::ptr::null(), <[f32]>::as_ptr);
    // SAFETY: the lengths were checked above.
    unsafe { isa.run(Sums { c, x: s.x.as_ptr(), gradient, shift: s.shift.as_ptr(), pixels, sums: sums.as_mut_ptr() }) }
}

struct Sums {
    c: usize,
    x: *const f32,
    gradient: *const f32,
    shift: *const f32,
    pixels: Range<usize>,
    sums: *mut f32,
}

impl Kernel for Sums {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let c = self.c;
        for block in self.pixels.clone().step_by(BLOCK) {
            let end = self.pixels.end.min(block + BLOCK);
            for i in (0..c).step_by(S::LANES) {
                let n = S::LANES.min(c - i);
                // SAFETY: pixels and channels lie inside the buffers, which `channel_sums` checked.
                unsafe {
                    let (first, second) = (self.sums.add(i), self.sums.add(c + i));
                    let (mut a, mut b) = (read::<S>(first, n), read::<S>(second, n));
                    let shift = read::<S>(self.shift.add(i), n);
                    for pixel in block..end {
                        let x = S::sub(read::<S>(self.x.add(pixel * c + i), n), shift);
                        let u =
                            if self.gradient.is_null() { x } else { read::<S>(self.gradient.add(pixel * c + i), n) };
                        a = S::add(a, u);
                        b = S::mul_add(u, x, b);
                    }
                    write::<S>(first, a, n);
                    write::<S>(second, b, n);
                }
            }
        }
    }
}

/// Computes `pixels` of `factor · x + slope · z + summand` with one value of each a channel; `coefficients` holds factors, slopes and
/// summands one after the other, and the slopes are not looked at without a `z`.
///
/// # Safety
/// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
pub unsafe fn affine(isa: Isa, x: &[f32], z: Option<&[f32]>, coefficients: &[f32], out: Out<'_>, pixels: Range<usize>) {
    let c = coefficients.len() / 3;
    check_range(&pixels, out.len() / c.max(1), "pixels");
    assert!(x.len() == out.len() && z.is_none_or(|z| z.len() == x.len()), "operands of {}", out.len());
    let z = z.map_or(std::ptr::null(), <[f32]>::as_ptr);
    // SAFETY: the lengths were checked above; disjointness is the caller's.
    unsafe { isa.run(Affine { c, x: x.as_ptr(), z, coefficients: coefficients.as_ptr(), y: out.ptr, pixels }) }
}

struct Affine {
    c: usize,
    x: *const f32,
    z: *const f32,
    coefficients: *const f32,
    y: *mut f32,
    pixels: Range<usize>,
}

impl Kernel for Affine {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let c = self.c;
        for pixel in self.pixels {
            for i in (0..c).step_by(S::LANES) {
                let n = S::LANES.min(c - i);
                // SAFETY: pixels and channels lie inside the buffers, which `affine` checked.
                unsafe {
                    let coefficient = |k: usize| read::<S>(self.coefficients.add(k * c + i), n);
                    let at = pixel * c + i;
                    let mut y = S::mul_add(coefficient(0), read::<S>(self.x.add(at), n), coefficient(2));
                    if !self.z.is_null() {
                        y = S::mul_add(coefficient(1), read::<S>(self.z.add(at), n), y);
                    }
                    write::<S>(self.y.add(at), y, n);
                }
            }
        }
    }
}
