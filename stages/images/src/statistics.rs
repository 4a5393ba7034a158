//! How bright an image is and how much that varies.

use crate::pixels::{Pixels, Samples};

/// Mean and population standard deviation of all samples, where the brightest possible sample is 1 (samples / 255, or
/// / 65,535 for 16 bits). The sums are exact, so that the result is NumPy's but for the last digits.
pub fn statistics(pixels: &Pixels) -> (f64, f64) {
    match &pixels.samples {
        Samples::U8(samples) => of_sums(sums(samples), samples.len(), 255.0),
        Samples::U16(samples) => of_sums(sums(samples), samples.len(), 65_535.0),
    }
}

/// The sum of the samples and of their squares. Neither can overflow: 2^32 samples of 16 bits reach 2^64.
fn sums<T: Copy + Into<u64>>(samples: &[T]) -> (u64, u64) {
    samples.iter().fold((0, 0), |(sum, squares), &sample| {
        let sample: u64 = sample.into();
        (sum + sample, squares + sample * sample)
    })
}

fn of_sums((sum, squares): (u64, u64), count: usize, brightest: f64) -> (f64, f64) {
    let count = count as u128;
    // Exact in 128 bits; taken apart in floating point, a nearly flat image would lose its small deviation.
    let spread = u128::from(squares) * count - u128::from(sum) * u128::from(sum);
    let count = count as f64;
    (sum as f64 / count / brightest, (spread as f64).sqrt() / count / brightest)
}
