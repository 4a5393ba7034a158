//! Failures of fetching, and whether another attempt may succeed.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use crate::secrets::mask;

/// A file that could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {kind}{}", if *attempts > 1 { format!(" (after {attempts} attempts)") } else { String::new() })]
pub struct FetchError {
    /// The address, without its secrets.
    pub url: String,
    /// Attempts made.
    pub attempts: u32,
    /// The failure of the last attempt.
    pub kind: FetchErrorKind,
}

/// Events that are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// A connection.
    Connection,
    /// The start of an answer.
    Answer,
    /// More of the body.
    Body,
    /// The whole file.
    Whole,
}

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Wait::Connection => "there was no connection",
            Wait::Answer => "there was no answer",
            Wait::Body => "the body stalled: next to nothing arrived",
            Wait::Whole => "the file was not complete",
        })
    }
}

/// Failures of an attempt.
#[derive(Debug, thiserror::Error)]
pub enum FetchErrorKind {
    /// No connection to the host or its proxy.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// The connection broke before there was an answer, or the answer was not HTTP.
    #[error("no proper answer came: {0}")]
    NoAnswer(String),
    /// The server's certificate is not trusted.
    #[error("the server's certificate is not trusted: {0}")]
    Untrusted(String),
    /// A time-out.
    #[error("{wait} within {} s", limit.as_secs_f64())]
    TimedOut {
        /// The event.
        wait: Wait,
        /// The limit.
        limit: Duration,
    },
    /// The body ended before it was complete.
    #[error("the body was cut off after {got} bytes{}", expected.map(|all| format!(" of {all}")).unwrap_or_default())]
    Cut {
        /// Number of bytes received.
        got: u64,
        /// Number of bytes expected.
        expected: Option<u64>,
    },
    /// The file on the server changed between two attempts.
    #[error("the file changed on the server while it was fetched")]
    Changed,
    /// The server refused.
    #[error("the server answered {status}{}", if found.is_empty() { String::new() } else { format!(" with {found}") })]
    Status {
        /// Status line.
        status: String,
        /// The number.
        code: u16,
        /// Type of the answer's body.
        found: String,
        /// Pause that the server asks for.
        retry_after: Option<Duration>,
    },
    /// The host asked for a longer pause than the limit.
    #[error("its host asks to be left alone for {} s", .0.as_secs())]
    RateLimited(Duration),
    /// The host could not be reached for many files in a row.
    #[error("its host could not be reached for {0} files in a row, so this one was not tried any more")]
    HostGivenUp(u32),
    /// The answer breaks HTTP's rules.
    #[error("the server's answer makes no sense: {0}")]
    Protocol(String),
    /// The server compresses the file although that is not allowed.
    #[error("the server sends it compressed (`Content-Encoding: {0}`), whatever it is asked for")]
    Compressed(String),
    /// The file does not have the expected length.
    #[error("the file has {found} bytes{}, but {expected} are expected", if *at_least { " or more" } else { "" })]
    WrongSize {
        /// Bytes found.
        found: u64,
        /// Whether there were more to come.
        at_least: bool,
        /// Bytes expected.
        expected: u64,
    },
    /// The file is larger than the limit.
    #[error("the file has more than {0} bytes")]
    TooLarge(u64),
    /// The file does not have the expected checksum.
    #[error("the SHA-256 is {found}, but {expected} is expected")]
    WrongChecksum {
        /// Checksum found.
        found: String,
        /// Checksum expected.
        expected: String,
    },
    /// The file is complete, but was rejected by the check.
    #[error("the server sent {found}: {message}")]
    Rejected {
        /// Type of the file.
        found: String,
        /// The problem.
        message: String,
    },
    /// More redirects than allowed.
    #[error("there were more than {0} redirects")]
    TooManyRedirects(usize),
    /// Redirects that lead back to where they came from.
    #[error("the redirects go in a circle, back to {0}")]
    RedirectLoop(String),
    /// A redirect that must not be followed.
    #[error("it redirects to {to}, which is not followed: {why}")]
    BadRedirect {
        /// Path of the result.
        to: String,
        /// The reason.
        why: &'static str,
    },
    /// A file of this machine that cannot be read.
    #[error("cannot be read: {0}")]
    Local(std::io::Error),
    /// The file cannot be written.
    #[error("{path} cannot be written: {source}", path = path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The caller wished to stop.
    #[error("stopped before it was complete")]
    Interrupted,
}

impl FetchErrorKind {
    /// Whether the failure is transient, so that another attempt may succeed.
    pub fn may_pass(&self) -> bool {
        match self {
            FetchErrorKind::Unreachable(_)
            | FetchErrorKind::NoAnswer(_)
            | FetchErrorKind::Cut { .. }
            | FetchErrorKind::Changed
            | FetchErrorKind::WrongSize { .. } => true,
            FetchErrorKind::TimedOut { wait, .. } => *wait != Wait::Whole,
            FetchErrorKind::Status { code, .. } => matches!(code, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }

    /// Whether a later attempt can use the partial file.
    pub fn keeps_partial_file(&self) -> bool {
        match self {
            FetchErrorKind::Changed | FetchErrorKind::WrongSize { .. } => false,
            FetchErrorKind::Interrupted
            | FetchErrorKind::Write { .. }
            | FetchErrorKind::TimedOut { .. }
            | FetchErrorKind::RateLimited(_)
            | FetchErrorKind::HostGivenUp(_) => true,
            _ => self.may_pass(),
        }
    }

    /// Pause that the server asks for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            FetchErrorKind::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Advice for the user.
    pub fn help(&self) -> &'static str {
        match self {
            FetchErrorKind::Unreachable(_) | FetchErrorKind::HostGivenUp(_) => {
                "Check the address, the network, and the proxy variables."
            }
            FetchErrorKind::Untrusted(_) => "Check the machine's clock, and whether a proxy opens TLS connections.",
            FetchErrorKind::TimedOut { wait: Wait::Whole, .. } => "Raise `total_timeout`; what has arrived is kept.",
            FetchErrorKind::TimedOut { .. } | FetchErrorKind::Cut { .. } => {
                "Run again later; what has arrived is kept if the server allows it."
            }
            FetchErrorKind::Changed => "Run again when the server's file is no longer being written.",
            FetchErrorKind::Status { code: 401 | 403 | 407, .. } => {
                "The server wants to know who asks; look at the address in a browser."
            }
            FetchErrorKind::Status { code: 404 | 410, .. } => "Check the address, and the columns it is made of.",
            FetchErrorKind::Status { code: 429, .. } | FetchErrorKind::RateLimited(_) => {
                "Lower `per_host`, or run again later."
            }
            FetchErrorKind::Status { .. } => "Look at the address in a browser, or run again later.",
            FetchErrorKind::NoAnswer(_) | FetchErrorKind::Protocol(_) => {
                "Look at the address with another program, or tell the server's owner."
            }
            FetchErrorKind::Compressed(_) => {
                "A `command` stage can unpack it: `curl --compressed`. With its `sha256` the compressed bytes are taken as they are."
            }
            FetchErrorKind::WrongSize { .. } | FetchErrorKind::WrongChecksum { .. } => {
                "Check the expected value, and whether the server has a new version."
            }
            FetchErrorKind::Rejected { .. } | FetchErrorKind::TooLarge(_) => {
                "Look at the address in a browser; pages that say `not found` often come with status 200."
            }
            FetchErrorKind::TooManyRedirects(_) | FetchErrorKind::RedirectLoop(_) => {
                "Look at the address in a browser; it may want a log-in."
            }
            FetchErrorKind::BadRedirect { .. } => "Write the final address if you trust it.",
            FetchErrorKind::Local(_) => "Check the path.",
            FetchErrorKind::Write { .. } => "Check the space and the rights on the disk.",
            FetchErrorKind::Interrupted => "Run again; what has arrived is kept.",
        }
    }
}

/// The address as it may be shown: without its secrets.
pub fn shown(url: &Url) -> String {
    mask(url.as_str()).into_owned()
}
