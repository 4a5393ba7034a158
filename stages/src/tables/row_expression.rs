//! Expressions over the cells of a row, in the language of `${{ }}`.

use indexmap::IndexMap;
use minijinja::{Environment, Expression, UndefinedBehavior, Value};

use crate::artifact::table::Table;
use crate::error::StageError;

/// Whether an expression can be read; else why not.
pub(crate) fn check(text: &str) -> Result<(), String> {
    environment().compile_expression(text).map(drop).map_err(|error| explain(&error))
}

/// The language, in which a name that is no column's is a mistake.
pub(crate) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
}

/// The engine's message without its own names for places.
fn explain(error: &minijinja::Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    format!("this is no expression that can be computed: {detail}")
}

/// Expressions for the rows of a table.
pub(crate) struct RowExpressions<'e> {
    keep: Option<Expression<'e, 'static>>,
    set: Vec<(&'e str, Expression<'e, 'static>)>,
}

impl<'e> RowExpressions<'e> {
    /// Reads the expression for rows that are kept and those for columns.
    ///
    /// # Errors
    /// An expression that cannot be read.
    pub(crate) fn new(
        environment: &'e Environment<'static>,
        keep: Option<&str>,
        set: &'e IndexMap<String, String>,
    ) -> Result<RowExpressions<'e>, StageError> {
        let read = |text: &str| {
            let read = environment.compile_expression_owned(text.to_owned());
            read.map_err(|error| StageError::mismatch(format!("`{text}`: {}", explain(&error))))
        };
        let set = set.iter().map(|(name, text)| Ok((name.as_str(), read(text)?))).collect::<Result<_, StageError>>()?;
        Ok(RowExpressions { keep: keep.map(read).transpose()?, set })
    }

    /// The columns of a row that are set, if the row is kept.
    ///
    /// # Errors
    /// Names the row of an expression that cannot be computed for it.
    pub(crate) fn of(&self, table: &Table, row: usize) -> Result<Option<Vec<(&'e str, String)>>, StageError> {
        let cells = table.header().iter().map(String::as_str).zip(table.row(row).map(str::trim));
        let cells: Vec<(&str, Value)> = cells.map(|(name, cell)| (name, Value::from(cell))).collect();
        let row_of_all = Value::from_pairs(cells.clone());
        let scope = Value::from_pairs(cells.into_iter().chain([("row", row_of_all)]));
        let compute = |expression: &Expression<'_, '_>| {
            expression.eval(&scope).map_err(|error| {
                let help = format!("The columns are `{}`.", table.header().join("`, `"));
                table.error(row, explain(&error)).with_help(help)
            })
        };
        if let Some(keep) = &self.keep
            && !compute(keep)?.is_true()
        {
            return Ok(None);
        }
        let set = self.set.iter().map(|(name, expression)| Ok((*name, compute(expression)?.to_string())));
        Ok(Some(set.collect::<Result<_, StageError>>()?))
    }
}
