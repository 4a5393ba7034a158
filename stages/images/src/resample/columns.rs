//! The first pass of bilinear interpolation of 8 bits: each value from two neighbours in a row.
//!
//! This is where resizing spends its time, because the neighbours lie at uneven places. Where the processor can shuffle
//! bytes (SSSE3), eight or four values are made at once out of sixteen bytes that hold all their neighbours.

/// Source positions and weights of a row's new values.
pub(crate) struct Columns {
    /// The left neighbour, and the weights of it and the one right of it, in 2^-11.
    taps: Vec<(usize, [i16; 2])>,
    /// Old samples a row.
    width: usize,
    #[cfg(target_arch = "x86_64")]
    shuffled: Option<shuffled::Steps>,
}

impl Columns {
    /// Of the taps of every new value; a left neighbour is one of the `width` old samples. Where it is the last one,
    /// the right one's weight is 0.
    pub(crate) fn new(taps: impl Iterator<Item = (usize, [i16; 2])>, width: usize) -> Columns {
        let taps: Vec<_> = taps.collect();
        Columns {
            #[cfg(target_arch = "x86_64")]
            shuffled: shuffled::Steps::new(&taps, width),
            taps,
            width,
        }
    }

    /// The interpolated row in units of 2^-7: 11 bits of weight, of which the lower 4 are cut off.
    pub(crate) fn apply(&self, old: &[u8], new: &mut [i16]) {
        assert!(old.len() == self.width && new.len() == self.taps.len(), "rows of the sizes it was made for");
        let done = 0;
        #[cfg(target_arch = "x86_64")]
        let done = self.shuffled.as_ref().map_or(done, |steps| steps.apply(old, new));
        for (value, &(left, [left_weight, right_weight])) in new[done..].iter_mut().zip(&self.taps[done..]) {
            let right = old[(left + 1).min(self.width - 1)];
            let sum = i32::from(old[left]) * i32::from(left_weight) + i32::from(right) * i32::from(right_weight);
            // At most 255 * 2048 >> 4 = 32,640.
            *value = (sum >> 4) as i16;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod shuffled {
    use std::arch::x86_64::{
        __m128i, _mm_cvtsi128_si64, _mm_madd_epi16, _mm_packs_epi32, _mm_set_epi64x, _mm_shuffle_epi8, _mm_srai_epi32,
    };

    /// Values of one shuffle: four pairs of 16 bits fill a register.
    const VALUES: usize = 4;
    /// Bytes that a shuffle chooses from.
    const WINDOW: usize = 16;

    /// Shuffle and weights of four values from a window of the old row.
    struct Step {
        /// Start of the window.
        start: usize,
        /// Which byte goes where: left and right neighbour in turn, as 16 bits.
        order: [u64; 2],
        /// The weights, likewise.
        weights: [u64; 2],
    }

    /// Steps from the first value on, as far as windows reach.
    pub(crate) struct Steps(Vec<Step>);

    impl Steps {
        /// None if this processor cannot shuffle, or no step fits its window.
        pub(crate) fn new(taps: &[(usize, [i16; 2])], width: usize) -> Option<Steps> {
            if !std::arch::is_x86_feature_detected!("ssse3") || width < WINDOW {
                return None;
            }
            let step = |taps: &[(usize, [i16; 2])]| {
                let start = taps[0].0.min(width - WINDOW);
                let (mut order, mut weights) = ([0xff; WINDOW], [0; WINDOW]);
                for (at, &(left, of)) in taps.iter().enumerate() {
                    for (side, weight) in of.into_iter().enumerate() {
                        let neighbour = (left + side).min(width - 1) - start;
                        if neighbour >= WINDOW {
                            return None;
                        }
                        let byte = 4 * at + 2 * side;
                        // Less than 16. The upper byte keeps 0xff, which stands for zero.
                        order[byte] = neighbour as u8;
                        weights[byte..byte + 2].copy_from_slice(&weight.to_le_bytes());
                    }
                }
                Some(Step { start, order: halves(&order), weights: halves(&weights) })
            };
            let steps: Vec<Step> = taps.chunks_exact(VALUES).map_while(step).collect();
            (!steps.is_empty()).then_some(Steps(steps))
        }

        /// Fills the first values and returns their number.
        pub(crate) fn apply(&self, old: &[u8], new: &mut [i16]) -> usize {
            // SAFETY: `new` made steps only after it had seen that the processor has SSSE3, all that the function asks
            // for.
            unsafe { self.apply_shuffled(old, new) }
        }

        #[target_feature(enable = "ssse3")]
        fn apply_shuffled(&self, old: &[u8], new: &mut [i16]) -> usize {
            let (pairs, single) = self.0.as_chunks::<2>();
            let (eights, _) = new.as_chunks_mut::<{ 2 * VALUES }>();
            for (out, [first, second]) in eights.iter_mut().zip(pairs) {
                let packed = _mm_packs_epi32(four(first, old), four(second, old));
                *out = values(packed);
            }
            let done = 2 * VALUES * pairs.len();
            if let [last] = single {
                let packed = _mm_packs_epi32(four(last, old), four(last, old));
                new[done..done + VALUES].copy_from_slice(&values(packed)[..VALUES]);
            }
            done + VALUES * single.len()
        }
    }

    #[target_feature(enable = "ssse3")]
    fn four(step: &Step, old: &[u8]) -> __m128i {
        let window = register(halves(old[step.start..].first_chunk().expect("windows end within the row")));
        let neighbours = _mm_shuffle_epi8(window, register(step.order));
        _mm_srai_epi32::<4>(_mm_madd_epi16(neighbours, register(step.weights)))
    }

    #[target_feature(enable = "ssse3")]
    fn values(packed: __m128i) -> [i16; 2 * VALUES] {
        let low = _mm_cvtsi128_si64(packed) as u64;
        let high = _mm_cvtsi128_si64(std::arch::x86_64::_mm_unpackhi_epi64(packed, packed)) as u64;
        std::array::from_fn(|at| ([low, high][at / VALUES] >> (16 * (at % VALUES))) as i16)
    }

    #[target_feature(enable = "ssse3")]
    fn register([low, high]: [u64; 2]) -> __m128i {
        _mm_set_epi64x(high as i64, low as i64)
    }

    fn halves(bytes: &[u8; WINDOW]) -> [u64; 2] {
        let value = u128::from_le_bytes(*bytes);
        [value as u64, (value >> 64) as u64]
    }
}
