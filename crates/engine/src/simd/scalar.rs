//! Plain Rust on four lanes: runs anywhere, and compilers turn it into the 128-bit vectors that nearly every target has.

use super::{Kernel, Simd};

/// Portable vectors.
#[derive(Clone, Copy)]
pub(super) struct Scalar;

type V = [f32; 4];

#[inline(always)]
fn zip(a: V, b: V, f: impl Fn(f32, f32) -> f32) -> V {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

impl Simd for Scalar {
    type V = V;
    const LANES: usize = 4;
    /// Half of what there are: with larger tiles LLVM takes the vectors apart, and a matrix product runs at a third of the speed.
    const REGISTERS: usize = 8;

    unsafe fn enter<K: Kernel>(kernel: K) {
        // SAFETY: the caller vouches for the kernel's pointers; no CPU feature is needed.
        unsafe { kernel.run::<Scalar>() }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> V {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> V {
        // SAFETY: the caller vouches for four readable floats.
        unsafe { p.cast::<V>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_part(p: *const f32, n: usize) -> V {
        // SAFETY: only lanes below `n` are read, for which the caller vouches.
        std::array::from_fn(|i| if i < n { unsafe { *p.add(i) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: V) {
        // SAFETY: the caller vouches for four writable floats.
        unsafe { p.cast::<V>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn store_part(p: *mut f32, v: V, n: usize) {
        for (i, x) in v.into_iter().take(n).enumerate() {
            // SAFETY: only lanes below `n` are written, for which the caller vouches.
            unsafe { *p.add(i) = x }
        }
    }
    #[inline(always)]
    unsafe fn load_twice(p: *const f32) -> V {
        // SAFETY: the caller vouches for two readable floats.
        unsafe { Self::load_halves(p, p) }
    }
    #[inline(always)]
    unsafe fn load_halves(low: *const f32, high: *const f32) -> V {
        // SAFETY: the caller vouches for two readable floats in each place.
        unsafe { [*low, *low.add(1), *high, *high.add(1)] }
    }
    #[inline(always)]
    unsafe fn store_halves(low: *mut f32, high: *mut f32, v: V) {
        // SAFETY: the caller vouches for two writable floats in each place.
        unsafe {
            Self::store_part(low, v, 2);
            Self::store_part(high, [v[2], v[3], 0.0, 0.0], 2);
        }
    }
    #[inline(always)]
    unsafe fn join(low: V, high: V, n: usize) -> V {
        std::array::from_fn(|i| if i < n { low[i] } else { high[i] })
    }
    #[inline(always)]
    unsafe fn add(a: V, b: V) -> V {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: V, b: V) -> V {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: V, b: V) -> V {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(a: V, b: V) -> V {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn min(a: V, b: V) -> V {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn max(a: V, b: V) -> V {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    // Rounds twice: `f32::mul_add` is a library call where the hardware has no FMA.
    #[inline(always)]
    unsafe fn mul_add(a: V, b: V, c: V) -> V {
        zip(zip(a, b, |a, b| a * b), c, |p, c| p + c)
    }
    #[inline(always)]
    unsafe fn select_lt(a: V, b: V, x: V, y: V) -> V {
        std::array::from_fn(|i| if a[i] < b[i] { x[i] } else { y[i] })
    }
    #[inline(always)]
    unsafe fn round(a: V) -> V {
        a.map(f32::round_ties_even)
    }
    #[inline(always)]
    unsafe fn pow2(n: V) -> V {
        n.map(|n| f32::from_bits(((n as i32 + 127) << 23) as u32))
    }
}
