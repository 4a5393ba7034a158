//! The interface between the training loop and the kinds that train.

use std::ops::Range;
use std::path::Path;

use athanor_nn::devices::flush;
use athanor_nn::models::Model;
use athanor_nn::weights::{Pretrained, Unwrapped, load_pretrained, save_checkpoint_with};
use athanor_random::Random;
use burn::prelude::*;

use super::config::TrainingConfig;
use crate::context::StageContext;
use crate::error::StageError;
use crate::learn::data::view::View;
use crate::learn::data::{Batches, ImagePool};
use crate::learn::preprocessing::Preprocessing;
use crate::ports::InputFile;

/// The model to train, its data and its loss.
pub(crate) trait TrainingTask: Sync {
    /// The model's type.
    type Model: Model;

    /// The data that every task has.
    fn data(&self) -> &TrainingData;
    /// The image of an example and a random view of it, for an epoch.
    fn view(&self, example: usize, random: &mut Random) -> (usize, View);
    /// A model with random weights.
    fn random_model(&self, device: &Device) -> Self::Model;
    /// The model's outputs `[image, output]` for images `[batch, channel, side, side]`.
    fn outputs(&self, model: &Self::Model, images: Tensor<4>) -> Tensor<2>;
    /// The loss `[1]` of the outputs of these examples.
    fn loss(&self, outputs: Tensor<2>, examples: &[usize]) -> Tensor<1>;
    /// Whether the loss is a mean over images, and so the mean of the losses of batches of equal size.
    fn loss_is_mean(&self) -> bool;
    /// Metrics of a model on the validation set.
    fn validate(
        &self,
        model: &Self::Model,
        device: &Device,
        context: &StageContext<'_>,
    ) -> Result<Validation, StageError>;

    /// A model before training: with random weights, and those that are pretrained. `log` hears what was done to their file.
    fn init_model(&self, device: &Device, log: impl FnMut(String)) -> Result<Self::Model, StageError> {
        let model = self.random_model(device);
        let TrainingData { pool, pretrained, .. } = self.data();
        let Some(file) = pretrained else { return Ok(model) };
        let Pretrained { backbone, unwrapped, other_stem_pool } =
            load_pretrained(model.backbone().clone(), pool.channels.len(), file.weights())?;
        let ours = backbone.stem_pool().unwrap_or_default();
        let unwrapped = (unwrapped != Unwrapped::default()).then(|| format!("{} is read {unwrapped}", file.label));
        let other_pool = other_stem_pool.map(|theirs| {
            format!("{}: its network's stem pools {theirs}, the one to be trained {ours} (`stem_pool`)", file.label)
        });
        unwrapped.into_iter().chain(other_pool).for_each(log);
        Ok(model.with_backbone(backbone))
    }

    /// Metadata of a checkpoint besides those of its images.
    fn metadata(&self) -> Option<(String, String)> {
        None
    }

    /// Writes a checkpoint.
    fn save(&self, model: &Self::Model, path: &Path) -> Result<(), StageError> {
        let mut metadata = self.data().preprocessing.metadata();
        metadata.extend(self.metadata());
        Ok(save_checkpoint_with(model, metadata, path)?)
    }
}

/// The data of a training, whatever its model is.
pub(crate) struct TrainingData {
    /// The images.
    pub(crate) pool: ImagePool,
    /// Their preprocessing.
    pub(crate) preprocessing: Preprocessing,
    /// Number of times that an epoch shows each example.
    pub(crate) repeats: Vec<usize>,
    /// Pretrained weights of the backbone.
    pub(crate) pretrained: Option<InputFile>,
}

/// Metrics of a model on a validation set.
pub(crate) struct Validation {
    /// The monitored metric, by which epochs are compared; smaller is better.
    pub(crate) monitored: f64,
    /// All metrics by name.
    pub(crate) figures: Vec<(String, f64)>,
}

impl TrainingData {
    /// The mean loss over images of a validation set, seen whole; `loss` gets images `[batch, channel, side, side]` and
    /// their positions in `images`.
    ///
    /// # Errors
    /// The wish to stop.
    pub(crate) fn mean_loss(
        &self,
        images: &[usize],
        config: &TrainingConfig,
        device: &Device,
        context: &StageContext<'_>,
        mut loss: impl FnMut(Tensor<4>, Range<usize>) -> Tensor<1>,
    ) -> Result<f64, StageError> {
        let TrainingConfig { side, batch: size, precision, .. } = *config;
        let batches = Batches { pool: &self.pool, side, size, threads: context.threads };
        let view_of = |row: usize| (images[row], View::whole(self.pool.size(images[row]), side));
        let mut sum = 0.0;
        batches.load(0..images.len(), view_of, |loader| {
            for batch in loader {
                if context.should_stop() {
                    return Err(StageError::Interrupted);
                }
                let count = batch.positions.len();
                flush(device);
                let inputs = self.preprocessing.normalisation.images(batch.bytes, count, side, device);
                let loss = loss(precision.cast(inputs), batch.positions);
                sum += f64::from(loss.into_scalar::<f32>()) * count as f64;
            }
            Ok(())
        })?;
        Ok(sum / images.len() as f64)
    }
}
