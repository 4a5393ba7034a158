//! Files of golden values.

use std::path::{Path, PathBuf};

use burn::prelude::TensorData;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A file of golden values that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    /// It cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The refusal.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("{path}: these are not the golden values that are expected: {message}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The problem.
        message: String,
    },
}

/// Reads a file of a folder.
pub(super) fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<T, GoldenError> {
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path).map_err(|source| GoldenError::Io { path: path.clone(), source })?;
    serde_json::from_str(&text).map_err(|error| GoldenError::Content { path, message: error.to_string() })
}

/// A matrix, by rows of equal length, of which there is at least one.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Vec<Vec<f32>>")]
pub(super) struct Matrix {
    shape: [usize; 2],
    values: Vec<f32>,
}

impl TryFrom<Vec<Vec<f32>>> for Matrix {
    type Error = &'static str;

    fn try_from(rows: Vec<Vec<f32>>) -> Result<Matrix, &'static str> {
        let columns = rows.first().ok_or("a matrix without rows")?.len();
        if rows.iter().any(|row| row.len() != columns) {
            return Err("a matrix whose rows differ in length");
        }
        Ok(Matrix { shape: [rows.len(), columns], values: rows.concat() })
    }
}

impl Matrix {
    /// For a tensor.
    pub(super) fn data(&self) -> TensorData {
        TensorData::new(self.values.clone(), self.shape)
    }

    /// The values, by rows.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.values.iter().map(|value| f64::from(*value))
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.shape[0]
    }

    /// Rows and columns.
    pub(super) fn shape(&self) -> [usize; 2] {
        self.shape
    }
}
