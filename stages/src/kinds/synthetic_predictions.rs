//! `synthetic_predictions`: synthetic predictions of labelled rows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::labels::Labels;
use crate::artifact::matrix::MatrixOutput;
use crate::artifact::table::TableInput;
use crate::params::{ParamProblem, Parameters};
use crate::tables::class_count::{check_classes, hpa_classes};
use athanor_random::RandomState;

use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::{input_ports, output_ports};

/// The kind `synthetic_predictions`.
pub struct SyntheticPredictions;

/// Parameters of [`SyntheticPredictions`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyntheticPredictionsParams {
    /// Number of classes.
    #[serde(default = "hpa_classes")]
    #[schemars(range(min = 1))]
    pub classes: usize,
    /// Noise level, from 0 (the probabilities are the labels) to 1 (they carry no information).
    #[serde(default = "some_noise")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub noise: f64,
}

fn some_noise() -> f64 {
    0.5
}

impl Parameters for SyntheticPredictionsParams {
    fn check(&self) -> Vec<ParamProblem> {
        let sound = (0.0..=1.0).contains(&self.noise);
        let noise = (!sound).then(|| ParamProblem::value("noise", "the noise must lie between 0 and 1"));
        noise.into_iter().chain(check_classes(self.classes)).collect()
    }
}

/// Resolution of the noise.
const STEPS: usize = 10_000;

input_ports! {
    /// Inputs of [`SyntheticPredictions`].
    pub struct SyntheticPredictionsInputs {
        /// True labels of the rows: `Id,Target`.
        labels: TableInput,
    }
}

output_ports! {
    /// Outputs of [`SyntheticPredictions`].
    pub struct SyntheticPredictionsOutputs {
        /// Probabilities, `[row, class]`, with ids.
        matrix: MatrixOutput = "matrix",
    }
}

impl StageKind for SyntheticPredictions {
    type Params = SyntheticPredictionsParams;
    type Inputs = SyntheticPredictionsInputs;
    type Outputs = SyntheticPredictionsOutputs;

    const NAME: &'static str = "synthetic_predictions";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Generates synthetic probabilities like those of a model of a given quality, from the true labels and noise. The same seed gives the same numbers.";

    fn run(
        params: SyntheticPredictionsParams,
        inputs: SyntheticPredictionsInputs,
        outputs: SyntheticPredictionsOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let labels = Labels::of(&inputs.labels.read()?, params.classes)?;
        let mut random = RandomState::new(context.seed)?;
        let mut values = Vec::with_capacity(labels.len() * params.classes);
        for target in &labels.targets {
            for class in 0..params.classes {
                let truth = f64::from(u8::from(target.has(class)));
                let noise = random.choice(STEPS) as f64 / (STEPS - 1) as f64;
                values.push(truth * (1.0 - params.noise) + noise * params.noise);
            }
        }
        outputs.matrix.write(&labels.ids, params.classes, &values)
    }
}
