//! Messages about failures of a remote cache: each kind is reported once.

use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};
use std::sync::{Mutex, PoisonError};

use athanor_remote::{FailureKind, RemoteError};

/// Kinds of failure that were reported.
#[derive(Default)]
pub(super) struct Reported(Mutex<HashSet<Discriminant<FailureKind>>>);

impl Reported {
    /// The line about an error; `None` if one like it was reported.
    pub(super) fn line(&self, error: &RemoteError, consequence: &str) -> Option<String> {
        if matches!(error, RemoteError::Stopped | RemoteError::Paused { .. }) {
            return None;
        }
        // Errors of the local cache count as one kind, too.
        let kind = discriminant(&error.kind().unwrap_or(FailureKind::Other));
        let is_news = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(kind);
        is_news.then(|| format!("{error} {consequence}"))
    }
}
