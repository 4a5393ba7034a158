//! Tables: CSV files with a header row.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::ArtifactType;
use crate::artifact::table_bytes::{Lines, refuse_excel_line, refuse_open_quotes, refuse_other_types};
use crate::artifact::table_header::missing_column;
use crate::error::StageError;
use crate::ports::{InputFile, InputValue, OutputValue};
use crate::words::counted;

/// A table to be read.
#[derive(Debug, Clone)]
pub struct TableInput(pub InputFile);

impl InputValue for TableInput {
    const TYPE: ArtifactType = ArtifactType::Table;
    fn from_file(file: InputFile) -> Self {
        TableInput(file)
    }
}

/// A table to be written.
#[derive(Debug, Clone)]
pub struct TableOutput(PathBuf);

impl OutputValue for TableOutput {
    const TYPE: ArtifactType = ArtifactType::Table;
    fn from_path(path: PathBuf) -> Self {
        TableOutput(path)
    }
    fn path(&self) -> &Path {
        &self.0
    }
}

/// Character between the cells of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delimiter {
    /// The comma; where the header has none, a semicolon or a tab that it has.
    #[default]
    Auto,
    /// The comma.
    #[serde(alias = ",")]
    Comma,
    /// The semicolon.
    #[serde(alias = ";")]
    Semicolon,
    /// The tab.
    #[serde(alias = "\t")]
    Tab,
}

/// A table in memory: every cell is text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Name of the file in messages.
    pub label: String,
    header: Vec<String>,
    rows: Vec<csv::StringRecord>,
    lines: Vec<u64>,
}

impl TableInput {
    /// Reads the whole table. A byte-order mark and CRLF line ends are taken as if they were not there.
    ///
    /// # Errors
    /// Names file and line for bytes that are not UTF-8, a quote that is never closed, rows with more or fewer cells than the
    /// header, and an empty file; and another type of file.
    pub fn read(&self) -> Result<Table, StageError> {
        self.read_with(Delimiter::Comma)
    }

    /// The same for a table of another program, which may separate cells otherwise.
    ///
    /// # Errors
    /// As [`TableInput::read`].
    pub fn read_with(&self, delimiter: Delimiter) -> Result<Table, StageError> {
        let InputFile { path, label } = &self.0;
        let bytes = std::fs::read(path).map_err(|error| StageError::unreadable(label, &error))?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf".as_slice()).unwrap_or(&bytes);
        refuse_other_types(label, bytes)?;
        refuse_excel_line(label, bytes)?;
        let delimiter = delimiter.of(bytes);
        refuse_open_quotes(label, bytes, delimiter)?;
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(false).from_reader(bytes);
        let header = reader
            .headers()
            .map_err(|error| explain(label, &error, Lines::new(bytes)))?
            .iter()
            .map(|cell| cell.trim().to_owned());
        let header: Vec<String> = header.collect();
        if header.is_empty() {
            return Err(StageError::in_file(label, "the file is empty").with_help("A table starts with a header row."));
        }
        let (mut rows, mut lines, mut all_lines) = (Vec::new(), Vec::new(), Lines::new(bytes));
        for row in reader.records() {
            let row = row.map_err(|error| explain(label, &error, Lines::new(bytes)))?;
            lines.push(row.position().map_or(0, |position| line_of(position, &mut all_lines)));
            rows.push(row);
        }
        Ok(Table { label: label.clone(), header, rows, lines })
    }
}

impl Delimiter {
    /// The byte that separates the cells of these tables.
    fn of(self, table: &[u8]) -> u8 {
        match self {
            Delimiter::Comma => b',',
            Delimiter::Semicolon => b';',
            Delimiter::Tab => b'\t',
            Delimiter::Auto => {
                let mut reader = csv::ReaderBuilder::new().from_reader(table);
                let header = reader.byte_headers().ok().filter(|header| header.len() == 1);
                let only = header.and_then(|header| header.get(0)).unwrap_or_default();
                [b';', b'\t'].into_iter().find(|byte| only.contains(byte)).unwrap_or(b',')
            }
        }
    }
}

/// The line in which a row of that position starts.
fn line_of(position: &csv::Position, lines: &mut Lines<'_>) -> u64 {
    lines.line_of_row(usize::try_from(position.byte()).unwrap_or(usize::MAX))
}

fn explain(label: &str, error: &csv::Error, mut lines: Lines<'_>) -> StageError {
    let line = error.position().map(|position| line_of(position, &mut lines));
    let (message, help) = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => (
            format!("the row has {}, but the header has {expected_len}", counted(*len as usize, "cell")),
            "Look for a missing or an extra comma; a cell that holds a comma needs double quotes around it.",
        ),
        csv::ErrorKind::Utf8 { .. } => ("the row is not UTF-8 text".to_owned(), "Save the file as UTF-8."),
        _ => (error.to_string(), "The file must be CSV with a header row."),
    };
    let error = match line {
        Some(line) => StageError::at_row(label, line, message),
        None => StageError::in_file(label, message),
    };
    error.with_help(help)
}

impl Table {
    /// Number of rows, the header not counted.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is nothing but the header.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Names of the columns.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// The position of a column, if the table has it.
    pub fn find(&self, column: &str) -> Option<usize> {
        self.header.iter().position(|name| name == column)
    }

    /// The position of a column that the table must have.
    pub fn column(&self, column: &str) -> Result<usize, StageError> {
        if self.header.iter().filter(|name| *name == column).count() > 1 {
            let message = format!("the column `{column}` is there more than once");
            return Err(StageError::at_row(&self.label, 1, message).with_help("Take the wrong one out, or rename it."));
        }
        self.find(column).ok_or_else(|| missing_column(&self.label, &self.header, column))
    }

    /// The positions of columns that the table must have, in the order of the names. There may be thousands, as of the classes of
    /// a label table, so that the header is gone through once for all of them.
    pub fn columns<S: AsRef<str>>(&self, names: &[S]) -> Result<Vec<usize>, StageError> {
        let mut places: HashMap<&str, Option<usize>> = HashMap::with_capacity(self.header.len());
        for (at, name) in self.header.iter().enumerate() {
            places.entry(name).and_modify(|place| *place = None).or_insert(Some(at));
        }
        let place = |name: &str| places.get(name).copied().flatten().map_or_else(|| self.column(name), Ok);
        names.iter().map(|name| place(name.as_ref())).collect()
    }

    /// A cell.
    pub fn cell(&self, row: usize, column: usize) -> &str {
        self.rows.get(row).and_then(|cells| cells.get(column)).unwrap_or_default()
    }

    /// All cells of a row.
    pub fn row(&self, row: usize) -> impl Iterator<Item = &str> {
        self.rows[row].iter()
    }

    /// The line of the file that a row starts in.
    pub fn line(&self, row: usize) -> u64 {
        self.lines.get(row).copied().unwrap_or(0)
    }

    /// An error about a row.
    pub fn error(&self, row: usize, message: impl Into<String>) -> StageError {
        StageError::at_row(&self.label, self.line(row), message)
    }

    /// Fails for a table without rows.
    pub fn require_rows(&self) -> Result<(), StageError> {
        if !self.is_empty() {
            return Ok(());
        }
        let help = "There is nothing below its header; look at what made it.";
        Err(StageError::in_file(&self.label, "the table has no rows").with_help(help))
    }

    /// An id as it stands in a row. One with blanks around it is an error: it would be another id than without them.
    pub(crate) fn id(&self, row: usize, column: usize) -> Result<&str, StageError> {
        let id = self.cell(row, column);
        if id.trim().len() == id.len() {
            return Ok(id);
        }
        let error = self.error(row, format!("the id `{id}` has blanks around it"));
        Err(error.with_help("Take them out; `label_table` does so."))
    }

    /// The ids in `column`, in order; an empty or repeated one is an error, and one with blanks around it.
    pub fn unique_ids(&self, column: &str) -> Result<Vec<String>, StageError> {
        let at = self.column(column)?;
        let mut seen: HashMap<&str, usize> = HashMap::with_capacity(self.len());
        for row in 0..self.len() {
            let id = self.id(row, at)?;
            if id.is_empty() {
                let help = "Each row needs one; spreadsheets leave rows of commas behind, which can be taken out.";
                return Err(self.error(row, format!("`{column}` is empty")).with_help(help));
            }
            if let Some(first) = seen.insert(id, row) {
                let line = self.lines[first];
                let help = "An id names one row: take one of the two out, or give them different ids.";
                return Err(self.error(row, format!("the id `{id}` stands in row {line} already")).with_help(help));
            }
        }
        Ok((0..self.len()).map(|row| self.cell(row, at).to_owned()).collect())
    }

    /// The first row of each id of `column`.
    pub fn index(&self, column: &str) -> Result<HashMap<&str, usize>, StageError> {
        let at = self.column(column)?;
        let mut index = HashMap::with_capacity(self.len());
        for row in 0..self.len() {
            index.entry(self.id(row, at)?).or_insert(row);
        }
        Ok(index)
    }
}

impl TableOutput {
    /// Writes a table with LF line ends.
    pub fn write<R, C>(&self, header: &[&str], rows: impl IntoIterator<Item = R>) -> Result<(), StageError>
    where
        R: IntoIterator<Item = C>,
        C: AsRef<[u8]>,
    {
        let failed = |error: csv::Error| StageError::io(&self.0)(error.into());
        let mut writer = csv::WriterBuilder::new().from_path(&self.0).map_err(failed)?;
        writer.write_record(header).map_err(failed)?;
        for row in rows {
            writer.write_record(row).map_err(failed)?;
        }
        writer.flush().map_err(StageError::io(&self.0))
    }

    /// Writes the given rows of `table`, all columns.
    pub fn write_rows(&self, table: &Table, rows: impl IntoIterator<Item = usize>) -> Result<(), StageError> {
        let header: Vec<&str> = table.header.iter().map(String::as_str).collect();
        self.write(&header, rows.into_iter().map(|row| table.row(row).collect::<Vec<_>>()))
    }
}
