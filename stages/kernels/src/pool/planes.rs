//! The mean and the largest number of whole planes.

use rayon::prelude::*;

use crate::memory::filled;
use crate::norm::FeatureMaps;

/// Sums that are carried side by side, so that vectors of any instruction set hold them.
const SUMS: usize = 8;

/// Means and largest numbers of planes.
#[derive(Debug, Clone)]
pub struct PooledPlanes {
    /// `[batch, 2 * channel]`: the means of all channels of an image, then their largest numbers. NaN is larger than all.
    pub numbers: Vec<f32>,
    /// `[batch, channel]`: where the largest number is in its plane; the first one if there are several.
    pub places: Vec<u32>,
}

impl PooledPlanes {
    /// Those of `input`.
    pub fn of(maps: FeatureMaps, input: &[f32]) -> PooledPlanes {
        let FeatureMaps { batch, channels, area } = maps;
        assert_eq!(input.len(), batch * channels * area, "as many numbers");
        assert!(area > 0, "planes that are not empty");
        let (mut numbers, mut places) = (vec![0.0; batch * 2 * channels], vec![0; batch * channels]);
        let found = numbers.par_chunks_mut(2 * channels).zip(places.par_chunks_mut(channels));
        found.zip(input.par_chunks(channels * area)).for_each(|((numbers, places), planes)| {
            let (means, maxima) = numbers.split_at_mut(channels);
            let found = means.iter_mut().zip(maxima).zip(places);
            for (((mean, maximum), place), plane) in found.zip(planes.chunks(area)) {
                *mean = sum(plane) / area as f32;
                let largest = largest(plane);
                (*maximum, *place) = (plane[largest], largest as u32);
            }
        });
        PooledPlanes { numbers, places }
    }

    /// The gradient of the input, given that of the numbers.
    pub fn gradient(maps: FeatureMaps, gradient: &[f32], places: &[u32]) -> Vec<f32> {
        let FeatureMaps { batch, channels, area } = maps;
        assert_eq!([gradient.len(), 2 * places.len()], [batch * 2 * channels; 2], "as many gradients and places");
        filled(batch * channels * area, |input| {
            let images = gradient.par_chunks(2 * channels).zip(places.par_chunks(channels)).enumerate();
            images.for_each(|(image, (gradient, places))| {
                let (means, maxima) = gradient.split_at(channels);
                for (channel, ((mean, maximum), place)) in means.iter().zip(maxima).zip(places).enumerate() {
                    let first = (image * channels + channel) * area;
                    // SAFETY: Each image is one thread's.
                    let plane = unsafe { input.slice(first..first + area) };
                    let share = mean / area as f32;
                    plane.iter_mut().for_each(|number| _ = number.write(share));
                    plane[*place as usize].write(share + maximum);
                }
            });
        })
    }
}

fn sum(numbers: &[f32]) -> f32 {
    let mut sums = [0.0; SUMS];
    for numbers in numbers.chunks(SUMS) {
        sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
    }
    sums.iter().sum()
}

/// The place of the largest number.
fn largest(numbers: &[f32]) -> usize {
    numbers.iter().enumerate().skip(1).fold(0, |largest, (place, number)| {
        let before = numbers[largest];
        if *number > before || number.is_nan() && !before.is_nan() { place } else { largest }
    })
}
