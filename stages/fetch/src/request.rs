//! Files to fetch.

use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::secrets::mask;

/// A check of a complete file; its error says what is wrong.
pub type Check<'a> = &'a (dyn Fn(&Path) -> Result<(), String> + Sync);

/// One file to fetch.
#[derive(Clone)]
pub struct Request<'a> {
    /// Its address: `http`, `https`, or a `file` of this machine.
    pub url: Url,
    /// Its length, if known beforehand.
    pub size: Option<u64>,
    /// Maximum number of bytes.
    pub most: Option<u64>,
    /// Its SHA-256 in hexadecimal, if known beforehand.
    pub sha256: Option<String>,
    /// Check that the complete file must pass.
    pub check: Option<Check<'a>>,
}

impl<'a> Request<'a> {
    /// A file known by nothing but its address.
    pub fn new(url: Url) -> Self {
        Request { url, size: None, most: None, sha256: None, check: None }
    }

    /// The same with a check of the complete file.
    #[must_use]
    pub fn checked(mut self, check: Check<'a>) -> Self {
        self.check = Some(check);
        self
    }
}

/// A file to fetch and where to put it.
#[derive(Clone)]
pub struct FetchTask<'a> {
    /// The file.
    pub request: Request<'a>,
    /// Path of the result.
    pub target: PathBuf,
}

/// A file that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its length.
    pub bytes: u64,
    /// Attempts it took.
    pub attempts: u32,
}

/// Errors of an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is not an address at all.
    #[error("`{text}` is not a URL: {why}")]
    Malformed {
        /// The text.
        text: String,
        /// The problem.
        why: String,
    },
    /// It is an address of another kind.
    #[error("`{text}` has the scheme `{scheme}`; only `http`, `https` and `file` are fetched")]
    Scheme {
        /// The text.
        text: String,
        /// Its scheme.
        scheme: String,
    },
    /// It is a file on another machine.
    #[error("`{text}` names no file of this machine; write `file:///` and the absolute path")]
    NotLocal {
        /// The text.
        text: String,
    },
}

/// Reads an address.
pub fn parse_url(text: &str) -> Result<Url, UrlError> {
    let text = text.trim();
    // Messages go into logs.
    let shown = || mask(text).into_owned();
    let url = Url::parse(text).map_err(|error| UrlError::Malformed { text: shown(), why: error.to_string() })?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        "file" if url.to_file_path().is_ok() => Ok(url),
        "file" => Err(UrlError::NotLocal { text: shown() }),
        scheme => Err(UrlError::Scheme { text: shown(), scheme: scheme.to_owned() }),
    }
}
