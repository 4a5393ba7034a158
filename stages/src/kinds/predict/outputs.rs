//! The outputs of `predict`: one matrix, and if wanted one an augmentation.

use crate::artifact::ArtifactType;
use crate::artifact::matrix::MatrixOutput;
use crate::error::StageError;
use crate::ports::{BindError, BoundOutputs, OutputPort, OutputPorts, OutputValue};

use super::params::{PredictParams, Reduction};

const PROBABILITIES: &str = "probabilities";

/// Outputs of [`Predict`](super::Predict): matrices by name.
pub struct PredictOutputs(BoundOutputs);

fn port(name: &str, doc: String) -> OutputPort {
    let (name, file) = (name.to_owned(), name.to_owned());
    OutputPort { name, artifact: ArtifactType::Matrix, file, optional: false, doc, group: Vec::new() }
}

fn reduced() -> OutputPort {
    port(PROBABILITIES, "The probabilities `[id, class]`, over all augmentations.".to_owned())
}

/// The outputs that these parameters give.
pub(crate) fn ports(params: &PredictParams) -> Vec<OutputPort> {
    let names = params.augmentations.iter().filter(|_| params.each).map(|augmentation| augmentation.name());
    let each = names.map(|name| port(name, format!("The probabilities under `{name}`.")));
    std::iter::once(reduced()).chain(each).collect()
}

impl OutputPorts for PredictOutputs {
    fn ports() -> Vec<OutputPort> {
        vec![
            reduced(),
            port("<augmentation>", "The probabilities under one augmentation, with `each: true`.".to_owned()),
        ]
    }

    fn bind(bound: BoundOutputs) -> Result<Self, BindError> {
        if bound.contains_key(PROBABILITIES) {
            Ok(PredictOutputs(bound))
        } else {
            Err(BindError { port: PROBABILITIES })
        }
    }
}

impl PredictOutputs {
    /// Writes the matrices `[id, class]`, one an augmentation.
    pub fn write(
        &self,
        params: &PredictParams,
        ids: &[String],
        classes: usize,
        matrices: &[Vec<f64>],
    ) -> Result<(), StageError> {
        self.write_one(PROBABILITIES, ids, classes, &reduce(params.reduce, matrices))?;
        for (augmentation, matrix) in params.augmentations.iter().zip(matrices).filter(|_| params.each) {
            self.write_one(augmentation.name(), ids, classes, matrix)?;
        }
        Ok(())
    }

    fn write_one(&self, name: &str, ids: &[String], classes: usize, values: &[f64]) -> Result<(), StageError> {
        let Some(path) = self.0.get(name) else {
            return Err(StageError::mismatch(format!("there is nowhere to write `{name}` to")));
        };
        MatrixOutput::from_path(path.clone()).write(ids, classes, values)
    }
}

/// Element by element the largest or the mean of matrices of one shape.
fn reduce(reduction: Reduction, matrices: &[Vec<f64>]) -> Vec<f64> {
    let count = matrices.len() as f64;
    let at = |element: usize| {
        let values = matrices.iter().map(|matrix| matrix[element]);
        match reduction {
            Reduction::Maximum => values.fold(0.0, f64::max),
            Reduction::Mean => values.sum::<f64>() / count,
        }
    };
    (0..matrices.first().map_or(0, Vec::len)).map(at).collect()
}
