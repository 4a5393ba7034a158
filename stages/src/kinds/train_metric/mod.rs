//! `train_metric`: training of a metric model, in whose features images of the same identity lie close.

mod params;
mod ranks;
mod task;

use crate::artifact::checkpoint::{CheckpointOutput, WeightsInput};
use crate::artifact::packed_images::PackedImagesInput;
use crate::artifact::table::{TableInput, TableOutput};
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::learn::data::{IdentityDataset, ImagePool, Normalisation};
use crate::learn::preprocessing::Preprocessing;
use crate::learn::train::{OutputPaths, TrainingData, run_training};
use crate::ports::OutputValue;
use crate::{input_ports, output_ports};

pub use params::TrainMetricParams;
use task::MetricTask;

/// The kind `train_metric`.
pub struct TrainMetric;

input_ports! {
    /// Inputs of [`TrainMetric`].
    pub struct TrainMetricInputs {
        /// Packed images; several sets with the same channels count as one. Pixels are only divided by 255.
        images: Vec<PackedImagesInput>,
        /// Training rows: `Id` and a column of identities, as `antibody_split` writes them.
        train: TableInput,
        /// Validation rows, of identities that occur in training.
        validation: TableInput,
        /// Pretrained weights of the backbone to start from, for transfer learning and fine-tuning: torchvision's ImageNet weights as
        /// they are downloaded, `.pth` or safetensors, or a checkpoint of the same network. A channel that they lack starts with the
        /// weights of red. Without them weights are random.
        pretrained: Option<WeightsInput>,
    }
}

output_ports! {
    /// Outputs of [`TrainMetric`].
    pub struct TrainMetricOutputs {
        /// Network after the epoch with the highest MAP@5 on validation.
        checkpoint: CheckpointOutput = "checkpoint.safetensors",
        /// Network after the last epoch.
        last: CheckpointOutput = "last.safetensors",
        /// Metrics of each epoch: `epoch,rate,loss,validation_loss,map_at_5,accuracy`.
        metrics: TableOutput = "metrics.csv",
    }
}

impl StageKind for TrainMetric {
    type Params = TrainMetricParams;
    type Inputs = TrainMetricInputs;
    type Outputs = TrainMetricOutputs;

    const NAME: &'static str = "train_metric";
    const REVISION: u32 = 4;
    const USES_ALL_CPUS: bool = true;
    const RESUMES: bool = true;
    const USES_GPUS: bool = true;
    const DOC: &'static str = "Trains a network to give images of one identity similar features (metric learning), with the loss ArcFace and the optimizer Adam.\n\nThe optimizer is PyTorch's `Adam(betas=(0.9, 0.999))` without weight decay; its learning rate is that of `schedule`. Data augmentation: in training each image is flipped and transposed in one of eight ways at random.\n\nA training that is stopped or killed continues from its last saved state, and several GPUs share the batches of a step, as with `train_classifier`.";

    fn run(
        params: TrainMetricParams,
        inputs: TrainMetricInputs,
        outputs: TrainMetricOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let task = prepare(params, &inputs)?;
        let results =
            OutputPaths { checkpoint: outputs.checkpoint.path(), last: outputs.last.path(), metrics: &outputs.metrics };
        run_training(&task, &task.params.training_config(), &results, context)
    }
}

/// Reads and checks everything before training starts.
fn prepare(params: TrainMetricParams, inputs: &TrainMetricInputs) -> Result<MetricTask, StageError> {
    let TrainMetricParams { size, identity, .. } = &params;
    let pool = ImagePool::open(&inputs.images)?;
    let train = IdentityDataset::read(&inputs.train, identity, &pool, *size)?;
    let validation = IdentityDataset::read(&inputs.validation, identity, &pool, *size)?;
    let output: std::collections::HashSet<usize> = train.identities.iter().copied().collect();
    if let Some(unknown) = validation.identities.iter().find(|identity| !output.contains(identity)) {
        let message = format!("validation has images of identity {unknown}, which training has not");
        return Err(
            StageError::mismatch(message).with_help("Split the rows of each identity, as `antibody_split` does.")
        );
    }
    params.training_config().require_a_step(train.images.len())?;
    let normalisation = Normalisation::none(pool.channels.len());
    let preprocessing = Preprocessing { side: *size, channels: pool.channels.clone(), normalisation };
    let pretrained = inputs.pretrained.as_ref().map(|weights| weights.0.clone());
    let repeats = vec![1; train.images.len()];
    let data = TrainingData { pool, preprocessing, repeats, pretrained };
    Ok(MetricTask { params, data, train, validation })
}
