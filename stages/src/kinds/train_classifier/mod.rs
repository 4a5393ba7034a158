//! `train_classifier`: training of a multi-label classifier.

mod params;
mod task;

use crate::artifact::checkpoint::{CheckpointOutput, WeightsInput};
use crate::artifact::labels::Target;
use crate::artifact::matrix::MatrixInput;
use crate::artifact::packed_images::PackedImagesInput;
use crate::artifact::table::{TableInput, TableOutput};
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::learn::data::{ClassificationDataset, ImagePool, Normalisation};
use crate::learn::preprocessing::Preprocessing;
use crate::learn::train::{OutputPaths, TrainingData, run_training};
use crate::ports::OutputValue;
use crate::{input_ports, output_ports};

pub use params::{Loss, TrainClassifierParams};
use task::ClassifierTask;

/// The kind `train_classifier`.
pub struct TrainClassifier;

input_ports! {
    /// Inputs of [`TrainClassifier`].
    pub struct TrainClassifierInputs {
        /// Packed images, as `pack_images` writes them; several sets with the same channels count as one.
        images: Vec<PackedImagesInput>,
        /// Training rows: `Id,Target`, the image's id and its class numbers, separated by blanks.
        train: TableInput,
        /// Validation rows, in the same form.
        validation: TableInput,
        /// Channel statistics `color,mean,std` for normalisation; without them pixels are only divided by 255.
        statistics: Option<TableInput>,
        /// Pretrained weights of the backbone to start from, for transfer learning and fine-tuning: torchvision's ImageNet weights as
        /// they are downloaded, `.pth` or safetensors, or a checkpoint of the same network. A channel that they lack starts with the
        /// weights of red. Without them weights are random.
        pretrained: Option<WeightsInput>,
        /// Soft labels, probabilities `[id, class]`, in place of the targets of training rows.
        soft_labels: Option<MatrixInput>,
    }
}

output_ports! {
    /// Outputs of [`TrainClassifier`].
    pub struct TrainClassifierOutputs {
        /// Network after the epoch with the lowest focal loss on validation.
        checkpoint: CheckpointOutput = "checkpoint.safetensors",
        /// Network after the last epoch.
        last: CheckpointOutput = "last.safetensors",
        /// Metrics of each epoch: `epoch,rate,loss,validation_loss,focal,accuracy,macro_f1`, then the F1 of every
        /// class, by its name where `train` is a table of `label_table`, else by its number.
        metrics: TableOutput = "metrics.csv",
    }
}

impl StageKind for TrainClassifier {
    type Params = TrainClassifierParams;
    type Inputs = TrainClassifierInputs;
    type Outputs = TrainClassifierOutputs;

    const NAME: &'static str = "train_classifier";
    const REVISION: u32 = 5;
    const USES_ALL_CPUS: bool = true;
    const RESUMES: bool = true;
    const USES_GPUS: bool = true;
    const WARNS: bool = true;
    const DOC: &'static str = "Trains a network to predict the classes of an image (multi-label classification), with the optimizer Adam.\n\nThe optimizer is PyTorch's `Adam(betas=(0.9, 0.999))` without weight decay; its learning rate is that of `schedule`. Data augmentation: in training each image is a random crop, flipped and transposed in one of eight ways at random; in validation it is the whole image.\n\nThe checkpoint holds the network and its preprocessing, so that `predict` needs nothing else. A training that is stopped or killed continues from its last saved state, and on a CPU ends with the same bits as an uninterrupted one.\n\nSeveral GPUs (`resources: { gpus: 2 }`) share the batches of a step, of which there are `accumulation`; the result is that of a single GPU. The loss `classifier` ranks the images of a step, so that it is computed once, of the outputs of all its batches; on fewer GPUs than batches, most forward passes are then done twice, so that activations of one batch at a time need memory.";

    fn run(
        params: TrainClassifierParams,
        inputs: TrainClassifierInputs,
        outputs: TrainClassifierOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let task = prepare(params, &inputs)?;
        if let Some(warning) = mostly_without_rows(&task) {
            context.warn(format!("{}: {warning}", inputs.train.0.label));
        }
        let results =
            OutputPaths { checkpoint: outputs.checkpoint.path(), last: outputs.last.path(), metrics: &outputs.metrics };
        run_training(&task, &task.params.training_config(), &results, context)
    }
}

/// A warning where no row has any of the upper half of the classes: their number may have been left at its default.
fn mostly_without_rows(task: &ClassifierTask) -> Option<String> {
    let rows = task.train.hard.iter().chain(&task.validation.hard);
    let (count, classes) = (rows.flat_map(Target::classes).max()? + 1, task.params.classes);
    let message = || {
        format!(
            "its highest class is {}, and `classes` is {classes}: macro F1 takes a class without rows for 0. Are there no more than `classes: {count}`?",
            count - 1
        )
    };
    (2 * count < classes).then(message)
}

/// Reads and checks everything before training starts.
fn prepare(params: TrainClassifierParams, inputs: &TrainClassifierInputs) -> Result<ClassifierTask, StageError> {
    let TrainClassifierParams { classes, crop, .. } = params;
    let pool = ImagePool::open(&inputs.images)?;
    let mut train = ClassificationDataset::read(&inputs.train, &pool, classes, crop)?;
    let validation = ClassificationDataset::read(&inputs.validation, &pool, classes, crop)?;
    let repeats = match &params.upsample {
        Some(upsample) => upsample.repeats(train.hard.iter().map(Target::classes), classes),
        None => vec![1; train.images.len()],
    };
    params.training_config().require_a_step(repeats.iter().sum())?;
    if let Some(soft) = &inputs.soft_labels {
        if params.loss != Loss::Bce {
            let message = "soft labels are given, but the loss is for labels that are 0 or 1";
            return Err(StageError::mismatch(message).with_help("Choose `loss: bce`."));
        }
        train.set_soft_targets(soft)?;
    }
    let normalisation = match &inputs.statistics {
        Some(table) => Normalisation::of_table(table, &pool.channels)?,
        None => Normalisation::none(pool.channels.len()),
    };
    let preprocessing = Preprocessing { side: crop, channels: pool.channels.clone(), normalisation };
    let pretrained = inputs.pretrained.as_ref().map(|weights| weights.0.clone());
    let data = TrainingData { pool, preprocessing, repeats, pretrained };
    Ok(ClassifierTask { params, data, train, validation })
}
