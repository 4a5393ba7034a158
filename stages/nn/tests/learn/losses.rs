//! Every loss: values and gradients.

use athanor_nn::losses;
use burn::prelude::*;
use serde_json::Value;

use crate::formula::golden_json;

/// Relative to the value or one, whichever is larger; for gradients to the largest of them.
const TOLERANCE: f64 = 1e-5;

fn rows(value: &Value) -> TensorData {
    let rows: Vec<Vec<f32>> = serde_json::from_value(value.clone()).unwrap();
    TensorData::new(rows.concat(), [rows.len(), rows[0].len()])
}

fn compare(name: &str, loss: impl Fn(Tensor<2>, &Value) -> Tensor<1>) {
    let device = Device::flex().autodiff();
    for (number, case) in golden_json("learn-losses.json")[name].as_array().unwrap().iter().enumerate() {
        let logits = Tensor::<2>::from_data(rows(&case["logits"]), &device).require_grad();
        let value = loss(logits.clone(), &case["targets"]);
        let gradient = logits.grad(&value.backward()).unwrap().into_data();
        let value = f64::from(value.into_scalar::<f32>());
        let stored = case["value"].as_f64().unwrap();
        let difference = (value - stored).abs() / stored.abs().max(1.0);
        assert!(difference < TOLERANCE, "{name} {number}: {value} is not {stored}");
        let stored = rows(&case["gradient"]);
        let largest = stored.iter::<f64>().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        for (ours, theirs) in gradient.iter::<f64>().zip(stored.iter::<f64>()) {
            let difference = (ours - theirs).abs();
            assert!(difference <= TOLERANCE * largest, "{name} {number}: gradient {ours} is not {theirs} of {largest}");
        }
    }
}

/// Of logits and targets of one shape.
fn compare_dense(name: &str, loss: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<1>) {
    compare(name, |logits, targets| {
        let targets = Tensor::from_data(rows(targets), &logits.device());
        loss(logits, targets)
    });
}

#[test]
fn bce_is_pytorchs() {
    compare_dense("bce", losses::bce_with_logits);
}

#[test]
fn focal_is_the_references() {
    compare_dense("focal", losses::focal);
}

#[test]
fn symmetric_lovasz_is_the_references() {
    compare_dense("symmetric_lovasz", losses::symmetric_lovasz);
}

#[test]
fn hard_log_is_the_references() {
    compare_dense("hard_log", losses::hard_log);
}

#[test]
fn classifier_loss_is_the_references() {
    compare_dense("classifier", losses::classifier_loss);
}

#[test]
fn arcface_is_the_references() {
    compare("arcface", |cosines, identities| {
        let identities: Vec<i64> = serde_json::from_value(identities.clone()).unwrap();
        let identities = Tensor::from_data(TensorData::from(identities.as_slice()), &cosines.device());
        losses::arcface(cosines, identities)
    });
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
