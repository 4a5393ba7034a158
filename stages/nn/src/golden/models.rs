//! Every network: logits, the gradient of every parameter and the running statistics, in both modes.

use std::collections::BTreeMap;
use std::path::Path;

use burn::prelude::*;
use burn::tensor::DType;
use serde::Deserialize;

use super::comparison::{Comparison, largest};
use super::file::{GoldenError, read};
use super::formula::Summary;
use super::network::{Images, Mode, Network, Pass, Types, pass};
use crate::models::{Architecture, StemPool};

/// Gradients smaller than this share of the largest are compared with the share. Some are zero but for rounding, which is no
/// device's alike: in training, the bias of a ResNet's last batch norm (`layer4.1.bn2.bias`) shifts the features of all images
/// alike, and the head's batch norm takes that away again.
pub(super) const NEGLIGIBLE: f64 = 1e-3;

/// Golden values of all networks.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct ModelCases(Vec<ModelCase>);

/// Golden values of a network for a batch of images.
#[derive(Debug, Clone, Deserialize)]
pub struct ModelCase {
    architecture: Architecture,
    /// Pooling of its stem, where it can be chosen.
    #[serde(default)]
    stem_pool: Option<StemPool>,
    size: usize,
    batch: usize,
    noise: String,
    eval: Values,
    train: Values,
    /// Summaries of running statistics after training on the batch.
    running: BTreeMap<String, Vec<f64>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Values {
    logits: Vec<f64>,
    /// Summary of the gradient of each parameter.
    gradients: BTreeMap<String, Vec<f64>>,
}

impl ModelCase {
    /// Pooling of the network's stem, where it can be chosen.
    pub fn stem_pool(&self) -> Option<StemPool> {
        self.stem_pool
    }
}

impl ModelCases {
    /// Reads `learn-models.json` of a folder.
    ///
    /// # Errors
    /// If it cannot be read, or holds something else.
    pub fn read(folder: &Path) -> Result<ModelCases, GoldenError> {
        read(folder, "learn-models.json")
    }

    /// The batches of a network.
    pub fn of(&self, architecture: Architecture) -> impl Iterator<Item = &ModelCase> {
        self.0.iter().filter(move |case| case.architecture == architecture)
    }
}

/// Compares a network that computes in `dtype` on a device: its logits, the gradient that differs most, and in
/// [`Mode::Train`] the running statistic that does.
///
/// In float32, rounding can move a value across the kink of a ReLU or to another maximum, which changes gradients by up
/// to some percents; in which images it does depends on the processor. So gradients need agree for some batch only. In
/// float64 nothing comes near a kink.
pub fn compare_model(case: &ModelCase, mode: Mode, dtype: DType, tolerance: f64, device: &Device) -> Vec<Comparison> {
    let ModelCase { architecture, stem_pool, size, batch, noise, .. } = case;
    let images = Images { noise, batch: *batch, side: *size };
    let types = Types { parameters: dtype, images: dtype };
    let Pass { logits, gradients, state } =
        pass(Network { architecture: *architecture, stem_pool: *stem_pool }, images, mode, types, device);
    let stored = match mode {
        Mode::Eval => &case.eval,
        Mode::Train => &case.train,
    };
    let comparison = |what: &str, difference| {
        let pool = stem_pool.map(|pool| format!(" {pool}")).unwrap_or_default();
        let name = format!("{architecture}{pool}, {noise}, {mode}: {what}");
        Comparison { name, difference, tolerance }
    };
    let most = largest(stored.logits.iter().map(|logit| logit.abs()));
    let of_logits = if logits.len() == stored.logits.len() {
        largest(logits.iter().zip(&stored.logits).map(|(ours, theirs)| (ours - theirs).abs() / most))
    } else {
        f64::NAN
    };
    let floor = NEGLIGIBLE * largest(stored.gradients.values().filter_map(|summary| summary.first().copied()));
    let (name, of_gradient) = worst(&gradients, &stored.gradients, floor);
    let mut comparisons =
        vec![comparison("logits", of_logits), comparison(&format!("gradients ({name})"), of_gradient)];
    if mode == Mode::Train {
        let running = state.into_iter().filter(|(name, _)| name.contains("running_")).collect();
        let (name, of_running) = worst(&running, &case.running, 0.0);
        comparisons.push(comparison(&format!("running statistics ({name})"), of_running));
    }
    comparisons
}

/// Norm of the gradient of each parameter in training, by name: in `dtype` on a device, and as stored.
pub fn gradient_norms(case: &ModelCase, dtype: DType, device: &Device) -> BTreeMap<String, [f64; 2]> {
    let ModelCase { architecture, stem_pool, size, batch, noise, train, .. } = case;
    let images = Images { noise, batch: *batch, side: *size };
    let network = Network { architecture: *architecture, stem_pool: *stem_pool };
    let pass = pass(network, images, Mode::Train, Types { parameters: dtype, images: dtype }, device);
    let norm = |values: &TensorData| values.iter::<f64>().map(|value| value * value).sum::<f64>().sqrt();
    let stored =
        |name: &str| train.gradients.get(name).and_then(|summary| summary.first().copied()).unwrap_or(f64::NAN);
    pass.gradients.iter().map(|(name, values)| (name.clone(), [norm(values), stored(name)])).collect()
}

/// The tensor that differs most from its stored summary, and by how much: NaN if only one side has it.
pub(super) fn worst(
    ours: &BTreeMap<String, TensorData>,
    stored: &BTreeMap<String, Vec<f64>>,
    floor: f64,
) -> (String, f64) {
    if let Some(name) = ours.keys().find(|name| !stored.contains_key(*name)) {
        return (name.clone(), f64::NAN);
    }
    let differences = stored.iter().map(|(name, summary)| {
        let difference = ours.get(name).map_or(f64::NAN, |ours| Summary::of(name, ours).difference(summary, floor));
        (name.clone(), difference)
    });
    differences.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default()
}
