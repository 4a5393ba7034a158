//! `predict`: how likely each class is in each image, by a trained classifier.

mod outputs;
mod params;

use std::time::Instant;

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
use crate::learn::data::{Batches, ImagePool, chosen_ids, random_view};
use crate::learn::models::{Classifier, ClassifierConfig};
use crate::learn::preparation::Preparation;
use crate::learn::train::{device, in_pool};
use crate::learn::weights::Checkpoint;
use crate::ports::OutputPort;

pub use outputs::PredictOutputs;
pub use params::{PredictParams, Reduction};

/// The kind.
pub struct Predict;

input_ports! {
    /// What [`Predict`] reads.
    pub struct PredictInputs {
        /// A classifier from `train_classifier`.
        checkpoint: CheckpointInput,
        /// The images, packed; several sets with the same channels count as one.
        images: Vec<PackedImagesInput>,
        /// A table whose column `Id` says which images, in which order; without it all images.
        ids: Option<TableInput>,
    }
}

impl StageKind for Predict {
    type Params = PredictParams;
    type Inputs = PredictInputs;
    type Outputs = PredictOutputs;

    const NAME: &'static str = "predict";
    const REVISION: u32 = 1;
    const USES_ALL_CPUS: bool = true;
    const DOC: &'static str = "Says how likely each class is in each image, under several flips and transposes of it.\n\nWith `seed` 0 the network sees the whole image; with another, a random part of it as in training. The same part is seen under all augmentations, and depends on the image's id alone.";
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
        let checkpoint = Checkpoint::read::<Classifier>(file)?;
        let preparation = Preparation::of(&checkpoint, &file.label, &pool)?;
        let ids = chosen_ids(inputs.ids.as_ref(), &pool)?;
        let images = pool.find(&ids, preparation.side)?;
        let device = device::pick();
        params.precision.check(&device)?;
        let prediction = Prediction { params, pool, preparation, ids, images };
        let (classes, matrices) = in_pool(context.threads, || {
            let classes = checkpoint.outputs;
            let config = ClassifierConfig::new(checkpoint.architecture, checkpoint.channels, classes);
            let model = checkpoint.into_model(config.init(&device))?;
            Ok((classes, prediction.run(&model, &device, context)?))
        })?;
        let Prediction { params, ids, .. } = prediction;
        outputs.write(&params, &ids, classes, &matrices)
    }
}

/// What is predicted of.
struct Prediction {
    params: PredictParams,
    pool: ImagePool,
    preparation: Preparation,
    ids: Vec<String>,
    /// Their numbers in the pool.
    images: Vec<usize>,
}

impl Prediction {
    /// For each augmentation the probabilities `[id, class]`.
    fn run(
        &self,
        model: &Classifier,
        device: &Device,
        context: &StageContext<'_>,
    ) -> Result<Vec<Vec<f64>>, StageError> {
        let Preparation { side, normalisation, .. } = &self.preparation;
        let batches = Batches { pool: &self.pool, side: *side, size: self.params.batch, threads: context.threads };
        let count = self.images.len();
        let mut matrices = vec![Vec::new(); self.params.augmentations.len()];
        batches.load(
            0..count,
            |row| self.see(row),
            |loader| {
                let since = Instant::now();
                context.progress(0, count as u64, "images");
                while let Some(batch) = loader.next() {
                    if context.should_stop() {
                        return Err(StageError::Interrupted);
                    }
                    let images = normalisation.images(batch.bytes, batch.positions.len(), *side, device);
                    let images = self.params.precision.of(images);
                    for (augmentation, matrix) in self.params.augmentations.iter().zip(&mut matrices) {
                        let logits = model.forward(augmentation.on_device(images.clone()));
                        matrix.extend(sigmoid(logits).into_data().iter::<f64>());
                    }
                    context.progress(batch.positions.end as u64, count as u64, "images");
                }
                let share = loader.waited().as_secs_f64() / since.elapsed().as_secs_f64();
                context.metric("share_waiting_for_data", share);
                Ok(())
            },
        )?;
        if matrices.iter().flatten().any(|probability| probability.is_nan()) {
            let message = "the network's answers are not numbers; its training did not go well";
            return Err(StageError::mismatch(message));
        }
        Ok(matrices)
    }

    /// The image of a row, and what is seen of it.
    fn see(&self, row: usize) -> (usize, View) {
        let image = self.images[row];
        let (size, side) = (self.pool.size(image), self.preparation.side);
        let view = match self.params.seed {
            0 => View::whole(size, side),
            seed => View::random_crop(size, side, &mut random_view(seed, &self.ids[row])),
        };
        (image, view)
    }
}
