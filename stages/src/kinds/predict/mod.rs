//! `predict`: probabilities of the classes by a trained classifier.

mod outputs;
mod params;
mod samples;

use burn::prelude::*;
use burn::tensor::activation::sigmoid;

use crate::artifact::checkpoint::CheckpointInput;
use crate::artifact::packed_images::PackedImagesInput;
use crate::artifact::table::TableInput;
use crate::context::StageContext;
use crate::error::StageError;
use crate::input_ports;
use crate::kind::StageKind;
use crate::learn::data::view::View;
use crate::learn::data::{Augmentation, ImagePool, chosen_ids, random_view_stream};
use crate::learn::infer::InferenceJob;
use crate::learn::preprocessing::Preprocessing;
use crate::learn::thread_pool::with_thread_pool;
use crate::ports::OutputPort;
use athanor_nn::devices::Devices;
use athanor_nn::models::{Architecture, Classifier, ClassifierConfig};
use athanor_nn::weights::Checkpoint;

pub use outputs::PredictOutputs;
pub use params::{PredictParams, Reduction};

/// The kind `predict`.
pub struct Predict;

input_ports! {
    /// Inputs of [`Predict`].
    pub struct PredictInputs {
        /// Classifier from `train_classifier`.
        checkpoint: CheckpointInput,
        /// Packed images; several sets with the same channels count as one.
        images: Vec<PackedImagesInput>,
        /// Table whose column `Id` names the images, in order; all images by default.
        ids: Option<TableInput>,
    }
}

impl StageKind for Predict {
    type Params = PredictParams;
    type Inputs = PredictInputs;
    type Outputs = PredictOutputs;

    const NAME: &'static str = "predict";
    const REVISION: u32 = 2;
    const USES_ALL_CPUS: bool = true;
    const RESUMES: bool = true;
    const USES_GPUS: bool = true;
    const DOC: &'static str = "Predicts the probability of each class in each image, under several flips and transposes of it.\n\nWith `seed` 0 the network sees the whole image; with another, a random crop of it as in training. The crop is the same under all augmentations, and depends on the image's id alone.\n\nA stage that is stopped or killed continues after the images it has predicted.";
    const OUTPUTS_VARY: bool = true;

    fn outputs(params: &PredictParams) -> Vec<OutputPort> {
        outputs::ports(params)
    }

    fn run(
        params: PredictParams,
        inputs: PredictInputs,
        outputs: PredictOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let pool = ImagePool::open(&inputs.images)?;
        let file = &inputs.checkpoint.0;
        let checkpoint = Checkpoint::read::<Classifier>(file.weights())?;
        let preprocessing = Preprocessing::of(&checkpoint, &file.label, &pool)?;
        let ids = chosen_ids(inputs.ids.as_ref(), &pool)?;
        let images = pool.find(&ids, preprocessing.side)?;
        let devices = context.devices(params.precision)?;
        let classes = checkpoint.outputs;
        let architecture = checkpoint.architecture;
        let prediction = Prediction { params, pool, architecture, preprocessing, ids, images, classes };
        let matrices = with_thread_pool(context.threads, || {
            let config = ClassifierConfig::new(checkpoint.architecture, checkpoint.channels, classes);
            let config = ClassifierConfig { stem_pool: checkpoint.stem_pool, ..config };
            let models = devices.iter().map(|device| checkpoint.clone().into_model(config.init(device)));
            prediction.run(models.collect::<Result<_, _>>()?, &devices, context)
        })?;
        for (name, samples) in prediction.samples(&matrices) {
            context.figure(name, samples);
        }
        let Prediction { params, ids, .. } = prediction;
        outputs.write(&params, &ids, classes, &matrices)
    }
}

/// Images to predict, everything checked.
struct Prediction {
    params: PredictParams,
    pool: ImagePool,
    architecture: Architecture,
    preprocessing: Preprocessing,
    ids: Vec<String>,
    /// Their numbers in the pool.
    images: Vec<usize>,
    classes: usize,
}

impl Prediction {
    /// For each augmentation the probabilities `[id, class]`.
    fn run(
        &self,
        models: Vec<Classifier>,
        devices: &Devices,
        context: &StageContext<'_>,
    ) -> Result<Vec<Vec<f64>>, StageError> {
        let PredictParams { augmentations, batch, precision, .. } = &self.params;
        let (count, width) = (self.images.len(), augmentations.len() * self.classes);
        let (batch, precision) = (*batch, *precision);
        let (pool, architecture, preprocessing) = (&self.pool, self.architecture, &self.preprocessing);
        let job = InferenceJob { pool, architecture, preprocessing, count, batch, precision, width };
        let outputs =
            job.run(models, devices, |row| self.view(row), |model, images, _| self.say(model, images), context)?;
        if outputs.iter().any(|probability| probability.is_nan()) {
            let message = "the network's outputs are not numbers; its training did not go well";
            return Err(StageError::mismatch(message));
        }
        let of_augmentation = |number: usize| {
            let rows = outputs.chunks(width).flat_map(move |row| &row[number * self.classes..][..self.classes]);
            rows.map(|probability| f64::from(*probability)).collect()
        };
        Ok((0..augmentations.len()).map(of_augmentation).collect())
    }

    /// The probabilities `[image, augmentation, class]`.
    fn say(&self, model: &Classifier, images: Tensor<4>) -> Vec<f32> {
        let under = |augmentation: &Augmentation| sigmoid(model.forward(augmentation.on_device(images.clone())));
        let probabilities: Tensor<3> = Tensor::stack(self.params.augmentations.iter().map(under).collect(), 1);
        probabilities.into_data().iter().collect()
    }

    /// The image of a row, and the view of it.
    fn view(&self, row: usize) -> (usize, View) {
        let image = self.images[row];
        let (size, side) = (self.pool.size(image), self.preprocessing.side);
        let view = match self.params.seed {
            0 => View::whole(size, side),
            seed => View::random_crop(size, side, &mut random_view_stream(seed, &self.ids[row])),
        };
        (image, view)
    }
}
