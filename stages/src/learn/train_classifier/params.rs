//! The parameters of `train_classifier`.

use burn::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::learn::data::sampling::Upsampling;
use crate::learn::losses;
use crate::learn::models::Architecture;
use crate::learn::optim::Schedule;
use crate::learn::train::{OnOutOfMemory, Plan, Precision, defaults};
use crate::params::{ParamProblem, Parameters};
use crate::tables::class_params::{check_classes, hpa_classes};

/// Parameters of [`TrainClassifier`](super::TrainClassifier).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainClassifierParams {
    /// The network.
    pub arch: Architecture,
    /// Number of classes; targets hold numbers below it.
    #[serde(default = "hpa_classes")]
    pub classes: usize,
    /// Pixels a side of what the network sees. While it learns: a random square of at least that size, resized; when it is
    /// judged: the whole image, resized.
    pub crop: usize,
    /// Images in a batch. Those that do not fill a batch at the end of an epoch are left out.
    pub batch: usize,
    /// Batches whose gradients are averaged for one step.
    #[serde(default = "defaults::accumulation")]
    pub accumulation: usize,
    /// How often every image is shown.
    pub epochs: u32,
    /// The learning rate: one of the schedules by name, a number, or a list of `[epoch, rate]` from epoch 1 on.
    #[serde(default = "defaults::schedule")]
    pub schedule: Schedule,
    /// What training makes small.
    #[serde(default)]
    pub loss: Loss,
    /// In so many epochs at the start the backbone stays as it is, and only the head learns.
    #[serde(default)]
    pub freeze_epochs: u32,
    /// The largest norm of all gradients together; larger ones are scaled down.
    #[serde(default = "defaults::clip_norm")]
    pub clip_norm: f64,
    /// Ends after so many epochs without a better one.
    #[serde(default)]
    pub early_stopping: Option<u32>,
    /// Shows images of rare classes several times an epoch.
    #[serde(default)]
    pub upsample: Option<Upsampling>,
    /// Share of values that the head drops while it learns, from 0 to below 1.
    #[serde(default = "half")]
    pub dropout: f64,
    /// What the network computes in; parameters are float32 either way.
    #[serde(default)]
    pub precision: Precision,
    /// Computes activations again for the backward pass rather than keeping them: less memory, more time.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// What happens when a GPU runs out of memory: `error`, which says what would fit, or `split`, which goes on with smaller
    /// batches, as many images a step. Batch norm then sees smaller batches, so that the result depends on the GPU's memory.
    #[serde(default, skip_serializing_if = "OnOutOfMemory::is_default")]
    pub on_out_of_memory: OnOutOfMemory,
    /// Seconds between two states that are saved; from the last one training goes on if it is killed.
    #[serde(default = "defaults::save_every")]
    pub save_every: f64,
}

fn half() -> f64 {
    0.5
}

/// What training makes small.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Half the sum of the focal, the symmetric Lovász and the hard-log loss, as in the reference solution.
    #[default]
    Classifier,
    /// Binary cross entropy; the only one for `soft_labels`.
    Bce,
    /// The focal loss, gamma 2.
    Focal,
}

impl Loss {
    /// The loss `[1]` of logits against targets, both `[batch, class]`.
    pub fn of(self, logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
        match self {
            Loss::Classifier => losses::classifier_loss(logits, targets),
            Loss::Bce => losses::bce_with_logits(logits, targets),
            Loss::Focal => losses::focal(logits, targets),
        }
    }
}

impl Parameters for TrainClassifierParams {
    const MANNER: &'static [&'static str] = &["save_every"];

    fn check(&self) -> Vec<ParamProblem> {
        let mut problems = self.plan().problems();
        problems.extend(check_classes(self.classes));
        problems.extend(self.plan().side_problem(self.arch, "crop"));
        let mut require = |holds: bool, name: &str, message: &str| {
            if !holds {
                problems.push(ParamProblem::value(name, message));
            }
        };
        require((0.0..1.0).contains(&self.dropout), "dropout", "the share is from 0 to below 1");
        if let Some(Upsampling { share, at_most }) = self.upsample {
            require(share > 0.0 && share <= 1.0, "upsample", "`share` is above 0 and at most 1");
            require(at_most > 0, "upsample", "`at_most` is at least 1");
        }
        problems
    }
}

impl TrainClassifierParams {
    /// What of them says how the network is trained.
    pub fn plan(&self) -> Plan {
        Plan {
            side: self.crop,
            batch: self.batch,
            accumulation: self.accumulation,
            epochs: self.epochs,
            schedule: self.schedule.clone(),
            clip_norm: self.clip_norm,
            freeze_epochs: self.freeze_epochs,
            early_stopping: self.early_stopping,
            precision: self.precision,
            gradient_checkpointing: self.gradient_checkpointing,
            on_out_of_memory: self.on_out_of_memory,
            save_every: self.save_every,
        }
    }
}
