//! Every loss: values and gradients.

use athanor_nn::golden::{LossCases, compare_losses};
use athanor_nn::losses;
use burn::prelude::*;

use crate::{device, golden};

#[test]
fn losses_are_pytorchs_and_the_references() {
    let comparisons = compare_losses(&LossCases::read(&golden("")).unwrap(), &device());
    for name in ["bce", "focal", "symmetric_lovasz", "hard_log", "classifier", "arcface"] {
        let of_loss: Vec<_> = comparisons.iter().filter(|comparison| comparison.name.starts_with(name)).collect();
        assert!(of_loss.len() >= 6, "{name}: values and gradients of three cases or more");
    }
    let differing: Vec<_> = comparisons.iter().filter(|comparison| !comparison.agrees()).collect();
    assert!(differing.is_empty(), "{differing:#?}");
}

#[test]
fn arcface_is_finite_where_sines_vanish() {
    let device = Device::flex().autodiff();
    let cosines = Tensor::<2>::from_floats([[1.0, -1.0], [1.0, -1.0]], &device).require_grad();
    let loss = losses::arcface(cosines.clone(), Tensor::from_ints([0, 1], &device));
    let gradient = cosines.grad(&loss.backward()).unwrap().into_data();
    assert!(loss.into_scalar::<f32>().is_finite());
    assert!(gradient.iter::<f32>().all(f32::is_finite), "{gradient}");
}
