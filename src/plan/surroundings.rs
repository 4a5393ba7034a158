//! Surroundings of a pipeline's text: files that it includes and lists of files, which are looked up outside and handed in.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::language::SourceText;

/// Everything besides texts and overrides that a plan is compiled from. Compilation reads no file: it names what is
/// [missing](SurroundingNames), and is repeated with that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Included files in the order in which they were asked for, by path below the pipeline file's folder; or the reason why
    /// one cannot be read.
    pub included: IndexMap<String, Result<SourceText, String>>,
    /// Files of the project that fit a pattern of `files()`, sorted; or the reason why there are none.
    pub listings: BTreeMap<String, Result<Vec<String>, String>>,
}

/// Names of surroundings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurroundingNames {
    /// Files to include, by path below the pipeline file's folder.
    pub included: Vec<String>,
    /// Patterns of `files()`.
    pub patterns: Vec<String>,
}

impl SurroundingNames {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.included.is_empty() && self.patterns.is_empty()
    }
}

impl Surroundings {
    /// Names of all that is here.
    pub fn names(&self) -> SurroundingNames {
        SurroundingNames {
            included: self.included.keys().cloned().collect(),
            patterns: self.listings.keys().cloned().collect(),
        }
    }

    /// Adds what is in `more`.
    pub fn extend(&mut self, more: Surroundings) {
        self.included.extend(more.included);
        self.listings.extend(more.listings);
    }

    /// The included texts, in order. One that cannot be read is empty, so that the others keep their numbers.
    pub(super) fn texts(&self) -> impl Iterator<Item = SourceText> {
        self.included.iter().map(|(path, text)| match text {
            Ok(text) => text.clone(),
            Err(_) => SourceText { name: path.clone(), text: String::new() },
        })
    }
}
