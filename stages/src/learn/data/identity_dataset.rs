//! Images with their identities.

use super::ImagePool;
use crate::artifact::table::TableInput;
use crate::error::StageError;

/// Maximum number of identities: each costs a network 512 numbers.
const MOST: usize = 1_000_000;

/// Images and their identities.
#[derive(Debug)]
pub struct IdentityDataset {
    /// Their numbers in the pool.
    pub images: Vec<usize>,
    /// Their identities, from 0.
    pub identities: Vec<usize>,
}

impl IdentityDataset {
    /// The rows of a table with `Id` and a column of identities, whose images are in the pool and at least `side`
    /// pixels high and wide.
    ///
    /// # Errors
    /// An empty table, a cell that is not a number, an image that is not there or too small.
    pub fn read(
        table: &TableInput,
        column: &str,
        pool: &ImagePool,
        side: usize,
    ) -> Result<IdentityDataset, StageError> {
        let table = table.read()?;
        table.require_rows()?;
        let images = pool.find(&table.unique_ids("Id")?, side)?;
        let at = table.column(column)?;
        let identity = |row: usize| {
            let cell = table.cell(row, at);
            let number = cell.parse().ok().filter(|number| *number < MOST);
            number.ok_or_else(|| {
                table.error(row, format!("`{cell}` is not the number of an identity, from 0 to {}", MOST - 1))
            })
        };
        let identities = (0..table.len()).map(identity).collect::<Result<_, _>>()?;
        Ok(IdentityDataset { images, identities })
    }

    /// One more than the largest identity.
    pub fn count(&self) -> usize {
        self.identities.iter().max().map_or(0, |largest| largest + 1)
    }
}
