//! `join_tables`: columns of one table beside the rows of another.

use std::collections::{HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::table::{Table, TableInput, TableOutput};
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::params::{ParamProblem, Parameters};
use crate::tables::columns::{KeyColumns, first_repeated};
use crate::{input_ports, output_ports};

/// The kind `join_tables`.
pub struct JoinTables;

/// Parameters of [`JoinTables`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinTablesParams {
    /// Columns by which rows belong together: a name, a list of names, or where the tables call them differently a mapping from the
    /// names in `table` to those in `other`, such as `{ Extra: Id }`.
    #[serde(default = "id")]
    pub on: KeyColumns,
    /// Rows to keep.
    #[serde(default)]
    pub how: How,
    /// Columns of `other` to add; the default is all but those of `on`. Not for `semi` and `anti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Treatment of a row that several rows of `other` match. `semi` and `anti` ask only whether one does.
    #[serde(default)]
    pub several: Several,
}

fn id() -> KeyColumns {
    KeyColumns::One("Id".to_owned())
}

/// Rows that a join keeps, in SQL's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Those with a match.
    #[default]
    Inner,
    /// All; added columns are empty where there is no match.
    Left,
    /// Those with a match, and no columns are added.
    Semi,
    /// Those without a match.
    Anti,
}

/// Action where several rows match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Several {
    /// The stage fails and names both rows.
    #[default]
    Error,
    /// The first of them counts.
    First,
    /// The row is written once with each of them.
    All,
}

impl Parameters for JoinTablesParams {
    fn check(&self) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        if self.on.pairs().is_empty() {
            problems.push(ParamProblem::value("on", "rows belong together by at least one column"));
        }
        if let Some(columns) = &self.columns {
            if matches!(self.how, How::Semi | How::Anti) {
                problems.push(ParamProblem::value("columns", "`semi` and `anti` add no columns"));
            }
            if let Some(name) = first_repeated(columns) {
                problems.push(ParamProblem::value("columns", format!("the column `{name}` is there twice")));
            }
        }
        problems
    }
}

input_ports! {
    /// Inputs of [`JoinTables`].
    pub struct JoinTablesInputs {
        /// Table whose rows are kept, in order.
        table: TableInput,
        /// Table with the columns to add, or whose rows decide which are kept.
        other: TableInput,
    }
}

output_ports! {
    /// Outputs of [`JoinTables`].
    pub struct JoinTablesOutputs {
        /// The columns of `table`, then those that are added.
        table: TableOutput = "table.csv",
    }
}

impl StageKind for JoinTables {
    type Params = JoinTablesParams;
    type Inputs = JoinTablesInputs;
    type Outputs = JoinTablesOutputs;

    const NAME: &'static str = "join_tables";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Joins two tables (a merge, in the words of pandas) by columns whose cells are equal as text, blanks around them left out.\n\nThe metric `rows_without_match` counts rows of `table` that nothing in `other` matches.";

    fn run(
        params: JoinTablesParams,
        inputs: JoinTablesInputs,
        outputs: JoinTablesOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let (table, other) = (inputs.table.read()?, inputs.other.read()?);
        let (ours, theirs): (Vec<&str>, Vec<&str>) = params.on.pairs().into_iter().unzip();
        let our_keys = keys(&table, &ours)?;
        let their_keys = keys(&other, &theirs)?;
        let index = index(&their_keys);
        let added = added_columns(&params, &table, &other, &theirs)?;
        let header: Vec<&str> = table.header().iter().map(String::as_str).collect();
        let header: Vec<&str> = header.into_iter().chain(added.iter().map(|at| other.header()[*at].as_str())).collect();
        let cells = |row: usize, matched: Option<usize>| {
            let of_other = |at: &usize| matched.map_or("", |matched| other.cell(matched, *at));
            table.row(row).chain(added.iter().map(of_other)).collect::<Vec<&str>>()
        };
        let (mut rows, mut unmatched) = (Vec::new(), 0_u32);
        for (row, key) in our_keys.iter().enumerate() {
            let matches = index.get(key).map(Vec::as_slice).unwrap_or_default();
            unmatched += u32::from(matches.is_empty());
            match (params.how, matches) {
                (How::Left | How::Anti, []) | (How::Semi, [_, ..]) => rows.push(cells(row, None)),
                (How::Inner | How::Semi, []) | (How::Anti, [_, ..]) => {}
                (How::Inner | How::Left, [first, more @ ..]) => match (params.several, more) {
                    (Several::Error, [second, ..]) => {
                        return Err(several_match((&table, row), &other, &key.join(", "), [*first, *second]));
                    }
                    (Several::Error | Several::First, _) => rows.push(cells(row, Some(*first))),
                    (Several::All, _) => rows.extend(matches.iter().map(|matched| cells(row, Some(*matched)))),
                },
            }
        }
        context.metric("rows", rows.len() as f64);
        context.metric("rows_without_match", f64::from(unmatched));
        outputs.table.write(&header, rows)
    }
}

/// Cells of the key columns, by row.
type Keys<'t> = Vec<Vec<&'t str>>;

fn keys<'t>(table: &'t Table, columns: &[&str]) -> Result<Keys<'t>, StageError> {
    let places = table.columns(columns)?;
    let key = |row: usize| places.iter().map(|at| table.cell(row, *at).trim()).collect();
    Ok((0..table.len()).map(key).collect())
}

/// The rows of each key.
fn index<'k>(keys: &'k Keys<'_>) -> HashMap<&'k Vec<&'k str>, Vec<usize>> {
    let mut index: HashMap<&Vec<&str>, Vec<usize>> = HashMap::with_capacity(keys.len());
    for (row, key) in keys.iter().enumerate() {
        index.entry(key).or_default().push(row);
    }
    index
}

/// The error about a row of a table that two rows of `other` match.
fn several_match((table, row): (&Table, usize), other: &Table, key: &str, [first, second]: [usize; 2]) -> StageError {
    let (ours, first) = (table.line(row), other.line(first));
    let message = format!("`{key}` stands in row {first} already, and row {ours} of `{}` matches both", table.label);
    let help = "Take one of them out, or choose with `several: first` or `several: all`.";
    other.error(second, message).with_help(help)
}

/// Places in `other` of the columns to add, none of which may be in `table`.
fn added_columns(
    params: &JoinTablesParams,
    table: &Table,
    other: &Table,
    theirs: &[&str],
) -> Result<Vec<usize>, StageError> {
    if matches!(params.how, How::Semi | How::Anti) {
        return Ok(Vec::new());
    }
    let all = || other.header().iter().filter(|name| !theirs.contains(&name.as_str())).cloned().collect();
    let names: Vec<String> = params.columns.clone().unwrap_or_else(all);
    let ours: HashSet<&String> = table.header().iter().collect();
    if let Some(name) = names.iter().find(|name| ours.contains(name)) {
        let message = format!("the column `{name}` is in `{}` too", table.label);
        let help = "Name the columns to add with `columns`; `filter_rows` with `set` gives a column another name.";
        return Err(StageError::at_row(&other.label, 1, message).with_help(help));
    }
    other.columns(&names)
}
