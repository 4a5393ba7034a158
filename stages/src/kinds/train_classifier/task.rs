//! The training task of `train_classifier`.

use athanor_nn::models::{Classifier, ClassifierConfig};
use athanor_random::Random;
use burn::prelude::*;

use super::params::TrainClassifierParams;
use crate::context::StageContext;
use crate::error::StageError;
use crate::learn::data::ClassificationDataset;
use crate::learn::data::view::View;
use crate::learn::train::classification_scores::ClassificationScores;
use crate::learn::train::{TrainingData, TrainingTask, Validation};

/// A classifier to be trained, everything checked.
pub(super) struct ClassifierTask {
    pub(super) params: TrainClassifierParams,
    pub(super) data: TrainingData,
    pub(super) train: ClassificationDataset,
    pub(super) validation: ClassificationDataset,
}

impl TrainingTask for ClassifierTask {
    type Model = Classifier;

    fn data(&self) -> &TrainingData {
        &self.data
    }

    fn view(&self, example: usize, random: &mut Random) -> (usize, View) {
        let image = self.train.images[example];
        let size = self.data.pool.size(image);
        (image, View::random_crop(size, self.params.crop, random).augmented(random))
    }

    fn random_model(&self, device: &Device) -> Classifier {
        let TrainClassifierParams { arch, stem_pool, classes, dropout, .. } = self.params;
        let channels = self.data.pool.channels.len();
        ClassifierConfig { dropout, stem_pool, ..ClassifierConfig::new(arch, channels, classes) }.init(device)
    }

    fn outputs(&self, model: &Classifier, images: Tensor<4>) -> Tensor<2> {
        model.forward(images)
    }

    fn loss(&self, outputs: Tensor<2>, examples: &[usize]) -> Tensor<1> {
        let targets = self.train.targets_of(examples.iter().copied(), &outputs.device());
        self.params.loss.of(outputs, targets)
    }

    fn loss_is_mean(&self) -> bool {
        self.params.loss.is_mean()
    }

    fn validate(
        &self,
        model: &Classifier,
        device: &Device,
        context: &StageContext<'_>,
    ) -> Result<Validation, StageError> {
        let (classes, config) = (self.params.classes, self.params.training_config());
        let mut scores = ClassificationScores::new(classes);
        let loss = self.data.mean_loss(&self.validation.images, &config, device, context, |images, rows| {
            let logits = model.forward(images);
            let targets = self.validation.targets_of(rows.clone(), device);
            let loss = self.params.loss.of(logits.clone(), targets);
            let logits: Vec<f32> = logits.into_data().iter().collect();
            scores.add(&logits, &self.validation.targets[rows.start * classes..rows.end * classes]);
            loss
        })?;
        let mut figures = vec![
            ("validation_loss".to_owned(), loss),
            ("focal".to_owned(), scores.focal()),
            ("accuracy".to_owned(), scores.accuracy()),
            ("macro_f1".to_owned(), scores.macro_f1()),
        ];
        let names = self.train.names.iter().map(|name| format!("f1_{name}"));
        figures.extend(names.zip(scores.f1()));
        Ok(Validation { monitored: scores.focal(), figures })
    }
}
