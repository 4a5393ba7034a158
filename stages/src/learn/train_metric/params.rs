//! The parameters of `train_metric`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::learn::models::Architecture;
use crate::learn::optim::Schedule;
use crate::learn::train::{OnOutOfMemory, Plan, Precision, defaults};
use crate::params::{ParamProblem, Parameters};

/// Parameters of [`TrainMetric`](super::TrainMetric).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainMetricParams {
    /// The network.
    pub arch: Architecture,
    /// Column of the tables that says, as a number from 0, which identity an image shows.
    #[serde(default = "identity")]
    pub identity: String,
    /// Pixels a side of what the network sees: the whole image, resized.
    pub size: usize,
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
    /// In so many epochs at the start the backbone stays as it is, and only the head learns.
    #[serde(default)]
    pub freeze_epochs: u32,
    /// The largest norm of all gradients together; larger ones are scaled down.
    #[serde(default = "defaults::clip_norm")]
    pub clip_norm: f64,
    /// Ends after so many epochs without a better one.
    #[serde(default)]
    pub early_stopping: Option<u32>,
    /// Shares of values that the head drops while it learns, from 0 to below 1: before its first and its second layer.
    #[serde(default = "dropout")]
    pub dropout: [f64; 2],
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

fn identity() -> String {
    "antibody_code".to_owned()
}

fn dropout() -> [f64; 2] {
    [0.25, 0.5]
}

impl Parameters for TrainMetricParams {
    const MANNER: &'static [&'static str] = &["save_every"];

    fn check(&self) -> Vec<ParamProblem> {
        let mut problems = self.plan().problems();
        problems.extend(self.plan().side_problem(self.arch, "size"));
        if self.dropout.iter().any(|share| !(0.0..1.0).contains(share)) {
            problems.push(ParamProblem::value("dropout", "the shares are from 0 to below 1"));
        }
        problems
    }
}

impl TrainMetricParams {
    /// What of them says how the network is trained.
    pub fn plan(&self) -> Plan {
        Plan {
            side: self.size,
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
