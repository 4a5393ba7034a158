//! Rows of a matrix read from its file a block at a time, for stages that must not hold a whole matrix.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use athanor_fetch::sniff::describe;
use athanor_images::file_type::FileType;

use super::matrix_element::{Element, refusal};
use super::npy_header::{HeaderProblem, NpyHeader, ValueKind};
use crate::error::StageError;
use crate::words::counted;

/// Advice for a file that lacks its end.
const CUT_SHORT: &str = "The file is cut short; make it again.";

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// An open `.npy` file of real numbers and two dimensions.
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
    /// Whether columns lie one after the other, and not rows.
    by_column: bool,
    /// Offset of the first value in the file.
    start: u64,
    file: File,
    bytes: Vec<u8>,
}

impl MatrixRows {
    /// Opens a bare `.npy` file and reads its header.
    ///
    /// # Errors
    /// Names the file if it is no `.npy`, is not a matrix of real numbers, has no values, or is shorter than its header says.
    pub fn open(path: &Path, label: &str) -> Result<MatrixRows, StageError> {
        let wrong = |message: String, help: &str| StageError::in_file(label, message).with_help(help);
        let unreadable = |error: std::io::Error| StageError::unreadable(label, &error);
        let file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        if bytes == 0 {
            return Err(wrong("the file is empty".to_owned(), CUT_SHORT));
        }
        let mut reader = BufReader::new(file);
        let header = NpyHeader::read(&mut reader).map_err(unreadable)?.map_err(|problem| match problem {
            HeaderProblem::OtherFormat => {
                let (message, help) = no_npy(&head(path));
                wrong(message, help)
            }
            HeaderProblem::CutShort => wrong("the file ends within its header".to_owned(), CUT_SHORT),
            HeaderProblem::TooMany(message) => wrong(message, CUT_SHORT),
            HeaderProblem::Damaged(message) => wrong(message, "Save it again: `numpy.save(file, array)`."),
        })?;
        // Before the shape, of which fields are no part.
        let element = match &header.kind {
            ValueKind::Plain(kind) => Element::of(kind),
            ValueKind::Fields | ValueKind::Unknown(_) => None,
        };
        let element = element.ok_or_else(|| {
            let (message, help) = refusal(&header.kind);
            wrong(message, &help)
        })?;
        let [rows, columns] = *header.shape else {
            let dimensions = header.shape.len();
            let message = format!("the array has {}, but a matrix has 2", counted(dimensions, "dimension"));
            let rows = if dimensions == 0 { "array.reshape(1, 1)" } else { "array.reshape(len(array), -1)" };
            return Err(wrong(message, &format!("Save rows of columns: `numpy.save(file, {rows})`.")));
        };
        let size = element.size;
        // A false header must not cause an allocation larger than the file.
        let fits = |needed: u64| needed <= bytes.saturating_sub(header.start) && usize::try_from(needed).is_ok();
        if !rows.checked_mul(columns).and_then(|count| count.checked_mul(size as u64)).is_some_and(fits) {
            let message = format!("the header promises {rows} x {columns} values, but the file is shorter");
            return Err(wrong(message, CUT_SHORT));
        }
        if rows == 0 || columns == 0 {
            let message = format!("the array is empty: {rows} x {columns}");
            return Err(wrong(message, "A matrix has at least a row and a column; look at what made it."));
        }
        Ok(MatrixRows {
            label: label.to_owned(),
            ids: None,
            columns: columns as usize,
            rows: rows as usize,
            element,
            by_column: header.fortran_order,
            start: header.start,
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
        values.clear();
        values.reserve_exact(rows.len() * self.columns);
        if self.by_column {
            let mut column = Vec::new();
            values.resize(rows.len() * self.columns, 0.0);
            for at in 0..self.columns {
                column.clear();
                self.read_run(at * self.rows + rows.start, rows.len(), &mut column)?;
                let places = values.iter_mut().skip(at).step_by(self.columns);
                places.zip(&column).for_each(|(place, value)| *place = *value);
            }
        } else {
            self.read_run(rows.start * self.columns, rows.len() * self.columns, values)?;
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

    /// Appends `count` values that lie one after the other in the file, from the value number `first` on.
    fn read_run(&mut self, first: usize, count: usize, values: &mut Vec<f64>) -> Result<(), StageError> {
        let Element { size, decode } = self.element;
        let mut left = count * size;
        let unreadable = |error| StageError::unreadable(&self.label, &error);
        self.file.seek(SeekFrom::Start(self.start + (first * size) as u64)).map_err(unreadable)?;
        while left > 0 {
            self.bytes.resize(left.min(CHUNK), 0);
            self.file.read_exact(&mut self.bytes).map_err(unreadable)?;
            decode(&self.bytes, values);
            left -= self.bytes.len();
        }
        Ok(())
    }
}

/// The first bytes of a file; none of one that cannot be read any more.
fn head(path: &Path) -> Vec<u8> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FileType::HEAD as u64).read_to_end(&mut head));
    read.map_or_else(|_| Vec::new(), |_| head)
}

/// The problem of a file that is no `.npy`, by its first bytes, and what to do.
fn no_npy(head: &[u8]) -> (String, &'static str) {
    match FileType::of(head) {
        FileType::Zip | FileType::EmptyZip => (
            "is no .npy file, but a zip archive, as .npz files are".to_owned(),
            "Save one array of it: `numpy.save(\"x.npy\", numpy.load(\"x.npz\")[\"name\"])`.",
        ),
        _ => (format!("is no .npy file, but {}", describe(head)), "Save the array with `numpy.save`."),
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
        let (rows, are) = (counted(rows, "row"), if ids.len() == 1 { "is" } else { "are" });
        let message = format!("the matrix has {rows}, but there {are} {}", counted(ids.len(), "id"));
        return Err(StageError::in_file(label, message).with_help("Each row needs one id, in the order of the rows."));
    }
    Ok(ids)
}
