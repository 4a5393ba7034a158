//! One file, with as many attempts as it takes.

use std::path::Path;

use reqwest::Client;
use tokio::runtime::{Builder, Handle, Runtime};

use super::attempt::{Attempt, Failure};
use super::client::{self, SetupError};
use super::hosts::Hosts;
use super::options::{FRESH_START, Options, Surroundings};
use super::partial::Part;
use super::patience::{Patience, Watch};
use super::reason::{FetchError, Reason, shown};
use super::request::{Fetched, Request};

/// Fetches files. One is shared by all threads of a stage: it keeps connections open and knows how many each host has.
pub struct Fetcher {
    pub(super) options: Options,
    client: Client,
    hosts: Hosts,
    network: Handle,
    /// Taken when it ends.
    runtime: Option<Runtime>,
}

impl Fetcher {
    /// A fetcher for the given surroundings.
    pub fn new(options: Options, surroundings: &Surroundings) -> Result<Fetcher, SetupError> {
        let failed = |error: std::io::Error| SetupError::Client(error.to_string());
        // The threads that fetch do the work themselves; this one only hears what the network has to say.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let (client, hosts) = (client::client(&options, surroundings)?, Hosts::new(options.per_host));
        Ok(Fetcher { options, client, hosts, network: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Fetches one file into `target`, making its folder if need be. The file appears there complete and verified, or
    /// not at all; until then its bytes are beside it, and a later call goes on with them where the server allows it.
    ///
    /// May be called from many threads. Must not be called from asynchronous code.
    ///
    /// # Errors
    /// Says why the last attempt failed; [`Reason::Interrupted`] when `watch` wished to stop.
    pub fn fetch(&self, request: &Request<'_>, target: &Path, watch: Watch<'_>) -> Result<Fetched, FetchError> {
        if let Some(folder) = target.parent()
            && let Err(source) = std::fs::create_dir_all(folder)
        {
            let reason = Reason::Write { path: folder.to_owned(), source };
            return Err(FetchError { url: shown(&request.url), attempts: 0, reason });
        }
        let outcome = self.network.block_on(self.fetch_patiently(request, target, watch));
        self.hosts.of(&request.url).learn(outcome.as_ref().map(drop).map_err(|error| &error.reason));
        outcome
    }

    async fn fetch_patiently(
        &self,
        request: &Request<'_>,
        target: &Path,
        watch: Watch<'_>,
    ) -> Result<Fetched, FetchError> {
        let url = shown(&request.url);
        let mut part = Part::open(target, &url);
        let patience = Patience::new(watch, self.options.total_timeout);
        let attempt =
            Attempt { client: &self.client, hosts: &self.hosts, options: &self.options, request, patience: &patience };
        let (mut attempts, mut retry) = (0, 0);
        let reason = loop {
            attempts += 1;
            let before = part.len();
            let Err(Failure { reason, doubtful }) = attempt.run(&mut part).await else {
                let bytes = part.len();
                match part.finish() {
                    Ok(()) => return Ok(Fetched { bytes, attempts }),
                    Err(source) => break Reason::Write { path: target.to_owned(), source },
                }
            };
            if !reason.keeps_part() {
                part.discard();
            }
            if part.len() >= before + FRESH_START && part.resume_point().is_some() {
                retry = 0;
            }
            if !(reason.may_pass() || doubtful) || retry >= self.options.retries {
                break reason;
            }
            let pause = self.options.pause(&url, retry).max(reason.retry_after().unwrap_or_default());
            retry += 1;
            if let Err(stopped) = patience.wait_long(tokio::time::sleep(pause)).await {
                break if matches!(stopped, Reason::Interrupted) { stopped } else { reason };
            }
        };
        Err(FetchError { url, attempts, reason })
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        // Not waited for: the search for a host's address cannot be broken off.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
