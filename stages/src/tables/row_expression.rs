//! Expressions over the cells of a row, in the language of `${{ }}`.

use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Expression, State, UndefinedBehavior, Value, filters};

use super::column_type::{ColumnType, number};
use super::expression_check::mistake;
use super::expression_names::{columns, unknown_name};
use crate::artifact::table::Table;
use crate::error::StageError;

/// Whether an expression can be read, and knows its filters, tests and functions; else why not.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let environment = environment();
    environment.compile_expression(text).map_err(|error| explain(&error))?;
    unknown_name(&environment, text).map_or(Ok(()), |unknown| Err(format!("`{text}`: {unknown}")))
}

/// The language, in which a name that is no column's is a mistake.
pub(crate) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Class numbers are split in the same way whether a column holds several in a cell or, by chance, one in each.
    environment.add_filter("split", split);
    environment.add_filter("float", float);
    environment.add_filter("int", int);
    environment.add_filter("bool", truth);
    environment
}

/// The engine's `float`, for which NaN is no number: the engine takes it for larger than all others, and for pandas it is a cell without
/// a value.
fn float(state: &State<'_, '_>, value: &Value, default: Option<Value>, named: Kwargs) -> Result<Value, Error> {
    let converted = |value: &Value| filters::float(state, value, default, named);
    converted(&without(value, f64::is_nan)).map_err(|error| no_number(value, "float", error))
}

/// The engine's `int`, for which there are no whole numbers of NaN and infinity, as in Python.
fn int(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    named: Kwargs,
) -> Result<Value, Error> {
    let converted = |value: &Value| filters::int(state, value, default, base, named);
    converted(&without(value, |number| !number.is_finite())).map_err(|error| no_number(value, "int", error))
}

/// A value, or a text that is no number in the place of one that is `odd`.
fn without(value: &Value, odd: impl Fn(f64) -> bool) -> Value {
    let number = value.as_str().and_then(|text| text.parse::<f64>().ok());
    if number.is_some_and(odd) { Value::from("") } else { value.clone() }
}

/// The engine's error about a text, with the text and the way out.
fn no_number(value: &Value, filter: &str, error: Error) -> Error {
    let Some(text) = value.as_str() else { return error };
    let what = if text.is_empty() { "an empty cell".to_owned() } else { format!("`{text}`") };
    let message = format!("{what} is no number; `|{filter}(0)` takes 0 in its place");
    Error::new(ErrorKind::InvalidOperation, message)
}

/// The engine's `bool` of all but text, of which any would be true.
fn truth(state: &State<'_, '_>, value: &Value) -> Result<bool, Error> {
    match value.as_str() {
        None => filters::bool(state, value),
        Some(text) => {
            let message =
                format!("`{text}` is text, which is neither true nor false: compare it, as in `… == \"True\"`");
            Err(Error::new(ErrorKind::InvalidOperation, message))
        }
    }
}

/// The engine's `split`, of numbers too.
fn split(value: Value, separator: Option<Arc<str>>, most: Option<i64>) -> Result<Value, Error> {
    let text = if value.is_number() { Value::from(value.to_string()) } else { value };
    filters::split(&text, separator, most)
}

/// The engine's message without its own names for places.
fn explain(error: &minijinja::Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    format!("this is no expression that can be computed: {detail}")
}

/// Advice for a value that is not one text.
const AS_TEXT: &str =
    "A cell is a text, a number or a truth value: write `|join(\" \")` for a list, or `|first` for one of it.";

/// A value as a cell: nothing if there is none, as pandas writes it.
fn cell(value: &Value) -> Result<String, &'static str> {
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => Ok(String::new()),
        ValueKind::Seq | ValueKind::Iterable => Err("a list"),
        ValueKind::Map => Err("a mapping"),
        _ => Ok(value.to_string()),
    }
}

/// Expressions for the rows of a table.
pub(crate) struct RowExpressions<'e> {
    keep: Option<Expression<'e, 'static>>,
    set: Vec<(&'e str, Expression<'e, 'static>)>,
    /// Of the table's columns, those that hold numbers.
    is_number: Vec<bool>,
}

impl<'e> RowExpressions<'e> {
    /// Reads the expression for rows of `table` that are kept and those for columns.
    ///
    /// # Errors
    /// An expression that cannot be read, that names a column which is not there, or that compares text with numbers.
    pub(crate) fn new(
        environment: &'e Environment<'static>,
        table: &Table,
        keep: Option<&str>,
        set: &'e IndexMap<String, String>,
    ) -> Result<RowExpressions<'e>, StageError> {
        // By their syntax, since a row may not come to a name, and a table may have no rows.
        for name in keep.into_iter().chain(set.values().map(String::as_str)).flat_map(|text| columns(environment, text))
        {
            table.column(&name)?;
        }
        let types = ColumnType::of(table);
        let column = |name: &str| table.find(name).and_then(|at| types.get(at));
        let conditions = keep.into_iter().map(|text| (text, true));
        let mut all = conditions.chain(set.values().map(|text| (text.as_str(), false)));
        if let Some(found) = all.find_map(|(text, is_condition)| mistake(text, is_condition, &column)) {
            return Err(StageError::in_file(&table.label, found.message).with_help(found.help));
        }
        let read = |text: &str| {
            let read = environment.compile_expression_owned(text.to_owned());
            read.map_err(|error| StageError::mismatch(format!("`{text}`: {}", explain(&error))))
        };
        let set = set.iter().map(|(name, text)| Ok((name.as_str(), read(text)?))).collect::<Result<_, StageError>>()?;
        let is_number = types.iter().map(|kind| *kind == ColumnType::Numbers).collect();
        Ok(RowExpressions { keep: keep.map(read).transpose()?, set, is_number })
    }

    /// The columns of a row that are set, if the row is kept.
    ///
    /// # Errors
    /// Names the row of an expression that cannot be computed for it.
    pub(crate) fn of(&self, table: &Table, row: usize) -> Result<Option<Vec<(&'e str, String)>>, StageError> {
        let values = table.row(row).map(str::trim).zip(&self.is_number).map(|(cell, is_number)| {
            let number = if *is_number { number(cell) } else { None };
            number.unwrap_or_else(|| Value::from(cell))
        });
        let cells: Vec<(&str, Value)> = table.header().iter().map(String::as_str).zip(values).collect();
        let row_of_all = Value::from_pairs(cells.clone());
        let scope = Value::from_pairs(cells.into_iter().chain([("row", row_of_all)]));
        let compute = |expression: &Expression<'_, '_>| {
            expression.eval(&scope).map_err(|error| table.error(row, explain(&error)).with_help(self.columns(table)))
        };
        if let Some(keep) = &self.keep
            && !compute(keep)?.is_true()
        {
            return Ok(None);
        }
        let set = self.set.iter().map(|(name, expression)| {
            let cell = cell(&compute(expression)?);
            Ok((*name, cell.map_err(|what| table.error(row, format!("`{name}` is set to {what}")).with_help(AS_TEXT))?))
        });
        Ok(Some(set.collect::<Result<_, StageError>>()?))
    }

    /// The columns, and which of them hold numbers.
    fn columns(&self, table: &Table) -> String {
        let all = table.header().iter();
        let numbers: Vec<&str> =
            all.zip(&self.is_number).filter(|(_, is_number)| **is_number).map(|(name, _)| name.as_str()).collect();
        let of_numbers = match numbers.as_slice() {
            [] => String::new(),
            numbers => format!(" Numbers, of which `|string` makes text: `{}`.", numbers.join("`, `")),
        };
        format!("The columns are `{}`.{of_numbers}", table.header().join("`, `"))
    }
}
