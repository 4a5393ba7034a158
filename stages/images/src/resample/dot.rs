//! Weighted sums of samples of 8 bits with weights of 23: where shrinking by Lanczos spends its time.

/// Bits of the lower part of a weight: in two parts, weights fit the 16-bit products that processors add in pairs.
pub(crate) const LOW_BITS: u32 = 11;

/// Weights come in multiples of this many, and rows are followed by as many zeros, so that vectors fit.
pub(crate) const STRIDE: usize = 16;

/// The sum of the samples, weighted by `high` * 2^11 + `low`; of the samples, as many are taken as there are weights.
/// The magnitudes of the weights must add up to less than 2^23, so that an i32 holds the sum and both its parts.
pub(crate) fn in_parts(high: &[i16], low: &[i16], samples: &[i16]) -> i32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, all that the function asks for.
        return unsafe { with_avx2(high, low, samples) };
    }
    anywhere(high, low, samples)
}

/// The same code, compiled to twice as wide vectors.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2(high: &[i16], low: &[i16], samples: &[i16]) -> i32 {
    anywhere(high, low, samples)
}

#[inline(always)]
fn anywhere(high: &[i16], low: &[i16], samples: &[i16]) -> i32 {
    // As plain as this, compilers see the products to be added in pairs.
    let sum = |weights: &[i16]| -> i32 {
        weights.iter().zip(samples).map(|(&weight, &sample)| i32::from(weight) * i32::from(sample)).sum()
    };
    (sum(high) << LOW_BITS) + sum(low)
}
