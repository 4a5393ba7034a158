//! The innermost loops: vectors of AVX-512.
//!
//! All functions here need a processor with AVX-512 and pointers to as many numbers as they say.

use std::arch::x86_64::{
    __m128, __m512, _MM_HINT_T0, _mm_add_ps, _mm_cvtss_f32, _mm_loadu_ps, _mm_prefetch, _mm_storeu_ps, _mm512_add_ps,
    _mm512_extractf32x4_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_loadu_ps, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_max_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_shuffle_ps, _mm512_storeu_ps,
    _mm512_unpackhi_ps, _mm512_unpacklo_ps,
};

use super::super::columns::{LANES, PANEL, Places, Run, VECTORS};
use super::{ChannelPlanes, LinePairs, Lines, RowEpilogue, SIDE, SumRows, Target};

/// Channels by which prefetching runs ahead: they lie too far apart for the processor to guess.
const AHEAD: isize = 2;

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn gather(base: *const f32, runs: &[Run]) -> __m512 {
    let mut vector = _mm512_setzero_ps();
    if let [run, rest @ ..] = runs {
        // SAFETY: Only lanes that lie in the plane are read.
        unsafe {
            vector = _mm512_maskz_loadu_ps(run.lanes, base.wrapping_offset(run.offset));
            for run in rest {
                vector = _mm512_mask_loadu_ps(vector, run.lanes, base.wrapping_offset(run.offset));
            }
        }
    }
    vector
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn scatter(base: *mut f32, runs: &[Run], vector: __m512) {
    for run in runs {
        // SAFETY: Only lanes that lie in the plane are written.
        unsafe { _mm512_mask_storeu_ps(base.wrapping_offset(run.offset), run.lanes, vector) };
    }
}

/// Copies pixels: the vectors of `places`, which are whole lines, of each channel of `source`.
#[target_feature(enable = "avx512f")]
pub(in crate::conv) unsafe fn pack(to: Lines, source: ChannelPlanes, places: &Places) {
    let ChannelPlanes { base, count: channels, stride } = source;
    let lines = places.count() / to.vectors;
    for channel in 0..channels {
        let source = base.wrapping_add(channel * stride);
        for line in 0..lines {
            let target = to.base.wrapping_add((channel * lines + line) * to.stride);
            for vector in 0..to.vectors {
                let runs = places.of(line * to.vectors + vector);
                // SAFETY: The caller's promise; asking for memory ahead of time is harmless wherever it lies.
                unsafe {
                    if let Some(run) = runs.first() {
                        _mm_prefetch::<_MM_HINT_T0>(
                            source.wrapping_offset(run.offset + AHEAD * stride.cast_signed()).cast(),
                        );
                    }
                    _mm512_storeu_ps(target.add(vector * LANES), gather(source, runs));
                }
            }
        }
    }
}

/// Multiplies `R` rows of `weights`, `row` numbers apart, by a panel of `depth` lines; with the epilogue if these are
/// the last.
#[target_feature(enable = "avx512f")]
pub(in crate::conv) unsafe fn multiply<const R: usize>(
    depth: usize,
    weights: *const f32,
    row: usize,
    panel: *const f32,
    target: Target<'_>,
    epilogue: Option<RowEpilogue<'_>>,
) {
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; R];
    for line in 0..depth {
        // SAFETY: The caller's promise.
        unsafe {
            let columns: [__m512; VECTORS] =
                std::array::from_fn(|vector| _mm512_loadu_ps(panel.add(line * PANEL + vector * LANES)));
            for (number, sums) in sums.iter_mut().enumerate() {
                let weight = _mm512_set1_ps(*weights.add(number * row + line));
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = _mm512_fmadd_ps(weight, column, *sum);
                }
            }
        }
    }
    for (number, sums) in sums.iter().enumerate() {
        let base = target.base.wrapping_add(number * target.stride);
        for (vector, sum) in sums.iter().enumerate() {
            let (runs, mut sum) = (target.places.of(vector), *sum);
            // SAFETY: The caller's promise.
            unsafe {
                if target.accumulate {
                    sum = _mm512_add_ps(sum, gather(base, runs));
                }
                if let Some(RowEpilogue { epilogue, first, summand }) = epilogue {
                    let [scale, shift] = [epilogue.scale, epilogue.shift].map(|of| *of.get_unchecked(first + number));
                    sum = _mm512_fmadd_ps(sum, _mm512_set1_ps(scale), _mm512_set1_ps(shift));
                    if !summand.is_null() {
                        sum = _mm512_add_ps(sum, gather(summand.wrapping_add(number * target.stride), runs));
                    }
                    if epilogue.relu {
                        // In this order NaN stays NaN.
                        sum = _mm512_max_ps(_mm512_setzero_ps(), sum);
                    }
                }
                scatter(base, runs, sum);
            }
        }
    }
}

/// Adds the inner products of [`SIDE`] left lines with as many right ones to `sums`, as many rows of as many numbers.
#[target_feature(enable = "avx512f")]
pub(in crate::conv) unsafe fn inner_products(lines: LinePairs, sums: SumRows) {
    let LinePairs { left, right, stride, vectors } = lines;
    let mut products = [[_mm512_setzero_ps(); SIDE]; SIDE];
    for vector in 0..vectors {
        // SAFETY: The caller's promise.
        unsafe {
            let right: [__m512; SIDE] =
                std::array::from_fn(|number| _mm512_loadu_ps(right.add(number * stride + vector * LANES)));
            for (number, products) in products.iter_mut().enumerate() {
                let left = _mm512_loadu_ps(left.add(number * stride + vector * LANES));
                for (product, right) in products.iter_mut().zip(right) {
                    *product = _mm512_fmadd_ps(left, right, *product);
                }
            }
        }
    }
    for (row, products) in products.into_iter().enumerate() {
        // SAFETY: The caller's promise.
        unsafe {
            let sums = sums.base.add(row * sums.stride);
            _mm_storeu_ps(sums, _mm_add_ps(_mm_loadu_ps(sums), totals(products)));
        }
    }
}

/// The sum of each vector's numbers.
#[inline]
#[target_feature(enable = "avx512f")]
fn totals([a, b, c, d]: [__m512; SIDE]) -> __m128 {
    let pair = |a: __m512, b: __m512| _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    let (ab, cd) = (pair(a, b), pair(c, d));
    let quads = _mm512_add_ps(_mm512_shuffle_ps::<0b01_00_01_00>(ab, cd), _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd));
    let [first, second] = [_mm512_extractf32x4_ps::<0>(quads), _mm512_extractf32x4_ps::<1>(quads)];
    let [third, fourth] = [_mm512_extractf32x4_ps::<2>(quads), _mm512_extractf32x4_ps::<3>(quads)];
    _mm_add_ps(_mm_add_ps(first, second), _mm_add_ps(third, fourth))
}

/// Adds the inner product of the first left and the first right line to `sum`: the same bits as in a tile.
#[target_feature(enable = "avx512f")]
pub(in crate::conv) unsafe fn inner_product(lines: LinePairs, sum: *mut f32) {
    let LinePairs { left, right, vectors, .. } = lines;
    let mut product = _mm512_setzero_ps();
    for vector in 0..vectors {
        // SAFETY: The caller's promise.
        unsafe {
            let [left, right] = [left, right].map(|line| _mm512_loadu_ps(line.add(vector * LANES)));
            product = _mm512_fmadd_ps(left, right, product);
        }
    }
    let zero = _mm512_setzero_ps();
    // SAFETY: The caller's promise.
    unsafe { *sum += _mm_cvtss_f32(totals([product, zero, zero, zero])) };
}
