//! AVX2 with FMA: eight lanes, sixteen registers.

use super::{Kernel, Simd, operations};
use std::arch::x86_64::*;

/// AVX2 + FMA vectors.
#[derive(Clone, Copy)]
pub(super) struct Avx2;

/// Eight ones then eight zeros: a load at `8 − n` is the mask of the first `n` lanes.
static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// The mask of the first `n` lanes.
///
/// # Safety
/// `n ≤ 8`, and the CPU has AVX2.
#[inline(always)]
unsafe fn mask(n: usize) -> __m256i {
    debug_assert!(n <= 8);
    // SAFETY: `n ≤ 8` keeps the eight lanes inside the sixteen of the table; the CPU has AVX2 (trait contract).
    unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(8 - n).cast()) }
}

impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    unsafe fn enter<K: Kernel>(kernel: K) {
        /// # Safety
        /// The CPU has AVX2 and FMA, and the kernel may run.
        #[target_feature(enable = "avx2,fma")]
        #[inline(never)]
        unsafe fn inner<K: Kernel>(kernel: K) {
            // SAFETY: passed on from the caller.
            unsafe { kernel.run::<Avx2>() }
        }
        // SAFETY: the CPU has AVX2 and FMA (trait contract).
        unsafe { inner(kernel) }
    }

    operations! {
        splat(x: f32) -> __m256 { _mm256_set1_ps(x) }
        load(p: *const f32) -> __m256 { _mm256_loadu_ps(p) }
        load_part(p: *const f32, n: usize) -> __m256 { _mm256_maskload_ps(p, mask(n)) }
        store(p: *mut f32, v: __m256) { _mm256_storeu_ps(p, v) }
        store_part(p: *mut f32, v: __m256, n: usize) { _mm256_maskstore_ps(p, mask(n), v) }
        prefetch(p: *const f32) { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
        load_twice(p: *const f32) -> __m256 { _mm256_broadcast_ps(&p.cast::<__m128>().read_unaligned()) }
        load_halves(low: *const f32, high: *const f32) -> __m256 { _mm256_loadu2_m128(high, low) }
        store_halves(low: *mut f32, high: *mut f32, v: __m256) { _mm256_storeu2_m128(high, low, v) }
        join(low: __m256, high: __m256, n: usize) -> __m256 {
            _mm256_blendv_ps(high, low, _mm256_castsi256_ps(mask(n)))
        }
        transpose(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {{
            let rows: [__m256; 8] = std::array::from_fn(|i| _mm256_loadu_ps(from.add(i * from_row)));
            // Within each quarter of four columns: two columns of two rows, then one column of four rows.
            let pairs: [__m256; 8] = std::array::from_fn(|i| match (rows[i / 2 * 2], rows[i / 2 * 2 + 1], i % 2) {
                (a, b, 0) => _mm256_unpacklo_ps(a, b),
                (a, b, _) => _mm256_unpackhi_ps(a, b),
            });
            let fours: [__m256; 8] = std::array::from_fn(|i| {
                let [a, b] = [i / 4 * 4 + i % 4 / 2, i / 4 * 4 + i % 4 / 2 + 2].map(|i| _mm256_castps_pd(pairs[i]));
                _mm256_castpd_ps(if i % 2 == 0 { _mm256_unpacklo_pd(a, b) } else { _mm256_unpackhi_pd(a, b) })
            });
            for column in 0..4 {
                let (a, b) = (fours[column], fours[4 + column]);
                _mm256_storeu_ps(to.add(column * to_row), _mm256_permute2f128_ps::<0x20>(a, b));
                _mm256_storeu_ps(to.add((4 + column) * to_row), _mm256_permute2f128_ps::<0x31>(a, b));
            }
        }}
        split(a: __m256, b: __m256) -> [__m256; 2] {{
            // Pairs in the order of the halves: a, b, a, b.
            let (even, odd) = (_mm256_shuffle_ps::<0x88>(a, b), _mm256_shuffle_ps::<0xdd>(a, b));
            let (even, odd) = (_mm256_castps_pd(even), _mm256_castps_pd(odd));
            let (even, odd) = (_mm256_permute4x64_pd::<0xd8>(even), _mm256_permute4x64_pd::<0xd8>(odd));
            [_mm256_castpd_ps(even), _mm256_castpd_ps(odd)]
        }}
        merge(even: __m256, odd: __m256) -> [__m256; 2] {{
            let (low, high) = (_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd));
            [_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high)]
        }}
        add(a: __m256, b: __m256) -> __m256 { _mm256_add_ps(a, b) }
        sub(a: __m256, b: __m256) -> __m256 { _mm256_sub_ps(a, b) }
        mul(a: __m256, b: __m256) -> __m256 { _mm256_mul_ps(a, b) }
        div(a: __m256, b: __m256) -> __m256 { _mm256_div_ps(a, b) }
        min(a: __m256, b: __m256) -> __m256 { _mm256_min_ps(a, b) }
        max(a: __m256, b: __m256) -> __m256 { _mm256_max_ps(a, b) }
        mul_add(a: __m256, b: __m256, c: __m256) -> __m256 { _mm256_fmadd_ps(a, b, c) }
        select_lt(a: __m256, b: __m256, x: __m256, y: __m256) -> __m256 {
            _mm256_blendv_ps(y, x, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b))
        }
        round(a: __m256) -> __m256 { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
        sqrt(a: __m256) -> __m256 { _mm256_sqrt_ps(a) }
        exponent(a: __m256) -> __m256 {{
            let bits = _mm256_srli_epi32::<23>(_mm256_castps_si256(a));
            _mm256_cvtepi32_ps(_mm256_sub_epi32(bits, _mm256_set1_epi32(127)))
        }}
        scale(x: __m256, n: __m256) -> __m256 {{
            // In two halves, since a power of two has fewer exponents than the quotient of two of them.
            let half = Self::round(_mm256_mul_ps(n, _mm256_set1_ps(0.5)));
            let (half, rest) = (_mm256_cvtps_epi32(half), _mm256_cvtps_epi32(_mm256_sub_ps(n, half)));
            let ones = _mm256_set1_epi32(127);
            let half = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(half, ones)));
            let rest = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(rest, ones)));
            _mm256_mul_ps(_mm256_mul_ps(x, half), rest)
        }}
    }
}
