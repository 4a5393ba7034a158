//! Vectors of AVX-512.

use std::arch::x86_64::{
    __m512, _MM_HINT_T0, _mm_add_ps, _mm_prefetch, _mm_storeu_ps, _mm512_add_ps, _mm512_extractf32x4_ps,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
    _mm512_max_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_shuffle_ps, _mm512_storeu_ps, _mm512_unpackhi_ps,
    _mm512_unpacklo_ps,
};

use super::{Kernel, Simd};

/// 32 registers of 16 lanes.
pub(crate) struct Avx512;

impl Simd for Avx512 {
    type Vector = __m512;

    const LANES: usize = 16;
    const VECTORS: usize = 3;
    const ROWS: usize = 8;
    const DEPTH: usize = 256;
    const PANELS: usize = 8;
    const RIGHT: usize = 4;
    const PIXELS: usize = 1024;
    const LEFT_LINES: usize = 1 << 16;
    const PANEL_BY_PANEL: bool = false;

    #[inline(always)]
    unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f")]
        unsafe fn compiled<K: Kernel>(kernel: K) -> K::Output {
            // SAFETY: The caller's promise.
            unsafe { kernel.run::<Avx512>() }
        }
        // SAFETY: The caller's promise.
        unsafe { compiled(kernel) }
    }

    #[inline(always)]
    unsafe fn splat(number: f32) -> __m512 {
        // SAFETY: The caller's promise, here and in what follows.
        unsafe { _mm512_set1_ps(number) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: See above.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, vector: __m512) {
        // SAFETY: See above.
        unsafe { _mm512_storeu_ps(to, vector) };
    }

    #[inline(always)]
    unsafe fn load_lanes(from: *const f32, lanes: u16) -> __m512 {
        // SAFETY: See above; only these lanes are read.
        unsafe { _mm512_maskz_loadu_ps(lanes, from) }
    }

    #[inline(always)]
    unsafe fn replace_lanes(from: *const f32, lanes: u16, others: __m512) -> __m512 {
        // SAFETY: See above; only these lanes are read.
        unsafe { _mm512_mask_loadu_ps(others, lanes, from) }
    }

    #[inline(always)]
    unsafe fn store_lanes(to: *mut f32, lanes: u16, vector: __m512) {
        // SAFETY: See above; only these lanes are written.
        unsafe { _mm512_mask_storeu_ps(to, lanes, vector) };
    }

    #[inline(always)]
    unsafe fn add(left: __m512, right: __m512) -> __m512 {
        // SAFETY: See above.
        unsafe { _mm512_add_ps(left, right) }
    }

    #[inline(always)]
    unsafe fn mul_add(left: __m512, right: __m512, summand: __m512) -> __m512 {
        // SAFETY: See above.
        unsafe { _mm512_fmadd_ps(left, right, summand) }
    }

    #[inline(always)]
    unsafe fn relu(vector: __m512) -> __m512 {
        // SAFETY: See above. In this order NaN stays NaN.
        unsafe { _mm512_max_ps(_mm512_setzero_ps(), vector) }
    }

    #[inline(always)]
    unsafe fn totals([a, b, c, d]: [__m512; 4]) -> [f32; 4] {
        // SAFETY: See above.
        unsafe {
            let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            let [low, high] = [_mm512_shuffle_ps::<0b01_00_01_00>(ab, cd), _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd)];
            let quads = _mm512_add_ps(low, high);
            let [first, second] = [_mm512_extractf32x4_ps::<0>(quads), _mm512_extractf32x4_ps::<1>(quads)];
            let [third, fourth] = [_mm512_extractf32x4_ps::<2>(quads), _mm512_extractf32x4_ps::<3>(quads)];
            let mut totals = [0.0; 4];
            _mm_storeu_ps(totals.as_mut_ptr(), _mm_add_ps(_mm_add_ps(first, second), _mm_add_ps(third, fourth)));
            totals
        }
    }

    #[inline(always)]
    fn prefetch(at: *const f32) {
        // SAFETY: Asking for memory is harmless wherever it lies.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
}
