//! Features as directions: standardised per column, each row scaled to length 1.

use std::ops::Range;

use crate::artifact::matrix_rows::MatrixRows;
use crate::context::StageContext;
use crate::error::StageError;

/// Number of values in a block, for the statistics of the columns.
const BLOCK_VALUES: usize = 1 << 20;

/// The rows of a matrix as directions, read a block at a time.
///
/// Columns are standardised as scikit-learn's `StandardScaler` does it, in float64: by the mean and the population
/// standard deviation of the matrix's own rows; a column whose variance is no more than rounding makes of a constant is
/// divided by 1, so that it counts for nothing. A row without a direction, because it is the mean of all rows, stays
/// zero, as with scikit-learn's `cosine_similarity`: its cosine with any other is 0.
pub struct UnitRows {
    rows: MatrixRows,
    mean: Vec<f64>,
    scale: Vec<f64>,
}

/// Some of the rows.
#[derive(Default)]
pub struct UnitBlock {
    /// Number of columns.
    pub columns: usize,
    /// `[row, column]`.
    pub exact: Vec<f64>,
    /// The same, rounded.
    pub rough: Vec<f32>,
}

impl UnitBlock {
    /// One row.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.exact[row * self.columns..][..self.columns]
    }
}

impl UnitRows {
    /// Reads the matrix twice for the mean and the deviation of every column.
    ///
    /// # Errors
    /// Names file and row of a value that is not finite; the column whose values are too large to be squared; a matrix
    /// in which every column is constant, such as one of a single row.
    pub fn of(mut rows: MatrixRows, context: &StageContext<'_>) -> Result<UnitRows, StageError> {
        let count = rows.len() as f64;
        let mut sum = vec![0.0; rows.columns];
        each_row(&mut rows, context, |row| {
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        })?;
        let mean: Vec<f64> = sum.iter().map(|sum| sum / count).collect();
        // The remainder of the mean's rounding corrects the sum of squares.
        let (mut rest, mut squares) = (vec![0.0; rows.columns], vec![0.0; rows.columns]);
        each_row(&mut rows, context, |row| {
            for (column, value) in row.iter().enumerate() {
                let off = value - mean[column];
                rest[column] += off;
                squares[column] += off * off;
            }
        })?;
        let variance: Vec<f64> =
            rest.iter().zip(&squares).map(|(rest, squares)| (squares - rest * rest / count) / count).collect();
        if let Some(column) = (0..rows.columns).find(|column| !variance[*column].is_finite()) {
            let message = format!("the values of column {column} are too large to be standardised");
            return Err(StageError::in_file(&rows.label, message));
        }
        let constant = |column: usize| is_constant(mean[column], variance[column], count);
        if (0..rows.columns).all(constant) {
            let message = "every column holds one value only, so that no row differs from another";
            return Err(StageError::in_file(&rows.label, message)
                .with_help("Features are compared by how they differ from the mean of their set."));
        }
        let scale_of = |column: usize| if constant(column) { 1.0 } else { variance[column].sqrt() };
        let scale = (0..rows.columns).map(scale_of).collect();
        Ok(UnitRows { rows, mean, scale })
    }

    /// Number of rows, at least 2.
    #[expect(clippy::len_without_is_empty, reason = "there are always rows")]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.rows.columns
    }

    /// Name of the matrix in messages.
    pub fn label(&self) -> &str {
        &self.rows.label
    }

    /// Reads the given rows into `block`, in place of what was there.
    ///
    /// # Errors
    /// Names file and row of a value that cannot be read.
    pub fn read(&mut self, rows: Range<usize>, block: &mut UnitBlock) -> Result<(), StageError> {
        let UnitBlock { columns, exact, rough } = block;
        *columns = self.rows.columns;
        self.rows.read(rows, exact)?;
        for row in exact.chunks_exact_mut(*columns) {
            for ((value, mean), scale) in row.iter_mut().zip(&self.mean).zip(&self.scale) {
                *value = (*value - mean) / scale;
            }
            let length = dot(row, row).sqrt();
            if length > 0.0 {
                row.iter_mut().for_each(|value| *value /= length);
            }
        }
        rough.clear();
        rough.extend(exact.iter().map(|value| *value as f32));
        Ok(())
    }
}

/// Calls `take` with every row, in order.
fn each_row(rows: &mut MatrixRows, context: &StageContext<'_>, mut take: impl FnMut(&[f64])) -> Result<(), StageError> {
    let mut values = Vec::new();
    let step = (BLOCK_VALUES / rows.columns).max(1);
    for first in (0..rows.len()).step_by(step) {
        if context.should_stop() {
            return Err(StageError::Interrupted);
        }
        rows.read(first..rows.len().min(first + step), &mut values)?;
        values.chunks_exact(rows.columns).for_each(&mut take);
    }
    Ok(())
}

/// Whether a column's variance is within what rounding makes of a constant's, as scikit-learn's `StandardScaler`
/// decides it.
fn is_constant(mean: f64, variance: f64, count: f64) -> bool {
    let rounding = count * mean * f64::EPSILON;
    variance <= count * f64::EPSILON * variance + rounding * rounding
}

/// Number of partial sums of [`dot`].
const LANES: usize = 8;

/// The dot product of two vectors of one length, summed in an order that depends on nothing but the length.
pub fn dot(left: &[f64], right: &[f64]) -> f64 {
    let ((lefts, left_rest), (rights, right_rest)) = (left.as_chunks::<LANES>(), right.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (left, right) in lefts.iter().zip(rights) {
        for lane in 0..LANES {
            sums[lane] += left[lane] * right[lane];
        }
    }
    let rest: f64 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    sums.iter().sum::<f64>() + rest
}
