//! The loops over the pixels of a channel of an image. Compilers see the vectors in them.

use std::mem::MaybeUninit;

use crate::simd::{Kernel, Simd};

/// Number of independent sums: enough to hide the latency of additions.
const ACCUMULATORS: usize = 64;

/// A channel's pixel `x` becomes `x * scale + shift`.
#[derive(Clone, Copy)]
pub(super) struct Affine {
    pub(super) scale: f32,
    pub(super) shift: f32,
    /// Whether a ReLU comes last.
    pub(super) relu: bool,
}

/// The terms of the input's gradient in a channel that are the same for all its pixels.
#[derive(Clone, Copy)]
pub(super) struct InputGradient {
    pub(super) mean: f32,
    pub(super) constant: f32,
    /// Factor of the difference from the mean.
    pub(super) slope: f32,
}

/// The sum in float64, always in the same order.
#[inline(always)]
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

/// The sum of pixels.
pub(super) struct Sum<'a> {
    pub(super) values: &'a [f32],
}

impl Kernel for Sum<'_> {
    type Output = f64;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> f64 {
        let mut sums = [0.0_f32; ACCUMULATORS];
        let (chunks, rest) = self.values.as_chunks::<ACCUMULATORS>();
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
}

/// The sum of squared differences from the mean.
pub(super) struct Deviations<'a> {
    pub(super) values: &'a [f32],
    pub(super) mean: f32,
}

impl Kernel for Deviations<'_> {
    type Output = f64;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> f64 {
        let Deviations { values, mean } = self;
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
}

/// The normalised pixels.
pub(super) struct Apply<'a> {
    pub(super) input: &'a [f32],
    pub(super) affine: Affine,
    pub(super) output: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Apply { input, affine: Affine { scale, shift, relu }, output } = self;
        let lowest = if relu { 0.0 } else { f32::NEG_INFINITY };
        for (output, input) in output.iter_mut().zip(input) {
            let value = input.mul_add(scale, shift);
            // Written so that NaN stays NaN.
            output.write(if value < lowest { lowest } else { value });
        }
    }
}

/// The gradient behind the ReLU, if there is one.
#[inline(always)]
fn passed(input: f32, gradient: f32, Affine { scale, shift, relu }: Affine) -> f32 {
    if relu && input.mul_add(scale, shift) <= 0.0 { 0.0 } else { gradient }
}

/// The sum of the gradient, and of the gradient times the difference from the mean.
pub(super) struct GradientSums<'a> {
    pub(super) input: &'a [f32],
    pub(super) gradient: &'a [f32],
    pub(super) mean: f32,
    pub(super) affine: Affine,
}

impl Kernel for GradientSums<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> [f64; 2] {
        let GradientSums { input, gradient, mean, affine } = self;
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
}

/// The gradient of the pixels.
pub(super) struct ApplyGradient<'a> {
    pub(super) input: &'a [f32],
    pub(super) gradient: &'a [f32],
    pub(super) terms: InputGradient,
    pub(super) affine: Affine,
    pub(super) output: &'a mut [MaybeUninit<f32>],
}

impl Kernel for ApplyGradient<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let ApplyGradient { input, gradient, terms: InputGradient { mean, constant, slope }, affine, output } = self;
        for ((output, input), gradient) in output.iter_mut().zip(input).zip(gradient) {
            let own = passed(*input, *gradient, affine).mul_add(affine.scale, constant);
            output.write((input - mean).mul_add(slope, own));
        }
    }
}
