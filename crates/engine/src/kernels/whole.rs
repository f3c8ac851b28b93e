//! Whole products on the calling thread, for callers that divide their own work and for crates without `unsafe`.

use super::{Gemm, Out, PackedB, gemm, gemm_at_b};

/// Computes all of `C = epilogue(A·B)`.
///
/// ```
/// use percept_engine::{kernels::{Epilogue, Gemm, PackedB, gemm_whole}, simd::Isa};
/// let b = PackedB::pack(Isa::SCALAR, 2, 1, &[10.0, 1.0], [1, 1]);
/// let mut c = [0.0; 2];
/// gemm_whole(&Gemm { m: 2, a: &[1.0, 2.0, 3.0, 4.0], lda: 2, b: &b, ldc: 1, epilogue: Epilogue::default() }, &mut c);
/// assert_eq!(c, [12.0, 34.0]);
/// ```
pub fn gemm_whole(g: &Gemm<'_>, c: &mut [f32]) {
    // SAFETY: `c` is borrowed exclusively and there is one call.
    unsafe { gemm(g, Out::new(c), 0..g.m, 0..g.b.panels()) }
}

/// Adds all of `Aᵀ·B` to `C[m×n]`, for `A[k×m]` row-major.
///
/// ```
/// use percept_engine::{kernels::{PackedB, gemm_at_b_whole}, simd::Isa};
/// let b = PackedB::pack(Isa::SCALAR, 2, 1, &[10.0, 1.0], [1, 1]);
/// let mut c = [100.0; 2];
/// gemm_at_b_whole(2, &[1.0, 2.0, 3.0, 4.0], &b, &mut c);
/// assert_eq!(c, [113.0, 124.0]);
/// ```
pub fn gemm_at_b_whole(m: usize, a: &[f32], b: &PackedB, c: &mut [f32]) {
    // SAFETY: `c` is borrowed exclusively and there is one call.
    unsafe { gemm_at_b(m, a, b, Out::new(c), 0..m, 0..b.panels()) }
}
