//! Vectors of AVX2, with the fused products of FMA.

use std::arch::x86_64::{
    __m256, __m256i, _MM_HINT_T0, _mm_add_ps, _mm_prefetch, _mm_storeu_ps, _mm256_add_ps, _mm256_and_si256,
    _mm256_blendv_ps, _mm256_castps256_ps128, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_extractf128_ps,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_maskload_ps, _mm256_max_ps, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setr_epi32, _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_storeu_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
};

use super::{Kernel, Simd};

/// 16 registers of 8 lanes.
pub(crate) struct Avx2;

/// All lanes.
const WHOLE: u16 = 0xff;

impl Simd for Avx2 {
    type Vector = __m256;

    const LANES: usize = 8;
    const VECTORS: usize = 2;
    const ROWS: usize = 6;
    const DEPTH: usize = 288;
    const PANELS: usize = 16;
    const RIGHT: usize = 3;
    const PIXELS: usize = 512;
    const LEFT_LINES: usize = 8;
    const PANEL_BY_PANEL: bool = true;

    #[inline(always)]
    unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn compiled<K: Kernel>(kernel: K) -> K::Output {
            // SAFETY: The caller's promise.
            unsafe { kernel.run::<Avx2>() }
        }
        // SAFETY: The caller's promise.
        unsafe { compiled(kernel) }
    }

    #[inline(always)]
    unsafe fn splat(number: f32) -> __m256 {
        // SAFETY: The caller's promise, here and in what follows.
        unsafe { _mm256_set1_ps(number) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: See above.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, vector: __m256) {
        // SAFETY: See above.
        unsafe { _mm256_storeu_ps(to, vector) };
    }

    #[inline(always)]
    unsafe fn load_lanes(from: *const f32, lanes: u16) -> __m256 {
        // SAFETY: See above; only these lanes are read.
        unsafe { if lanes == WHOLE { _mm256_loadu_ps(from) } else { _mm256_maskload_ps(from, mask(lanes)) } }
    }

    #[inline(always)]
    unsafe fn replace_lanes(from: *const f32, lanes: u16, others: __m256) -> __m256 {
        // SAFETY: See above; only these lanes are read.
        unsafe {
            let mask = mask(lanes);
            _mm256_blendv_ps(others, _mm256_maskload_ps(from, mask), _mm256_castsi256_ps(mask))
        }
    }

    #[inline(always)]
    unsafe fn store_lanes(to: *mut f32, lanes: u16, vector: __m256) {
        // SAFETY: See above; only these lanes are written.
        unsafe {
            if lanes == WHOLE {
                return _mm256_storeu_ps(to, vector);
            }
            // AMD's processors take dozens of cycles for a masked store.
            let mut numbers = [0.0; 8];
            _mm256_storeu_ps(numbers.as_mut_ptr(), vector);
            super::store_one_by_one(&numbers, lanes, to);
        }
    }

    #[inline(always)]
    unsafe fn add(left: __m256, right: __m256) -> __m256 {
        // SAFETY: See above.
        unsafe { _mm256_add_ps(left, right) }
    }

    #[inline(always)]
    unsafe fn mul_add(left: __m256, right: __m256, summand: __m256) -> __m256 {
        // SAFETY: See above.
        unsafe { _mm256_fmadd_ps(left, right, summand) }
    }

    #[inline(always)]
    unsafe fn relu(vector: __m256) -> __m256 {
        // SAFETY: See above. In this order NaN stays NaN.
        unsafe { _mm256_max_ps(_mm256_setzero_ps(), vector) }
    }

    #[inline(always)]
    unsafe fn totals([a, b, c, d]: [__m256; 4]) -> [f32; 4] {
        // SAFETY: See above.
        unsafe {
            let ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            let [low, high] = [_mm256_shuffle_ps::<0b01_00_01_00>(ab, cd), _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd)];
            let quads = _mm256_add_ps(low, high);
            let mut totals = [0.0; 4];
            let sums = _mm_add_ps(_mm256_castps256_ps128(quads), _mm256_extractf128_ps::<1>(quads));
            _mm_storeu_ps(totals.as_mut_ptr(), sums);
            totals
        }
    }

    #[inline(always)]
    fn prefetch(at: *const f32) {
        // SAFETY: Asking for memory is harmless wherever it lies.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
}

/// All bits of the lanes whose bits are in `lanes`.
#[inline(always)]
unsafe fn mask(lanes: u16) -> __m256i {
    // SAFETY: The caller's promise: the processor has AVX2.
    unsafe {
        let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
        _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(i32::from(lanes)), bits), bits)
    }
}
