//! `embed`: the features of images by a trained metric model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::checkpoint::CheckpointInput;
use crate::artifact::matrix::MatrixOutput;
use crate::artifact::packed_images::PackedImagesInput;
use crate::artifact::table::TableInput;
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::learn::data::view::View;
use crate::learn::data::{ImagePool, RandomUse, chosen_ids, random_stream};
use crate::learn::head_dropout;
use crate::learn::infer::InferenceJob;
use crate::learn::precision::Precision;
use crate::learn::preprocessing::Preprocessing;
use crate::learn::thread_pool::with_thread_pool;
use crate::params::{ParamProblem, Parameters};
use crate::{input_ports, output_ports};
use athanor_nn::models::{FEATURE_LENGTH, MetricConfig, MetricModel};
use athanor_nn::weights::Checkpoint;

/// The kind `embed`.
pub struct Embed;

/// Parameters of [`Embed`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbedParams {
    /// Number of images in a batch.
    #[serde(default = "batch")]
    #[schemars(range(min = 1))]
    pub batch: usize,
    /// Numeric precision of the network: float32 or mixed precision.
    #[serde(default)]
    pub precision: Precision,
    /// Whether dropout stays on, with the shares of the training and random numbers of the stage's `seed`, as when the reference
    /// solution computed its features. They are then noisier, and their cosines lower. Off by default.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dropout: bool,
}

fn batch() -> usize {
    32
}

impl Parameters for EmbedParams {
    fn check(&self) -> Vec<ParamProblem> {
        let message = "there must be at least one image in a batch";
        (self.batch == 0).then(|| ParamProblem::value("batch", message)).into_iter().collect()
    }
}

input_ports! {
    /// Inputs of [`Embed`].
    pub struct EmbedInputs {
        /// Metric model from `train_metric`.
        checkpoint: CheckpointInput,
        /// Packed images; several sets with the same channels count as one.
        images: Vec<PackedImagesInput>,
        /// Table whose column `Id` names the images, in order; all images by default.
        ids: Option<TableInput>,
    }
}

output_ports! {
    /// Outputs of [`Embed`].
    pub struct EmbedOutputs {
        /// Feature of each image: `[id, 512]`.
        features: MatrixOutput = "features",
    }
}

impl StageKind for Embed {
    type Params = EmbedParams;
    type Inputs = EmbedInputs;
    type Outputs = EmbedOutputs;

    const NAME: &'static str = "embed";
    const REVISION: u32 = 2;
    const USES_ALL_CPUS: bool = true;
    const RESUMES: bool = true;
    const USES_GPUS: bool = true;
    const DOC: &'static str = "Computes the feature (embedding) of each image with a metric model, from the whole image without augmentation.\n\nA stage that is stopped or killed continues after the images it has processed.";

    fn run(
        params: EmbedParams,
        inputs: EmbedInputs,
        outputs: EmbedOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let pool = ImagePool::open(&inputs.images)?;
        let file = &inputs.checkpoint.0;
        let checkpoint = Checkpoint::read::<MetricModel>(file.weights())?;
        let preprocessing = Preprocessing::of(&checkpoint, &file.label, &pool)?;
        let ids = chosen_ids(inputs.ids.as_ref(), &pool)?;
        let images = pool.find(&ids, preprocessing.side)?;
        let devices = context.devices(params.precision)?;
        let EmbedParams { batch, precision, dropout: with_dropout } = params;
        let dropout = head_dropout::of(&checkpoint.metadata, &file.label)?;
        let job = InferenceJob {
            pool: &pool,
            architecture: checkpoint.architecture,
            preprocessing: &preprocessing,
            count: images.len(),
            batch,
            precision,
            width: FEATURE_LENGTH,
        };
        let view_of = |row: usize| (images[row], View::whole(pool.size(images[row]), preprocessing.side));
        let random = random_stream(context.seed, RandomUse::Dropout, 0);
        let features = with_thread_pool(context.threads, || {
            let config = MetricConfig::new(checkpoint.architecture, checkpoint.channels, checkpoint.outputs);
            let config = MetricConfig { dropout, stem_pool: checkpoint.stem_pool, ..config };
            let models = devices.iter().map(|device| checkpoint.clone().into_model(config.init(device)));
            let models: Vec<MetricModel> = models.collect::<Result<_, _>>()?;
            let feature = |model: &MetricModel, images, first: usize| {
                let features = match with_dropout {
                    true => model.features_with_dropout(images, random.split(first as u64)),
                    false => model.features(images),
                };
                features.into_data().iter().collect()
            };
            job.run(models, &devices, view_of, feature, context)
        })?;
        if features.iter().any(|number| !number.is_finite()) {
            return Err(StageError::mismatch("the network's features are not numbers; its training did not go well"));
        }
        let features: Vec<f64> = features.into_iter().map(f64::from).collect();
        outputs.features.write(&ids, FEATURE_LENGTH, &features)
    }
}
