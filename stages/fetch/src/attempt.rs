//! One attempt at one file: from the request to bytes that are complete and verified.

use std::collections::HashSet;
use std::io::Read;
use std::time::Instant;

use athanor_images::file_type::FileType;
use jiff::Timestamp;
use reqwest::header::{ACCEPT_ENCODING, ETAG, IF_RANGE, LOCATION, RANGE};
use reqwest::{Client, Response, StatusCode, Url};

use super::client::{causes, innermost};
use super::headers;
use super::hosts::{Hosts, Leave};
use super::options::{LEAST_PROGRESS, Options};
use super::partial::{Note, Part, ResumePoint, Sink};
use super::patience::Patience;
use super::reason::{Reason, Wait, shown};
use super::request::Request;
use super::sniff::describe;
use crate::secrets::mask;

/// What every attempt needs.
pub(super) struct Attempt<'a> {
    pub client: &'a Client,
    pub hosts: &'a Hosts,
    pub options: &'a Options,
    pub request: &'a Request<'a>,
    pub patience: &'a Patience<'a>,
}

/// A failed attempt.
pub(super) struct Failure {
    pub reason: Reason,
    /// Whether what arrived came in several answers, or in one that does not say where it ends: then what is wrong with
    /// it may be the way's fault rather than the server's.
    pub doubtful: bool,
}

/// What arrived.
struct Arrival {
    checksum: Option<String>,
    doubtful: bool,
}

impl Attempt<'_> {
    /// Brings all of the file into `part` and verifies it.
    pub(super) async fn run(&self, part: &mut Part) -> Result<(), Failure> {
        let arrival = match self.request.url.scheme() {
            "file" => self.copy_local(part).await,
            _ => self.receive(part).await,
        };
        let Arrival { checksum, doubtful } = arrival.map_err(|reason| Failure { reason, doubtful: false })?;
        self.verify(part, checksum).map_err(|reason| Failure { reason, doubtful })
    }

    async fn receive(&self, part: &mut Part) -> Result<Arrival, Reason> {
        let (response, _leave) = self.open(part.resume_point().as_ref()).await?;
        let declared = headers::content_length(response.headers());
        let framed = declared.is_some() || response.headers().contains_key(reqwest::header::TRANSFER_ENCODING);
        let resumed = response.status() == StatusCode::PARTIAL_CONTENT;
        let checksum = self.request.sha256.is_some();
        let path = part.path().to_owned();
        let write = |source| Reason::Write { path: path.clone(), source };
        let (mut sink, expected) = if resumed {
            let total = continues(&response, part)?;
            let sink = part.resume(checksum).map_err(write)?;
            // A server may send less than the rest; then there is more to ask for.
            let expected = total.or_else(|| Some(sink.len().saturating_add(declared?)));
            (sink, expected)
        } else {
            self.right_size(declared)?;
            self.within(declared.unwrap_or(0))?;
            (part.start(headers::note(response.headers()), checksum).map_err(write)?, declared)
        };
        self.pour(response, &mut sink, expected, &write).await?;
        Ok(Arrival { checksum: sink.checksum(), doubtful: resumed || !framed })
    }

    /// Asks, following redirects, until there is an answer with a body worth having.
    async fn open(&self, resume: Option<&ResumePoint>) -> Result<(Response, Leave), Reason> {
        let mut url = self.request.url.clone();
        let mut visited = HashSet::from([url.clone()]);
        loop {
            let host = self.hosts.of(&url);
            let leave = self.patience.wait_long(host.enter()).await?;
            if let Some(reason) = host.given_up() {
                return Err(reason);
            }
            let response = self.ask(&url, resume).await?;
            let status = response.status();
            if status.is_redirection() && response.headers().contains_key(LOCATION) {
                url = next_hop(&url, &response)?;
                if !visited.insert(url.clone()) {
                    return Err(Reason::RedirectLoop(shown(&url)));
                }
                if visited.len() > self.options.redirects + 1 {
                    return Err(Reason::TooManyRedirects(self.options.redirects));
                }
                continue;
            }
            match (status, resume) {
                (StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION, _) => return Ok((response, leave)),
                (StatusCode::PARTIAL_CONTENT, Some(_)) => return Ok((response, leave)),
                (StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => return Err(Reason::Changed),
                _ => {
                    let refusal = self.refusal(response).await;
                    return Err(match refusal.retry_after() {
                        Some(pause) if pause > self.options.longest_pause => {
                            host.close(pause);
                            Reason::LeftAlone(pause)
                        }
                        pause => {
                            host.leave_alone(pause.unwrap_or_default());
                            refusal
                        }
                    });
                }
            }
        }
    }

    async fn ask(&self, url: &Url, resume: Option<&ResumePoint>) -> Result<Response, Reason> {
        // Bytes are kept as the server keeps them: a packed answer would have another length and could not be resumed.
        let mut request = self.client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
        if let Some(ResumePoint { have, validator }) = resume {
            request = request.header(RANGE, format!("bytes={have}-")).header(IF_RANGE, validator);
        }
        let limit = self.options.connect_timeout + self.options.stall_timeout;
        let answer = self.patience.wait(Wait::Answer, limit, request.send()).await?;
        answer.map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &reqwest::Error) -> Reason {
        let untrusted =
            causes(error).any(|cause| matches!(cause.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))));
        if untrusted {
            return Reason::Untrusted(innermost(error));
        }
        if error.is_connect() && error.is_timeout() {
            return Reason::TimedOut { wait: Wait::Connection, limit: self.options.connect_timeout };
        }
        let cause = innermost(error);
        if error.is_connect() { Reason::Unreachable(cause) } else { Reason::NoAnswer(cause) }
    }

    async fn refusal(&self, mut response: Response) -> Reason {
        let status = response.status();
        let retry_after = headers::retry_after(response.headers(), Timestamp::now());
        let head = self.patience.wait(Wait::Body, self.options.connect_timeout, response.chunk()).await;
        let found = match head {
            Ok(Ok(Some(bytes))) => describe(&bytes),
            _ => String::new(),
        };
        Reason::Status { status: status.to_string(), code: status.as_u16(), found, retry_after }
    }

    /// Pours the body into `sink`.
    async fn pour(
        &self,
        mut response: Response,
        sink: &mut Sink<'_>,
        expected: Option<u64>,
        write: &impl Fn(std::io::Error) -> Reason,
    ) -> Result<(), Reason> {
        let stall = self.options.stall_timeout;
        let (mut since, mut lately) = (Instant::now(), 0);
        loop {
            let left = stall.saturating_sub(since.elapsed());
            let chunk = self.patience.wait(Wait::Body, left, response.chunk()).await;
            let chunk = chunk.map_err(|reason| match reason {
                Reason::TimedOut { wait: Wait::Body, .. } => Reason::TimedOut { wait: Wait::Body, limit: stall },
                other => other,
            })?;
            let cut = |got| Reason::Cut { got, expected };
            let Some(bytes) = chunk.map_err(|_| cut(sink.len()))? else { break };
            sink.take(&bytes).map_err(write)?;
            self.patience.arrived(bytes.len() as u64);
            lately += bytes.len() as u64;
            if lately >= LEAST_PROGRESS {
                (since, lately) = (Instant::now(), 0);
            }
            self.within(sink.len())?;
            if let Some(size) = self.request.size.filter(|size| sink.len() > *size) {
                return Err(Reason::WrongSize { found: sink.len(), at_least: true, expected: size });
            }
        }
        match expected {
            Some(all) if all != sink.len() => Err(Reason::Cut { got: sink.len(), expected }),
            _ => Ok(()),
        }
    }

    async fn copy_local(&self, part: &mut Part) -> Result<Arrival, Reason> {
        let no_path = || Reason::Local(std::io::ErrorKind::NotFound.into());
        let source = self.request.url.to_file_path().map_err(|()| no_path())?;
        // Opening a pipe would wait for a writer.
        if !std::fs::metadata(&source).map_err(Reason::Local)?.is_file() {
            return Err(Reason::Local(std::io::Error::other("it is not a file")));
        }
        let mut file = std::fs::File::open(source).map_err(Reason::Local)?;
        let path = part.path().to_owned();
        let write = |source| Reason::Write { path: path.clone(), source };
        let mut sink = part.start(Note::default(), self.request.sha256.is_some()).map_err(write)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = self.patience.wait_long(std::future::ready(file.read(&mut buffer))).await?;
            let read = read.map_err(Reason::Local)?;
            if read == 0 {
                return Ok(Arrival { checksum: sink.checksum(), doubtful: false });
            }
            sink.take(&buffer[..read]).map_err(write)?;
            self.patience.arrived(read as u64);
        }
    }

    fn verify(&self, part: &Part, checksum: Option<String>) -> Result<(), Reason> {
        self.right_size(Some(part.len()))?;
        if let (Some(expected), Some(found)) = (&self.request.sha256, checksum)
            && !found.starts_with(&expected.to_ascii_lowercase())
        {
            return Err(Reason::WrongChecksum { found, expected: expected.clone() });
        }
        let Some(check) = self.request.check else { return Ok(()) };
        check(part.path()).map_err(|message| Reason::Rejected { found: found_in(part), message })
    }

    fn within(&self, bytes: u64) -> Result<(), Reason> {
        match self.request.most {
            Some(most) if bytes > most => Err(Reason::TooLarge(most)),
            _ => Ok(()),
        }
    }

    fn right_size(&self, found: Option<u64>) -> Result<(), Reason> {
        match (self.request.size, found) {
            (Some(expected), Some(found)) if expected != found => {
                Err(Reason::WrongSize { found, at_least: false, expected })
            }
            _ => Ok(()),
        }
    }
}

/// Where a redirect leads, if it may be followed.
fn next_hop(from: &Url, response: &Response) -> Result<Url, Reason> {
    let to = response.headers().get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let to = to.unwrap_or_default();
    let mut url =
        from.join(&to).map_err(|_| Reason::BadRedirect { to: mask(&to).into_owned(), why: "it is not an address" })?;
    url.set_fragment(None);
    let why = match (from.scheme(), url.scheme()) {
        ("https", "http") => "it leads from https to http",
        (_, "http" | "https") => return Ok(url),
        _ => "it leads neither to http nor to https",
    };
    Err(Reason::BadRedirect { to: shown(&url), why })
}

/// Whether a partial answer goes on where `part` ends, in the same file; gives the length of the whole, if it is known.
fn continues(response: &Response, part: &Part) -> Result<Option<u64>, Reason> {
    let Some((start, total)) = headers::content_range(response.headers()) else {
        return Err(Reason::Protocol("a part without `Content-Range`".to_owned()));
    };
    let note = part.note();
    let known = note.and_then(|note| note.total);
    let tag = headers::text(response.headers(), &ETAG);
    let other_tag = tag.is_some() && note.is_some_and(|note| note.etag.is_some() && note.etag.as_deref() != tag);
    let other_total = known.is_some() && total.is_some() && known != total;
    if start != part.len() || other_total || other_tag { Err(Reason::Changed) } else { Ok(known.or(total)) }
}

/// What a file is by its first bytes.
fn found_in(part: &Part) -> String {
    let mut head = Vec::new();
    let read = std::fs::File::open(part.path()).and_then(|file| file.take(FileType::HEAD as u64).read_to_end(&mut head));
    read.map_or_else(|_| "something unreadable".to_owned(), |_| describe(&head))
}
