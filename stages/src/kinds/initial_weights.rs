//! `initial_weights`: random weights of a network.

use std::collections::BTreeMap;

use athanor_nn::models::Architecture;
use athanor_nn::weights::{TensorEntry, state_dict, write_container};
use burn::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::checkpoint::WeightsOutput;
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::learn::thread_pool::with_thread_pool;
use crate::output_ports;
use crate::params::{ParamProblem, Parameters};
use crate::ports::{NoInputs, OutputValue};

/// The kind `initial_weights`.
pub struct InitialWeights;

/// Parameters of [`InitialWeights`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InitialWeightsParams {
    /// Network architecture.
    pub arch: Architecture,
    /// Number of channels of the images.
    #[serde(default = "channels")]
    #[schemars(range(min = 1))]
    pub channels: usize,
}

fn channels() -> usize {
    3
}

impl Parameters for InitialWeightsParams {
    fn check(&self) -> Vec<ParamProblem> {
        let problem = || ParamProblem::value("channels", "an image has at least one channel");
        (self.channels == 0).then(problem).into_iter().collect()
    }
}

output_ports! {
    /// Outputs of [`InitialWeights`].
    pub struct InitialWeightsOutputs {
        /// Weights of the backbone by torchvision's names, in the safetensors format.
        weights: WeightsOutput = "weights.safetensors",
    }
}

impl StageKind for InitialWeights {
    type Params = InitialWeightsParams;
    type Inputs = NoInputs;
    type Outputs = InitialWeightsOutputs;

    const NAME: &'static str = "initial_weights";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Draws random weights for a backbone, for the input `pretrained` of stages that train: several of them then start from the same weights.";

    fn run(
        params: InitialWeightsParams,
        NoInputs: NoInputs,
        outputs: InitialWeightsOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let InitialWeightsParams { arch, channels } = params;
        with_thread_pool(context.threads, || {
            let device = Device::flex();
            device.seed(context.seed);
            let state = state_dict(&arch.init(channels, &device), arch);
            let entries: Vec<TensorEntry<'_>> =
                state.iter().map(|(name, data)| TensorEntry::float32(name, data)).collect();
            Ok(write_container(outputs.weights.path(), &entries, &BTreeMap::new())?)
        })
    }
}
