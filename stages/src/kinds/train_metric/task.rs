//! The training task of `train_metric`.

use athanor_nn::losses::arcface;
use athanor_nn::models::{MetricConfig, MetricModel};
use athanor_random::Random;
use burn::prelude::*;

use super::params::TrainMetricParams;
use super::ranks::Ranks;
use crate::context::StageContext;
use crate::error::StageError;
use crate::learn::data::IdentityDataset;
use crate::learn::data::view::View;
use crate::learn::head_dropout;
use crate::learn::train::{TrainingData, TrainingTask, Validation};

/// A metric model to be trained, everything checked.
pub(super) struct MetricTask {
    pub(super) params: TrainMetricParams,
    pub(super) data: TrainingData,
    pub(super) train: IdentityDataset,
    pub(super) validation: IdentityDataset,
}

/// Identities `[image]` on the device.
fn on_device(identities: impl Iterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let identities: Vec<i64> = identities.map(|identity| identity as i64).collect();
    Tensor::from_data(TensorData::from(identities.as_slice()), device)
}

impl TrainingTask for MetricTask {
    type Model = MetricModel;

    fn data(&self) -> &TrainingData {
        &self.data
    }

    fn view(&self, example: usize, random: &mut Random) -> (usize, View) {
        let image = self.train.images[example];
        (image, View::whole(self.data.pool.size(image), self.params.size).augmented(random))
    }

    fn random_model(&self, device: &Device) -> MetricModel {
        let TrainMetricParams { arch, stem_pool, dropout, .. } = self.params;
        let config = MetricConfig::new(arch, self.data.pool.channels.len(), self.train.count());
        MetricConfig { dropout, stem_pool, ..config }.init(device)
    }

    fn metadata(&self) -> Option<(String, String)> {
        head_dropout::metadata(self.params.dropout)
    }

    fn outputs(&self, model: &MetricModel, images: Tensor<4>) -> Tensor<2> {
        model.cosines(model.features(images))
    }

    fn loss(&self, outputs: Tensor<2>, examples: &[usize]) -> Tensor<1> {
        let identities = examples.iter().map(|example| self.train.identities[*example]);
        let identities = on_device(identities, &outputs.device());
        arcface(outputs, identities)
    }

    fn loss_is_mean(&self) -> bool {
        true
    }

    fn validate(
        &self,
        model: &MetricModel,
        device: &Device,
        context: &StageContext<'_>,
    ) -> Result<Validation, StageError> {
        let (known, config) = (self.train.count(), self.params.training_config());
        let mut ranks = Ranks::default();
        let loss = self.data.mean_loss(&self.validation.images, &config, device, context, |images, rows| {
            let cosines = model.cosines(model.features(images));
            let right = &self.validation.identities[rows];
            let loss = arcface(cosines.clone(), on_device(right.iter().copied(), device));
            let cosines: Vec<f32> = cosines.into_data().iter().collect();
            cosines.chunks(known).zip(right).for_each(|(cosines, right)| ranks.add(cosines, *right));
            loss
        })?;
        let figures = [("validation_loss", loss), ("map_at_5", ranks.map_at_5()), ("accuracy", ranks.accuracy())];
        let figures = figures.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Ok(Validation { monitored: 1.0 - ranks.map_at_5(), figures })
    }
}
