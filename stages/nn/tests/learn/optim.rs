//! Adam after clipping, step by step.

use athanor_nn::golden::formula::tensor;
use athanor_nn::golden::{OptimiserSteps, compare_adam};
use athanor_nn::optim::clip_gradient_norm;
use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;

use crate::{device, golden};

#[derive(Module, Debug)]
struct Parameters {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

#[test]
fn adam_with_clipped_gradients_is_pytorchs() {
    let comparisons = compare_adam(&OptimiserSteps::read(&golden("")).unwrap(), &device());
    let differing: Vec<_> = comparisons.iter().filter(|comparison| !comparison.agrees()).collect();
    assert!(differing.is_empty() && comparisons.len() >= 9, "{differing:#?}");
}

#[test]
fn there_is_no_norm_without_gradients() {
    let device = Device::flex().autodiff();
    let model = Parameters {
        weight: Param::from_tensor(tensor("weight", [3, 4], &device)),
        bias: Param::from_tensor(tensor("bias", [3], &device)),
    };
    assert!(clip_gradient_norm(&model, &mut GradientsParams::new(), 1.0).is_none());
}
