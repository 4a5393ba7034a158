//! Failures of unpacking.

use std::path::PathBuf;

/// Failures of unpacking.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The file is not an archive.
    #[error("it is no zip, tar or tar.gz archive, but {found}")]
    NotAnArchive {
        /// Its type.
        found: String,
    },
    /// It ends early or contradicts itself.
    #[error("it is damaged or cut off{}: {message}", entry.as_ref().map(|entry| format!(" at `{entry}`")).unwrap_or_default())]
    Damaged {
        /// The entry at fault, if it is known.
        entry: Option<String>,
        /// The problem.
        message: String,
    },
    /// An entry that is refused for safety.
    #[error("its entry `{entry}` is refused: {why}")]
    Refused {
        /// The entry.
        entry: String,
        /// The reason.
        why: Refusal,
    },
    /// An entry of an unsupported type.
    #[error("its entry `{entry}` {what}, which is not supported")]
    Unsupported {
        /// The entry.
        entry: String,
        /// The unsupported feature.
        what: String,
    },
    /// More entries than allowed.
    #[error("it has more than {limit} entries")]
    TooMany {
        /// Entries allowed.
        limit: u64,
    },
    /// More bytes than allowed.
    #[error("it unpacks to more than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// The archive cannot be read.
    #[error("it cannot be read: {0}")]
    Read(std::io::Error),
    /// A file cannot be written.
    #[error("{path} cannot be written: {source}", path = path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The caller wished to stop.
    #[error("stopped before it was unpacked")]
    Interrupted,
}

/// Reasons for refusing an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A path from the root of the file system.
    #[error("its path is absolute")]
    Absolute,
    /// A path that climbs.
    #[error("its path has a `..`")]
    Climbs,
    /// A path that cannot be a file's.
    #[error("its path is empty, too long, not UTF-8, or has a backslash or control character")]
    Odd,
    /// A name that was there before.
    #[error("an earlier entry has the same path, or is a file where this one needs a folder")]
    Twice,
    /// A link to somewhere else.
    #[error("it is a link to `{0}`, outside of the archive")]
    LeadsOut(String),
    /// A link to nothing.
    #[error("it is a link to `{0}`, which is no file of the archive")]
    LeadsNowhere(String),
    /// A device, a pipe or a socket.
    #[error("it is neither a file, a folder nor a link")]
    Special,
}

impl UnpackError {
    /// Advice for the user.
    pub fn help(&self) -> &'static str {
        match self {
            UnpackError::NotAnArchive { .. } => {
                "Check the address. `as: file` keeps a file as it is, which a `command` stage may unpack."
            }
            UnpackError::Damaged { .. } => "Fetch it again; a `sha256` tells whether the server's copy is sound.",
            UnpackError::Refused { .. } | UnpackError::Unsupported { .. } => {
                "If you trust the archive, unpack it by hand or with a `command` stage."
            }
            UnpackError::TooMany { .. } | UnpackError::TooLarge { .. } => {
                "If you trust the archive, give a higher `max_unpacked`."
            }
            UnpackError::Read(_) | UnpackError::Write { .. } => "Check the space and the rights on the disk.",
            UnpackError::Interrupted => "Run again.",
        }
    }

    /// For damage found by a decoder.
    pub(super) fn damaged(error: std::io::Error) -> UnpackError {
        UnpackError::Damaged { entry: None, message: error.to_string() }
    }
}
