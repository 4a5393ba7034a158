//! The parameters of kinds with no other parameter than the number of classes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::labels::HPA_CLASSES;
use crate::params::{ParamProblem, Parameters};

/// The number of classes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassCountParams {
    /// Number of classes; targets hold numbers below it.
    #[serde(default = "hpa_classes")]
    #[schemars(range(min = 1))]
    pub classes: usize,
}

/// The challenge's number of classes, as a default.
pub(crate) fn hpa_classes() -> usize {
    HPA_CLASSES
}

/// The problem with a number of classes, if there is one.
pub(crate) fn check_classes(classes: usize) -> Option<ParamProblem> {
    (classes == 0).then(|| ParamProblem::value("classes", "there must be at least one class"))
}

impl Parameters for ClassCountParams {
    fn check(&self) -> Vec<ParamProblem> {
        check_classes(self.classes).into_iter().collect()
    }
}
