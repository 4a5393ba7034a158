//! One batch of an optimiser step: its forward and backward pass.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::prelude::*;

use super::config::TrainingConfig;
use super::task::TrainingTask;
use athanor_nn::devices::flush;
use athanor_nn::forward_context::{BatchStatistics, training_pass};
use athanor_nn::gathered::with_gradient;
use athanor_nn::transfer::gradients_on;
use athanor_random::Random;

/// A batch of an optimiser step.
#[derive(Clone)]
pub(crate) struct Microbatch {
    /// `[image, channel, side, side]`.
    pub bytes: Vec<u8>,
    /// The examples that the images belong to.
    pub examples: Vec<usize>,
    /// Random numbers of its forward pass.
    pub random: Random,
}

/// Work on a microbatch.
#[allow(clippy::large_enum_variant, reason = "there are as many as a step has batches")]
pub(crate) enum Pass {
    /// Forward and backward, with a loss of its own.
    Whole(Microbatch),
    /// Forward alone.
    Forward {
        /// The microbatch.
        microbatch: Microbatch,
        /// Whether a backward pass on the same device follows before any other pass, for which activations are kept.
        keep: bool,
    },
    /// Backward, for outputs whose gradient is known.
    Backward {
        /// The microbatch whose forward pass is done again; without it, the pass that was kept.
        again: Option<Microbatch>,
        /// Gradient of the loss by the outputs.
        gradient: Tensor<2>,
    },
}

/// Results of a pass, as far as it has them.
#[derive(Default)]
pub(crate) struct PassOutput {
    /// The outputs `[image, output]`, of a forward pass alone.
    pub outputs: Option<Tensor<2>>,
    /// Its share of the loss of the step, `[1]`.
    pub loss: Option<Tensor<1>>,
    /// Its share of the gradients of the step.
    pub gradients: Option<GradientsParams>,
    /// Statistics of the batch norms, of the first forward pass of a microbatch.
    pub statistics: Option<BatchStatistics>,
}

/// The network on a device, for one pass.
pub(crate) struct PassContext<'a, T: TrainingTask> {
    /// The task.
    pub task: &'a T,
    /// The configuration of the training.
    pub config: &'a TrainingConfig,
    /// The network.
    pub model: &'a T::Model,
    /// The device that it is on.
    pub device: &'a Device,
}

impl<T: TrainingTask> PassContext<'_, T> {
    /// Does a pass. `kept` are outputs whose activations are kept from one pass to the next.
    pub(crate) fn run(&self, pass: Pass, kept: &mut Option<Tensor<2>>) -> PassOutput {
        flush(self.device);
        let output = self.compute(pass, kept);
        flush(self.device);
        output
    }

    fn compute(&self, pass: Pass, kept: &mut Option<Tensor<2>>) -> PassOutput {
        match pass {
            Pass::Whole(microbatch) => self.whole(microbatch),
            Pass::Forward { microbatch, keep: true } => {
                let (outputs, statistics) = self.forward(microbatch, self.model);
                let values = outputs.clone().detach().inner();
                *kept = Some(outputs);
                PassOutput { outputs: Some(values), statistics: Some(statistics), ..PassOutput::default() }
            }
            Pass::Forward { microbatch, keep: false } => {
                // Without parameters that get gradients nothing is remembered, while batch norms and dropout still train.
                let (outputs, statistics) = self.forward(microbatch, &self.model.clone().no_grad());
                let values = outputs.detach().inner();
                PassOutput { outputs: Some(values), statistics: Some(statistics), ..PassOutput::default() }
            }
            Pass::Backward { again, gradient } => {
                let again = again.map(|microbatch| self.forward(microbatch, self.model).0);
                let Some(outputs) = again.or_else(|| kept.take()) else { return PassOutput::default() };
                let gradient = gradient.to_device(&self.device.clone().inner());
                let gradients = with_gradient(outputs, gradient).backward();
                let gradients = GradientsParams::from_grads(gradients, self.model);
                PassOutput { gradients: Some(gradients), ..PassOutput::default() }
            }
        }
    }

    fn whole(&self, microbatch: Microbatch) -> PassOutput {
        let examples = microbatch.examples.clone();
        let (outputs, statistics) = self.forward(microbatch, self.model);
        let loss = self.task.loss(outputs, &examples) / self.config.accumulation as f64;
        let of_step = loss.clone().detach().inner();
        let gradients = GradientsParams::from_grads(loss.backward(), self.model);
        PassOutput { outputs: None, loss: Some(of_step), gradients: Some(gradients), statistics: Some(statistics) }
    }

    fn forward(&self, microbatch: Microbatch, model: &T::Model) -> (Tensor<2>, BatchStatistics) {
        let Microbatch { bytes, examples, random } = microbatch;
        let PassContext { task, config, device, .. } = self;
        let images = task.data().preprocessing.normalisation.images(bytes, examples.len(), config.side, device);
        let images = config.precision.cast(images);
        training_pass(random, || task.outputs(model, images))
    }
}

impl PassOutput {
    /// The same on another device, for a network there.
    pub(crate) fn on<M: Module>(self, device: &Device, model: &M) -> PassOutput {
        PassOutput {
            outputs: self.outputs.map(|outputs| outputs.to_device(device)),
            loss: self.loss.map(|loss| loss.to_device(device)),
            gradients: self.gradients.map(|gradients| gradients_on(gradients, device, model)),
            statistics: self.statistics.map(|statistics| statistics.on(device)),
        }
    }
}
