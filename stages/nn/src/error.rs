//! Weights in files that cannot be used or written: what is wrong, where, and what to do.

use std::path::{Path, PathBuf};

/// A file and its name in messages.
#[derive(Debug, Clone, Copy)]
pub struct LabelledPath<'a> {
    /// Path of the file.
    pub path: &'a Path,
    /// Its name in messages.
    pub label: &'a str,
}

/// A file of weights that cannot be used, or cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file holds something else than is wanted.
    #[error("{file}: {message}")]
    Content {
        /// The file's name in messages.
        file: String,
        /// The problem.
        message: String,
        /// Advice for the user.
        help: Option<String>,
    },
    /// The operating system refused to read or write a file.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The refusal.
        source: std::io::Error,
    },
}

impl WeightsError {
    /// An error in the content of `file`.
    pub(crate) fn in_file(file: &str, message: impl Into<String>) -> Self {
        WeightsError::Content { file: file.to_owned(), message: message.into(), help: None }
    }

    /// An operating-system error on `path`; to be used with `map_err`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> WeightsError + '_ {
        move |source| WeightsError::Io { path: path.to_owned(), source }
    }

    /// Adds advice for the user.
    #[must_use]
    pub(crate) fn with_help(mut self, text: impl Into<String>) -> Self {
        if let WeightsError::Content { help, .. } = &mut self {
            *help = Some(text.into());
        }
        self
    }
}
