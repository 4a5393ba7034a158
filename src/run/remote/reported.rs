//! Messages about a remote cache: each kind of failure is reported once.

use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};
use std::sync::{Mutex, PoisonError};

use athanor_remote::{FailureKind, RemoteError};
use athanor_stages::secrets::mask;

use crate::view::text::count;

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
        // Object stores are asked at addresses that may let somebody in.
        is_news.then(|| mask(&format!("{error} {consequence}")).into_owned())
    }
}

/// The line about results of which a remote cache has other bytes, which a push leaves as they are.
pub(crate) fn differing(number: usize, address: &str) -> String {
    let (is, stays) = if number == 1 { ("is", "stays") } else { ("are", "stay") };
    format!(
        "{} {is} at {address} already, with other bytes for the same work, and {stays} as before",
        count(number, "result")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_and_without_secrets() {
        let of = |kind| RemoteError::Storage {
            kind,
            address: "az://lab/team".to_owned(),
            what: "failed: GET https://lab.host/team/x?sv=1&sig=s3cr3t in 1ms.".to_owned(),
        };
        let reported = Reported::default();
        let first = reported.line(&of(FailureKind::Denied), "So it is.").unwrap();
        let told =
            "The remote cache az://lab/team failed: GET https://lab.host/team/x?sv=***&sig=*** in 1ms. So it is.";
        assert_eq!(first, told);
        assert_eq!(reported.line(&of(FailureKind::Denied), "So it is."), None);
        assert!(reported.line(&of(FailureKind::Busy), "So it is.").is_some());
        assert_eq!(reported.line(&RemoteError::Stopped, ""), None);
    }

    #[test]
    fn results_with_other_bytes_are_counted() {
        let all = [1, 2].map(|number| differing(number, "file:///mnt/team")).join("\n");
        insta::assert_snapshot!(all, @"
        1 result is at file:///mnt/team already, with other bytes for the same work, and stays as before
        2 results are at file:///mnt/team already, with other bytes for the same work, and stay as before
        ");
    }
}
