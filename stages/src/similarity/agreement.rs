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
    /// Names the row of the matrix whose id is not in the table, and the row of the table that holds no target.
    pub fn of(table: Option<&TableInput>, ids: &[String], label: &str) -> Result<RowProperties, StageError> {
        let Some(table) = table else { return Ok(RowProperties::default()) };
        let table = table.read()?;
        let rows = rows_of(&table, ids, label)?;
        let antibody = |at: usize| rows.iter().map(|row| table.cell(*row, at).to_owned()).collect();
        // No table of labels says how many classes there are, and equality does not need to know.
        let target = |row: &usize, at| {
            parse_target(table.cell(*row, at), usize::MAX).map_err(|message| table.error(*row, message))
        };
        let targets = |at: usize| rows.iter().map(|row| target(row, at)).collect();
        Ok(RowProperties {
            antibodies: table.find("antibody").map(antibody),
            targets: table.find("Target").map(targets).transpose()?,
        })
    }
}

/// The row of each of `ids` in the table.
fn rows_of(table: &Table, ids: &[String], label: &str) -> Result<Vec<usize>, StageError> {
    let known = table.unique_ids("Id")?;
    let index: HashMap<&str, usize> = known.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
    let find = |(row, id): (usize, &String)| {
        let missing =
            || StageError::at_row(label, row as u64 + 1, format!("the id `{id}` is not in `{}`", table.label));
        index.get(id.as_str()).copied().ok_or_else(missing)
    };
    ids.iter().enumerate().map(find).collect()
}

/// A query and its nearest reference.
struct Pair {
    cosine: f64,
    same_antibody: bool,
    same_target: bool,
}

/// Rows of the report: for each threshold the number of queries whose nearest reference has a cosine above it, and of
/// those that share its antibody and its target; empty where one of the sides does not know.
pub fn report(
    thresholds: &[f64],
    queries: &RowProperties,
    references: &RowProperties,
    found: &[Vec<Neighbour>],
) -> Vec<[String; 4]> {
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
        ]
    };
    thresholds.iter().map(row).collect()
}
