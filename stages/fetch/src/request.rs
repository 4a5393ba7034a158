//! What to fetch.

use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::secrets::mask;

/// Looks at a complete file and says what is wrong with it.
pub type Check<'a> = &'a (dyn Fn(&Path) -> Result<(), String> + Sync);

/// One file to fetch.
#[derive(Clone)]
pub struct Request<'a> {
    /// Where it is: `http`, `https`, or a `file` of this machine.
    pub url: Url,
    /// Its length, if known beforehand.
    pub size: Option<u64>,
    /// Most bytes that are taken.
    pub most: Option<u64>,
    /// Its SHA-256 in hexadecimal, if known beforehand.
    pub sha256: Option<String>,
    /// Looks at the complete file before it counts as fetched.
    pub check: Option<Check<'a>>,
}

impl<'a> Request<'a> {
    /// A file of which nothing is known but its address.
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
    /// What.
    pub request: Request<'a>,
    /// Where to.
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

/// Why a text is no address to fetch from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is not an address at all.
    #[error("`{text}` is not a URL: {why}")]
    Malformed {
        /// The text.
        text: String,
        /// What is wrong with it.
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
