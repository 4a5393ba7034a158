//! A folder to fetch into, and files to fetch.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::loopback::{Act, Asked, head};
use athanor_fetch::{
    BatchObserver, FetchError, FetchTask, Fetched, Fetcher, NetworkConfig, Options, Request, TransferObserver,
    parse_url,
};
use tempfile::TempDir;

pub(crate) const PATIENT: Duration = Duration::from_secs(20);

pub(crate) fn options() -> Options {
    Options {
        connect_timeout: PATIENT,
        stall_timeout: PATIENT,
        retries: 3,
        back_off: Duration::from_millis(1),
        longest_pause: Duration::from_secs(5),
        ..Options::default()
    }
}

/// A folder to fetch into.
pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) fetcher: Fetcher,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        Fixture::with(options())
    }

    pub(crate) fn with(options: Options) -> Fixture {
        Fixture {
            folder: tempfile::tempdir().unwrap(),
            fetcher: Fetcher::new(options, &NetworkConfig::default()).unwrap(),
        }
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.folder.path().join("file")
    }

    pub(crate) fn fetch(&self, url: &str) -> Result<Fetched, FetchError> {
        self.fetch_request(&Request::new(parse_url(url).unwrap()))
    }

    pub(crate) fn fetch_request(&self, request: &Request<'_>) -> Result<Fetched, FetchError> {
        let watch = TransferObserver { should_stop: &|| false, arrived: &|_| {} };
        self.fetcher.fetch(request, &self.target(), watch)
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        std::fs::read(self.target()).unwrap()
    }

    /// Names of the files in the folder.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(crate) fn body(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 % 251) as u8).collect()
}

/// A body with an entity tag, from where the client asks for it; cut after `sent` bytes unless it is the rest.
pub(crate) fn resumable(asked: &Asked, whole: &[u8], tag: &str, sent: Option<usize>) -> Act {
    let unchanged = asked.header("if-range").is_none_or(|tag_asked| tag_asked == tag);
    let start = asked.start().filter(|_| unchanged);
    let from = start.unwrap_or(0);
    let range = format!("bytes {from}-{}/{}", whole.len() - 1, whole.len());
    let headers = [("ETag", tag), ("Content-Range", range.as_str())];
    let (status, headers) =
        if start.is_some() { ("206 Partial Content", &headers[..]) } else { ("200 OK", &headers[..1]) };
    let mut bytes = head(status, headers, Some(whole.len() - from));
    let end = sent.map_or(whole.len(), |sent| (from + sent).min(whole.len()));
    bytes.extend(&whole[from..end]);
    Act::Send(bytes)
}

/// Fetches all and gives the outcomes in order, and how many files the last report counted.
pub(crate) fn fetch_all(
    fixture: &Fixture,
    orders: &[FetchTask<'_>],
    stop: &AtomicBool,
) -> (Vec<Option<Result<Fetched, FetchError>>>, usize) {
    let outcomes: Mutex<Vec<_>> = Mutex::new(orders.iter().map(|_| None).collect());
    let done = AtomicUsize::new(0);
    fixture.fetcher.fetch_all(
        orders,
        &BatchObserver {
            progress: &|progress| done.store(progress.done, Ordering::SeqCst),
            finished: &|index, outcome| outcomes.lock().unwrap()[index] = Some(outcome),
            should_stop: &|| stop.load(Ordering::SeqCst),
        },
    );
    (outcomes.into_inner().unwrap(), done.into_inner())
}

pub(crate) fn orders(fixture: &Fixture, urls: impl IntoIterator<Item = String>) -> Vec<FetchTask<'static>> {
    let orders = urls.into_iter().enumerate().map(|(index, url)| FetchTask {
        request: Request::new(parse_url(&url).unwrap()),
        target: fixture.folder.path().join(format!("{index}/file")),
    });
    orders.collect()
}
