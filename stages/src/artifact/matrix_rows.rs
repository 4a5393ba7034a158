//! Rows of a matrix read from its file a block at a time, for stages that must not hold a whole matrix.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use npyz::{DType, Endianness, NpyHeader, Order, TypeChar, TypeStr};

use crate::error::StageError;

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// An open `.npy` file of float32 or float64, two dimensions, C order.
#[derive(Debug)]
pub struct MatrixRows {
    /// Name in messages.
    pub label: String,
    /// Names of the rows, where the artifact has them.
    pub ids: Option<Vec<String>>,
    /// Number of columns, at least 1.
    pub columns: usize,
    rows: usize,
    element: Element,
    /// Offset of the first value in the file.
    start: u64,
    file: File,
    bytes: Vec<u8>,
}

/// Encoding of values.
#[derive(Debug, Clone, Copy)]
struct Element {
    /// Bytes of one value.
    size: usize,
    /// Appends the values encoded in some bytes.
    decode: fn(&[u8], &mut Vec<f64>),
}

impl Element {
    /// The element called `kind`, if a matrix may hold it.
    fn of(kind: &TypeStr) -> Option<Element> {
        let single = |decode| Element { size: 4, decode };
        let double = |decode| Element { size: 8, decode };
        match (kind.type_char(), kind.size_field(), kind.endianness()) {
            (TypeChar::Float, 4, Endianness::Big) => Some(single(|bytes, values| {
                values.extend(bytes.chunks_exact(4).map(|bytes| f64::from(f32::from_be_bytes(array(bytes)))));
            })),
            (TypeChar::Float, 4, _) => Some(single(|bytes, values| {
                values.extend(bytes.chunks_exact(4).map(|bytes| f64::from(f32::from_le_bytes(array(bytes)))));
            })),
            (TypeChar::Float, 8, Endianness::Big) => Some(double(|bytes, values| {
                values.extend(bytes.chunks_exact(8).map(|bytes| f64::from_be_bytes(array(bytes))));
            })),
            (TypeChar::Float, 8, _) => Some(double(|bytes, values| {
                values.extend(bytes.chunks_exact(8).map(|bytes| f64::from_le_bytes(array(bytes))));
            })),
            _ => None,
        }
    }
}

/// The bytes of one value; `chunks_exact` gives that many.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

impl MatrixRows {
    /// Opens a bare `.npy` file and reads its header.
    ///
    /// # Errors
    /// Names the file if it is no `.npy`, is not a matrix of floats in C order, has no values, or is shorter than its
    /// header says.
    pub fn open(path: &Path, label: &str) -> Result<MatrixRows, StageError> {
        let wrong = |message: String| StageError::in_file(label, message).with_help("Save it with `numpy.save`.");
        let unreadable = |error: std::io::Error| wrong(format!("cannot be read as .npy: {error}"));
        let file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        let mut reader = BufReader::new(file);
        let header = NpyHeader::from_reader(&mut reader).map_err(unreadable)?;
        let start = reader.stream_position().map_err(unreadable)?;
        let [rows, columns] = *header.shape() else {
            return Err(wrong(format!("the array has {} dimensions, but a matrix has 2", header.shape().len())));
        };
        if header.order() == Order::Fortran {
            return Err(StageError::in_file(label, "the array is in Fortran order")
                .with_help("Save `numpy.ascontiguousarray(array)`."));
        }
        let DType::Plain(kind) = header.dtype() else { return Err(wrong("the array has fields".to_owned())) };
        let size = kind.size_field();
        // A false header must not cause an allocation larger than the file.
        let fits = |needed: u64| needed <= bytes && usize::try_from(needed).is_ok();
        if !rows.checked_mul(columns).and_then(|count| count.checked_mul(size)).is_some_and(fits) {
            return Err(wrong(format!("the header promises {rows} x {columns} values, but the file is shorter")));
        }
        if rows == 0 || columns == 0 {
            return Err(wrong(format!("the array is empty: {rows} x {columns}")));
        }
        let Some(element) = Element::of(&kind) else {
            return Err(wrong(format!("the array holds {kind}, but a matrix holds float32 or float64")));
        };
        Ok(MatrixRows {
            label: label.to_owned(),
            ids: None,
            columns: columns as usize,
            rows: rows as usize,
            element,
            start,
            file: reader.into_inner(),
            bytes: Vec::new(),
        })
    }

    /// Number of rows, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "there is always a row")]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Takes the names of the rows out of the matrix: its own, or `given` where it has none.
    pub fn take_ids(&mut self, given: Option<&[String]>) -> Result<Vec<String>, StageError> {
        name_rows(&self.label, self.ids.take(), given, self.rows)
    }

    /// Reads the given rows into `values`, `[row, column]`, in place of what was there.
    ///
    /// # Errors
    /// Names file and row of a value that is not a finite number.
    pub fn read(&mut self, rows: Range<usize>, values: &mut Vec<f64>) -> Result<(), StageError> {
        let Element { size, decode } = self.element;
        values.clear();
        values.reserve_exact(rows.len() * self.columns);
        let mut left = rows.len() * self.columns * size;
        let from = self.start + (rows.start * self.columns * size) as u64;
        let unreadable = |error| StageError::in_file(&self.label, format!("cannot be read: {error}"));
        self.file.seek(SeekFrom::Start(from)).map_err(unreadable)?;
        while left > 0 {
            self.bytes.resize(left.min(CHUNK), 0);
            self.file.read_exact(&mut self.bytes).map_err(unreadable)?;
            decode(&self.bytes, values);
            left -= self.bytes.len();
        }
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(at) => {
                let (at, what) = (rows.start * self.columns + at, format!("holds {}", values[at]));
                Err(at_value(&self.label, at, self.columns, &what)
                    .with_help("Every value must be a finite number; look at what made the matrix."))
            }
        }
    }
}

/// An error about the value at `at`, counted row by row; rows and columns are named from 1 on, and as NumPy would index
/// them.
pub(crate) fn at_value(label: &str, at: usize, columns: usize, what: &str) -> StageError {
    let (row, column) = (at / columns, at % columns);
    StageError::at_row(label, row as u64 + 1, format!("column {} (at [{row}, {column}]) {what}", column + 1))
}

/// The names of `rows` rows of the matrix called `label`: its own, or `given` where it has none.
///
/// # Errors
/// If there are no names, or not as many as there are rows.
pub(crate) fn name_rows(
    label: &str,
    own: Option<Vec<String>>,
    given: Option<&[String]>,
    rows: usize,
) -> Result<Vec<String>, StageError> {
    let Some(ids) = own.or_else(|| given.map(<[String]>::to_vec)) else {
        return Err(StageError::in_file(label, "the matrix has no ids")
            .with_help("Give a table whose column `Id` names the rows in order."));
    };
    if ids.len() != rows {
        let message = format!("the matrix has {rows} rows, but there are {} ids", ids.len());
        return Err(StageError::in_file(label, message));
    }
    Ok(ids)
}
