//! Errors of remote caches: what happened, where, and what to do.

use athanor_cache::CacheError;

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
    #[error("The remote cache {address} is not asked for a while, since it failed.")]
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
    pub(crate) fn io(error: &std::io::Error) -> StorageError {
        use std::io::ErrorKind as Kind;
        let kind = match error.kind() {
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => FailureKind::Denied,
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => FailureKind::Full,
            Kind::TimedOut | Kind::BrokenPipe | Kind::StaleNetworkFileHandle | Kind::UnexpectedEof => {
                FailureKind::Unreachable
            }
            _ => FailureKind::Other,
        };
        StorageError::new(kind, format!("failed: {error}."))
    }

    pub(crate) fn at(self, address: &str) -> RemoteError {
        RemoteError::Storage { kind: self.kind, address: address.to_owned(), what: self.what }
    }
}
