//! One batch of an optimiser step: its forward and backward pass.

use burn::optim::GradientsParams;
use burn::prelude::*;

use super::config::TrainingConfig;
use super::task::TrainingTask;
use athanor_nn::forward_context::{BatchStatistics, training_pass};
use athanor_random::Random;

/// A batch of an optimiser step.
pub(crate) struct Microbatch {
    /// `[image, channel, side, side]`.
    pub bytes: Vec<u8>,
    /// The examples that the images belong to.
    pub examples: Vec<usize>,
    /// Random numbers of its forward pass.
    pub random: Random,
}

/// Result of a microbatch.
pub(crate) struct MicrobatchOutput {
    /// Its share of the gradients of the step.
    pub gradients: GradientsParams,
    /// Its share of the loss of the step, `[1]`.
    pub loss: Tensor<1>,
    /// Statistics of the batch norms.
    pub statistics: BatchStatistics,
}

impl Microbatch {
    /// Computes loss and gradients on `device`, where the network is.
    pub(crate) fn forward_backward<T: TrainingTask>(
        self,
        task: &T,
        config: &TrainingConfig,
        model: &T::Model,
        device: &Device,
    ) -> MicrobatchOutput {
        let Microbatch { bytes, examples, random } = self;
        let images = task.data().preprocessing.normalisation.images(bytes, examples.len(), config.side, device);
        let images = config.precision.cast(images);
        let (loss, statistics) = training_pass(random, || task.loss(model, images, &examples));
        let loss = loss / config.accumulation as f64;
        let of_step = loss.clone().detach().inner();
        let gradients = GradientsParams::from_grads(loss.backward(), model);
        MicrobatchOutput { gradients, loss: of_step, statistics }
    }
}

impl MicrobatchOutput {
    /// The same on another device, for a network there.
    pub(crate) fn on<M: burn::module::Module>(self, device: &Device, model: &M) -> MicrobatchOutput {
        MicrobatchOutput {
            gradients: self.gradients.to_device(device, model),
            loss: self.loss.to_device(device),
            statistics: self.statistics,
        }
    }
}
