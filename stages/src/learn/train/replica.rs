//! Copies of the network on further devices.

use burn::prelude::*;

use super::config::TrainingConfig;
use super::microbatch::{Pass, PassContext, PassOutput};
use super::numbering::number_parameters;
use super::task::TrainingTask;
use crate::error::StageError;
use athanor_nn::models::Model;
use athanor_nn::transfer::ParameterSnapshot;

/// The network on a further device.
pub(crate) struct Replica<M> {
    model: M,
    device: Device,
    /// The epoch that it is prepared for.
    epoch: u32,
    /// Outputs with the activations that lead to them, from one pass to the next.
    kept: Option<Tensor<2>>,
}

/// A pass for a replica, and changes since its last one.
pub(crate) struct ReplicaJob {
    /// The pass.
    pub pass: Pass,
    /// The epoch that it belongs to.
    pub epoch: u32,
    /// The network's parameters, if they have changed.
    pub parameters: Option<ParameterSnapshot>,
}

impl<M: Model> Replica<M> {
    /// A replica without the network's parameters yet.
    pub(crate) fn new<T: TrainingTask<Model = M>>(task: &T, device: &Device) -> Result<Replica<M>, StageError> {
        let model = number_parameters(task.init_model(device, drop)?);
        Ok(Replica { model, device: device.clone(), epoch: 0, kept: None })
    }

    /// Does a pass.
    pub(crate) fn run<T: TrainingTask<Model = M>>(
        &mut self,
        job: ReplicaJob,
        task: &T,
        config: &TrainingConfig,
    ) -> PassOutput {
        let ReplicaJob { pass, epoch, parameters } = job;
        if std::mem::replace(&mut self.epoch, epoch) != epoch {
            self.model = config.with_freezing(self.model.clone(), epoch);
        }
        if let Some(parameters) = parameters {
            self.model = parameters.load_into(self.model.clone());
        }
        PassContext { task, config, model: &self.model, device: &self.device }.run(pass, &mut self.kept)
    }
}
