//! Differences between a state dict and a model.

use std::collections::BTreeMap;
use std::fmt;

use super::StateDict;

/// Number of names in a message.
const NAMED: usize = 5;

/// A state dict that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Names that the model has and the state dict lacks.
    pub missing: Vec<String>,
    /// Names that the state dict has and the model lacks.
    pub extra: Vec<String>,
    /// Names whose shapes differ, with the shape wanted and the one found.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Mismatch {
    /// Compares a state dict with the names and shapes of a model.
    pub fn check(wanted: &BTreeMap<String, Vec<usize>>, found: &StateDict) -> Result<(), Mismatch> {
        let mut mismatch = Mismatch { missing: Vec::new(), extra: Vec::new(), misshapen: Vec::new() };
        for (name, shape) in wanted {
            match found.get(name) {
                None => mismatch.missing.push(name.clone()),
                Some(data) if data.shape().as_slice() != shape.as_slice() => {
                    mismatch.misshapen.push((name.clone(), shape.clone(), data.shape().to_vec()));
                }
                Some(_) => {}
            }
        }
        mismatch.extra.extend(found.keys().filter(|name| !wanted.contains_key(*name)).cloned());
        let fits = mismatch.missing.is_empty() && mismatch.extra.is_empty() && mismatch.misshapen.is_empty();
        if fits { Ok(()) } else { Err(mismatch) }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut entries = Vec::new();
        if !self.missing.is_empty() {
            entries.push(format!("lacks {}", a_few(quoted(&self.missing))));
        }
        if !self.extra.is_empty() {
            entries.push(format!("has {}, which the model has not", a_few(quoted(&self.extra))));
        }
        if !self.misshapen.is_empty() {
            let shapes = self.misshapen.iter();
            let shapes =
                shapes.map(|(name, wanted, found)| format!("`{name}` in shape {found:?} instead of {wanted:?}"));
            entries.push(format!("has {}", a_few(shapes)));
        }
        out.write_str(&entries.join("; "))
    }
}

impl std::error::Error for Mismatch {}

fn quoted(names: &[String]) -> impl ExactSizeIterator<Item = String> {
    names.iter().map(|name| format!("`{name}`"))
}

/// The first few, and how many more there are.
fn a_few(mut all: impl ExactSizeIterator<Item = String>) -> String {
    let shown: Vec<String> = all.by_ref().take(NAMED).collect();
    let more = all.len();
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{tail}", shown.join(", "))
}
