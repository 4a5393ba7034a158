//! Agreement of queries with their nearest references in antibody and labels.

use std::collections::HashMap;

use crate::artifact::labels::{Target, parse_target};
use crate::artifact::table::{Table, TableInput};
use crate::error::StageError;
use crate::similarity::search::Neighbour;

/// Known properties of the rows of a matrix, in their order.
#[derive(Debug, Default)]
pub struct RowProperties {
    /// Antibodies, if there is such a column; an empty one is not known.
    antibodies: Option<Vec<String>>,
    /// Targets, if there is such a column; an empty one is not known.
    targets: Option<Vec<Target>>,
}

impl RowProperties {
    /// The properties that `table` gives for the rows `ids` of the matrix `label`; none without a table.
    ///
    /// # Errors
    /// Names the row of the matrix whose id is not in the table, unless that is `partial` and has others, and the row of the
    /// table that holds no target.
    pub fn of(
        table: Option<&TableInput>,
        ids: &[String],
        label: &str,
        partial: bool,
    ) -> Result<RowProperties, StageError> {
        let Some(table) = table else { return Ok(RowProperties::default()) };
        let table = table.read()?;
        let rows = rows_of(&table, ids, label, partial)?;
        let antibody = |at: usize| {
            rows.iter().map(|row| row.map(|row| table.cell(row, at).to_owned()).unwrap_or_default()).collect()
        };
        // No table of labels says how many classes there are, and equality does not need to know.
        let target = |row: &Option<usize>, at| match *row {
            Some(row) => parse_target(table.cell(row, at), usize::MAX).map_err(|problem| problem.at(&table, row)),
            None => Ok(Target::default()),
        };
        let targets = |at: usize| rows.iter().map(|row| target(row, at)).collect();
        Ok(RowProperties {
            antibodies: table.find("antibody").map(antibody),
            targets: table.find("Target").map(targets).transpose()?,
        })
    }
}

/// The row of each of `ids` in the table. If it is `partial`, one row is enough.
fn rows_of(table: &Table, ids: &[String], label: &str, partial: bool) -> Result<Vec<Option<usize>>, StageError> {
    let known = table.unique_ids("Id")?;
    let index: HashMap<&str, usize> = known.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
    let rows: Vec<Option<usize>> = ids.iter().map(|id| index.get(id.as_str()).copied()).collect();
    match rows.iter().position(Option::is_none) {
        Some(first) if !partial || (!table.is_empty() && rows.iter().all(Option::is_none)) => {
            let message = format!("the id `{}` is not in `{}`", ids[first], table.label);
            Err(StageError::at_row(label, first as u64 + 1, message))
        }
        _ => Ok(rows),
    }
}

/// A query and its nearest reference.
struct Pair {
    cosine: f64,
    same_antibody: bool,
    same_target: bool,
    /// Whether the query's antibody or target is known.
    known: bool,
}

/// Rows of the report: for each threshold the number of queries whose nearest reference has a cosine above it, and of
/// those that share its antibody and its target, empty where one of the sides does not know; and the number of those of which
/// either is known.
pub fn report(
    thresholds: &[f64],
    queries: &RowProperties,
    references: &RowProperties,
    found: &[Vec<Neighbour>],
) -> Vec<[String; 5]> {
    let antibodies = queries.antibodies.as_ref().zip(references.antibodies.as_ref());
    let targets = queries.targets.as_ref().zip(references.targets.as_ref());
    let nearest = found.iter().enumerate().filter_map(|(query, found)| found.first().map(|first| (query, first)));
    let pairs: Vec<Pair> = nearest
        .map(|(query, nearest)| Pair {
            cosine: nearest.cosine,
            same_antibody: antibodies
                .is_some_and(|(ours, theirs)| !ours[query].is_empty() && ours[query] == theirs[nearest.reference]),
            same_target: targets.is_some_and(|(ours, theirs)| {
                !ours[query].classes().is_empty() && ours[query] == theirs[nearest.reference]
            }),
            known: queries.antibodies.as_ref().is_some_and(|ours| !ours[query].is_empty())
                || queries.targets.as_ref().is_some_and(|ours| !ours[query].classes().is_empty()),
        })
        .collect();
    let row = |threshold: &f64| {
        let count = |holds: fn(&Pair) -> bool| {
            pairs.iter().filter(|pair| pair.cosine > *threshold && holds(pair)).count().to_string()
        };
        [
            threshold.to_string(),
            count(|_| true),
            antibodies.map(|_| count(|pair| pair.same_antibody)).unwrap_or_default(),
            targets.map(|_| count(|pair| pair.same_target)).unwrap_or_default(),
            count(|pair| pair.known),
        ]
    };
    thresholds.iter().map(row).collect()
}
