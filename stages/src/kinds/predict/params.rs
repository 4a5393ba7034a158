//! The parameters of `predict`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::learn::data::Augmentation;
use crate::learn::precision::Precision;
use crate::params::{ParamProblem, Parameters};

/// Parameters of [`Predict`](super::Predict).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PredictParams {
    /// Seed of the random crop of each image; with 0 the network sees the whole image.
    #[serde(default)]
    pub seed: u64,
    /// Test-time augmentation: flips and transposes under which each image is predicted; `[default]` predicts it once, as it is.
    #[serde(default = "all_augmentations")]
    pub augmentations: Vec<Augmentation>,
    /// Reduction of the probabilities over all augmentations to one.
    #[serde(default)]
    pub reduce: Reduction,
    /// Whether each augmentation gets an output of its own, with its name, beside `probabilities`.
    #[serde(default)]
    pub each: bool,
    /// Number of images in a batch.
    #[serde(default = "batch")]
    #[schemars(range(min = 1))]
    pub batch: usize,
    /// Numeric precision of the network: float32 or mixed precision.
    #[serde(default)]
    pub precision: Precision,
}

/// Reductions of several probabilities to one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// The largest of them.
    #[default]
    Maximum,
    /// Their mean.
    Mean,
}

fn all_augmentations() -> Vec<Augmentation> {
    Augmentation::ALL.to_vec()
}

fn batch() -> usize {
    32
}

impl Parameters for PredictParams {
    fn check(&self) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        let mut complain = |name, message: &str| problems.push(ParamProblem::value(name, message));
        let chosen = &self.augmentations;
        if chosen.is_empty() {
            complain("augmentations", "there must be at least one; `default` leaves images as they are");
        }
        if chosen.iter().enumerate().any(|(at, augmentation)| chosen[..at].contains(augmentation)) {
            complain("augmentations", "no augmentation may be there twice");
        }
        if self.batch == 0 {
            complain("batch", "there must be at least one image in a batch");
        }
        problems
    }
}
