//! `files(PATTERN)` in expressions: lists of the project's files, which are looked up outside and handed in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::Rest;
use minijinja::{Environment, Error, ErrorKind, Value};

/// Name of the function.
pub(crate) const FUNCTION: &str = "files";

/// Lists of files by pattern, and the patterns that were asked for and are not among them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listings {
    /// A list, or the reason why there is none.
    known: Arc<BTreeMap<String, Result<Value, String>>>,
    lacking: Arc<Mutex<BTreeSet<String>>>,
}

impl Listings {
    /// These lists.
    pub(crate) fn new<'l>(lists: impl IntoIterator<Item = (&'l String, &'l Result<Vec<String>, String>)>) -> Listings {
        let value = |list: &Result<Vec<String>, String>| list.clone().map(Value::from);
        let known = lists.into_iter().map(|(pattern, list)| (pattern.clone(), value(list)));
        Listings { known: Arc::new(known.collect()), lacking: Arc::default() }
    }

    /// Patterns that were asked for in vain, sorted.
    pub(crate) fn lacking(&self) -> Vec<String> {
        self.lacking.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn get(&self, pattern: &str) -> Result<Value, Error> {
        let wrong = |message: String| Error::new(ErrorKind::InvalidOperation, message);
        match self.known.get(pattern) {
            Some(list) => list.clone().map_err(wrong),
            None => {
                self.lacking.lock().unwrap_or_else(PoisonError::into_inner).insert(pattern.to_owned());
                Err(wrong(format!("the files that fit `{pattern}` are not known here")))
            }
        }
    }
}

/// Makes the function known to `environment`.
pub(super) fn provide(environment: &mut Environment<'static>, listings: &Listings) {
    let listings = listings.clone();
    environment.add_function(FUNCTION, move |arguments: Rest<Value>| match arguments.as_slice() {
        [pattern] if pattern.as_str().is_some() => listings.get(pattern.as_str().unwrap_or_default()),
        _ => {
            let message = "`files()` takes one pattern, as text, such as `files('raw/*.txt')`";
            Err(Error::new(ErrorKind::InvalidOperation, message))
        }
    });
}
