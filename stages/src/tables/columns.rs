//! Parameters that name columns.

use std::collections::HashSet;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One column or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected the name of a column, or a list of names")]
pub enum Columns {
    /// Name of one column.
    One(String),
    /// Names of several columns.
    Several(Vec<String>),
}

impl Columns {
    /// Their names.
    pub(crate) fn names(&self) -> &[String] {
        match self {
            Columns::One(name) => std::slice::from_ref(name),
            Columns::Several(names) => names,
        }
    }
}

/// The columns by which the rows of two tables belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected the name of a column, a list of names, or a mapping from columns to those of `other`"
)]
pub enum KeyColumns {
    /// Name of one column, which both tables have.
    One(String),
    /// Names of several columns, which both tables have.
    Several(Vec<String>),
    /// Names of columns in `table`, each with its name in `other`.
    Renamed(IndexMap<String, String>),
}

impl KeyColumns {
    /// The names in both tables.
    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        match self {
            KeyColumns::One(name) => vec![(name, name)],
            KeyColumns::Several(names) => names.iter().map(|name| (name.as_str(), name.as_str())).collect(),
            KeyColumns::Renamed(names) => names.iter().map(|(ours, theirs)| (ours.as_str(), theirs.as_str())).collect(),
        }
    }
}

/// The first name that is there twice.
pub(crate) fn first_repeated(names: &[String]) -> Option<&str> {
    let mut seen = HashSet::with_capacity(names.len());
    names.iter().map(String::as_str).find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::artifact::table::TableInput;
    use crate::ports::InputFile;

    #[test]
    fn columns_of_many_classes_are_found_in_linear_time() {
        // Comparing each name with each takes a minute.
        let begun = Instant::now();
        let mut names: Vec<String> = (0..50_000).map(|number| format!("class {number:06}")).collect();
        assert_eq!(first_repeated(&names), None);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, names.join(",") + "\n").unwrap();
        let table = TableInput(InputFile { path, label: "t.csv".to_owned() }).read().unwrap();
        assert_eq!(table.columns(&names).unwrap(), (0..names.len()).collect::<Vec<_>>());
        names.push("class 000007".to_owned());
        assert_eq!(first_repeated(&names), Some("class 000007"));
        assert!(table.columns(&["none"]).unwrap_err().to_string().contains("there is no column `none`"));
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
