//! `concat_tables`: the rows of several tables, one table after the other.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::table::{Table, TableInput, TableOutput};
use crate::artifact::table_header::are_alike;
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::params::{ParamProblem, Parameters};
use crate::tables::columns::first_repeated;
use crate::{input_ports, output_ports};

/// The kind `concat_tables`.
pub struct ConcatTables;

/// Parameters of [`ConcatTables`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConcatTablesParams {
    /// Columns to take, in this order; every table must have them. The default is those of the first table, which the others must have,
    /// in any order, and no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
}

impl Parameters for ConcatTablesParams {
    fn check(&self) -> Vec<ParamProblem> {
        let Some(columns) = &self.columns else { return Vec::new() };
        match first_repeated(columns) {
            _ if columns.is_empty() => vec![ParamProblem::value("columns", "a table has at least one column")],
            Some(name) => vec![ParamProblem::value("columns", format!("the column `{name}` is there twice"))],
            None => Vec::new(),
        }
    }
}

input_ports! {
    /// Inputs of [`ConcatTables`].
    pub struct ConcatTablesInputs {
        /// Tables with the same columns.
        tables: Vec<TableInput>,
    }
}

output_ports! {
    /// Outputs of [`ConcatTables`].
    pub struct ConcatTablesOutputs {
        /// The rows of all tables, in the order of the input.
        table: TableOutput = "table.csv",
    }
}

impl StageKind for ConcatTables {
    type Params = ConcatTablesParams;
    type Inputs = ConcatTablesInputs;
    type Outputs = ConcatTablesOutputs;

    const NAME: &'static str = "concat_tables";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Puts the rows of several tables into one, a merge of one below the other. Quotes, line ends and byte-order marks are those of CSV, which text tools such as `cat` and `tail` do not know.";

    fn run(
        params: ConcatTablesParams,
        inputs: ConcatTablesInputs,
        outputs: ConcatTablesOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let tables = inputs.tables.iter().map(TableInput::read).collect::<Result<Vec<Table>, _>>()?;
        let Some(first) = tables.first() else { return Err(StageError::mismatch("there are no tables")) };
        let columns = params.columns.as_deref().unwrap_or(first.header());
        let places = tables.iter().map(|table| places(table, columns, params.columns.is_none()));
        let places = places.collect::<Result<Vec<Vec<usize>>, _>>()?;
        context.metric("rows", tables.iter().map(Table::len).sum::<usize>() as f64);
        let header: Vec<&str> = columns.iter().map(String::as_str).collect();
        let rows = tables.iter().zip(&places).flat_map(|(table, places)| {
            (0..table.len()).map(move |row| places.iter().map(move |column| table.cell(row, *column)))
        });
        outputs.table.write(&header, rows)
    }
}

/// Where the columns are in a table that may have no others if there must be `none_besides`.
fn places(table: &Table, columns: &[String], none_besides: bool) -> Result<Vec<usize>, StageError> {
    let known: HashSet<&String> = columns.iter().collect();
    if none_besides && let Some(other) = table.header().iter().find(|name| !known.contains(name)) {
        let message = format!("the column `{other}` is not in the first table");
        let help = match columns.iter().find(|column| are_alike(column, other)) {
            Some(near) => format!("The first table has `{near}`: give the column the same name in both."),
            None => format!("Name the columns to take: `columns: [{}]`.", columns.join(", ")),
        };
        return Err(StageError::at_row(&table.label, 1, message).with_help(help));
    }
    table.columns(columns)
}
