//! Elementwise operations.

mod support;

use athanor_kernels::InstructionSet;
use athanor_kernels::elementwise::{AdamStep, add_relu, relu_gradient, scale, sum_of_squares};
use support::{near, numbers};

/// More than a thread takes at once.
const COUNT: usize = 40_000;

#[test]
fn sums_below_zero_become_zero_and_let_no_gradient_through() {
    let [left, right, gradient] = [1, 2, 3].map(|seed| numbers(seed, COUNT));
    let sums: Vec<f64> = left.iter().zip(&right).map(|(left, right)| f64::from((left + right).max(0.0))).collect();
    let output = add_relu(&left, &right);
    near(&output, &sums, 1e-7, "sums");
    let passed = sums.iter().zip(&gradient).map(|(sum, gradient)| if *sum > 0.0 { f64::from(*gradient) } else { 0.0 });
    near(&relu_gradient(&output, &gradient), &passed.collect::<Vec<_>>(), 1e-7, "gradients");
    assert!(add_relu(&[f32::NAN], &[1.0])[0].is_nan());
}

#[test]
fn squares_sum_up_to_the_same_for_all_threads_and_instruction_sets() {
    let mut numbers = numbers(4, COUNT + 5);
    let squares = |numbers: &[f32]| numbers.iter().map(|number| f64::from(*number) * f64::from(*number)).sum::<f64>();
    let defined = squares(&numbers);
    let sums = InstructionSet::available().into_iter().flat_map(|set| {
        let numbers = &numbers;
        [1, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| sum_of_squares(set, numbers))
        })
    });
    let sums: Vec<f64> = sums.collect();
    assert!(sums.iter().all(|sum| sum.to_bits() == sums[0].to_bits()), "{sums:?}");
    assert!((sums[0] - defined).abs() <= 1e-12 * defined, "{} is {defined}", sums[0]);
    assert_eq!(sum_of_squares(InstructionSet::available()[0], &[]), 0.0);
    scale(&mut numbers, 0.5);
    assert!((squares(&numbers) - defined / 4.0).abs() <= 1e-12 * defined);
}

#[test]
fn adam_steps_as_it_is_defined() {
    InstructionSet::available().into_iter().for_each(compare_steps);
}

fn compare_steps(set: InstructionSet) {
    let mut parameters = numbers(1, COUNT);
    let [mut first, mut second] = [vec![0.0; COUNT], vec![0.0; COUNT]];
    let mut right: Vec<f64> = parameters.iter().map(|parameter| f64::from(*parameter)).collect();
    let mut moments = vec![[0.0_f64; 2]; COUNT];
    for time in 1..4 {
        let gradients = numbers(10 + time as u64, COUNT);
        let [correct_first, correct_second] = [0.9_f64, 0.999].map(|beta| 1.0 - beta.powi(time));
        let step = AdamStep {
            rate: (0.01 / correct_first) as f32,
            betas: [0.9, 0.999],
            correction: correct_second.sqrt() as f32,
            epsilon: 1e-8,
        };
        step.take(set, &mut parameters, &gradients, [&mut first, &mut second]);
        for ((right, [m, v]), gradient) in right.iter_mut().zip(&mut moments).zip(gradients) {
            let gradient = f64::from(gradient);
            *m = 0.9 * *m + 0.1 * gradient;
            *v = 0.999 * *v + 0.001 * gradient * gradient;
            *right -= 0.01 * (*m / correct_first) / ((*v / correct_second).sqrt() + 1e-8);
        }
        near(&parameters, &right, 1e-6, "parameters");
    }
}
