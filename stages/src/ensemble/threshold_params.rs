//! The parameters of kinds that compare probabilities with thresholds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::params::{ParamProblem, Parameters};

/// The threshold to use where no table of thresholds is given.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThresholdParams {
    /// The threshold of every class when no table of thresholds is given.
    #[serde(default = "half")]
    pub threshold: f64,
}

fn half() -> f64 {
    0.5
}

impl Parameters for ThresholdParams {
    fn check(&self) -> Vec<ParamProblem> {
        let sound = (0.0..=1.0).contains(&self.threshold);
        if sound {
            Vec::new()
        } else {
            vec![ParamProblem::value("threshold", "the threshold must lie between 0 and 1")]
        }
    }
}
