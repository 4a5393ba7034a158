//! A step of several batches with one loss.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::prelude::*;
use burn::tensor::DType;
use serde::Deserialize;

use super::comparison::{Comparison, largest};
use super::file::{GoldenError, Matrix, read};
use super::formula::images;
use super::models::{NEGLIGIBLE, worst};
use super::network::{CHANNELS, InType, gradients_by_name, named_classifier};
use crate::gathered::{GatheredLoss, gathered_loss, with_gradient};
use crate::losses::classifier_loss;
use crate::models::{Architecture, Classifier};

/// Golden values of a step whose batches share a loss.
#[derive(Debug, Clone, Deserialize)]
pub struct GatheredCase {
    architecture: Architecture,
    batches: usize,
    batch: usize,
    size: usize,
    loss: f64,
    /// The mean of the losses of the batches, which is something else.
    loss_of_parts: f64,
    targets: Matrix,
    /// Of all batches, by rows.
    logits: Vec<f64>,
    /// Summary of the gradient of each parameter.
    gradients: BTreeMap<String, Vec<f64>>,
}

impl GatheredCase {
    /// Reads `learn-gathered.json` of a folder.
    ///
    /// # Errors
    /// If it cannot be read, or holds something else.
    pub fn read(folder: &Path) -> Result<GatheredCase, GoldenError> {
        read(folder, "learn-gathered.json")
    }

    /// How far the loss of the batches together is from the mean of their losses.
    pub fn distance_from_parts(&self) -> f64 {
        (self.loss - self.loss_of_parts).abs()
    }
}

/// Compares loss, logits and the gradient that differs most, for a network that computes in `dtype`; the loss is computed in
/// float32. With `again` the forward pass of each batch is done again before its backward pass, as where memory is short.
pub fn compare_gathered(
    case: &GatheredCase,
    dtype: DType,
    again: bool,
    tolerance: f64,
    device: &Device,
) -> Vec<Comparison> {
    let model = named_classifier(case.architecture, device).map(&mut InType(dtype)).train();
    let device = device.clone().autodiff();
    let forward = |model: &Classifier, part: usize| {
        let shape = [case.batch, CHANNELS, case.size, case.size];
        model.forward(images(&format!("images/part {part}"), shape, &device).cast(dtype))
    };
    let still = model.clone().no_grad();
    let first: Vec<Tensor<2>> =
        (0..case.batches).map(|part| forward(if again { &still } else { &model }, part)).collect();
    let single = first.iter().map(|logits| logits.clone().detach().cast(DType::F32)).collect();
    let GatheredLoss { loss, gradients } = gathered_loss(single, |logits| {
        let targets = Tensor::from_data(case.targets.data(), &logits.device());
        classifier_loss(logits, targets)
    });
    let logits: Vec<f64> =
        first.iter().flat_map(|logits| logits.clone().into_data().iter::<f64>().collect::<Vec<_>>()).collect();
    let mut sum = GradientsAccumulator::new();
    for (part, (kept, gradient)) in first.into_iter().zip(gradients).enumerate() {
        let outputs = if again { forward(&model, part) } else { kept };
        let back = with_gradient(outputs, gradient.cast(dtype)).backward();
        sum.accumulate(&model, GradientsParams::from_grads(back, &model));
    }
    let ours = gradients_by_name(&model, &sum.grads());
    let comparison = |what: &str, difference| Comparison { name: format!("gathered: {what}"), difference, tolerance };
    let most = largest(case.logits.iter().map(|logit| logit.abs()));
    let of_logits = largest(logits.iter().zip(&case.logits).map(|(ours, theirs)| (ours - theirs).abs() / most));
    let of_loss = (f64::from(loss.into_scalar::<f32>()) - case.loss).abs() / case.loss;
    let floor = NEGLIGIBLE * largest(case.gradients.values().filter_map(|summary| summary.first().copied()));
    let (name, of_gradient) = worst(&ours, &case.gradients, floor);
    vec![
        comparison("logits", of_logits),
        comparison("loss", of_loss),
        comparison(&format!("gradients ({name})"), of_gradient),
    ]
}
