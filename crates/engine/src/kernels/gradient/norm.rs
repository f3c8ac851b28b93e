//! Sums for each channel: what the statistics of a batch normalisation and its gradients are made of.

use super::{read, write};
use crate::kernels::check_range;
use crate::simd::{Isa, Kernel, Simd};
use std::ops::Range;

/// Pixels whose channels are added up before the next channels are looked at: their cache lines stay near.
const BLOCK: usize = 64;

/// The arguments of [`channel_sums`].
#[derive(Clone)]
pub struct ChannelSums<'a> {
    /// Channels of `x`, innermost.
    pub channels: usize,
    /// NHWC, dense.
    pub x: &'a [f32],
    /// The pixels of `x` that are looked at.
    pub pixels: Range<usize>,
    /// The channels of `x` that are looked at.
    pub columns: Range<usize>,
    /// The gradient of just these pixels and channels, and the distance of its pixels.
    pub gradient: Option<(&'a [f32], usize)>,
    /// What is subtracted from `x` first, for each channel of `x`.
    pub shift: &'a [f32],
}

/// Adds, for each of the channels looked at, `u` to the first half of `sums` and `u · (x − shift)` to the second, where `u` is the
/// gradient or, without one, `x − shift`.
///
/// ```
/// use percept_engine::{kernels::gradient::{ChannelSums, channel_sums}, simd::Isa};
/// let x = [1.0, 2.0, 4.0];
/// let all = ChannelSums { channels: 1, x: &x, pixels: 0..3, columns: 0..1, gradient: None, shift: &[1.0] };
/// let mut sums = [0.0; 2];
/// channel_sums(Isa::SCALAR, &all, &mut sums);
/// assert_eq!(sums, [4.0, 10.0]);
/// ```
pub fn channel_sums(isa: Isa, s: &ChannelSums<'_>, sums: &mut [f32]) {
    let c = s.channels;
    check_range(&s.pixels, s.x.len() / c.max(1), "pixels");
    check_range(&s.columns, c, "channels");
    assert!(s.shift.len() == c && sums.len() == 2 * c, "sums of {c} channels");
    if let Some((gradient, stride)) = s.gradient {
        let rows = gradient.len() >= s.pixels.len().saturating_mul(stride);
        assert!(rows && stride >= s.columns.len(), "gradient of {} for {:?}", gradient.len(), s.pixels);
    }
    // SAFETY: the lengths were checked above.
    unsafe { isa.run(Sums { s, sums }) }
}

struct Sums<'a> {
    s: &'a ChannelSums<'a>,
    sums: &'a mut [f32],
}

impl Kernel for Sums<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (s, c) = (self.s, self.s.channels);
        let (gradient, stride) = s.gradient.map_or((std::ptr::null(), 0), |(g, stride)| (g.as_ptr(), stride));
        for block in (0..s.pixels.len()).step_by(BLOCK) {
            let end = s.pixels.len().min(block + BLOCK);
            for i in (0..s.columns.len()).step_by(S::LANES) {
                let (n, at) = (S::LANES.min(s.columns.len() - i), s.columns.start + i);
                // SAFETY: pixels and channels lie inside the buffers, which `channel_sums` checked.
                unsafe {
                    let sums = self.sums.as_mut_ptr();
                    let (first, second) = (sums.add(at), sums.add(c + at));
                    let shift = read::<S>(s.shift.as_ptr().add(at), n);
                    // Two sums of each kind: one alone would wait for itself.
                    let (mut a, mut b) = ([S::splat(0.0); 2], [S::splat(0.0); 2]);
                    macro_rules! add {
                        ($pixel:expr, $k:literal) => {
                            let x = s.x.as_ptr().add((s.pixels.start + $pixel) * c + at);
                            let x = S::sub(read::<S>(x, n), shift);
                            let u =
                                if gradient.is_null() { x } else { read::<S>(gradient.add($pixel * stride + i), n) };
                            a[$k] = S::add(a[$k], u);
                            b[$k] = S::mul_add(u, x, b[$k]);
                        };
                    }
                    for pixel in (block..end - (end - block) % 2).step_by(2) {
                        add!(pixel, 0);
                        add!(pixel + 1, 1);
                    }
                    if (end - block) % 2 == 1 {
                        add!(end - 1, 0);
                    }
                    write::<S>(first, S::add(read::<S>(first, n), S::add(a[0], a[1])), n);
                    write::<S>(second, S::add(read::<S>(second, n), S::add(b[0], b[1])), n);
                }
            }
        }
    }
}
