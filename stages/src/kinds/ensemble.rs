//! `ensemble`: several predictions of the same rows become one, or of different rows one after the other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::matrix::{Matrix, MatrixInput, MatrixOutput, given_ids};
use crate::artifact::table::TableInput;
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::params::Parameters;
use crate::words::counted;
use crate::{input_ports, output_ports};

/// The kind `ensemble`.
pub struct Ensemble;

/// Methods for combining matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Element by element the mean, summed in the order of the inputs in float64 as NumPy's `mean(axis=0)` does.
    Mean,
    /// Element by element the largest value.
    Maximum,
    /// Rows one after the other, in the order of the inputs; no id may come twice.
    Concatenate,
}

/// Parameters of [`Ensemble`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnsembleParams {
    /// Method for combining the matrices.
    pub method: Method,
}

impl Parameters for EnsembleParams {}

input_ports! {
    /// Inputs of [`Ensemble`].
    pub struct EnsembleInputs {
        /// Matrices, `[row, column]`.
        matrices: Vec<MatrixInput>,
        /// Table whose column `Id` names the rows of matrices that have no ids of their own.
        ids: Option<TableInput>,
    }
}

output_ports! {
    /// Outputs of [`Ensemble`].
    pub struct EnsembleOutputs {
        /// Combined matrix with its ids.
        matrix: MatrixOutput = "matrix",
    }
}

impl StageKind for Ensemble {
    type Params = EnsembleParams;
    type Inputs = EnsembleInputs;
    type Outputs = EnsembleOutputs;

    const NAME: &'static str = "ensemble";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Combines the predictions of several models (an ensemble), or other matrices: element by element the mean or the maximum, or all rows one after the other.\n\n\
        For `mean` and `maximum` all matrices must have the same rows in the same order.";

    fn run(
        params: EnsembleParams,
        inputs: EnsembleInputs,
        outputs: EnsembleOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let given = given_ids(inputs.ids.as_ref())?;
        let total = inputs.matrices.len() as u64;
        let mut combined: Option<(Vec<String>, Matrix)> = None;
        for (done, input) in inputs.matrices.iter().enumerate() {
            let mut next = input.read()?;
            let ids = next.take_ids(given.as_deref())?;
            match &mut combined {
                None => combined = Some((ids, next)),
                Some((all_ids, matrix)) => add(params.method, all_ids, matrix, ids, &next)?,
            }
            context.progress(done as u64 + 1, total, "matrices");
        }
        let Some((ids, mut matrix)) = combined else {
            return Err(StageError::mismatch("There are no matrices to combine."));
        };
        if params.method == Method::Mean {
            matrix.values.iter_mut().for_each(|value| *value /= total as f64);
        }
        require_unique(&ids, &matrix.label)?;
        outputs.matrix.write(&ids, matrix.columns, &matrix.values)
    }
}

fn add(
    method: Method,
    all_ids: &mut Vec<String>,
    matrix: &mut Matrix,
    ids: Vec<String>,
    next: &Matrix,
) -> Result<(), StageError> {
    if next.columns != matrix.columns {
        let message = format!("has {}, but `{}` has {}", counted(next.columns, "column"), matrix.label, matrix.columns);
        return Err(StageError::in_file(&next.label, message).with_help("The matrices must have the same columns."));
    }
    if method == Method::Concatenate {
        all_ids.extend(ids);
        matrix.values.extend(&next.values);
        return Ok(());
    }
    if ids.len() != all_ids.len() {
        let message = format!("has {}, but `{}` has {}", counted(ids.len(), "row"), matrix.label, all_ids.len());
        return Err(StageError::in_file(&next.label, message).with_help(SAME_ROWS));
    }
    if let Some(row) = (0..ids.len()).find(|row| ids[*row] != all_ids[*row]) {
        let message = format!("is `{}`, but in `{}` the same row is `{}`", ids[row], matrix.label, all_ids[row]);
        return Err(StageError::at_row(&next.label, row as u64 + 1, message).with_help(SAME_ROWS));
    }
    for (value, other) in matrix.values.iter_mut().zip(&next.values) {
        *value = if method == Method::Mean { *value + other } else { value.max(*other) };
    }
    Ok(())
}

/// Advice for matrices whose rows differ.
const SAME_ROWS: &str = "The matrices must have the same rows in the same order; `method: concatenate` puts different rows one after the other.";

fn require_unique(ids: &[String], label: &str) -> Result<(), StageError> {
    let mut seen = std::collections::HashSet::with_capacity(ids.len());
    match ids.iter().find(|id| !seen.insert(id.as_str())) {
        Some(id) => Err(StageError::in_file(label, format!("the id `{id}` comes more than once"))
            .with_help("Rows that are put one after the other must be of different ids.")),
        None => Ok(()),
    }
}
