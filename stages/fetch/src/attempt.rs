//! One attempt at one file: from the request to bytes that are complete and verified.

use std::collections::HashSet;
use std::io::Read;
use std::time::Instant;

use athanor_images::file_type::FileType;
use jiff::Timestamp;
use reqwest::header::{ACCEPT_ENCODING, ETAG, IF_RANGE, LOCATION, RANGE};
use reqwest::{Client, Response, StatusCode, Url};

use super::client::{causes, innermost};
use super::deadline::Deadline;
use super::error::{FetchErrorKind, Wait, shown};
use super::headers;
use super::hosts::{HostPermit, Hosts};
use super::options::{LEAST_PROGRESS, Options};
use super::partial::{PartialFile, ResumeMetadata, ResumePoint, Sink};
use super::request::Request;
use super::sniff::describe;
use crate::secrets::mask;

/// One attempt at one file.
pub(super) struct Attempt<'a> {
    pub client: &'a Client,
    pub hosts: &'a Hosts,
    pub options: &'a Options,
    pub request: &'a Request<'a>,
    pub deadline: &'a Deadline<'a>,
}

/// A failed attempt.
pub(super) struct Failure {
    pub kind: FetchErrorKind,
    /// Whether the body came in several answers, or in one of undeclared length: then the transfer may be at
    /// fault rather than the server.
    pub reassembled: bool,
}

/// A body that was received.
struct ReceivedBody {
    checksum: Option<String>,
    reassembled: bool,
}

impl Attempt<'_> {
    /// Receives all of the file into `part` and verifies it.
    pub(super) async fn run(&self, part: &mut PartialFile) -> Result<(), Failure> {
        let received = match self.request.url.scheme() {
            "file" => self.copy_local(part).await,
            _ => self.receive(part).await,
        };
        let ReceivedBody { checksum, reassembled } = received.map_err(|kind| Failure { kind, reassembled: false })?;
        self.verify(part, checksum).map_err(|kind| Failure { kind, reassembled })
    }

    async fn receive(&self, part: &mut PartialFile) -> Result<ReceivedBody, FetchErrorKind> {
        let (response, _permit) = self.open(part.resume_point().as_ref()).await?;
        // A checksum says which bytes are meant.
        if self.request.sha256.is_none()
            && let Some(encoding) = headers::compression(response.headers(), response.url())
        {
            return Err(FetchErrorKind::Compressed(encoding));
        }
        let declared = headers::content_length(response.headers());
        let framed = declared.is_some() || response.headers().contains_key(reqwest::header::TRANSFER_ENCODING);
        let resumed = response.status() == StatusCode::PARTIAL_CONTENT;
        let checksum = self.request.sha256.is_some();
        let path = part.path().to_owned();
        let write = |source| FetchErrorKind::Write { path: path.clone(), source };
        let (mut sink, expected) = if resumed {
            let total = resumed_length(&response, part)?;
            let sink = part.resume(checksum).map_err(write)?;
            // A server may send less than the rest; then there is more to ask for.
            let expected = total.or_else(|| Some(sink.len().saturating_add(declared?)));
            (sink, expected)
        } else {
            self.check_size(declared)?;
            self.check_limit(declared.unwrap_or(0))?;
            (part.start(headers::metadata(response.headers()), checksum).map_err(write)?, declared)
        };
        self.read_body(response, &mut sink, expected, &write).await?;
        Ok(ReceivedBody { checksum: sink.checksum(), reassembled: resumed || !framed })
    }

    /// Sends the request, following redirects, until an answer has a usable body.
    async fn open(&self, resume: Option<&ResumePoint>) -> Result<(Response, HostPermit), FetchErrorKind> {
        let mut url = self.request.url.clone();
        let mut visited = HashSet::from([url.clone()]);
        loop {
            let host = self.hosts.of(&url);
            let permit = self.deadline.wait_unlimited(host.acquire()).await?;
            if let Some(kind) = host.refusal_reason() {
                return Err(kind);
            }
            let response = self.ask(&url, resume).await?;
            let status = response.status();
            if status.is_redirection() && response.headers().contains_key(LOCATION) {
                url = next_hop(&url, &response)?;
                if !visited.insert(url.clone()) {
                    return Err(FetchErrorKind::RedirectLoop(shown(&url)));
                }
                if visited.len() > self.options.redirects + 1 {
                    return Err(FetchErrorKind::TooManyRedirects(self.options.redirects));
                }
                continue;
            }
            match (status, resume) {
                (StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION, _) => return Ok((response, permit)),
                (StatusCode::PARTIAL_CONTENT, Some(_)) => return Ok((response, permit)),
                (StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => return Err(FetchErrorKind::Changed),
                _ => {
                    let refusal = self.refusal(response).await;
                    return Err(match refusal.retry_after() {
                        Some(pause) if pause > self.options.longest_pause => {
                            host.close(pause);
                            FetchErrorKind::RateLimited(pause)
                        }
                        pause => {
                            host.back_off_for(pause.unwrap_or_default());
                            refusal
                        }
                    });
                }
            }
        }
    }

    async fn ask(&self, url: &Url, resume: Option<&ResumePoint>) -> Result<Response, FetchErrorKind> {
        // A compressed answer would have another length and could not be resumed.
        let mut request = self.client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
        if let Some(ResumePoint { have, validator }) = resume {
            request = request.header(RANGE, format!("bytes={have}-")).header(IF_RANGE, validator);
        }
        let limit = self.options.connect_timeout + self.options.stall_timeout;
        let answer = self.deadline.wait(Wait::Answer, limit, request.send()).await?;
        answer.map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &reqwest::Error) -> FetchErrorKind {
        let untrusted =
            causes(error).any(|cause| matches!(cause.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))));
        if untrusted {
            return FetchErrorKind::Untrusted(innermost(error));
        }
        if error.is_connect() && error.is_timeout() {
            return FetchErrorKind::TimedOut { wait: Wait::Connection, limit: self.options.connect_timeout };
        }
        let cause = innermost(error);
        if error.is_connect() { FetchErrorKind::Unreachable(cause) } else { FetchErrorKind::NoAnswer(cause) }
    }

    async fn refusal(&self, mut response: Response) -> FetchErrorKind {
        let status = response.status();
        let retry_after = headers::retry_after(response.headers(), Timestamp::now());
        let head = self.deadline.wait(Wait::Body, self.options.connect_timeout, response.chunk()).await;
        let found = match head {
            Ok(Ok(Some(bytes))) => describe(&bytes),
            _ => String::new(),
        };
        FetchErrorKind::Status { status: status.to_string(), code: status.as_u16(), found, retry_after }
    }

    /// Reads the body into `sink`.
    async fn read_body(
        &self,
        mut response: Response,
        sink: &mut Sink<'_>,
        expected: Option<u64>,
        write: &impl Fn(std::io::Error) -> FetchErrorKind,
    ) -> Result<(), FetchErrorKind> {
        let stall = self.options.stall_timeout;
        let (mut since, mut since_progress) = (Instant::now(), 0);
        loop {
            let left = stall.saturating_sub(since.elapsed());
            let chunk = self.deadline.wait(Wait::Body, left, response.chunk()).await;
            let chunk = chunk.map_err(|kind| match kind {
                FetchErrorKind::TimedOut { wait: Wait::Body, .. } => {
                    FetchErrorKind::TimedOut { wait: Wait::Body, limit: stall }
                }
                other => other,
            })?;
            let cut = |got| FetchErrorKind::Cut { got, expected };
            let Some(bytes) = chunk.map_err(|_| cut(sink.len()))? else { break };
            sink.take(&bytes).map_err(write)?;
            self.deadline.arrived(bytes.len() as u64);
            since_progress += bytes.len() as u64;
            if since_progress >= LEAST_PROGRESS {
                (since, since_progress) = (Instant::now(), 0);
            }
            self.check_limit(sink.len())?;
            if let Some(size) = self.request.size.filter(|size| sink.len() > *size) {
                return Err(FetchErrorKind::WrongSize { found: sink.len(), at_least: true, expected: size });
            }
        }
        match expected {
            Some(all) if all != sink.len() => Err(FetchErrorKind::Cut { got: sink.len(), expected }),
            _ => Ok(()),
        }
    }

    async fn copy_local(&self, part: &mut PartialFile) -> Result<ReceivedBody, FetchErrorKind> {
        let no_path = || FetchErrorKind::Local(std::io::ErrorKind::NotFound.into());
        let source = self.request.url.to_file_path().map_err(|()| no_path())?;
        // Opening a pipe would wait for a writer.
        if !std::fs::metadata(&source).map_err(FetchErrorKind::Local)?.is_file() {
            return Err(FetchErrorKind::Local(std::io::Error::other("it is not a file")));
        }
        let mut file = std::fs::File::open(source).map_err(FetchErrorKind::Local)?;
        let path = part.path().to_owned();
        let write = |source| FetchErrorKind::Write { path: path.clone(), source };
        let mut sink = part.start(ResumeMetadata::default(), self.request.sha256.is_some()).map_err(write)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = self.deadline.wait_unlimited(std::future::ready(file.read(&mut buffer))).await?;
            let read = read.map_err(FetchErrorKind::Local)?;
            if read == 0 {
                return Ok(ReceivedBody { checksum: sink.checksum(), reassembled: false });
            }
            sink.take(&buffer[..read]).map_err(write)?;
            self.deadline.arrived(read as u64);
        }
    }

    fn verify(&self, part: &PartialFile, checksum: Option<String>) -> Result<(), FetchErrorKind> {
        self.check_size(Some(part.len()))?;
        if let (Some(expected), Some(found)) = (&self.request.sha256, checksum)
            && !found.starts_with(&expected.to_ascii_lowercase())
        {
            return Err(FetchErrorKind::WrongChecksum { found, expected: expected.clone() });
        }
        let Some(check) = self.request.check else { return Ok(()) };
        check(part.path()).map_err(|message| FetchErrorKind::Rejected { found: type_of_file(part), message })
    }

    fn check_limit(&self, bytes: u64) -> Result<(), FetchErrorKind> {
        match self.request.most {
            Some(most) if bytes > most => Err(FetchErrorKind::TooLarge(most)),
            _ => Ok(()),
        }
    }

    fn check_size(&self, found: Option<u64>) -> Result<(), FetchErrorKind> {
        match (self.request.size, found) {
            (Some(expected), Some(found)) if expected != found => {
                Err(FetchErrorKind::WrongSize { found, at_least: false, expected })
            }
            _ => Ok(()),
        }
    }
}

/// Target of a redirect, if it may be followed.
fn next_hop(from: &Url, response: &Response) -> Result<Url, FetchErrorKind> {
    let to = response.headers().get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let to = to.unwrap_or_default();
    let mut url = from
        .join(&to)
        .map_err(|_| FetchErrorKind::BadRedirect { to: mask(&to).into_owned(), why: "it is not an address" })?;
    url.set_fragment(None);
    let why = match (from.scheme(), url.scheme()) {
        ("https", "http") => "it leads from https to http",
        (_, "http" | "https") => return Ok(url),
        _ => "it leads neither to http nor to https",
    };
    Err(FetchErrorKind::BadRedirect { to: shown(&url), why })
}

/// Checks that a partial answer continues `part` in the same file; returns the length of the whole, if it is known.
fn resumed_length(response: &Response, part: &PartialFile) -> Result<Option<u64>, FetchErrorKind> {
    let Some((start, total)) = headers::content_range(response.headers()) else {
        return Err(FetchErrorKind::Protocol("a part without `Content-Range`".to_owned()));
    };
    let metadata = part.metadata();
    let known = metadata.and_then(|metadata| metadata.total);
    let tag = headers::text(response.headers(), &ETAG);
    let other_tag =
        tag.is_some() && metadata.is_some_and(|metadata| metadata.etag.is_some() && metadata.etag.as_deref() != tag);
    let other_total = known.is_some() && total.is_some() && known != total;
    if start != part.len() || other_total || other_tag { Err(FetchErrorKind::Changed) } else { Ok(known.or(total)) }
}

/// The type of a file by its first bytes.
fn type_of_file(part: &PartialFile) -> String {
    let mut head = Vec::new();
    let read =
        std::fs::File::open(part.path()).and_then(|file| file.take(FileType::HEAD as u64).read_to_end(&mut head));
    read.map_or_else(|_| "something unreadable".to_owned(), |_| describe(&head))
}
