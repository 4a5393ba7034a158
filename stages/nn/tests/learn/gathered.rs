//! One loss of the batches of a step, as PyTorch's data parallelism has it.

use athanor_nn::gathered::gathered_loss;
use athanor_nn::golden::{Comparison, GatheredCase, compare_gathered};
use athanor_nn::losses::{bce_with_logits, classifier_loss};
use burn::prelude::*;
use burn::tensor::DType;

use crate::{device, golden};

/// The loss, computed in float32, decides how near gradients in float64 come.
const TOLERANCE: f64 = 2e-5;

#[test]
fn batches_with_a_joint_loss_are_pytorchs_data_parallelism() {
    let case = GatheredCase::read(&golden("")).unwrap();
    assert!(case.distance_from_parts() > 0.01, "the loss of the parts is another");
    for again in [false, true] {
        let compared = compare_gathered(&case, DType::F64, again, TOLERANCE, &device());
        assert!(compared.iter().all(Comparison::agrees), "again: {again}: {compared:?}");
    }
}

#[test]
fn gradients_come_back_to_the_batches_that_they_are_of() {
    let device = Device::flex();
    let part = |from: f32| Tensor::<2>::from_data([[from, -1.0], [0.5, from]], &device);
    let targets = |device: &Device| Tensor::<2>::from_data([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]], device);
    let joint = gathered_loss(vec![part(0.25), part(2.0)], |logits| {
        let targets = targets(&logits.device());
        classifier_loss(logits, targets)
    });
    let whole = Tensor::cat(vec![part(0.25), part(2.0)], 0).autodiff().require_grad();
    let loss = classifier_loss(whole.clone(), targets(&whole.device()));
    let of_whole = whole.grad(&loss.backward()).unwrap();
    assert_eq!(joint.loss.into_data(), loss.inner().into_data());
    assert_eq!(Tensor::cat(joint.gradients, 0).into_data(), of_whole.into_data());
}

#[test]
fn a_mean_over_rows_is_the_mean_of_the_parts() {
    let device = Device::flex();
    let part = |from: f32| Tensor::<2>::from_data([[from, -1.0], [0.5, from]], &device);
    let loss = |logits: Tensor<2>| {
        let targets = Tensor::ones(logits.dims(), &logits.device()) * 0.25;
        bce_with_logits(logits, targets)
    };
    let joint = gathered_loss(vec![part(0.25), part(2.0)], loss).loss.into_scalar::<f32>();
    let parts: f32 = [0.25, 2.0].map(|from| loss(part(from)).into_scalar::<f32>()).iter().sum();
    assert!((joint - parts / 2.0).abs() < 1e-6, "{joint} {parts}");
}
