//! Matrices: one row of numbers an id.
//!
//! An artifact is a folder with `values.npy` (float64, `[row, column]`) and `ids.csv` (`Id`), or a bare `.npy` file,
//! whose ids another input gives.

use std::fs::File;
use std::path::{Path, PathBuf};

use npyz::WriterBuilder;

use crate::artifact::ArtifactType;
use crate::artifact::matrix_rows::{MatrixRows, at_value, name_rows};
use crate::artifact::table::{TableInput, TableOutput};
use crate::error::StageError;
use crate::ports::{InputFile, InputValue, OutputValue};

/// A matrix to be read.
#[derive(Debug, Clone)]
pub struct MatrixInput(pub InputFile);

impl InputValue for MatrixInput {
    const TYPE: ArtifactType = ArtifactType::Matrix;
    fn from_file(file: InputFile) -> Self {
        MatrixInput(file)
    }
}

/// A matrix to be written.
#[derive(Debug, Clone)]
pub struct MatrixOutput(PathBuf);

impl OutputValue for MatrixOutput {
    const TYPE: ArtifactType = ArtifactType::Matrix;
    fn from_path(path: PathBuf) -> Self {
        MatrixOutput(path)
    }
    fn path(&self) -> &Path {
        &self.0
    }
}

/// A matrix in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Name in messages.
    pub label: String,
    /// Names of the rows, where the artifact has them.
    pub ids: Option<Vec<String>>,
    /// Number of columns.
    pub columns: usize,
    /// `[row, column]`, row by row.
    pub values: Vec<f64>,
}

impl Matrix {
    /// A matrix with named rows.
    pub fn new(ids: Vec<String>, columns: usize, values: Vec<f64>) -> Matrix {
        Matrix { label: String::new(), ids: Some(ids), columns, values }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.columns..][..self.columns]
    }

    /// Takes the names of the rows out of the matrix: its own, or `given` where it has none.
    pub fn take_ids(&mut self, given: Option<&[String]>) -> Result<Vec<String>, StageError> {
        name_rows(&self.label, self.ids.take(), given, self.rows())
    }

    /// Fails unless every value lies between 0 and 1.
    pub fn require_probabilities(&self) -> Result<(), StageError> {
        let odd = self.values.iter().position(|value| !(0.0..=1.0).contains(value));
        odd.map_or(Ok(()), |at| {
            let message = format!("holds {}, which is no probability", self.values[at]);
            Err(at_value(&self.label, at, self.columns, &message).with_help("Probabilities lie between 0 and 1."))
        })
    }
}

impl MatrixInput {
    /// Reads the matrix: real numbers of any of NumPy's types, two dimensions.
    pub fn read(&self) -> Result<Matrix, StageError> {
        let mut rows = self.open()?;
        let mut values = Vec::new();
        rows.read(0..rows.len(), &mut values)?;
        Ok(Matrix { label: rows.label, ids: rows.ids, columns: rows.columns, values })
    }

    /// Opens the matrix to read some of its rows at a time.
    ///
    /// # Errors
    /// Those of [`MatrixRows::open`], and ids that are empty, come twice, or are not as many as the rows.
    pub fn open(&self) -> Result<MatrixRows, StageError> {
        let InputFile { path, label } = &self.0;
        if !path.is_dir() {
            return MatrixRows::open(path, label);
        }
        let mut rows = MatrixRows::open(&path.join("values.npy"), label)?;
        let ids = InputFile { path: path.join("ids.csv"), label: format!("{label}/ids.csv") };
        let ids = TableInput(ids).read()?.unique_ids("Id")?;
        rows.ids = Some(name_rows(label, Some(ids), None, rows.len())?);
        Ok(rows)
    }
}

impl MatrixOutput {
    /// Writes the matrix with its ids.
    pub fn write(&self, ids: &[String], columns: usize, values: &[f64]) -> Result<(), StageError> {
        std::fs::create_dir(&self.0).map_err(StageError::io(&self.0))?;
        let path = self.0.join("values.npy");
        let write = || -> std::io::Result<()> {
            let shape = [ids.len() as u64, columns as u64];
            let file = std::io::BufWriter::new(File::create(&path)?);
            let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(file).begin_nd()?;
            writer.extend(values.iter().copied())?;
            writer.finish()
        };
        write().map_err(StageError::io(&path))?;
        TableOutput::from_path(self.0.join("ids.csv")).write(&["Id"], ids.iter().map(|id| [id]))
    }
}

/// The ids in the column `Id` of an optional table.
pub fn given_ids(table: Option<&TableInput>) -> Result<Option<Vec<String>>, StageError> {
    table.map(|table| table.read()?.unique_ids("Id")).transpose()
}
