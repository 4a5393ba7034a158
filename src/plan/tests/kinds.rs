//! Kinds for tests, with ports and parameters of every sort.

use std::path::{Path, PathBuf};

use athanor_stages::artifact::ArtifactType;
use athanor_stages::context::StageContext;
use athanor_stages::error::StageError;
use athanor_stages::kind::{Kind, StageKind, Typed};
use athanor_stages::kinds::command::Command;
use athanor_stages::params::{ParamProblem, Parameters};
use athanor_stages::ports::{InputFile, InputValue, OutputValue};
use athanor_stages::{input_ports, output_ports};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kinds that the tests compile with.
pub(super) const KINDS: &[&dyn Kind] = &[&Command, &Typed::<Split>::NEW, &Typed::<Train>::NEW, &Typed::<Mean>::NEW];

macro_rules! artifact {
    ($name:ident) => {
        /// An artifact.
        pub(super) struct $name(PathBuf);

        impl InputValue for $name {
            const TYPE: ArtifactType = ArtifactType::$name;

            fn from_file(file: InputFile) -> Self {
                $name(file.path)
            }
        }

        impl OutputValue for $name {
            const TYPE: ArtifactType = ArtifactType::$name;

            fn from_path(path: PathBuf) -> Self {
                $name(path)
            }

            fn path(&self) -> &Path {
                &self.0
            }
        }
    };
}

artifact!(Table);
artifact!(Matrix);

/// Cuts a table in two.
pub(super) struct Split;

/// Parameters of [`Split`].
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SplitParams {
    /// Parts.
    #[serde(default = "five")]
    folds: u32,
    /// Names.
    #[serde(default)]
    names: Vec<String>,
}

fn five() -> u32 {
    5
}

impl Parameters for SplitParams {
    fn check(&self) -> Vec<ParamProblem> {
        if self.folds > 1 { Vec::new() } else { vec![ParamProblem::value("folds", "`folds` must be at least 2")] }
    }
}

input_ports! {
    /// Inputs of [`Split`].
    pub struct SplitInputs {
        /// Labels.
        labels: Table,
    }
}

output_ports! {
    /// Outputs of [`Split`].
    pub struct SplitOutputs {
        /// Folds.
        folds: Table = "folds.csv",
        /// Weights.
        weights: Matrix = "weights",
        /// Rest of the table.
        rest: Table = "rest.csv",
    }
}

/// Trains.
pub(super) struct Train;

/// Parameters of [`Train`].
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TrainParams {
    /// Architecture.
    arch: String,
    /// Epochs.
    #[serde(default = "five")]
    epochs: u32,
}

impl Parameters for TrainParams {}

input_ports! {
    /// Inputs of [`Train`].
    pub struct TrainInputs {
        /// Folds.
        split: Table,
        /// Where to go on from.
        start: Option<Matrix>,
    }
}

output_ports! {
    /// Outputs of [`Train`].
    pub struct TrainOutputs {
        /// Probabilities.
        probabilities: Matrix = "probabilities.npy",
    }
}

/// Averages.
pub(super) struct Mean;

/// Parameters of [`Mean`].
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MeanParams {}

impl Parameters for MeanParams {}

input_ports! {
    /// Inputs of [`Mean`].
    pub struct MeanInputs {
        /// Probabilities.
        probabilities: Vec<Matrix>,
    }
}

output_ports! {
    /// Outputs of [`Mean`].
    pub struct MeanOutputs {
        /// Mean.
        mean: Matrix = "mean.npy",
    }
}

macro_rules! kind {
    ($kind:ident, $name:literal, $params:ty, $inputs:ty, $outputs:ty) => {
        impl StageKind for $kind {
            type Params = $params;
            type Inputs = $inputs;
            type Outputs = $outputs;
            const NAME: &'static str = $name;
            const REVISION: u32 = 1;
            const DOC: &'static str = "A kind for tests.";

            fn run(_: $params, _: $inputs, _: $outputs, _: &StageContext<'_>) -> Result<(), StageError> {
                unreachable!("the planner runs nothing")
            }
        }
    };
}

kind!(Split, "split_table", SplitParams, SplitInputs, SplitOutputs);
kind!(Train, "train", TrainParams, TrainInputs, TrainOutputs);
kind!(Mean, "mean", MeanParams, MeanInputs, MeanOutputs);
