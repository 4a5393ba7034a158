//! Types of the columns of a table in expressions, as pandas tells them by the cells.

use minijinja::Value;

use crate::artifact::table::Table;

/// The type of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ColumnType {
    /// Every cell is a number that is written as it is printed: not `007`, `0.50`, `1e5` or nothing.
    Numbers,
    /// Anything else, `True` and `False` among them; the first cell that is no such number, and its line.
    Text {
        /// The cell.
        cell: String,
        /// Its line in the file.
        line: u64,
        /// The word for true, if cells hold words for true and false, or nothing.
        truth: Option<&'static str>,
    },
}

/// The number in a cell, if it is printed as it is written.
pub(crate) fn number(cell: &str) -> Option<Value> {
    if !cell.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
        return None;
    }
    let whole = cell.parse::<i64>().ok().map(Value::from);
    let value = whole.or_else(|| cell.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from))?;
    (value.to_string() == cell).then_some(value)
}

/// The word for true of cells that hold words for true and false alone, or nothing.
fn truth<'c>(cells: impl Iterator<Item = &'c str>) -> Option<&'static str> {
    let word = |cell: &str| match cell {
        "True" | "False" => Some("True"),
        "TRUE" | "FALSE" => Some("TRUE"),
        "true" | "false" => Some("true"),
        _ => None,
    };
    let words = cells.filter(|cell| !cell.is_empty()).map(word);
    words.collect::<Option<Vec<_>>>()?.first().copied()
}

impl ColumnType {
    /// The types of the columns of a table, in order; none for a table without rows.
    pub(crate) fn of(table: &Table) -> Vec<ColumnType> {
        let odd = |column: usize| (0..table.len()).find(|row| number(table.cell(*row, column).trim()).is_none());
        let of = |column: usize| match odd(column) {
            Some(row) => ColumnType::Text {
                cell: table.cell(row, column).to_owned(),
                line: table.line(row),
                truth: truth((0..table.len()).map(|row| table.cell(row, column).trim())),
            },
            None => ColumnType::Numbers,
        };
        if table.is_empty() { Vec::new() } else { (0..table.header().len()).map(of).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_they_are_written() {
        for cell in ["0", "-3", "2018", "0.5", "-0.25", "9223372036854775807", "1.0"] {
            assert_eq!(number(cell).map(|value| value.to_string()).as_deref(), Some(cell));
        }
        for cell in ["", "007", "0.50", "1e5", "+1", "1_000", "nan", "inf", "-", "-0", ".5", "1.", " 1", "0x1"] {
            assert_eq!(number(cell), None, "{cell}");
        }
    }
}
