//! The second pass of bilinear interpolation of 8 bits: a new row from two rows of the first.

/// The new row of `upper` and `lower` (in units of 2^-7, at most 255 * 128) with their weights (in 2^-11).
pub(crate) fn blend(upper: &[i16], lower: &[i16], weights: [i16; 2], new: &mut [u8]) {
    let done = vectors::blend(upper, lower, weights, new);
    for ((new, &upper), &lower) in new[done..].iter_mut().zip(&upper[done..]).zip(&lower[done..]) {
        *new = one(upper, lower, weights);
    }
}

/// OpenCV's rounding: each product loses 16 bits, half is added to their sum, and 2 bits go.
fn one(upper: i16, lower: i16, [upper_weight, lower_weight]: [i16; 2]) -> u8 {
    let high = |value: i16, weight: i16| (i32::from(value) * i32::from(weight)) >> 16;
    // At most (255 * 128 * 2048 >> 16) + 2 >> 2 = 255.
    ((high(upper, upper_weight) + high(lower, lower_weight) + 2) >> 2) as u8
}

/// The same, eight at a time: compilers do not see that the upper half of a 16-bit product is all that is wanted.
#[cfg(target_arch = "x86_64")]
mod vectors {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi16, _mm_cvtsi128_si64, _mm_mulhi_epi16, _mm_packus_epi16, _mm_set_epi64x, _mm_set1_epi16,
        _mm_srai_epi16,
    };

    const LANES: usize = 8;

    /// Fills the first values and returns their number.
    pub(crate) fn blend(upper: &[i16], lower: &[i16], weights: [i16; 2], new: &mut [u8]) -> usize {
        // SAFETY: every processor of this architecture has SSE2, all that the function asks for.
        unsafe { blend_vectors(upper, lower, weights, new) }
    }

    #[target_feature(enable = "sse2")]
    fn blend_vectors(upper: &[i16], lower: &[i16], weights: [i16; 2], new: &mut [u8]) -> usize {
        let [upper_weight, lower_weight] = [_mm_set1_epi16(weights[0]), _mm_set1_epi16(weights[1])];
        let half = _mm_set1_epi16(2);
        let (upper, _) = upper.as_chunks::<LANES>();
        let (lower, _) = lower.as_chunks::<LANES>();
        let (new, _) = new.as_chunks_mut::<LANES>();
        for ((new, upper), lower) in new.iter_mut().zip(upper).zip(lower) {
            let upper = _mm_mulhi_epi16(register(upper), upper_weight);
            let lower = _mm_mulhi_epi16(register(lower), lower_weight);
            let sum = _mm_srai_epi16::<2>(_mm_add_epi16(_mm_add_epi16(upper, lower), half));
            *new = _mm_cvtsi128_si64(_mm_packus_epi16(sum, sum)).to_le_bytes();
        }
        new.len() * LANES
    }

    /// Compiles to one load.
    #[target_feature(enable = "sse2")]
    fn register(values: &[i16; LANES]) -> __m128i {
        let half = |at: usize| {
            let of = |at: usize| values[at] as u16 as u64;
            (of(at) | of(at + 1) << 16 | of(at + 2) << 32 | of(at + 3) << 48) as i64
        };
        _mm_set_epi64x(half(4), half(0))
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod vectors {
    pub fn blend(_: &[i16], _: &[i16], _: [i16; 2], _: &mut [u8]) -> usize {
        0
    }
}
