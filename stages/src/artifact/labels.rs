//! Multi-label targets: class numbers separated by spaces.

use crate::artifact::table::Table;
use crate::error::StageError;

pub use athanor_images::synthetic::{HPA_CLASS_NAMES, HPA_CLASSES};

/// The classes of one row, ascending, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(Vec<usize>);

impl Target {
    /// The given classes.
    pub fn new(classes: impl IntoIterator<Item = usize>) -> Target {
        let mut classes: Vec<usize> = classes.into_iter().collect();
        classes.sort_unstable();
        classes.dedup();
        Target(classes)
    }

    /// The classes, ascending.
    pub fn classes(&self) -> &[usize] {
        &self.0
    }

    /// Whether the row has the class.
    pub fn has(&self, class: usize) -> bool {
        self.0.binary_search(&class).is_ok()
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let classes: Vec<String> = self.0.iter().map(usize::to_string).collect();
        formatter.write_str(&classes.join(" "))
    }
}

/// Problem of a cell of class numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetProblem {
    message: String,
    help: &'static str,
}

impl TargetProblem {
    /// The problem as an error about a row.
    pub fn at(self, table: &Table, row: usize) -> StageError {
        table.error(row, self.message).with_help(self.help)
    }
}

/// Reads one cell of class numbers; the error says what is wrong.
pub fn parse_target(cell: &str, classes: usize) -> Result<Target, TargetProblem> {
    const MORE: &str = "Where there are more classes, raise the parameter that says how many, or give predictions of as many; else correct the row.";
    const NAMES: &str = "`label_table` makes numbers of the names of classes.";
    let problem = |message: String, help| Err(TargetProblem { message, help });
    let numbers = cell.split_whitespace().map(|word| match word.parse::<usize>() {
        Ok(number) if number < classes => Ok(number),
        Ok(number) => problem(format!("there is no class {number}: classes go from 0 to {}", classes - 1), MORE),
        Err(_) => problem(format!("`{word}` is no class number: a target is class numbers separated by spaces"), NAMES),
    });
    Ok(Target::new(numbers.collect::<Result<Vec<_>, _>>()?))
}

/// Ids and targets of a table, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    /// The ids, each once.
    pub ids: Vec<String>,
    /// Their targets; an empty one is a row without a class.
    pub targets: Vec<Target>,
}

impl Labels {
    /// Reads the columns `Id` and `Target`.
    pub fn of(table: &Table, classes: usize) -> Result<Labels, StageError> {
        table.require_rows()?;
        let ids = table.unique_ids("Id")?;
        let targets = targets_of(table, "Target", classes)?;
        Ok(Labels { ids, targets })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Number of rows with each class.
    pub fn counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        self.targets.iter().flat_map(Target::classes).for_each(|class| counts[*class] += 1);
        counts
    }
}

/// The targets in a column; an empty one is a row without a class.
pub fn targets_of(table: &Table, column: &str, classes: usize) -> Result<Vec<Target>, StageError> {
    let at = table.column(column)?;
    let read = |row: usize| parse_target(table.cell(row, at), classes).map_err(|problem| problem.at(table, row));
    (0..table.len()).map(read).collect()
}

/// The targets in a column of predictions, each of which has a class.
pub fn predictions_of(table: &Table, column: &str, classes: usize) -> Result<Vec<Target>, StageError> {
    let targets = targets_of(table, column, classes)?;
    match targets.iter().position(|target| target.classes().is_empty()) {
        Some(row) => Err(table.error(row, format!("`{column}` is empty"))),
        None => Ok(targets),
    }
}

/// Names of the classes in a table as `label_table` writes it: the columns from `Target` to `External`, if they are as many as
/// there are classes.
pub fn class_names(table: &Table, classes: usize) -> Option<&[String]> {
    let (first, end) = (table.find("Target")? + 1, table.find("External")?);
    table.header().get(first..end).filter(|names| names.len() == classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_come_with_advice() {
        let told = |cell: &str| parse_target(cell, 3).unwrap_err();
        assert_eq!(told("0 3").message, "there is no class 3: classes go from 0 to 2");
        assert!(told("0 3").help.contains("raise the parameter"));
        assert_eq!(told("cat").help, "`label_table` makes numbers of the names of classes.");
        assert_eq!(parse_target("2 0 2", 3), Ok(Target::new([0, 2])));
    }
}
