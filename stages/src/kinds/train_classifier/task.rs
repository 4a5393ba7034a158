//! What a classifier learns, and from what.

use std::path::Path;

use burn::prelude::*;

use super::params::TrainClassifierParams;
use crate::context::StageContext;
use crate::error::StageError;
use crate::learn::data::view::View;
use crate::learn::data::{Batches, ImagePool, ClassificationDataset, Normalisation};
use crate::learn::preprocessing::Preprocessing;
use crate::learn::train::classification_scores::ClassificationScores;
use crate::learn::train::{TrainingTask, Validation};
use crate::ports::InputFile;
use athanor_nn::models::{Classifier, ClassifierConfig, Model};
use athanor_nn::weights::{load_pretrained, save_checkpoint_with};
use athanor_random::Random;

/// A classifier to be trained, everything checked.
pub struct ClassifierTask {
    pub params: TrainClassifierParams,
    pub pool: ImagePool,
    pub preprocessing: Preprocessing,
    pub train: ClassificationDataset,
    pub validation: ClassificationDataset,
    pub repeats: Vec<usize>,
    pub pretrained: Option<InputFile>,
}

impl ClassifierTask {
    fn config(&self) -> ClassifierConfig {
        let TrainClassifierParams { arch, classes, dropout, .. } = self.params;
        ClassifierConfig { dropout, ..ClassifierConfig::new(arch, self.pool.channels.len(), classes) }
    }
}

impl TrainingTask for ClassifierTask {
    type Model = Classifier;

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
        (image, View::random_crop(self.pool.size(image), self.params.crop, random).augmented(random))
    }

    fn init_model(&self, device: &Device) -> Result<Classifier, StageError> {
        let model = self.config().init(device);
        let Some(file) = &self.pretrained else { return Ok(model) };
        let backbone = load_pretrained(model.backbone().clone(), self.pool.channels.len(), file.weights())?;
        Ok(model.with_backbone(backbone))
    }

    fn loss(&self, model: &Classifier, images: Tensor<4>, examples: &[usize]) -> Tensor<1> {
        let targets = self.train.targets_of(examples.iter().copied(), &images.device());
        self.params.loss.of(model.forward(images), targets)
    }

    fn validate(
        &self,
        model: &Classifier,
        device: &Device,
        context: &StageContext<'_>,
    ) -> Result<Validation, StageError> {
        let TrainClassifierParams { classes, crop: side, batch: size, precision, .. } = self.params;
        let batches = Batches { pool: &self.pool, side, size, threads: context.threads };
        let view_of = |row: usize| {
            let image = self.validation.images[row];
            (image, View::whole(self.pool.size(image), side))
        };
        let count = self.validation.images.len();
        let (mut scores, mut loss_sum) = (ClassificationScores::new(classes), 0.0);
        batches.load(0..count, view_of, |loader| {
            for batch in loader {
                if context.should_stop() {
                    return Err(StageError::Interrupted);
                }
                let images = self.normalisation().images(batch.bytes, batch.positions.len(), side, device);
                let logits = model.forward(precision.cast(images));
                let targets = self.validation.targets_of(batch.positions.clone(), device);
                let loss = self.params.loss.of(logits.clone(), targets);
                loss_sum += f64::from(loss.into_scalar::<f32>()) * batch.positions.len() as f64;
                let logits: Vec<f32> = logits.into_data().iter().collect();
                let rows = batch.positions.start * classes..batch.positions.end * classes;
                scores.add(&logits, &self.validation.targets[rows]);
            }
            Ok(())
        })?;
        let mut figures = vec![
            ("validation_loss".to_owned(), loss_sum / count as f64),
            ("focal".to_owned(), scores.focal()),
            ("accuracy".to_owned(), scores.accuracy()),
            ("macro_f1".to_owned(), scores.macro_f1()),
        ];
        figures.extend(scores.f1().into_iter().enumerate().map(|(class, f1)| (format!("f1_{class}"), f1)));
        Ok(Validation { monitored: scores.focal(), figures })
    }

    fn save(&self, model: &Classifier, path: &Path) -> Result<(), StageError> {
        Ok(save_checkpoint_with(model, self.preprocessing.metadata(), path)?)
    }
}
