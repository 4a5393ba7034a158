//! The parameters of `train_classifier`.

use burn::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::learn::data::sampling::Upsampling;
use crate::learn::train::params::training_params;
use crate::params::{ParamProblem, Parameters};
use crate::tables::class_count::{check_classes, hpa_classes};
use athanor_nn::losses;

training_params! {
    /// Parameters of [`TrainClassifier`](super::TrainClassifier).
    pub struct TrainClassifierParams(crop) {
        /// Number of classes; targets hold numbers below it.
        #[serde(default = "hpa_classes")]
        #[schemars(range(min = 1))]
        pub classes: usize,
        /// Side of the network's input, in pixels. Training shows a random crop of each image, a square of at least that size, resized to
        /// it; validation shows the whole image, resized.
        pub crop: usize,
        /// Loss function.
        #[serde(default)]
        pub loss: Loss,
        /// Oversampling of rare classes, against class imbalance: their images are shown several times an epoch. Without it an epoch shows
        /// each image once.
        #[serde(default)]
        #[schemars(example = serde_json::json!({ "share": 0.05, "at_most": 8 }))]
        pub upsample: Option<Upsampling>,
        /// Dropout probability of the head.
        #[serde(default = "half")]
        #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
        pub dropout: f64,
    }
}

fn half() -> f64 {
    0.5
}

/// Loss functions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Half the sum of the focal loss, the symmetric Lovász hinge and the hard-log loss, as in the reference solution.
    #[default]
    Classifier,
    /// Binary cross-entropy of each class; the only one for `soft_labels`.
    Bce,
    /// Focal loss of each class, gamma 2.
    Focal,
}

impl Loss {
    /// Whether it is a mean over images, in which each counts for itself. The Lovász and the hard-log loss rank the images of a
    /// step.
    pub fn is_mean(self) -> bool {
        match self {
            Loss::Classifier => false,
            Loss::Bce | Loss::Focal => true,
        }
    }

    /// The loss `[1]` of logits against targets, both `[batch, class]`.
    pub fn of(self, logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
        match self {
            Loss::Classifier => losses::classifier_loss(logits, targets),
            Loss::Bce => losses::bce_with_logits(logits, targets),
            Loss::Focal => losses::focal(logits, targets),
        }
    }
}

impl Parameters for TrainClassifierParams {
    const NOT_IN_FINGERPRINT: &'static [&'static str] = &["save_every"];

    fn check(&self) -> Vec<ParamProblem> {
        let mut problems = self.training_config().problems();
        problems.extend(check_classes(self.classes));
        problems.extend(self.training_config().network_problems(self.arch, "crop"));
        let mut require = |holds: bool, name: &str, message: &str| {
            if !holds {
                problems.push(ParamProblem::value(name, message));
            }
        };
        require((0.0..1.0).contains(&self.dropout), "dropout", "the share is from 0 to below 1");
        if let Some(Upsampling { share, at_most }) = self.upsample {
            require(share > 0.0 && share <= 1.0, "upsample", "`share` is above 0 and at most 1");
            require(at_most > 0, "upsample", "`at_most` is at least 1");
        }
        problems
    }
}
