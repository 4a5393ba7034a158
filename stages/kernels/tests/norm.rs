//! Batch normalisation and its gradient against float64, written down as they are defined.

mod support;

use athanor_kernels::InstructionSet;
use athanor_kernels::norm::{FeatureMaps, Normalisation};
use proptest::prelude::*;
use support::{near, numbers};

/// Compares with every instruction set that this processor has.
fn compare(maps: FeatureMaps, relu: bool) {
    InstructionSet::available().into_iter().for_each(|set| compare_with(set, maps, relu));
}

fn compare_with(set: InstructionSet, maps: FeatureMaps, relu: bool) {
    let FeatureMaps { batch, channels, area } = maps;
    let length = batch * channels * area;
    // Away from zero, so that a variance that is computed carelessly loses its digits.
    let input: Vec<f32> = numbers(1, length).iter().map(|value| value + 20.0).collect();
    let gradient = numbers(2, length);
    let [weight, bias] = [3, 4].map(|seed| numbers(seed, channels));
    let normalisation = Normalisation { maps, weight: &weight, bias: &bias, epsilon: 1e-5, relu };

    let count = (batch * area) as f64;
    let channel = |at: usize| at / area % channels;
    let mean_of = |value: &dyn Fn(usize) -> f64| {
        let mut sums = vec![0.0; channels];
        (0..length).for_each(|at| sums[channel(at)] += value(at));
        sums.iter().map(|sum| sum / count).collect::<Vec<f64>>()
    };
    let x = |at: usize| f64::from(input[at]);
    let mean = mean_of(&x);
    let variance = mean_of(&|at| (x(at) - mean[channel(at)]).powi(2));
    let hat = |at: usize| (x(at) - mean[channel(at)]) / (variance[channel(at)] + 1e-5).sqrt();
    let y = |at: usize| hat(at) * f64::from(weight[channel(at)]) + f64::from(bias[channel(at)]);
    // Rounding decides what is as near to the ReLU's kink as this.
    if relu && (0..length).any(|at| y(at).abs() < 1e-4) {
        return;
    }
    let output: Vec<f64> = (0..length).map(|at| if relu { y(at).max(0.0) } else { y(at) }).collect();
    let passed = |at: usize| if relu && y(at) <= 0.0 { 0.0 } else { f64::from(gradient[at]) };
    let of_bias = mean_of(&passed);
    let of_weight = mean_of(&|at| passed(at) * hat(at));
    let of_input = |at: usize| {
        let scale = f64::from(weight[channel(at)]) / (variance[channel(at)] + 1e-5).sqrt();
        scale * (passed(at) - of_bias[channel(at)] - hat(at) * of_weight[channel(at)])
    };

    let ours = normalisation.with_batch_statistics(set, &input);
    near(&ours.mean, &mean, 1e-6, "means");
    near(&ours.variance, &variance, 1e-4, "variances");
    near(&ours.output, &output, 1e-4, "output");
    near(
        &normalisation.with_statistics(set, &input, &ours.mean, &ours.variance),
        &output,
        1e-4,
        "output by known statistics",
    );
    let gradients = normalisation.gradients(set, &input, &gradient, [&ours.mean, &ours.variance]);
    near(&gradients.input, &(0..length).map(of_input).collect::<Vec<_>>(), 1e-3, "input's gradient");
    let times_count = |means: &[f64]| means.iter().map(|mean| mean * count).collect::<Vec<f64>>();
    near(&gradients.weight, &times_count(&of_weight), 1e-3, "weights' gradient");
    near(&gradients.bias, &times_count(&of_bias), 1e-3, "biases' gradient");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn any_normalisation_is_as_it_is_defined(
        batch in 2_usize..5, channels in 1_usize..9, area in 3_usize..200, relu: bool,
    ) {
        compare(FeatureMaps { batch, channels, area }, relu);
    }
}

#[test]
fn rows_of_single_numbers_are_maps_too() {
    compare(FeatureMaps { batch: 16, channels: 70, area: 1 }, false);
}

#[test]
fn what_is_no_number_stays_none() {
    let maps = FeatureMaps { batch: 1, channels: 1, area: 3 };
    let normalisation = Normalisation { maps, weight: &[1.0], bias: &[0.0], epsilon: 1e-5, relu: true };
    for set in InstructionSet::available() {
        let output = normalisation.with_statistics(set, &[f32::NAN; 3], &[0.0], &[1.0]);
        assert!(output.iter().all(|value| value.is_nan()), "{set:?}: {output:?}");
    }
}
