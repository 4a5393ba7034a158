//! Configuration of a training.

use burn::module::Module;
use burn::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::StageError;
use crate::learn::precision::Precision;
use crate::params::ParamProblem;
use crate::words::counted;
use athanor_nn::models::{Architecture, Model, StemPool};
use athanor_nn::optim::Schedule;

/// Configuration of a training.
#[derive(Debug, Clone)]
pub struct TrainingConfig {
    /// Side of the network's input, in pixels.
    pub side: usize,
    /// Pooling of the stem, where the network has a choice.
    pub stem_pool: Option<StemPool>,
    /// Images in a batch.
    pub batch: usize,
    /// Number of batches of a step.
    pub accumulation: usize,
    /// Number of epochs.
    pub epochs: u32,
    /// Learning-rate schedule.
    pub schedule: Schedule,
    /// Maximum norm of all gradients together.
    pub clip_norm: f64,
    /// Number of epochs at the start in which the backbone is frozen.
    pub freeze_epochs: u32,
    /// Early-stopping patience: number of epochs without improvement after which training ends.
    pub early_stopping: Option<u32>,
    /// Numeric precision of the network.
    pub precision: Precision,
    /// Whether activations are recomputed in the backward pass instead of stored.
    pub gradient_checkpointing: bool,
    /// Action when a device runs out of memory.
    pub on_out_of_memory: OnOutOfMemory,
    /// Interval between two saved states, in seconds.
    pub save_every: f64,
}

/// Actions when a device runs out of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnOutOfMemory {
    /// The training fails, and says what would fit.
    #[default]
    Error,
    /// The training continues from its last state with batches of half the size, and twice as many a step. Batch norm
    /// then sees smaller batches: the result depends on how much memory the GPU has.
    Split,
}

impl OnOutOfMemory {
    /// Whether it is the default.
    pub fn is_default(&self) -> bool {
        *self == OnOutOfMemory::default()
    }
}

impl TrainingConfig {
    /// Problems of the parameters of these names.
    pub fn problems(&self) -> Vec<ParamProblem> {
        let rules = [
            (self.batch > 1, "batch", "a batch must have at least 2 images, for the statistics of batch norm"),
            (self.accumulation > 0, "accumulation", "a step needs at least one batch"),
            (self.epochs > 0, "epochs", "there must be at least one epoch"),
            (self.clip_norm > 0.0, "clip_norm", "the norm must be above 0"),
            (self.early_stopping != Some(0), "early_stopping", "at least one epoch must pass"),
            (self.save_every >= 0.0, "save_every", "give seconds, not below 0"),
        ];
        let broken = rules.into_iter().filter(|(holds, ..)| !holds);
        let schedule = self.schedule.check().err().map(|error| ParamProblem::value("schedule", error.to_string()));
        broken.map(|(_, name, message)| ParamProblem::value(name, message)).chain(schedule).collect()
    }

    /// Problems of the network: its input size, which is the parameter `side`, and the pooling of its stem.
    pub fn network_problems(&self, architecture: Architecture, side: &str) -> Vec<ParamProblem> {
        let smallest = architecture.smallest_image();
        let message = || format!("{architecture} needs images of at least {smallest} x {smallest} pixels");
        let too_small = (self.side < smallest).then(|| ParamProblem::value(side, message()));
        let message = || format!("{architecture} has no choice here: only ResNets have");
        let no_choice = self.stem_pool.is_some() && !architecture.has_stem_pool();
        let no_choice = no_choice.then(|| ParamProblem::value("stem_pool", message()));
        too_small.into_iter().chain(no_choice).collect()
    }

    /// Fails if a step has fewer batches than there are devices to share them.
    pub fn require_batches_for(&self, devices: usize) -> Result<(), StageError> {
        let batches = self.accumulation;
        if devices <= batches {
            return Ok(());
        }
        let batches = counted(batches, "batch");
        let message = format!("the stage has {devices} GPUs, but a step only has {batches} to share out");
        let help = format!(
            "Raise `accumulation` to a multiple of {devices} (with a smaller `batch`, for the same images a step), or ask for fewer `gpus`."
        );
        Err(StageError::mismatch(message).with_help(help))
    }

    /// A device with automatic differentiation.
    pub fn autodiff_device(&self, device: Device) -> Device {
        let device = device.autodiff();
        if self.gradient_checkpointing { device.gradient_checkpointing() } else { device }
    }

    /// A network with its backbone frozen or not, as in `epoch`.
    pub fn with_freezing<M: Model>(&self, model: M, epoch: u32) -> M {
        let backbone = || model.backbone().clone();
        let backbone = match self.freeze_epochs {
            0 => return model,
            frozen if epoch <= frozen => backbone().freeze(),
            _ => backbone().unfreeze(),
        };
        model.with_backbone(backbone)
    }

    /// Fails if an epoch of `shown` images has no step.
    pub fn require_a_step(&self, shown: usize) -> Result<(), StageError> {
        let needed = self.batch * self.accumulation;
        if shown >= needed {
            return Ok(());
        }
        let message = format!("an epoch shows {}, but a step needs {needed}", counted(shown, "image"));
        Err(StageError::mismatch(message).with_help("Choose a smaller `batch` or `accumulation`."))
    }
}
