//! What a metric model learns, and from what.

use std::path::Path;

use burn::prelude::*;

use super::params::TrainMetricParams;
use super::ranks::Ranks;
use crate::context::StageContext;
use crate::error::StageError;
use crate::learn::data::view::View;
use crate::learn::data::{Batches, IdentityDataset, ImagePool, Normalisation};
use crate::learn::preprocessing::Preprocessing;
use crate::learn::train::{TrainingTask, Validation};
use crate::ports::InputFile;
use athanor_nn::losses::arcface;
use athanor_nn::models::{MetricConfig, MetricModel, Model};
use athanor_nn::weights::{load_pretrained, save_checkpoint_with};
use athanor_random::Random;

/// A metric model to be trained, everything checked.
pub struct MetricTask {
    pub params: TrainMetricParams,
    pub pool: ImagePool,
    pub preprocessing: Preprocessing,
    pub train: IdentityDataset,
    pub validation: IdentityDataset,
    pub repeats: Vec<usize>,
    pub pretrained: Option<InputFile>,
}

impl MetricTask {
    fn whole(&self, image: usize) -> View {
        View::whole(self.pool.size(image), self.params.size)
    }
}

/// Identities `[image]` on the device.
fn on_device(identities: impl Iterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let identities: Vec<i64> = identities.map(|identity| identity as i64).collect();
    Tensor::from_data(TensorData::from(identities.as_slice()), device)
}

impl TrainingTask for MetricTask {
    type Model = MetricModel;

    fn pool(&self) -> &ImagePool {
        &self.pool
    }

    fn normalisation(&self) -> &Normalisation {
        &self.preprocessing.normalisation
    }

    fn repeats(&self) -> &[usize] {
        &self.repeats
    }

    fn view(&self, example: usize, random: &mut Random) -> (usize, View) {
        let image = self.train.images[example];
        (image, self.whole(image).augmented(random))
    }

    fn init_model(&self, device: &Device) -> Result<MetricModel, StageError> {
        let TrainMetricParams { arch, dropout, .. } = self.params;
        let channels = self.pool.channels.len();
        let config = MetricConfig { dropout, ..MetricConfig::new(arch, channels, self.train.count()) };
        let model = config.init(device);
        let Some(file) = &self.pretrained else { return Ok(model) };
        let backbone = load_pretrained(model.backbone().clone(), channels, file.weights())?;
        Ok(model.with_backbone(backbone))
    }

    fn loss(&self, model: &MetricModel, images: Tensor<4>, examples: &[usize]) -> Tensor<1> {
        let identities = examples.iter().map(|example| self.train.identities[*example]);
        let identities = on_device(identities, &images.device());
        arcface(model.cosines(model.features(images)), identities)
    }

    fn validate(
        &self,
        model: &MetricModel,
        device: &Device,
        context: &StageContext<'_>,
    ) -> Result<Validation, StageError> {
        let TrainMetricParams { size: side, batch: size, precision, .. } = self.params;
        let batches = Batches { pool: &self.pool, side, size, threads: context.threads };
        let view_of = |row: usize| (self.validation.images[row], self.whole(self.validation.images[row]));
        let (count, known) = (self.validation.images.len(), self.train.count());
        let (mut ranks, mut loss_sum) = (Ranks::default(), 0.0);
        batches.load(0..count, view_of, |loader| {
            for batch in loader {
                if context.should_stop() {
                    return Err(StageError::Interrupted);
                }
                let images = self.normalisation().images(batch.bytes, batch.positions.len(), side, device);
                let cosines = model.cosines(model.features(precision.cast(images)));
                let right = &self.validation.identities[batch.positions.clone()];
                let loss = arcface(cosines.clone(), on_device(right.iter().copied(), device));
                loss_sum += f64::from(loss.into_scalar::<f32>()) * right.len() as f64;
                let cosines: Vec<f32> = cosines.into_data().iter().collect();
                cosines.chunks(known).zip(right).for_each(|(cosines, right)| ranks.add(cosines, *right));
            }
            Ok(())
        })?;
        let figures = [
            ("validation_loss", loss_sum / count as f64),
            ("map_at_5", ranks.map_at_5()),
            ("accuracy", ranks.accuracy()),
        ];
        let figures = figures.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Ok(Validation { monitored: 1.0 - ranks.map_at_5(), figures })
    }

    fn save(&self, model: &MetricModel, path: &Path) -> Result<(), StageError> {
        Ok(save_checkpoint_with(model, self.preprocessing.metadata(), path)?)
    }
}
