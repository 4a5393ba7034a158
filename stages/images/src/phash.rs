//! Perceptual hashes: 64 bits that stay nearly the same when an image is scaled, compressed or brightened.
//!
//! The hash is that of Python's ImageHash `phash` at its defaults: the image at 32 x 32 by Pillow's Lanczos, its 2-D
//! DCT-II, and of the 8 x 8 lowest frequencies which are above their median.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use super::resample::{Interpolation, resize};
use crate::pixels::{Pixels, Samples};

/// Side of the image that is transformed.
const SIDE: usize = 32;
/// Side of the corner of low frequencies that is kept.
const KEPT: usize = 8;

/// A perceptual hash; the first bit (no frequency, then rising horizontal ones) is the most significant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PerceptualHash(pub u64);

impl PerceptualHash {
    /// The Hamming distance: the number of differing bits of the 64.
    pub fn distance(self, other: PerceptualHash) -> u32 {
        (self.0 ^ other.0).count_ones()
    }
}

/// As ImageHash writes it: 16 lower-case hexadecimal digits.
impl fmt::Display for PerceptualHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

/// A text that is not a perceptual hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a perceptual hash of 16 hexadecimal digits")]
pub struct ParseHashError(String);

impl FromStr for PerceptualHash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let value = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        value.map(PerceptualHash).ok_or_else(|| ParseHashError(text.to_owned()))
    }
}

/// The perceptual hash of a grey image of 8 bits.
///
/// # Panics
/// If the image has more than one channel or 16 bits a sample.
pub fn phash(pixels: &Pixels) -> PerceptualHash {
    let small = resize(pixels, SIDE, SIDE, Interpolation::Lanczos);
    let Samples::U8(samples) = small.samples else { panic!("a perceptual hash is taken of 8 bits a sample") };
    let low = low_frequencies(&samples);
    let mut sorted = low;
    sorted.sort_by(f64::total_cmp);
    let median = (sorted[KEPT * KEPT / 2 - 1] + sorted[KEPT * KEPT / 2]) / 2.0;
    PerceptualHash(low.iter().fold(0, |hash, &value| hash << 1 | u64::from(value > median)))
}

/// The lowest frequencies of the unnormalised 2-D DCT-II, rows of rising vertical frequency.
fn low_frequencies(samples: &[u8]) -> [f64; KEPT * KEPT] {
    let mut columns = [[0.0; SIDE]; KEPT];
    for x in 0..SIDE {
        let column: [f64; SIDE] = std::array::from_fn(|y| f64::from(samples[y * SIDE + x]));
        for (row, value) in columns.iter_mut().zip(dct(&column)) {
            row[x] = value;
        }
    }
    let mut low = [0.0; KEPT * KEPT];
    for (row, column) in low.chunks_exact_mut(KEPT).zip(&columns) {
        row.copy_from_slice(&dct(column));
    }
    low
}

/// The `KEPT` lowest frequencies of the unnormalised DCT-II.
///
/// The halves are added for the even frequencies and subtracted for the odd ones, again and again, so that what is zero
/// by symmetry (of a flat image: all but the first) comes out exactly zero, as it does from the fast transform of
/// SciPy.
fn dct(values: &[f64; SIDE]) -> [f64; KEPT] {
    let mut low = [0.0; KEPT];
    let (mut folded, mut stride) = (*values, 1);
    while stride < SIDE {
        let half = SIDE / stride / 2;
        // The odd frequencies of the transform of the 2 * half values are every other of those wanted.
        for k in (stride..KEPT).step_by(2 * stride) {
            let weighted = |n: usize| (folded[n] - folded[2 * half - 1 - n]) * cosine(k * (2 * n + 1));
            low[k] = 2.0 * (0..half).map(weighted).sum::<f64>();
        }
        (0..half).for_each(|n| folded[n] += folded[2 * half - 1 - n]);
        stride *= 2;
    }
    low[0] = 2.0 * folded[0];
    low
}

/// cos(pi `step` / 64).
fn cosine(step: usize) -> f64 {
    static TABLE: LazyLock<[f64; 4 * SIDE]> =
        LazyLock::new(|| std::array::from_fn(|step| (PI * step as f64 / (2 * SIDE) as f64).cos()));
    TABLE[step % (4 * SIDE)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_written_and_read_as_sixteen_digits() {
        let hash = PerceptualHash(0x00ab_0000_0000_00f0);
        assert_eq!(hash.to_string(), "00ab0000000000f0");
        assert_eq!("00AB0000000000f0".parse(), Ok(hash));
        assert_eq!(hash.distance(PerceptualHash(0x00ab_0000_0000_000f)), 8);
        for wrong in ["", "ab", "+0ab0000000000f0", "00ab0000000000f01", "00ab0000000000g0"] {
            assert!(wrong.parse::<PerceptualHash>().is_err(), "{wrong}");
        }
    }
}
