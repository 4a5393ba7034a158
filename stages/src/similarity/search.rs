//! The nearest references of every query by cosine: exhaustive search in blocks.
//!
//! Most pairs are far from being neighbours, and float32 is enough to see that. So a block of cosines is computed in
//! float32 by matrix multiplication, and only a pair whose rough cosine could reach a query's best is computed again,
//! in float64 and in a fixed order. The exact cosines alone decide which pairs are kept: the result is the same
//! whatever the blocks, the threads and the processor.

use std::ops::Range;

use rayon::prelude::*;

use crate::context::StageContext;
use crate::error::StageError;
use crate::similarity::multiply::dot_products;
use crate::similarity::unit_rows::{UnitBlock, UnitRows, dot};
use crate::words::counted;

/// A reference near to a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// The reference's row.
    pub reference: usize,
    /// Cosine of the angle between the two, in [-1, 1].
    pub cosine: f64,
}

/// Options of a search.
pub struct SearchOptions<'a> {
    /// Number of neighbours of a query.
    pub top: usize,
    /// For each query the reference that is not to be among them.
    pub excluded: &'a [Option<usize>],
}

/// Number of rows processed at a time. Decides memory and speed, never the result.
#[derive(Debug, Clone, Copy)]
pub struct BlockSizes {
    /// Queries in memory; the references are read once for each such panel.
    pub queries: usize,
    /// References in memory.
    pub references: usize,
    /// Queries that one thread compares with the references in memory.
    pub tile: usize,
}

/// Memory for a panel of queries: the challenge's whole test set at 512 columns.
const PANEL_BYTES: usize = 96 << 20;
/// Memory for a block of references.
const BLOCK_BYTES: usize = 12 << 20;
/// Bytes of a value in a [`UnitBlock`].
const VALUE_BYTES: usize = size_of::<f64>() + size_of::<f32>();
/// Queries of a tile.
const TILE: usize = 128;
/// The most references of a block, however narrow they are: a tile's rough cosines stay within 1 MiB, a core's own
/// cache.
const MOST_REFERENCES: usize = (1 << 20) / (size_of::<f32>() * TILE);

impl BlockSizes {
    /// Blocks of a fixed size in memory for rows of `columns` values.
    pub fn for_columns(columns: usize) -> BlockSizes {
        let rows = |bytes: usize| (bytes / (VALUE_BYTES * columns)).max(1);
        BlockSizes { queries: rows(PANEL_BYTES), references: rows(BLOCK_BYTES).min(MOST_REFERENCES), tile: TILE }
    }
}

/// For each query its nearest references, nearest first; of equally near ones the one that comes first in the
/// references.
///
/// # Errors
/// If the two sets differ in width, if there are fewer references than are wanted, if a row cannot be read, or if it
/// was asked to stop.
pub fn nearest(
    queries: &mut UnitRows,
    references: &mut UnitRows,
    options: &SearchOptions<'_>,
    blocks: BlockSizes,
    context: &StageContext<'_>,
) -> Result<Vec<Vec<Neighbour>>, StageError> {
    require_fit(queries, references, options)?;
    let mut best: Vec<Best> = options.excluded.iter().map(|not| Best::new(options.top, *not)).collect();
    let (mut panel, mut block) = (UnitBlock::default(), UnitBlock::default());
    let pairs = queries.len() as u64 * references.len() as u64;
    let mut compared = 0;
    context.progress(compared, pairs, "pairs");
    for rows in ranges(queries.len(), blocks.queries) {
        queries.read(rows.clone(), &mut panel)?;
        for others in ranges(references.len(), blocks.references) {
            references.read(others.clone(), &mut block)?;
            compare(&panel, &block, others.start, &mut best[rows.clone()], blocks.tile, context)?;
            compared += rows.len() as u64 * others.len() as u64;
            context.progress(compared, pairs, "pairs");
        }
    }
    Ok(best.into_iter().map(|best| best.kept).collect())
}

fn require_fit(queries: &UnitRows, references: &UnitRows, options: &SearchOptions<'_>) -> Result<(), StageError> {
    let (columns, others) = (queries.columns(), references.columns());
    if columns != others {
        let message = format!("has {}, but `{}` has {others}", counted(columns, "column"), references.label());
        return Err(StageError::in_file(queries.label(), message)
            .with_help("Both sets of features must come from the same model."));
    }
    let left_out = usize::from(options.excluded.iter().any(Option::is_some));
    if references.len() - left_out < options.top {
        let message = format!("{} rows are too few to find {} neighbours", references.len(), options.top);
        return Err(StageError::in_file(references.label(), message).with_help("Lower the parameter `top`."));
    }
    Ok(())
}

/// `0..count` in pieces of `step`, the last perhaps shorter.
fn ranges(count: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(step).map(move |first| first..count.min(first + step))
}

/// Compares every query of `panel` with every reference of `block`, the first of which is the reference `first`.
fn compare(
    panel: &UnitBlock,
    block: &UnitBlock,
    first: usize,
    best: &mut [Best],
    tile: usize,
    context: &StageContext<'_>,
) -> Result<(), StageError> {
    let columns = panel.columns;
    let others = block.rough.len() / columns;
    let tiles = best.par_chunks_mut(tile).zip(panel.rough.par_chunks(tile * columns)).enumerate();
    tiles.try_for_each_init(Vec::new, |cosines, (number, (best, rough))| {
        if context.should_stop() {
            return Err(StageError::Interrupted);
        }
        cosines.resize(best.len() * others, 0.0);
        dot_products(rough, &block.rough, columns, cosines);
        for (row, (best, cosines)) in best.iter_mut().zip(cosines.chunks_exact(others)).enumerate() {
            let query = panel.row(number * tile + row);
            best.offer(cosines, first, rough_error(columns), |other| dot(query, block.row(other)));
        }
        Ok(())
    })
}

/// Error bound of a rough cosine: that of a float32 dot product of two unit vectors in any
/// order of summation, `columns` roundings of at most half of epsilon each and a few for the vectors themselves, twice
/// over to be safe.
fn rough_error(columns: usize) -> f64 {
    (columns + 8) as f64 * f64::from(f32::EPSILON)
}

/// Number of rough cosines compared at once.
const STRIDE: usize = 64;

/// The nearest references of one query so far.
struct Best {
    top: usize,
    not: Option<usize>,
    /// Nearest first.
    kept: Vec<Neighbour>,
}

impl Best {
    fn new(top: usize, not: Option<usize>) -> Best {
        Best { top, not, kept: Vec::with_capacity(top) }
    }

    /// The smallest rough cosine that can belong to a reference nearer than the last of those kept.
    fn floor(&self, error: f64) -> f32 {
        match self.kept.get(self.top - 1) {
            Some(last) => (last.cosine - error) as f32,
            None => f32::NEG_INFINITY,
        }
    }

    /// Takes references `first..` with the given rough cosines, which are off by at most `error`; `exact` computes the
    /// cosine of one of them, counted from 0. References must be offered in order.
    fn offer(&mut self, cosines: &[f32], first: usize, error: f64, exact: impl Fn(usize) -> f64) {
        let mut floor = self.floor(error);
        for (number, some) in cosines.chunks(STRIDE).enumerate() {
            // Without a branch for each, so that the compiler compares many at once.
            if !some.iter().fold(false, |any, cosine| any | (*cosine >= floor)) {
                continue;
            }
            for (at, cosine) in some.iter().enumerate() {
                let other = number * STRIDE + at;
                if *cosine >= floor && self.not != Some(first + other) {
                    self.keep(Neighbour { reference: first + other, cosine: exact(other).clamp(-1.0, 1.0) });
                    floor = self.floor(error);
                }
            }
        }
    }

    /// Keeps a reference that comes after all those kept, if it is nearer than one of them.
    fn keep(&mut self, found: Neighbour) {
        let at = self.kept.partition_point(|kept| kept.cosine >= found.cosine);
        if at < self.top {
            self.kept.truncate(self.top - 1);
            self.kept.insert(at, found);
        }
    }
}
