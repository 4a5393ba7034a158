//! Elementwise operations.

use rayon::prelude::*;

use crate::memory::{CHUNK, filled};
use crate::simd::{InstructionSet, Kernel, Simd, dispatch};

/// The sums of numbers, none below zero: a ReLU.
pub fn add_relu(left: &[f32], right: &[f32]) -> Vec<f32> {
    assert_eq!(left.len(), right.len(), "as many summands");
    zipped(left, right, |left, right| {
        let sum = left + right;
        if sum < 0.0 { 0.0 } else { sum }
    })
}

/// The gradient of a ReLU's input, given that of its output and the output.
pub fn relu_gradient(output: &[f32], gradient: &[f32]) -> Vec<f32> {
    assert_eq!(output.len(), gradient.len(), "as many outputs as gradients");
    zipped(output, gradient, |output, gradient| if output > 0.0 { gradient } else { 0.0 })
}

fn zipped(left: &[f32], right: &[f32], of: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    filled(left.len(), |output| {
        left.par_chunks(CHUNK).zip(right.par_chunks(CHUNK)).enumerate().for_each(|(chunk, (left, right))| {
            // SAFETY: Each chunk is one thread's.
            let output = unsafe { output.slice(chunk * CHUNK..chunk * CHUNK + left.len()) };
            output
                .iter_mut()
                .zip(left)
                .zip(right)
                .for_each(|((output, left), right)| _ = output.write(of(*left, *right)));
        });
    })
}

/// The sum of the squares of numbers, the same for every number of threads and every instruction set.
pub fn sum_of_squares(set: InstructionSet, numbers: &[f32]) -> f64 {
    let chunks = numbers.par_chunks(CHUNK);
    // SAFETY: The processor has been asked.
    let sums: Vec<f64> =
        chunks.map(|numbers| unsafe { dispatch!(set, S => S::run(ChunkSquares { numbers })) }).collect();
    sums.iter().sum()
}

/// Multiplies numbers by `factor`.
pub fn scale(numbers: &mut [f32], factor: f32) {
    numbers.par_chunks_mut(CHUNK).for_each(|numbers| numbers.iter_mut().for_each(|number| *number *= factor));
}

/// The sum of the squares of some numbers.
struct ChunkSquares<'a> {
    numbers: &'a [f32],
}

impl Kernel for ChunkSquares<'_> {
    type Output = f64;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> f64 {
        // As many as the widest vectors hold in two registers, for all instruction sets alike.
        let mut sums = [0.0_f64; 16];
        for numbers in self.numbers.chunks(sums.len()) {
            for (sum, number) in sums.iter_mut().zip(numbers) {
                *sum += f64::from(*number) * f64::from(*number);
            }
        }
        sums.iter().sum()
    }
}

/// A step of Adam, Kingma and Ba 2014, <https://arxiv.org/abs/1412.6980>, as PyTorch takes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// The learning rate divided by the bias correction of the first moment.
    pub rate: f32,
    /// Decay rates of the moments: beta 1 and 2.
    pub betas: [f32; 2],
    /// The square root of the bias correction of the second moment.
    pub correction: f32,
    /// Guard against division by zero.
    pub epsilon: f32,
}

impl AdamStep {
    /// Updates parameters and moments.
    pub fn take(
        &self,
        set: InstructionSet,
        parameters: &mut [f32],
        gradients: &[f32],
        [first, second]: [&mut [f32]; 2],
    ) {
        assert_eq!([gradients.len(), first.len(), second.len()], [parameters.len(); 3], "as many of each");
        let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
        let chunks = parameters.par_chunks_mut(CHUNK).zip(gradients.par_chunks(CHUNK)).zip(moments);
        chunks.for_each(|((parameters, gradients), (first, second))| {
            let step = ChunkStep { step: self, parameters, gradients, first, second };
            // SAFETY: The processor has been asked.
            unsafe { dispatch!(set, S => S::run(step)) };
        });
    }
}

/// A step of Adam for some parameters.
struct ChunkStep<'a> {
    step: &'a AdamStep,
    parameters: &'a mut [f32],
    gradients: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl Kernel for ChunkStep<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let ChunkStep { step: AdamStep { rate, betas, correction, epsilon }, parameters, gradients, first, second } =
            self;
        let moments = first.iter_mut().zip(second);
        for ((parameter, gradient), (first, second)) in parameters.iter_mut().zip(gradients).zip(moments) {
            *first = *first * betas[0] + gradient * (1.0 - betas[0]);
            *second = *second * betas[1] + gradient * gradient * (1.0 - betas[1]);
            *parameter -= rate * *first / (second.sqrt() / correction + epsilon);
        }
    }
}
