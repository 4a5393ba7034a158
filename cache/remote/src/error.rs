//! Errors of remote caches: what happened, where, and what to do.

use std::io;
use std::path::Path;

use athanor_cache::CacheError;

use crate::keys::{MARK, UNFINISHED};

/// Kind of a storage's failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// It does not answer, or not in time.
    Unreachable,
    /// It refuses this user.
    Denied,
    /// It asks to be left alone for a while.
    Busy,
    /// Nothing more fits.
    Full,
    /// It holds something else than it should.
    Damaged,
    /// Anything else.
    Other,
}

/// A failed operation on a remote cache. That it holds no result is none.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The storage failed.
    #[error("The remote cache {address} {what}")]
    Storage {
        /// Kind of failure.
        kind: FailureKind,
        /// Address of the remote cache.
        address: String,
        /// Failure and remedy: the rest of a sentence.
        what: String,
    },
    /// It failed before, and is not asked for a while.
    #[error("The remote cache {address} failed several times, and is not asked for a minute. Try again then.")]
    Paused {
        /// Address of the remote cache.
        address: String,
    },
    /// A state has links that anybody may have put there.
    #[error(
        "A state for the remote cache {address} has the link {link}, which may lead out of it. Such links move where states are sealed: \
         set `remote.key_file` on both machines, or replace the link by what it leads to."
    )]
    LinkOut {
        /// Address of the remote cache.
        address: String,
        /// The link and what it leads to.
        link: String,
    },
    /// Nobody waits for the outcome any more.
    #[error("The transfer was stopped.")]
    Stopped,
    /// The local cache refused.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl RemoteError {
    /// Kind of the storage's failure; `None` if it did not fail.
    pub fn kind(&self) -> Option<FailureKind> {
        match self {
            RemoteError::Storage { kind, .. } => Some(*kind),
            RemoteError::Paused { .. } => Some(FailureKind::Unreachable),
            RemoteError::LinkOut { .. } | RemoteError::Stopped | RemoteError::Cache(_) => None,
        }
    }
}

/// Failure of a storage, before it has an address.
#[derive(Debug)]
pub(crate) struct StorageError {
    pub(crate) kind: FailureKind,
    /// The rest of a sentence about the remote cache.
    pub(crate) what: String,
}

impl StorageError {
    pub(crate) fn new(kind: FailureKind, what: impl Into<String>) -> StorageError {
        StorageError { kind, what: what.into() }
    }

    /// Failure of the operating system.
    pub(crate) fn io(error: &io::Error) -> StorageError {
        StorageError::of_system("failed", error)
    }

    /// Failure of the operating system at a file or folder of the storage.
    pub(crate) fn io_at(path: &Path, error: &io::Error) -> StorageError {
        StorageError::of_system(&format!("failed at `{}`", path.display()), error)
    }

    fn of_system(begin: &str, error: &io::Error) -> StorageError {
        use io::ErrorKind as Kind;
        let (kind, advice) = match error.kind() {
            Kind::ReadOnlyFilesystem => (
                FailureKind::Denied,
                " It is mounted read-only: `remote.mode: read-only` uses results that are there and pushes none.",
            ),
            Kind::PermissionDenied => {
                (FailureKind::Denied, " You need permission to read there and, to push, to write there.")
            }
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => {
                (FailureKind::Full, " `athanor cache gc --remote` removes results that are no longer needed.")
            }
            Kind::TimedOut | Kind::BrokenPipe | Kind::StaleNetworkFileHandle | Kind::UnexpectedEof => {
                (FailureKind::Unreachable, " Is its server up?")
            }
            _ => (FailureKind::Other, ""),
        };
        StorageError::new(kind, format!("{begin}: {}.{advice}", system_error(error)))
    }

    /// Damage of what `key` holds; `what` is the rest of the sentence up to the key.
    pub(crate) fn damaged(key: &str, what: &str) -> StorageError {
        let is_state = key.split('/').next() == Some(UNFINISHED);
        let remedy = match key {
            MARK => "Remove that file: the next push writes it again.",
            _ if is_state => "`athanor cache push --unfinished`, on a machine that has the state, replaces it.",
            _ => "`athanor cache push --again`, on a machine that has the result, mends it.",
        };
        StorageError::new(FailureKind::Damaged, format!("{what}: `{key}`. {remedy}"))
    }

    pub(crate) fn at(self, address: &str) -> RemoteError {
        RemoteError::Storage { kind: self.kind, address: address.to_owned(), what: self.what }
    }
}

/// An error of the operating system without the path that `tempfile` adds to it, as code shows paths.
fn system_error(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" at path \"") {
        Some((begin, _)) if error.raw_os_error().is_none() => begin.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_told_with_its_place_and_a_remedy() {
        let of = |number| StorageError::io_at(Path::new("/mnt/team/tmp"), &io::Error::from_raw_os_error(number)).what;
        let all = [1, 13, 30, 28, 122, 116, 110, 5].map(of).join("\n");
        insta::assert_snapshot!(all, @"
        failed at `/mnt/team/tmp`: Operation not permitted (os error 1). You need permission to read there and, to push, to write there.
        failed at `/mnt/team/tmp`: Permission denied (os error 13). You need permission to read there and, to push, to write there.
        failed at `/mnt/team/tmp`: Read-only file system (os error 30). It is mounted read-only: `remote.mode: read-only` uses results that are there and pushes none.
        failed at `/mnt/team/tmp`: No space left on device (os error 28). `athanor cache gc --remote` removes results that are no longer needed.
        failed at `/mnt/team/tmp`: Disk quota exceeded (os error 122). `athanor cache gc --remote` removes results that are no longer needed.
        failed at `/mnt/team/tmp`: Stale file handle (os error 116). Is its server up?
        failed at `/mnt/team/tmp`: Connection timed out (os error 110). Is its server up?
        failed at `/mnt/team/tmp`: Input/output error (os error 5).
        ");
        let folder = tempfile::tempdir().unwrap();
        let wrapped = tempfile::Builder::new().tempfile_in(folder.path().join("gone")).unwrap_err();
        assert_eq!(StorageError::io(&wrapped).what, "failed: No such file or directory (os error 2).");
    }

    #[test]
    fn damage_is_told_with_who_mends_it() {
        let of = |key| StorageError::damaged(key, "holds a damaged file").what;
        let all = ["athanor-remote", "actions/ab", "unfinished/ab"].map(of).join("\n");
        insta::assert_snapshot!(all, @"
        holds a damaged file: `athanor-remote`. Remove that file: the next push writes it again.
        holds a damaged file: `actions/ab`. `athanor cache push --again`, on a machine that has the result, mends it.
        holds a damaged file: `unfinished/ab`. `athanor cache push --unfinished`, on a machine that has the state, replaces it.
        ");
    }
}
