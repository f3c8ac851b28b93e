//! AVX-512: sixteen lanes, thirty-two registers, masks for tails.

use super::{Kernel, Simd, operations};
use std::arch::x86_64::*;

/// AVX-512 vectors.
#[derive(Clone, Copy)]
pub(super) struct Avx512;

#[inline(always)]
fn mask(n: usize) -> __mmask16 {
    debug_assert!(n <= 16);
    ((1u32 << n) - 1) as __mmask16
}

impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    unsafe fn enter<K: Kernel>(kernel: K) {
        /// # Safety
        /// The CPU has AVX-512, and the kernel may run.
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        #[inline(never)]
        unsafe fn inner<K: Kernel>(kernel: K) {
            // SAFETY: passed on from the caller.
            unsafe { kernel.run::<Avx512>() }
        }
        // SAFETY: the CPU has AVX-512 (trait contract).
        unsafe { inner(kernel) }
    }

    operations! {
        splat(x: f32) -> __m512 { _mm512_set1_ps(x) }
        load(p: *const f32) -> __m512 { _mm512_loadu_ps(p) }
        load_part(p: *const f32, n: usize) -> __m512 { _mm512_maskz_loadu_ps(mask(n), p) }
        store(p: *mut f32, v: __m512) { _mm512_storeu_ps(p, v) }
        store_part(p: *mut f32, v: __m512, n: usize) { _mm512_mask_storeu_ps(p, mask(n), v) }
        prefetch(p: *const f32) { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
        load_twice(p: *const f32) -> __m512 { _mm512_broadcast_f32x8(_mm256_loadu_ps(p)) }
        load_halves(low: *const f32, high: *const f32) -> __m512 {
            _mm512_insertf32x8::<1>(_mm512_castps256_ps512(_mm256_loadu_ps(low)), _mm256_loadu_ps(high))
        }
        store_halves(low: *mut f32, high: *mut f32, v: __m512) {{
            _mm256_storeu_ps(low, _mm512_castps512_ps256(v));
            _mm256_storeu_ps(high, _mm512_extractf32x8_ps::<1>(v));
        }}
        join(low: __m512, high: __m512, n: usize) -> __m512 { _mm512_mask_blend_ps(mask(n), high, low) }
        transpose(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {{
            let rows: [__m512; 16] = std::array::from_fn(|i| _mm512_loadu_ps(from.add(i * from_row)));
            // Within each quarter of four columns: two columns of two rows, then one column of four rows.
            let pairs: [__m512; 16] = std::array::from_fn(|i| match (rows[i / 2 * 2], rows[i / 2 * 2 + 1], i % 2) {
                (a, b, 0) => _mm512_unpacklo_ps(a, b),
                (a, b, _) => _mm512_unpackhi_ps(a, b),
            });
            let fours: [__m512; 16] = std::array::from_fn(|i| {
                let [a, b] = [i / 4 * 4 + i % 4 / 2, i / 4 * 4 + i % 4 / 2 + 2].map(|i| _mm512_castps_pd(pairs[i]));
                _mm512_castpd_ps(if i % 2 == 0 { _mm512_unpacklo_pd(a, b) } else { _mm512_unpackhi_pd(a, b) })
            });
            for column in 0..4 {
                let [a, b, c, d] = [0, 4, 8, 12].map(|i| fours[i + column]);
                let (even, below) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(c, d));
                let (odd, under) = (_mm512_shuffle_f32x4::<0xdd>(a, b), _mm512_shuffle_f32x4::<0xdd>(c, d));
                _mm512_storeu_ps(to.add(column * to_row), _mm512_shuffle_f32x4::<0x88>(even, below));
                _mm512_storeu_ps(to.add((4 + column) * to_row), _mm512_shuffle_f32x4::<0x88>(odd, under));
                _mm512_storeu_ps(to.add((8 + column) * to_row), _mm512_shuffle_f32x4::<0xdd>(even, below));
                _mm512_storeu_ps(to.add((12 + column) * to_row), _mm512_shuffle_f32x4::<0xdd>(odd, under));
            }
        }}
        split(a: __m512, b: __m512) -> [__m512; 2] {{
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
            [_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b)]
        }}
        merge(even: __m512, odd: __m512) -> [__m512; 2] {{
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
            [_mm512_permutex2var_ps(even, low, odd), _mm512_permutex2var_ps(even, high, odd)]
        }}
        add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        div(a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        min(a: __m512, b: __m512) -> __m512 { _mm512_min_ps(a, b) }
        max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        mul_add(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        select_lt(a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
            _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), y, x)
        }
        round(a: __m512) -> __m512 { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
        sqrt(a: __m512) -> __m512 { _mm512_sqrt_ps(a) }
        exponent(a: __m512) -> __m512 {{
            let bits = _mm512_srli_epi32::<23>(_mm512_castps_si512(a));
            _mm512_cvtepi32_ps(_mm512_sub_epi32(bits, _mm512_set1_epi32(127)))
        }}
        scale(x: __m512, n: __m512) -> __m512 { _mm512_scalef_ps(x, n) }
    }
}
