//! Every loss: values and gradients.

use std::collections::BTreeMap;
use std::path::Path;

use burn::prelude::*;
use serde::Deserialize;

use super::comparison::{Comparison, largest, share};
use super::file::{GoldenError, Matrix, read};
use crate::losses;

/// Relative to the value or one, whichever is larger; for gradients to the largest of them.
const TOLERANCE: f64 = 1e-5;

/// Values and gradients of each loss on several batches.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct LossCases(BTreeMap<String, Vec<LossCase>>);

#[derive(Debug, Clone, Deserialize)]
struct LossCase {
    /// Logits, or cosines.
    logits: Matrix,
    targets: Targets,
    value: f64,
    gradient: Matrix,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Targets {
    /// The right one of each row.
    Identities(Vec<i64>),
    /// Of each logit.
    Dense(Matrix),
}

impl LossCases {
    /// Reads `learn-losses.json` of a folder.
    ///
    /// # Errors
    /// If it cannot be read, or holds something else.
    pub fn read(folder: &Path) -> Result<LossCases, GoldenError> {
        read(folder, "learn-losses.json")
    }
}

/// Compares all losses on a device, which needs no gradients yet.
pub fn compare_losses(cases: &LossCases, device: &Device) -> Vec<Comparison> {
    let device = device.clone().autodiff();
    let each = cases.0.iter().flat_map(|(name, cases)| cases.iter().enumerate().map(move |case| (name, case)));
    each.flat_map(|(name, (number, case))| compare(name, number, case, &device)).collect()
}

fn compare(name: &str, number: usize, case: &LossCase, device: &Device) -> [Comparison; 2] {
    let comparison =
        |what, difference| Comparison { name: format!("{name} {number}: {what}"), difference, tolerance: TOLERANCE };
    let logits = Tensor::<2>::from_data(case.logits.data(), device).require_grad();
    let Some(value) = loss(name, logits.clone(), case) else {
        return ["value", "gradient"].map(|what| comparison(what, f64::NAN));
    };
    let gradients = value.backward();
    let value = f64::from(value.into_scalar::<f32>());
    let of_value = (value - case.value).abs() / case.value.abs().max(1.0);
    let of_gradient = logits.grad(&gradients).map_or(f64::NAN, |gradient| {
        let most = largest(case.gradient.values().map(f64::abs));
        let gradient = gradient.into_data();
        largest(
            gradient.iter::<f64>().zip(case.gradient.values()).map(|(ours, theirs)| share((ours - theirs).abs(), most)),
        )
    });
    [comparison("value", of_value), comparison("gradient", of_gradient)]
}

/// The loss of that name; `None` if there is none, or none for such targets.
fn loss(name: &str, logits: Tensor<2>, case: &LossCase) -> Option<Tensor<1>> {
    let device = logits.device();
    match &case.targets {
        Targets::Identities(identities) if identities.len() == case.logits.rows() && name == "arcface" => {
            let identities = Tensor::from_data(TensorData::from(identities.as_slice()), &device);
            Some(losses::arcface(logits, identities))
        }
        Targets::Dense(targets) if targets.shape() == case.logits.shape() => {
            let of = match name {
                "bce" => losses::bce_with_logits,
                "focal" => losses::focal,
                "symmetric_lovasz" => losses::symmetric_lovasz,
                "hard_log" => losses::hard_log,
                "classifier" => losses::classifier_loss,
                _ => return None,
            };
            Some(of(logits, Tensor::from_data(targets.data(), &device)))
        }
        Targets::Identities(_) | Targets::Dense(_) => None,
    }
}
