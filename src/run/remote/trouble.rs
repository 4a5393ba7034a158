//! Messages about trouble with a remote cache: each kind of it is told once.

use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};
use std::sync::{Mutex, PoisonError};

use athanor_remote::{RemoteError, Trouble};

/// Kinds of trouble that were told.
#[derive(Default)]
pub(super) struct Told(Mutex<HashSet<Discriminant<Trouble>>>);

impl Told {
    /// The line about an error; `None` if one like it was told.
    pub(super) fn line(&self, error: &RemoteError, consequence: &str) -> Option<String> {
        if matches!(error, RemoteError::Stopped | RemoteError::Paused { .. }) {
            return None;
        }
        // Errors of the local cache count as one kind, too.
        let kind = discriminant(&error.trouble().unwrap_or(Trouble::Other));
        let is_news = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(kind);
        is_news.then(|| format!("{error} {consequence}"))
    }
}
