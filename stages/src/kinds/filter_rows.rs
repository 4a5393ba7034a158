//! `filter_rows`: the rows of a table for which an expression is true, with columns that expressions give.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::table::{TableInput, TableOutput};
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::params::{ParamProblem, Parameters};
use crate::tables::row_expression::{RowExpressions, check, environment};
use crate::{input_ports, output_ports};

/// The kind `filter_rows`.
pub struct FilterRows;

/// Parameters of [`FilterRows`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterRowsParams {
    /// Expression that is true for the rows to keep; all are kept without it. Columns are variables, and `row["a name"]` reads one
    /// whose name is no variable's: `score > 0.5 and "25" in Target|split`. A column whose cells are all numbers holds numbers, and
    /// any other text, as do numbers that are not written as they are printed (`007`, `0.50`). A comparison of text with a number
    /// is an error; `|float` and `|string` make one of the other. Text and numbers are neither true nor false, words such as `True`
    /// among them: `External == "True"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
    /// Columns to set, by name: an expression for each; the cell of one that is none is empty. Those that are not there are added.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(example = serde_json::json!({ "Target": "Target|replace(\";\", \" \")" }))]
    pub set: IndexMap<String, String>,
}

impl Parameters for FilterRowsParams {
    fn check(&self) -> Vec<ParamProblem> {
        let keep = self.keep.iter().filter_map(|text| Some(ParamProblem::value("keep", check(text).err()?)));
        let set = self.set.iter().filter_map(|(name, text)| {
            let message = check(text).err()?;
            Some(ParamProblem { path: vec!["set".to_owned(), name.clone()], ..ParamProblem::value("set", message) })
        });
        let problems: Vec<ParamProblem> = keep.chain(set).collect();
        if problems.is_empty() && self.keep.is_none() && self.set.is_empty() {
            return vec![ParamProblem::value("keep", "give `keep`, `set` or both")];
        }
        problems
    }
}

input_ports! {
    /// Inputs of [`FilterRows`].
    pub struct FilterRowsInputs {
        /// Any table.
        table: TableInput,
    }
}

output_ports! {
    /// Outputs of [`FilterRows`].
    pub struct FilterRowsOutputs {
        /// The rows kept, in order.
        table: TableOutput = "rows.csv",
    }
}

impl StageKind for FilterRows {
    type Params = FilterRowsParams;
    type Inputs = FilterRowsInputs;
    type Outputs = FilterRowsOutputs;

    const NAME: &'static str = "filter_rows";
    const REVISION: u32 = 4;
    const DOC: &'static str = "Keeps the rows of a table for which an expression is true, and sets columns. Expressions are those of `${{ }}`, over the columns of a row.";

    fn run(
        params: FilterRowsParams,
        inputs: FilterRowsInputs,
        outputs: FilterRowsOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let table = inputs.table.read()?;
        let environment = environment();
        let expressions = RowExpressions::new(&environment, &table, params.keep.as_deref(), &params.set)?;
        let mut header: Vec<&str> = table.header().iter().map(String::as_str).collect();
        let added = params.set.keys().map(String::as_str).filter(|name| table.find(name).is_none());
        header.extend(added);
        let mut rows = Vec::new();
        for row in 0..table.len() {
            let Some(set) = expressions.of(&table, row)? else { continue };
            let mut cells: Vec<String> = table.row(row).map(str::to_owned).collect();
            cells.resize(header.len(), String::new());
            for (name, value) in set {
                if let Some(at) = header.iter().position(|column| *column == name) {
                    cells[at] = value;
                }
            }
            rows.push(cells);
        }
        context.metric("rows", rows.len() as f64);
        outputs.table.write(&header, rows)
    }
}
