//! The parameters of kinds that only need to know how many classes there are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::labels::HPA_CLASSES;
use crate::params::{ParamProblem, Parameters};

/// Parameters that say how many classes there are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassCountParams {
    /// Number of classes; targets hold numbers below it.
    #[serde(default = "hpa_classes")]
    pub classes: usize,
}

/// The challenge's number of classes, as a default.
pub fn hpa_classes() -> usize {
    HPA_CLASSES
}

/// The problem with a number of classes, if there is one.
pub fn check_classes(classes: usize) -> Option<ParamProblem> {
    (classes == 0).then(|| ParamProblem::value("classes", "there must be at least one class"))
}

impl Parameters for ClassCountParams {
    fn check(&self) -> Vec<ParamProblem> {
        check_classes(self.classes).into_iter().collect()
    }
}
