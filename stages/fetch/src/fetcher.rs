//! One file, with as many attempts as it takes.

use std::path::Path;

use reqwest::Client;
use tokio::runtime::{Builder, Handle, Runtime};

use super::attempt::{Attempt, Failure};
use super::client::{self, SetupError};
use super::deadline::{Deadline, TransferObserver};
use super::error::{FetchError, FetchErrorKind, shown};
use super::hosts::Hosts;
use super::options::{FRESH_START, NetworkConfig, Options};
use super::partial::PartialFile;
use super::request::{Fetched, Request};

/// A client that fetches files. One is shared by all threads of a stage: it keeps connections open and counts those of
/// each host.
pub struct Fetcher {
    pub(super) options: Options,
    client: Client,
    hosts: Hosts,
    network: Handle,
    /// Taken when it ends.
    runtime: Option<Runtime>,
}

impl Fetcher {
    /// A fetcher for the given network.
    pub fn new(options: Options, network: &NetworkConfig) -> Result<Fetcher, SetupError> {
        let failed = |error: std::io::Error| SetupError::Client(error.to_string());
        // The threads that fetch do the work themselves; this one only polls the network.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let (client, hosts) = (client::client(&options, network)?, Hosts::new(options.per_host));
        Ok(Fetcher { options, client, hosts, network: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Fetches one file into `target`, making its folder if need be. The file appears there complete and verified, or
    /// not at all; until then its bytes are beside it, and a later call resumes from them where the server allows it.
    ///
    /// May be called from many threads. Must not be called from asynchronous code.
    ///
    /// # Errors
    /// Says why the last attempt failed; [`FetchErrorKind::Interrupted`] when `watch` wished to stop.
    pub fn fetch(
        &self,
        request: &Request<'_>,
        target: &Path,
        watch: TransferObserver<'_>,
    ) -> Result<Fetched, FetchError> {
        if let Some(folder) = target.parent()
            && let Err(source) = std::fs::create_dir_all(folder)
        {
            let kind = FetchErrorKind::Write { path: folder.to_owned(), source };
            return Err(FetchError { url: shown(&request.url), attempts: 0, kind });
        }
        let outcome = self.network.block_on(self.fetch_with_retries(request, target, watch));
        self.hosts.of(&request.url).record(outcome.as_ref().map(drop).map_err(|error| &error.kind));
        outcome
    }

    async fn fetch_with_retries(
        &self,
        request: &Request<'_>,
        target: &Path,
        watch: TransferObserver<'_>,
    ) -> Result<Fetched, FetchError> {
        let url = shown(&request.url);
        let mut part = PartialFile::open(target, &url);
        let deadline = Deadline::new(watch, self.options.total_timeout);
        let attempt =
            Attempt { client: &self.client, hosts: &self.hosts, options: &self.options, request, deadline: &deadline };
        let (mut attempts, mut retry) = (0, 0);
        let kind = loop {
            attempts += 1;
            let before = part.len();
            let Err(Failure { kind, reassembled }) = attempt.run(&mut part).await else {
                let bytes = part.len();
                match part.finish() {
                    Ok(()) => return Ok(Fetched { bytes, attempts }),
                    Err(source) => break FetchErrorKind::Write { path: target.to_owned(), source },
                }
            };
            if !kind.keeps_partial_file() {
                part.discard();
            }
            if part.len() >= before + FRESH_START && part.resume_point().is_some() {
                retry = 0;
            }
            if !(kind.may_pass() || reassembled) || retry >= self.options.retries {
                break kind;
            }
            let pause = self.options.pause(&url, retry).max(kind.retry_after().unwrap_or_default());
            retry += 1;
            if let Err(stopped) = deadline.wait_unlimited(tokio::time::sleep(pause)).await {
                break if matches!(stopped, FetchErrorKind::Interrupted) { stopped } else { kind };
            }
        };
        Err(FetchError { url, attempts, kind })
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        // Not waited for: the resolution of a host's address cannot be interrupted.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
