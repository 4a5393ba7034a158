//! Batch normalisation of maps `[batch, channel, pixel]`, with or without a ReLU after it, and its gradient.
//!
//! One thread has a channel from beginning to end, so that its pixels are read from memory once and then from the
//! cache.

mod channel;

use std::ops::Range;

use rayon::prelude::*;

use crate::memory::{SharedMut, filled};
use crate::simd::{InstructionSet, Simd, dispatch};
use channel::{Affine, Apply, ApplyGradient, Deviations, GradientSums, InputGradient, Sum};

/// Number of tasks a thread, for load balancing.
const TASKS_PER_THREAD: usize = 4;

/// The shape of maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureMaps {
    /// Images.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Pixels of a channel of an image.
    pub area: usize,
}

impl FeatureMaps {
    fn length(&self) -> usize {
        self.batch * self.channels * self.area
    }

    /// The pixels of a channel in each image.
    fn planes(self, channel: usize) -> impl Iterator<Item = Range<usize>> {
        (0..self.batch).map(move |image| {
            let start = (image * self.channels + channel) * self.area;
            start..start + self.area
        })
    }

    /// Calls `work` for every channel, several at a time.
    fn for_each_channel(&self, work: impl Fn(usize) + Send + Sync) {
        let at_once = self.channels.div_ceil(TASKS_PER_THREAD * rayon::current_num_threads());
        (0..self.channels).into_par_iter().with_min_len(at_once).for_each(work);
    }
}

/// A batch normalisation.
#[derive(Debug, Clone, Copy)]
pub struct Normalisation<'a> {
    /// The maps' shape.
    pub maps: FeatureMaps,
    /// Factor of each channel after standardisation.
    pub weight: &'a [f32],
    /// Summand of each channel after that.
    pub bias: &'a [f32],
    /// Summand of variances.
    pub epsilon: f64,
    /// Whether a ReLU comes last.
    pub relu: bool,
}

/// Normalised maps and their statistics.
#[derive(Debug)]
pub struct Normalised {
    /// `[batch, channel, pixel]`.
    pub output: Vec<f32>,
    /// The mean of each channel.
    pub mean: Vec<f32>,
    /// The biased variance of each channel.
    pub variance: Vec<f32>,
}

/// Gradients of a normalisation.
#[derive(Debug)]
pub struct NormalisationGradients {
    /// Of the maps.
    pub input: Vec<f32>,
    /// Of the weights.
    pub weight: Vec<f32>,
    /// Of the biases.
    pub bias: Vec<f32>,
}

impl Normalisation<'_> {
    fn affine(&self, channel: usize, mean: f32, variance: f32) -> Affine {
        let scale = self.weight[channel] * self.inverse_deviation(variance);
        Affine { scale, shift: mean.mul_add(-scale, self.bias[channel]), relu: self.relu }
    }

    fn inverse_deviation(&self, variance: f32) -> f32 {
        (1.0 / (f64::from(variance) + self.epsilon).sqrt()) as f32
    }

    fn check(&self, input: &[f32]) {
        let FeatureMaps { channels, .. } = self.maps;
        assert_eq!(input.len(), self.maps.length(), "the maps' length");
        assert_eq!([self.weight.len(), self.bias.len()], [channels; 2], "weights and biases");
    }

    /// Normalises with the maps' own means and variances.
    pub fn with_batch_statistics(&self, set: InstructionSet, input: &[f32]) -> Normalised {
        self.check(input);
        let [mut mean, mut variance] = [0, 1].map(|_| vec![0.0; self.maps.channels]);
        let statistics = [&mut mean, &mut variance].map(|numbers| SharedMut::of(numbers));
        let output = filled(self.maps.length(), |output| {
            self.maps.for_each_channel(|channel| {
                dispatch!(set, S => self.channel_with_own_statistics::<S>(channel, input, statistics, output));
            });
        });
        Normalised { output, mean, variance }
    }

    /// The mean and variance of one channel, and its pixels.
    fn channel_with_own_statistics<S: Simd>(
        &self,
        channel: usize,
        input: &[f32],
        [means, variances]: [SharedMut<'_>; 2],
        output: SharedMut<'_>,
    ) {
        let count = (self.maps.batch * self.maps.area) as f64;
        let planes = || self.maps.planes(channel).map(|plane| &input[plane]);
        // SAFETY: The processor has been asked; each channel is one thread's.
        unsafe {
            let mean = (planes().map(|values| S::run(Sum { values })).sum::<f64>() / count) as f32;
            let deviations = planes().map(|values| S::run(Deviations { values, mean }));
            let variance = (deviations.sum::<f64>() / count) as f32;
            *means.at(channel) = mean;
            *variances.at(channel) = variance;
            self.apply::<S>(channel, input, self.affine(channel, mean, variance), output);
        }
    }

    /// Normalises with means and variances that are known.
    pub fn with_statistics(&self, set: InstructionSet, input: &[f32], mean: &[f32], variance: &[f32]) -> Vec<f32> {
        self.check(input);
        filled(self.maps.length(), |output| {
            self.maps.for_each_channel(|channel| {
                let affine = self.affine(channel, mean[channel], variance[channel]);
                // SAFETY: As above.
                unsafe { dispatch!(set, S => self.apply::<S>(channel, input, affine, output)) };
            });
        })
    }

    /// Writes the normalised pixels of a channel.
    ///
    /// # Safety
    /// The processor has the instruction set, and no other thread the channel.
    unsafe fn apply<S: Simd>(&self, channel: usize, input: &[f32], affine: Affine, output: SharedMut<'_>) {
        for plane in self.maps.planes(channel) {
            // SAFETY: The caller's promise.
            unsafe { S::run(Apply { input: &input[plane.clone()], affine, output: output.slice(plane) }) };
        }
    }

    /// The gradients of [`with_batch_statistics`](Self::with_batch_statistics), given that of its output and its
    /// statistics.
    pub fn gradients(
        &self,
        set: InstructionSet,
        input: &[f32],
        gradient: &[f32],
        [mean, variance]: [&[f32]; 2],
    ) -> NormalisationGradients {
        self.check(input);
        self.check(gradient);
        let [mut weight, mut bias] = [0, 1].map(|_| vec![0.0; self.maps.channels]);
        let parameters = [&mut weight, &mut bias].map(|numbers| SharedMut::of(numbers));
        let input = filled(self.maps.length(), |output| {
            self.maps.for_each_channel(|channel| {
                let statistics = [mean[channel], variance[channel]];
                dispatch!(set, S => {
                    self.channel_gradients::<S>(channel, [input, gradient], statistics, parameters, output);
                });
            });
        });
        NormalisationGradients { input, weight, bias }
    }

    /// The gradients of one channel.
    fn channel_gradients<S: Simd>(
        &self,
        channel: usize,
        [input, gradient]: [&[f32]; 2],
        [mean, variance]: [f32; 2],
        [weights, biases]: [SharedMut<'_>; 2],
        output: SharedMut<'_>,
    ) {
        let count = (self.maps.batch * self.maps.area) as f64;
        let inverse = self.inverse_deviation(variance);
        let affine = self.affine(channel, mean, variance);
        // SAFETY: As above.
        unsafe {
            let sums = self.maps.planes(channel).map(|plane| {
                let (input, gradient) = (&input[plane.clone()], &gradient[plane]);
                S::run(GradientSums { input, gradient, mean, affine })
            });
            let [plain, by_deviation] = sums.fold([0.0; 2], |[a, b], [c, d]| [a + c, b + d]);
            let by_deviation = by_deviation * f64::from(inverse);
            *biases.at(channel) = plain as f32;
            *weights.at(channel) = by_deviation as f32;
            let scale = f64::from(affine.scale);
            let constant = (-scale * plain / count) as f32;
            let slope = (-scale * f64::from(inverse) * by_deviation / count) as f32;
            let terms = InputGradient { mean, constant, slope };
            for plane in self.maps.planes(channel) {
                let (input, gradient) = (&input[plane.clone()], &gradient[plane.clone()]);
                S::run(ApplyGradient { input, gradient, terms, affine, output: output.slice(plane) });
            }
        }
    }
}
