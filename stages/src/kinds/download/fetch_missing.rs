//! Fetches the files that are not in the cache, and stores each as it arrives.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use athanor_cache::Digest;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::params::{DownloadParams, OutputForm};
use super::wanted::WantedFile;
use crate::context::StageContext;
use crate::error::StageError;
use crate::items::{Computed, ItemCache};
use crate::words::counted;
use athanor_fetch::error::{FetchError, FetchErrorKind, shown};
use athanor_fetch::request::{FetchTask, Fetched, Request};
use athanor_fetch::throughput::Progress;
use athanor_fetch::{BatchObserver, Fetcher, NetworkConfig};
use athanor_images::decode::{self, Header, Options, Page, Scale};

/// No image has more bytes.
const MOST_IMAGE_BYTES: u64 = 1 << 30;
/// Interval between two lines about the throughput in the log.
const LOG_EVERY: Duration = Duration::from_secs(15);

/// Metadata of a fetched file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FetchedFile {
    /// Header of the image, where images are wanted.
    pub header: Option<Header>,
}

/// A fetched file, or the failure.
pub(crate) type FetchResult = Result<Computed<FetchedFile>, FetchError>;

/// Results of fetching the wanted files.
pub(crate) struct FetchedFiles {
    /// Results of the distinct files.
    outcomes: Vec<FetchResult>,
    /// The place of each wanted file among them.
    places: Vec<usize>,
}

impl FetchedFiles {
    /// The result of each wanted file, in their order.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = &FetchResult> {
        self.places.iter().map(|place| &self.outcomes[*place])
    }
}

/// A fetcher with the stage's options and network.
pub(crate) fn fetcher(params: &DownloadParams, context: &StageContext<'_>) -> Result<Fetcher, StageError> {
    let network = NetworkConfig::from_variables(|name| context.environment.get(name).cloned());
    Fetcher::new(params.transfer.options(), &network).map_err(|error| StageError::mismatch(error.to_string()))
}

/// Fetches the files that are not in the cache. The same file wanted twice is fetched once.
///
/// # Errors
/// Failures that are not a single file's own.
pub(crate) fn fetch_missing(
    params: &DownloadParams,
    wanted: &[WantedFile],
    items: &ItemCache<'_>,
    context: &StageContext<'_>,
) -> Result<FetchedFiles, StageError> {
    let image = params.form == OutputForm::Images;
    let mut unique: IndexMap<Digest, &WantedFile> = IndexMap::new();
    let place = |wanted| {
        let entry = unique.entry(key(items, wanted, image));
        let place = entry.index();
        entry.or_insert(wanted);
        place
    };
    let places: Vec<usize> = wanted.iter().map(place).collect();
    let slots: Vec<OnceLock<FetchResult>> = unique.keys().map(|key| known(items, key)).collect();
    let missing: Vec<Missing<'_>> = slots
        .iter()
        .zip(unique)
        .filter(|(slot, _)| slot.get().is_none())
        .map(|(slot, (key, wanted))| Missing { key, wanted, slot })
        .collect();
    let (all, known) = (slots.len(), slots.len() - missing.len());
    context.log(format!("{}: {known} known from before, {} to fetch", counted(all, "file"), missing.len()));
    fetch(params, &missing, items, known, context)?;
    drop(missing);
    let outcomes: Option<Vec<FetchResult>> = slots.into_iter().map(OnceLock::into_inner).collect();
    Ok(FetchedFiles { outcomes: outcomes.ok_or(StageError::Interrupted)?, places })
}

/// A file to be fetched, and the place of its result.
struct Missing<'a> {
    key: Digest,
    wanted: &'a WantedFile,
    slot: &'a OnceLock<FetchResult>,
}

fn known(items: &ItemCache<'_>, key: &Digest) -> OnceLock<FetchResult> {
    items.find(key).map_or_else(OnceLock::new, |known| OnceLock::from(Ok(known)))
}

/// The key of a file: everything known that its content depends on.
fn key(items: &ItemCache<'_>, wanted: &WantedFile, image: bool) -> Digest {
    let WantedFile { url, size, sha256, mirrored, .. } = wanted;
    items.key(match mirrored {
        None => json!({ "url": url.as_str(), "size": size, "sha256": sha256, "image": image }),
        Some(content) => json!({ "content": content, "size": size, "sha256": sha256, "image": image }),
    })
}

fn fetch(
    params: &DownloadParams,
    missing: &[Missing<'_>],
    items: &ItemCache<'_>,
    known: usize,
    context: &StageContext<'_>,
) -> Result<(), StageError> {
    if missing.is_empty() {
        return Ok(());
    }
    let fetcher = fetcher(params, context)?;
    let unfinished = context.unfinished()?;
    let image = params.form == OutputForm::Images;
    let order = |Missing { key, wanted, .. }: &Missing<'_>| {
        let (url, size, sha256) = (wanted.url.clone(), wanted.size, wanted.sha256.clone());
        let most = image.then_some(MOST_IMAGE_BYTES);
        let request = Request { url, size, most, sha256, check: image.then_some(&is_image) };
        FetchTask { request, target: unfinished.join(key.to_string()).join("file") }
    };
    let orders: Vec<FetchTask<'_>> = missing.iter().map(order).collect();
    let fatal: OnceLock<StageError> = OnceLock::new();
    let finished = |index: usize, outcome: Result<Fetched, FetchError>| {
        let Missing { key, slot, .. } = &missing[index];
        let outcome = match outcome {
            Ok(_) => keep(items, key, &orders[index].target, image).map(Ok),
            Err(error) => own_failure(error),
        };
        // Each file is finished once, and of several fatal errors the first counts.
        match outcome {
            Ok(outcome) => drop(slot.set(outcome)),
            Err(error) => drop(fatal.set(error)),
        }
    };
    let logged = Mutex::new(Instant::now());
    let progress = |progress: Progress| {
        match (known + orders.len(), orders[0].request.size) {
            (1, size) => context.progress(progress.bytes, size.unwrap_or(0), "bytes"),
            (total, _) => context.progress((known + progress.done) as u64, total as u64, "files"),
        }
        let due = logged.try_lock().ok().filter(|last| last.elapsed() >= LOG_EVERY);
        if let Some(mut last) = due {
            *last = Instant::now();
            context.log(progress.to_string());
        }
    };
    let should_stop = || context.should_stop() || fatal.get().is_some();
    fetcher.fetch_all(&orders, &BatchObserver { progress: &progress, finished: &finished, should_stop: &should_stop });
    match fatal.into_inner() {
        Some(error) => Err(error),
        None if context.should_stop() => Err(StageError::Interrupted),
        None => Ok(()),
    }
}

/// Returns a file's own failure; failures of the disk and the wish to stop are errors.
fn own_failure(error: FetchError) -> Result<FetchResult, StageError> {
    match error.kind {
        FetchErrorKind::Write { path, source } => Err(StageError::Io { path, source }),
        FetchErrorKind::Interrupted => Err(StageError::Interrupted),
        _ => Ok(Err(error)),
    }
}

fn keep(items: &ItemCache<'_>, key: &Digest, target: &Path, image: bool) -> Result<Computed<FetchedFile>, StageError> {
    let header = if image { Some(header_of(target)?) } else { None };
    let folder = target.parent().map(PathBuf::from).unwrap_or_default();
    let kept = items.insert(key, FetchedFile { header }, &folder)?;
    let _ = std::fs::remove_dir(&folder);
    Ok(kept)
}

/// A file that can be decoded is whole, whatever its pages and samples mean.
fn first_page() -> Options {
    Options { page: Page::Number(0), scale: Scale::Minmax, ..Options::default() }
}

fn is_image(path: &Path) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    decode::decode_as(&bytes, &first_page()).map(drop).map_err(|error| error.to_string())
}

fn header_of(path: &Path) -> Result<Header, StageError> {
    let bytes = std::fs::read(path).map_err(StageError::io(path))?;
    decode::header_as(&bytes, &first_page()).map_err(|error| StageError::mismatch(error.to_string()))
}

/// A file that was not fetched, and why.
pub(crate) struct FailedFile<'f> {
    pub(crate) wanted: &'f WantedFile,
    pub(crate) error: &'f FetchError,
}

/// Fails with the first failures, unless there are none.
pub(crate) fn report(failures: &[FailedFile<'_>], files: usize) -> Result<(), StageError> {
    const SHOWN: usize = 5;
    let Some(FailedFile { error: first, .. }) = failures.first() else { return Ok(()) };
    let mut message = match failures.len() {
        1 if files == 1 => first.to_string(),
        count => format!("{count} of {files} files could not be fetched:"),
    };
    if files > 1 {
        failures.iter().take(SHOWN).for_each(|failed| message += &format!("\n  {}", failed.error));
    }
    if failures.len() > SHOWN {
        message += &format!("\n  and {} more, all of them in the stage's log", failures.len() - SHOWN);
    }
    Err(StageError::mismatch(message).with_help(first.kind.help()))
}

/// The address of a file as it may be shown.
pub(crate) fn address(wanted: &WantedFile) -> String {
    shown(&wanted.url)
}
