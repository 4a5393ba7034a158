//! Matrices: one row of numbers an id.
//!
//! An artifact is a folder with `values.npy` (float64, `[row, column]`) and `ids.csv` (`Id`), or a bare `.npy` file, whose
//! ids another input gives.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use npyz::{DType, NpyFile, Order, TypeChar, WriterBuilder};

use crate::artifact::ArtifactType;
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
    /// What the user calls it.
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

    /// The names of the rows; `given` where the artifact has none of its own, which must be as many as there are rows.
    pub fn take_ids(&mut self, given: Option<&[String]>) -> Result<Vec<String>, StageError> {
        let ids = match (self.ids.take(), given) {
            (Some(ids), _) => ids,
            (None, Some(given)) => given.to_vec(),
            (None, None) => {
                return Err(StageError::in_file(&self.label, "the matrix has no ids")
                    .with_help("Give the input `ids`: a table whose column `Id` names the rows in order."));
            }
        };
        if ids.len() != self.rows() {
            let message = format!("the matrix has {} rows, but there are {} ids", self.rows(), ids.len());
            return Err(StageError::in_file(&self.label, message));
        }
        Ok(ids)
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
    /// Reads the matrix: float32 or float64, two dimensions, C order.
    pub fn read(&self) -> Result<Matrix, StageError> {
        let InputFile { path, label } = &self.0;
        if !path.is_dir() {
            return read_values(path, label);
        }
        let mut matrix = read_values(&path.join("values.npy"), label)?;
        let ids = InputFile { path: path.join("ids.csv"), label: format!("{label}/ids.csv") };
        let ids = TableInput(ids).read()?.unique_ids("Id")?;
        matrix.ids = Some(ids);
        matrix.ids = Some(matrix.take_ids(None)?);
        Ok(matrix)
    }
}

fn read_values(path: &Path, label: &str) -> Result<Matrix, StageError> {
    let wrong = |message: String| StageError::in_file(label, message).with_help("Save it with `numpy.save`.");
    let unreadable = |error: std::io::Error| wrong(format!("cannot be read as .npy: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let npy = NpyFile::new(BufReader::new(file)).map_err(unreadable)?;
    let [rows, columns] = *npy.shape() else {
        let shape: Vec<String> = npy.shape().iter().map(u64::to_string).collect();
        let message = format!("the array has the shape [{}], but a matrix has rows and columns", shape.join(", "));
        return Err(StageError::in_file(label, message).with_help("Save it with two dimensions."));
    };
    if npy.order() == Order::Fortran {
        return Err(StageError::in_file(label, "the array is in Fortran order")
            .with_help("Save `numpy.ascontiguousarray(array)`."));
    }
    let DType::Plain(kind) = npy.dtype() else { return Err(wrong("the array has fields".to_owned())) };
    let size = kind.size_field();
    // A lying header must not make us ask for more memory than the file could fill.
    if rows.checked_mul(columns).and_then(|count| count.checked_mul(size)).is_none_or(|needed| needed > bytes) {
        return Err(wrong(format!("the header promises {rows} x {columns} values, but the file is shorter")));
    }
    if rows == 0 || columns == 0 {
        return Err(wrong(format!("the array is empty: {rows} x {columns}")));
    }
    let values: Vec<f64> = match (kind.type_char(), size) {
        (TypeChar::Float, 8) => npy.into_vec().map_err(unreadable)?,
        (TypeChar::Float, 4) => npy.into_vec::<f32>().map_err(unreadable)?.into_iter().map(f64::from).collect(),
        _ => return Err(wrong(format!("the array holds {kind}, but a matrix holds float32 or float64"))),
    };
    let columns = usize::try_from(columns).map_err(|_| wrong("the array is too wide".to_owned()))?;
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        let help = "Every value must be a finite number; look at what made the matrix.";
        return Err(at_value(label, at, columns, &format!("holds {}", values[at])).with_help(help));
    }
    Ok(Matrix { label: label.to_owned(), ids: None, columns, values })
}

/// An error about the value at `at`, counted row by row; rows and columns are named from 1 on, and as NumPy would index them.
fn at_value(label: &str, at: usize, columns: usize, what: &str) -> StageError {
    let (row, column) = (at / columns, at % columns);
    StageError::at_row(label, row as u64 + 1, format!("column {} (at [{row}, {column}]) {what}", column + 1))
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
