//! Protocol between a program and one on another machine, over the streams that ssh connects.
//!
//! Each message is a line of JSON, followed by as many bytes as it says. The client asks, the server answers, one at a time.

use std::io::{self, BufRead, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Occupied;
use crate::error::{FailureKind, StorageError};

/// Version of the protocol.
pub(crate) const VERSION: u32 = 1;
/// Longest line.
const LONGEST: u64 = 1 << 16;

/// Question of a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(crate) enum Question {
    /// See [`Storage::get`](super::Storage::get).
    Get { key: String, limit: u64 },
    /// See [`Storage::get_range`](super::Storage::get_range).
    Range { key: String, start: u64, end: u64 },
    /// See [`Storage::stat`](super::Storage::stat).
    Size { key: String },
    /// See [`Storage::list`](super::Storage::list); the answer's content is JSON.
    List { area: String },
    /// See [`Storage::remove`](super::Storage::remove).
    Remove { key: String, put: i64 },
    /// See [`Storage::put`](super::Storage::put); `bytes` bytes follow.
    Put { key: String, bytes: u64, occupied: Occupied },
    /// Begins a large file, whose parts follow as [`Question::Part`].
    Begin { key: String, bytes: u64, digest: String },
    /// The next part; `bytes` bytes follow. The answer to the last one says that the file is there.
    Part { bytes: u64 },
}

/// Answer of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Answer {
    /// First line, before any question.
    Hello {
        athanor_remote: u32,
        /// Whether the server can list and remove: the first ones could not.
        #[serde(default)]
        collects: bool,
    },
    /// There is nothing.
    Nothing,
    /// `bytes` bytes follow.
    Content { bytes: u64 },
    /// Size, and when it was put there.
    Size {
        bytes: u64,
        #[serde(default)]
        put: i64,
    },
    /// It was done; whether the content was stored, or is gone.
    Done { stored: bool },
    /// It failed.
    Failed {
        // The name that earlier versions know.
        #[serde(rename = "trouble")]
        kind: String,
        what: String,
    },
}

impl Answer {
    pub(crate) fn failed(error: &StorageError) -> Answer {
        Answer::Failed { kind: format!("{:?}", error.kind), what: error.what.clone() }
    }

    /// The error that an answer stands for where another one was expected.
    pub(crate) fn into_error(self) -> StorageError {
        let Answer::Failed { kind, what } = self else {
            return StorageError::new(FailureKind::Other, "answered something else than was asked.");
        };
        let all =
            [FailureKind::Unreachable, FailureKind::Denied, FailureKind::Busy, FailureKind::Full, FailureKind::Damaged];
        let kind = all.into_iter().find(|known| format!("{known:?}") == kind).unwrap_or(FailureKind::Other);
        StorageError::new(kind, what)
    }
}

/// Writes a message and what follows it.
pub(crate) fn write(out: &mut dyn Write, message: &impl Serialize, content: &[u8]) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.write_all(content)?;
    out.flush()
}

/// Reads a message; `None` at the end.
pub(crate) fn read<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    from.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).map_err(|_| {
        let start = String::from_utf8_lossy(&line[..line.len().min(200)]).trim_end().to_owned();
        io::Error::new(io::ErrorKind::InvalidData, format!("it said `{start}`"))
    })
}

/// Reads the bytes that follow a message.
pub(crate) fn read_content(from: &mut impl Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    // Not allocated ahead: the number comes from elsewhere.
    from.take(bytes).read_to_end(&mut content)?;
    if content.len() as u64 == bytes { Ok(content) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
