//! One small SIMD abstraction, so that every kernel is written once.
//!
//! A kernel is a struct of arguments that implements `Kernel`; `Isa::run` instantiates it for the instruction set chosen at run
//! time. The operations of `Simd` are `#[inline(always)]` wrappers of one intrinsic each, and the entry `Simd::enter` carries
//! the `#[target_feature]`: what is inlined into it is compiled for that instruction set, and what must stay a function of its own
//! (a micro-kernel) enters again. A new instruction set is one file here and one line in [`Isa`].
//!
//! Existing crates (`pulp`, `wide`, `std::simd`) were not taken: the trait is shorter than the glue they would need for masked
//! tails and 2ⁿ scaling, and it fixes the meaning of every operation on every instruction set, which reproducible training needs.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod buffer;
mod isa;
pub(crate) mod math;
mod scalar;

pub use buffer::AlignedBuf;
pub(crate) use buffer::forbid;
pub use isa::{Isa, IsaError, flush_denormals};

/// Defines operations of [`Simd`], each a signature and an expression.
macro_rules! operations {
    ($($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? { $body:expr })*) => {$(
        #[inline(always)]
        unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
            // SAFETY: the CPU has the instruction set, and pointers are valid for the lanes touched (trait contract).
            #[allow(unused_unsafe)]
            unsafe { $body }
        }
    )*};
}
use operations;

/// Work that is instantiated for each instruction set.
pub(crate) trait Kernel {
    /// Does the work with the vectors of `S`; must be `#[inline(always)]`.
    ///
    /// # Safety
    /// The CPU has the instruction set of `S`, and the pointers inside `self` are valid for what the kernel reads and writes.
    unsafe fn run<S: Simd>(self);
}

/// A vector of f32 and what can be done with it.
///
/// # Safety
/// Every method requires that the CPU has the instruction set, and that pointers are valid for the lanes read or written; no alignment is needed.
#[allow(clippy::missing_safety_doc)]
pub(crate) trait Simd: Copy + 'static {
    /// The vector type.
    type V: Copy;
    /// Lanes of a vector.
    const LANES: usize;
    /// Vector registers that a tile may fill: 32, 16 or 8.
    const REGISTERS: usize;

    /// Runs a kernel inside a function that is compiled for this instruction set.
    unsafe fn enter<K: Kernel>(kernel: K);
    /// All lanes `x`.
    unsafe fn splat(x: f32) -> Self::V;
    /// Reads a whole vector.
    unsafe fn load(p: *const f32) -> Self::V;
    /// Reads the first `n ≤ LANES` lanes; the others are 0.
    unsafe fn load_part(p: *const f32, n: usize) -> Self::V;
    /// Writes a whole vector.
    unsafe fn store(p: *mut f32, v: Self::V);
    /// Writes the first `n ≤ LANES` lanes.
    unsafe fn store_part(p: *mut f32, v: Self::V, n: usize);
    /// Asks for the cache line at `p`, which need not exist, to be fetched.
    #[inline(always)]
    unsafe fn prefetch(_p: *const f32) {}
    /// The first `LANES / 2` floats, twice.
    unsafe fn load_twice(p: *const f32) -> Self::V;
    /// The first `LANES / 2` floats of each.
    unsafe fn load_halves(low: *const f32, high: *const f32) -> Self::V;
    /// Writes the halves of a vector.
    unsafe fn store_halves(low: *mut f32, high: *mut f32, v: Self::V);
    /// The first `n ≤ LANES` lanes of one vector and the others of the other.
    unsafe fn join(low: Self::V, high: Self::V, n: usize) -> Self::V;
    /// Writes the transpose of a block of `LANES` × `LANES` floats, whose rows are so far apart on either side.
    unsafe fn transpose(from: *const f32, from_row: usize, to: *mut f32, to_row: usize);
    /// The lanes of even places of two vectors that follow each other, and those of odd places.
    unsafe fn split(a: Self::V, b: Self::V) -> [Self::V; 2];
    /// The vectors that [`split`](Self::split) gives back so.
    unsafe fn merge(even: Self::V, odd: Self::V) -> [Self::V; 2];
    /// `a + b`.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// `a − b`.
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// `a · b`.
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// `a < b ? a : b`, so `b` where either is NaN.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// `a > b ? a : b`, so `b` where either is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`, rounded once where the instruction set has it.
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a < b ? x : y`.
    unsafe fn select_lt(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// The nearest integer, ties to even.
    unsafe fn round(a: Self::V) -> Self::V;
    /// The square root.
    unsafe fn sqrt(a: Self::V) -> Self::V;
    /// ⌊log₂ a⌋ for positive numbers that are not denormal.
    unsafe fn exponent(a: Self::V) -> Self::V;
    /// x · 2ⁿ for integral `n` in −252..=254.
    unsafe fn scale(x: Self::V, n: Self::V) -> Self::V;
}

/// Reads `n ≤ LANES` lanes, which are all but at the end of a run.
///
/// # Safety
/// `p` is valid for `n` floats, and the CPU has the instruction set of `S`.
#[inline(always)]
pub(crate) unsafe fn read<S: Simd>(p: *const f32, n: usize) -> S::V {
    // SAFETY: as the caller vouches.
    unsafe { if n == S::LANES { S::load(p) } else { S::load_part(p, n) } }
}

/// Writes `n ≤ LANES` lanes, which are all but at the end of a run.
///
/// # Safety
/// `p` is valid for `n` floats, and the CPU has the instruction set of `S`.
#[inline(always)]
pub(crate) unsafe fn write<S: Simd>(p: *mut f32, v: S::V, n: usize) {
    // SAFETY: as the caller vouches.
    unsafe { if n == S::LANES { S::store(p, v) } else { S::store_part(p, v, n) } }
}

#[cfg(test)]
mod tests;
