//! `rows`: the first or last rows of a table.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::table::{TableInput, TableOutput};
use crate::params::{ParamProblem, Parameters};

use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::{input_ports, output_ports};

/// The kind `rows`.
pub struct Rows;

/// Parameters of [`Rows`]. Exactly one of them is given.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RowsParams {
    /// Number of rows to keep from the start; give this or `last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub first: Option<usize>,
    /// Number of rows to keep from the end; give this or `first`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub last: Option<usize>,
}

impl Parameters for RowsParams {
    fn check(&self) -> Vec<ParamProblem> {
        match (self.first, self.last) {
            (Some(1..), None) | (None, Some(1..)) => Vec::new(),
            _ => vec![ParamProblem::value("first", "give one of `first` and `last`, at least 1")],
        }
    }
}

input_ports! {
    /// Inputs of [`Rows`].
    pub struct RowsInputs {
        /// Any table.
        table: TableInput,
    }
}

output_ports! {
    /// Outputs of [`Rows`].
    pub struct RowsOutputs {
        /// The rows kept, all columns.
        table: TableOutput = "rows.csv",
    }
}

impl StageKind for Rows {
    type Params = RowsParams;
    type Inputs = RowsInputs;
    type Outputs = RowsOutputs;

    const NAME: &'static str = "rows";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Keeps the first or the last rows of a table, for small splits.";

    fn run(
        params: RowsParams,
        inputs: RowsInputs,
        outputs: RowsOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let table = inputs.table.read()?;
        let kept = match (params.first, params.last) {
            (Some(first), _) => 0..first.min(table.len()),
            (None, last) => table.len().saturating_sub(last.unwrap_or_default())..table.len(),
        };
        context.metric("rows", kept.len() as f64);
        outputs.table.write_rows(&table, kept)
    }
}
