//! One archive, fetched and unpacked.

use std::path::Path;
use std::sync::OnceLock;

use super::fetch_missing;
use super::params::DownloadParams;
use super::wanted::WantedFile;
use crate::context::StageContext;
use crate::error::StageError;
use athanor_fetch::unpack::{Limits, UnpackError, unpack};
use athanor_fetch::{BatchObserver, FetchErrorKind, FetchTask, Request};

/// Fetches an archive and unpacks it into `folder`. The archive itself is not kept beside its content; until that is
/// complete it waits in the stage's unfinished state, so that a stage that is stopped while it unpacks need not fetch
/// it again.
pub(crate) fn unpack_one(
    params: &DownloadParams,
    wanted: &WantedFile,
    folder: &Path,
    context: &StageContext<'_>,
) -> Result<(), StageError> {
    let archive = context.unfinished()?.join("archive");
    if !archive.exists() {
        fetch(params, wanted, &archive, context)?;
    }
    let limits = Limits { bytes: params.max_unpacked, ..Limits::default() };
    let unpacked = unpack(&archive, folder, &limits, &|| context.should_stop());
    if !matches!(unpacked, Err(UnpackError::Interrupted | UnpackError::Write { .. })) {
        // A damaged archive must be fetched again next time.
        let _ = std::fs::remove_file(&archive);
    }
    let unpacked = unpacked.map_err(|error| match error {
        UnpackError::Interrupted => StageError::Interrupted,
        UnpackError::Write { path, source } => StageError::Io { path, source },
        error => StageError::in_file(fetch_missing::address(wanted), error.to_string()).with_help(error.help()),
    })?;
    context.metric("files", unpacked.files as f64);
    context.metric("bytes", unpacked.bytes as f64);
    Ok(())
}

fn fetch(
    params: &DownloadParams,
    wanted: &WantedFile,
    archive: &Path,
    context: &StageContext<'_>,
) -> Result<(), StageError> {
    let (size, sha256) = (wanted.size, wanted.sha256.clone());
    let request = Request { size, sha256, ..Request::new(wanted.url.clone()) };
    let outcome = OnceLock::new();
    let listener = BatchObserver {
        progress: &|progress| context.progress(progress.bytes, size.unwrap_or(0), "bytes"),
        finished: &|_, result| drop(outcome.set(result)),
        should_stop: &|| context.should_stop(),
    };
    fetch_missing::fetcher(params, context)?.fetch_all(&[FetchTask { request, target: archive.to_owned() }], &listener);
    match outcome.into_inner() {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => match error.kind {
            FetchErrorKind::Interrupted => Err(StageError::Interrupted),
            FetchErrorKind::Write { path, source } => Err(StageError::Io { path, source }),
            _ => Err(StageError::mismatch(error.to_string()).with_help(error.kind.help())),
        },
        None => Err(StageError::Interrupted),
    }
}
