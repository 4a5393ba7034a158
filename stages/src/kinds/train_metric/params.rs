//! The parameters of `train_metric`.

use crate::learn::train::params::training_params;
use crate::params::{ParamProblem, Parameters};
use athanor_nn::models::MetricConfig;

training_params! {
    /// Parameters of [`TrainMetric`](super::TrainMetric).
    pub struct TrainMetricParams(size) {
        /// Column of the tables with the number, from 0, of each image's identity.
        #[serde(default = "identity")]
        pub identity: String,
        /// Side of the network's input, in pixels: the whole image, resized.
        pub size: usize,
        /// Dropout probabilities of the head, each from 0 to below 1: before its first and before its second linear layer.
        #[serde(default = "dropout")]
        pub dropout: [f64; 2],
    }
}

fn identity() -> String {
    "antibody_code".to_owned()
}

fn dropout() -> [f64; 2] {
    MetricConfig::DROPOUT
}

impl Parameters for TrainMetricParams {
    const NOT_IN_FINGERPRINT: &'static [&'static str] = &["save_every"];

    fn check(&self) -> Vec<ParamProblem> {
        let mut problems = self.training_config().problems();
        problems.extend(self.training_config().network_problems(self.arch, "size"));
        if self.dropout.iter().any(|share| !(0.0..1.0).contains(share)) {
            problems.push(ParamProblem::value("dropout", "the shares are from 0 to below 1"));
        }
        problems
    }
}
