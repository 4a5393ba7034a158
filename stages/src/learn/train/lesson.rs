//! What is learned from one batch.

use burn::optim::GradientsParams;
use burn::prelude::*;

use super::plan::Plan;
use super::trainer::Task;
use athanor_nn::forward_context::{Statistics, learn_from};
use athanor_random::Random;

/// A batch to be learned from.
pub struct Lesson {
    /// `[image, channel, side, side]`.
    pub bytes: Vec<u8>,
    /// The examples that the images belong to.
    pub examples: Vec<usize>,
    /// What its pass draws random numbers from.
    pub random: Random,
}

/// What comes of a batch.
pub struct Learned {
    /// A share of the gradients of the step.
    pub gradients: GradientsParams,
    /// A share of the loss of the step, `[1]`.
    pub loss: Tensor<1>,
    /// What batch norms have seen.
    pub statistics: Statistics,
}

impl Lesson {
    /// Learns on `device`, where the network is.
    pub fn learn<T: Task>(self, task: &T, plan: &Plan, model: &T::Model, device: &Device) -> Learned {
        let Lesson { bytes, examples, random } = self;
        let images = task.normalisation().images(bytes, examples.len(), plan.side, device);
        let images = plan.precision.of(images);
        let (loss, statistics) = learn_from(random, || task.loss(model, images, &examples));
        let loss = loss / plan.accumulation as f64;
        let of_step = loss.clone().detach().inner();
        let gradients = GradientsParams::from_grads(loss.backward(), model);
        Learned { gradients, loss: of_step, statistics }
    }
}

impl Learned {
    /// The same on another device, for a network there.
    pub fn on<M: burn::module::Module>(self, device: &Device, model: &M) -> Learned {
        Learned {
            gradients: self.gradients.to_device(device, model),
            loss: self.loss.to_device(device),
            statistics: self.statistics,
        }
    }
}
