//! Mean and standard deviation of an image's brightness.

use crate::pixels::{Pixels, Samples};

/// Mean and population standard deviation of all samples, where the brightest possible sample is 1 (samples / 255, or
/// / 65,535 for 16 bits). The sums are exact, so that the result is NumPy's but for the last digits.
pub fn statistics(pixels: &Pixels) -> (f64, f64) {
    match &pixels.samples {
        Samples::U8(samples) => of_sums(sums(samples), samples.len(), 255.0),
        Samples::U16(samples) => of_sums(sums(samples), samples.len(), 65_535.0),
    }
}

/// Sums over samples. Neither can overflow: 2^32 samples of 16 bits reach 2^64.
struct Sums {
    samples: u64,
    squares: u64,
}

fn sums<T: Copy + Into<u64>>(samples: &[T]) -> Sums {
    samples.iter().fold(Sums { samples: 0, squares: 0 }, |sums, &sample| {
        let sample: u64 = sample.into();
        Sums { samples: sums.samples + sample, squares: sums.squares + sample * sample }
    })
}

fn of_sums(sums: Sums, count: usize, brightest: f64) -> (f64, f64) {
    let Sums { samples: sum, squares } = sums;
    let count = count as u128;
    // Exact in 128 bits; taken apart in floating point, a nearly flat image would lose its small deviation.
    let spread = u128::from(squares) * count - u128::from(sum) * u128::from(sum);
    let count = count as f64;
    (sum as f64 / count / brightest, (spread as f64).sqrt() / count / brightest)
}
