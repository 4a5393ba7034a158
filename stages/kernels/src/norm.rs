//! Batch normalisation of maps `[batch, channel, pixel]`, with or without a ReLU after it, and its gradient.
//!
//! One thread has a channel from beginning to end, so that its pixels are read from memory once and then from the
//! cache.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::memory::{SharedMut, filled};

/// Number of independent sums: enough to hide the latency of additions.
const ACCUMULATORS: usize = 64;
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

/// A channel's pixel `x` becomes `x * scale + shift`.
#[derive(Clone, Copy)]
struct Affine {
    scale: f32,
    shift: f32,
    relu: bool,
}

/// The terms of the input's gradient in a channel that are the same for all its pixels.
#[derive(Clone, Copy)]
struct InputGradient {
    mean: f32,
    constant: f32,
    /// Factor of the difference from the mean.
    slope: f32,
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
    pub fn with_batch_statistics(&self, input: &[f32]) -> Normalised {
        crate::assert_available();
        self.check(input);
        let count = (self.maps.batch * self.maps.area) as f64;
        let [mut mean, mut variance] = [0, 1].map(|_| vec![0.0; self.maps.channels]);
        let (means, variances) = (SharedMut::of(&mut mean), SharedMut::of(&mut variance));
        let output = filled(self.maps.length(), |output| {
            self.maps.for_each_channel(|channel| {
                let planes = || self.maps.planes(channel).map(|plane| &input[plane]);
                // SAFETY: The processor has been asked; each channel is one thread's.
                unsafe {
                    let mean = (planes().map(|plane| sum(plane)).sum::<f64>() / count) as f32;
                    let variance = (planes().map(|plane| deviations(plane, mean)).sum::<f64>() / count) as f32;
                    *means.at(channel) = mean;
                    *variances.at(channel) = variance;
                    let affine = self.affine(channel, mean, variance);
                    self.maps
                        .planes(channel)
                        .for_each(|plane| apply(&input[plane.clone()], affine, output.slice(plane)));
                }
            });
        });
        Normalised { output, mean, variance }
    }

    /// Normalises with means and variances that are known.
    pub fn with_statistics(&self, input: &[f32], mean: &[f32], variance: &[f32]) -> Vec<f32> {
        crate::assert_available();
        self.check(input);
        filled(self.maps.length(), |output| {
            self.maps.for_each_channel(|channel| {
                let affine = self.affine(channel, mean[channel], variance[channel]);
                // SAFETY: As above.
                unsafe {
                    self.maps
                        .planes(channel)
                        .for_each(|plane| apply(&input[plane.clone()], affine, output.slice(plane)));
                }
            });
        })
    }

    /// The gradients of [`with_batch_statistics`](Self::with_batch_statistics), given that of its output and its
    /// statistics.
    pub fn gradients(&self, input: &[f32], gradient: &[f32], mean: &[f32], variance: &[f32]) -> NormalisationGradients {
        crate::assert_available();
        self.check(input);
        self.check(gradient);
        let count = (self.maps.batch * self.maps.area) as f64;
        let [mut weight, mut bias] = [0, 1].map(|_| vec![0.0; self.maps.channels]);
        let (weights, biases) = (SharedMut::of(&mut weight), SharedMut::of(&mut bias));
        let input = filled(self.maps.length(), |output| {
            self.maps.for_each_channel(|channel| {
                let (mean, inverse) = (mean[channel], self.inverse_deviation(variance[channel]));
                let affine = self.affine(channel, mean, variance[channel]);
                // SAFETY: As above.
                unsafe {
                    let sums = self
                        .maps
                        .planes(channel)
                        .map(|plane| gradient_sums(&input[plane.clone()], &gradient[plane], mean, affine));
                    let [plain, by_deviation] = sums.fold([0.0; 2], |[a, b], [c, d]| [a + c, b + d]);
                    let by_deviation = by_deviation * f64::from(inverse);
                    *biases.at(channel) = plain as f32;
                    *weights.at(channel) = by_deviation as f32;
                    let scale = f64::from(affine.scale);
                    let constant = (-scale * plain / count) as f32;
                    let slope = (-scale * f64::from(inverse) * by_deviation / count) as f32;
                    let terms = InputGradient { mean, constant, slope };
                    self.maps.planes(channel).for_each(|plane| {
                        let (input, gradient) = (&input[plane.clone()], &gradient[plane.clone()]);
                        apply_gradient(input, gradient, terms, affine, output.slice(plane));
                    });
                }
            });
        });
        NormalisationGradients { input, weight, bias }
    }
}

/// Closures of functions for one kind of processor are not inlined into functions for all; hence the loops in what
/// follows.
#[inline]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx512f"))]
fn total(sums: &[f32; ACCUMULATORS]) -> f64 {
    let mut total = [0.0_f64; 8];
    for eight in sums.as_chunks::<8>().0 {
        for at in 0..8 {
            total[at] += f64::from(eight[at]);
        }
    }
    let [a, b, c, d, e, f, g, h] = total;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx512f"))]
fn sum(values: &[f32]) -> f64 {
    let mut sums = [0.0_f32; ACCUMULATORS];
    let (chunks, rest) = values.as_chunks::<ACCUMULATORS>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum += value;
    }
    total(&sums)
}

/// The sum of squared differences from `mean`.
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx512f"))]
fn deviations(values: &[f32], mean: f32) -> f64 {
    let mut sums = [0.0_f32; ACCUMULATORS];
    let (chunks, rest) = values.as_chunks::<ACCUMULATORS>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum = (value - mean).mul_add(value - mean, *sum);
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum = (value - mean).mul_add(value - mean, *sum);
    }
    total(&sums)
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx512f"))]
fn apply(input: &[f32], Affine { scale, shift, relu }: Affine, output: &mut [MaybeUninit<f32>]) {
    let lowest = if relu { 0.0 } else { f32::NEG_INFINITY };
    for (output, input) in output.iter_mut().zip(input) {
        let value = input.mul_add(scale, shift);
        // Written so that NaN stays NaN.
        output.write(if value < lowest { lowest } else { value });
    }
}

/// The gradient behind the ReLU, if there is one.
#[inline(always)]
fn passed(input: f32, gradient: f32, Affine { scale, shift, relu }: Affine) -> f32 {
    if relu && input.mul_add(scale, shift) <= 0.0 { 0.0 } else { gradient }
}

/// The sum of the gradient, and of the gradient times the difference from the mean.
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx512f"))]
fn gradient_sums(input: &[f32], gradient: &[f32], mean: f32, affine: Affine) -> [f64; 2] {
    let (mut plain, mut by_deviation) = ([0.0_f32; ACCUMULATORS], [0.0_f32; ACCUMULATORS]);
    let (inputs, last_input) = input.as_chunks::<ACCUMULATORS>();
    let (gradients, last_gradient) = gradient.as_chunks::<ACCUMULATORS>();
    for (input, gradient) in inputs.iter().zip(gradients) {
        for at in 0..ACCUMULATORS {
            let passed = passed(input[at], gradient[at], affine);
            plain[at] += passed;
            by_deviation[at] = passed.mul_add(input[at] - mean, by_deviation[at]);
        }
    }
    for (at, (input, gradient)) in last_input.iter().zip(last_gradient).enumerate() {
        let passed = passed(*input, *gradient, affine);
        plain[at] += passed;
        by_deviation[at] = passed.mul_add(input - mean, by_deviation[at]);
    }
    [total(&plain), total(&by_deviation)]
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx512f"))]
fn apply_gradient(
    input: &[f32],
    gradient: &[f32],
    InputGradient { mean, constant, slope }: InputGradient,
    affine: Affine,
    output: &mut [MaybeUninit<f32>],
) {
    for ((output, input), gradient) in output.iter_mut().zip(input).zip(gradient) {
        let own = passed(*input, *gradient, affine).mul_add(affine.scale, constant);
        output.write((input - mean).mul_add(slope, own));
    }
}
