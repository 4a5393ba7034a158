//! The table of neighbours: `Id,rank,neighbour,cosine`, a row for each query and each of its neighbours.

use std::collections::HashMap;

use crate::artifact::table::{Table, TableOutput};
use crate::error::StageError;
use crate::similarity::search::Neighbour;

const HEADER: [&str; 4] = ["Id", "rank", "neighbour", "cosine"];

/// The rank of the nearest.
const NEAREST: usize = 1;

/// Writes the neighbours of each query, nearest first, ranks from 1; cosines read back as the very numbers.
pub fn write(
    output: &TableOutput,
    queries: &[String],
    references: &[String],
    found: &[Vec<Neighbour>],
) -> Result<(), StageError> {
    let rows = queries.iter().zip(found).flat_map(|(id, neighbours)| {
        neighbours.iter().enumerate().map(move |(place, neighbour)| {
            let Neighbour { reference, cosine } = *neighbour;
            [id.clone(), (NEAREST + place).to_string(), references[reference].clone(), cosine.to_string()]
        })
    });
    output.write(&HEADER, rows)
}

/// The nearest reference of a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NearestRow<'t> {
    /// Its row in the table.
    pub row: usize,
    /// The reference's id.
    pub neighbour: &'t str,
    /// Its cosine.
    pub cosine: f64,
}

/// The nearest reference of each query of a table, by the query's id.
///
/// # Errors
/// Names file and row of a rank or cosine that is none, an empty id, and a query that has two nearest references.
pub fn nearest_of(table: &Table) -> Result<HashMap<&str, NearestRow<'_>>, StageError> {
    table.require_rows()?;
    let [id_at, rank_at, neighbour_at, cosine_at] = HEADER.map(|name| table.column(name));
    let (id_at, rank_at, neighbour_at, cosine_at) = (id_at?, rank_at?, neighbour_at?, cosine_at?);
    let mut nearest = HashMap::new();
    for row in 0..table.len() {
        let [id, rank, neighbour, cosine] =
            [id_at, rank_at, neighbour_at, cosine_at].map(|column| table.cell(row, column).trim());
        if id.is_empty() || neighbour.is_empty() {
            return Err(table.error(row, "an id is empty"));
        }
        let wrong_rank = || table.error(row, format!("`{rank}` is no rank: ranks count from {NEAREST}"));
        let number = rank.parse::<usize>().ok().filter(|rank| *rank >= NEAREST).ok_or_else(wrong_rank)?;
        let wrong_cosine = || table.error(row, format!("`{cosine}` is no cosine between -1 and 1"));
        let cosine = cosine.parse::<f64>().ok().filter(|cosine| cosine.abs() <= 1.0).ok_or_else(wrong_cosine)?;
        if number == NEAREST && nearest.insert(id, NearestRow { row, neighbour, cosine }).is_some() {
            return Err(table.error(row, format!("the id `{id}` has a neighbour of rank {NEAREST} already")));
        }
    }
    Ok(nearest)
}
