//! The parameters of kinds that compare probabilities with thresholds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::params::{ParamProblem, Parameters};

/// The threshold to use where no table of thresholds is given.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThresholdParams {
    /// Threshold of every class when no table of thresholds is given.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: f64,
}

/// The usual threshold, as a default.
pub(crate) fn half() -> f64 {
    0.5
}

/// The problem with a probability given as the parameter `name`, if there is one.
pub(crate) fn check_probability(name: &str, value: f64) -> Option<ParamProblem> {
    (!(0.0..=1.0).contains(&value))
        .then(|| ParamProblem::value(name, format!("the {name} must lie between 0 and 1").replace('_', " ")))
}

impl Parameters for ThresholdParams {
    fn check(&self) -> Vec<ParamProblem> {
        check_probability("threshold", self.threshold).into_iter().collect()
    }
}
