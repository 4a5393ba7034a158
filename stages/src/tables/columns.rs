//! Parameters that name columns.

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
    names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)).map(|(_, name)| name.as_str())
}
