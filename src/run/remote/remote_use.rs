//! Use of a remote cache in one run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use athanor_cache::{ActionRecord, Artifact, Cache, Digest, Presence};
use athanor_remote::{
    Address, Programs, PushOptions, Remote, RemoteError, RemoteOptions, RemoteResult, TeamKey, Transfer,
};

use athanor_stages::ports::OutputPort;

use crate::run::own_processes;
use crate::run::state::outputs::Outputs;

use super::promises::Promises;
use super::pusher::{Pusher, Pushes};
use super::reported::Reported;
use super::workers::Workers;

/// Questions under way at once.
const QUESTIONS: usize = 16;
/// Fetches under way at once; each has several requests.
const FETCHES: usize = 3;
/// Consequence of a failure while results are looked for.
const MADE_HERE: &str = "Results that it may have are made here.";
/// Consequence of a failure while results are pushed.
const NOT_PUSHED: &str = "All results are in the cache here: `athanor cache push` pushes those that are not there.";

/// Configuration of a remote cache.
#[derive(Debug, Clone)]
pub struct RemoteConfig {
    /// Its address.
    pub address: Address,
    /// Whether results of runs are pushed.
    pub pushes: bool,
    /// Whether logs are pushed.
    pub push_logs: bool,
    /// Key of the team.
    pub team_key: Option<TeamKey>,
    /// Variables that say who asks, and where.
    pub variables: Vec<(String, String)>,
    /// The program on the other machine, for `ssh://`.
    pub program_there: String,
}

/// Opens a remote cache. Nothing is asked yet.
pub(crate) fn open(config: &RemoteConfig) -> Result<Remote, RemoteError> {
    Remote::open(&RemoteOptions {
        address: config.address.clone(),
        team_key: config.team_key.clone(),
        variables: config.variables.clone(),
        program_there: config.program_there.clone(),
        programs: Programs { spawn: own_processes::spawn, ended: own_processes::ended },
    })
}

/// Tells the user something, from any thread.
type Notify = Arc<dyn Fn(String) + Send + Sync>;

/// Use of a remote cache in one run. It is opened when the first question is asked.
pub struct RemoteUse {
    config: RemoteConfig,
    cache: Arc<Cache>,
    remote: OnceLock<Option<Arc<Remote>>>,
    questions: Workers,
    fetches: Workers,
    promises: Mutex<Promises>,
    /// Results that are being fetched: each by one thread.
    fetching: Mutex<HashMap<Digest, Arc<Mutex<()>>>>,
    pusher: Pusher,
    fetched: Arc<Transfer>,
    reported: Arc<Reported>,
    notify: Notify,
}

impl RemoteUse {
    /// Use of the remote cache of `config`, for results that `cache` lacks.
    pub fn new(config: RemoteConfig, cache: Arc<Cache>, notify: Notify) -> RemoteUse {
        RemoteUse {
            config,
            cache,
            remote: OnceLock::new(),
            questions: Workers::new(QUESTIONS),
            fetches: Workers::new(FETCHES),
            promises: Mutex::default(),
            fetching: Mutex::default(),
            pusher: Pusher::new(),
            fetched: Arc::default(),
            reported: Arc::default(),
            notify,
        }
    }

    /// The remote cache; `None` if it cannot be opened, which was told.
    fn remote(&self) -> Option<&Arc<Remote>> {
        let opened = self.remote.get_or_init(|| match open(&self.config) {
            Ok(remote) => Some(Arc::new(remote)),
            Err(error) => {
                self.tell(&error, MADE_HERE);
                None
            }
        });
        opened.as_ref()
    }

    fn tell(&self, error: &RemoteError, consequence: &str) {
        self.reported.line(error, consequence).into_iter().for_each(|line| (self.notify)(line));
    }

    /// Asks for the result of a fingerprint, of work with these outputs; `answered` gets what it has of them if there is a result, on
    /// another thread. Anything that goes wrong counts as no result.
    pub fn ask(
        self: &Arc<Self>,
        fingerprint: Digest,
        ports: &[OutputPort],
        answered: impl FnOnce(Option<Outputs>) + Send + 'static,
    ) {
        let (this, ports) = (Arc::clone(self), ports.to_vec());
        self.questions.run(move || answered(this.find(&fingerprint, &ports)));
    }

    /// Asks for the result of a fingerprint, of work with these outputs, and waits. One that is found is promised from now on.
    pub fn find(&self, fingerprint: &Digest, ports: &[OutputPort]) -> Option<Outputs> {
        match self.remote()?.find_whole(fingerprint, required(ports)) {
            Ok(found) => {
                let result = Arc::new(found?);
                let outputs = Outputs::from(result.record.outputs.as_slice());
                lock(&self.promises).add(result);
                Some(outputs)
            }
            Err(error) => {
                self.tell(&error, MADE_HERE);
                None
            }
        }
    }

    /// Artifacts among `artifacts` that are promised and not here.
    pub fn missing<'a>(&self, artifacts: impl IntoIterator<Item = &'a Artifact>) -> Vec<Artifact> {
        let promises = lock(&self.promises);
        if promises.is_empty() {
            return Vec::new();
        }
        let is_missing = |artifact: &&Artifact| {
            promises.of(artifact).is_some() && self.cache.presence(artifact) != Presence::Present
        };
        artifacts.into_iter().filter(is_missing).cloned().collect()
    }

    /// Fetches promised artifacts; `done` gets whether all are here, on another thread.
    pub fn fetch(self: &Arc<Self>, artifacts: Vec<Artifact>, done: impl FnOnce(bool) + Send + 'static) {
        let this = Arc::clone(self);
        self.fetches.run(move || done(this.fetch_now(&artifacts)));
    }

    /// Fetches promised artifacts and waits. Promises that are not kept are broken.
    pub fn fetch_now(&self, artifacts: &[Artifact]) -> bool {
        let mut all = true;
        for artifact in artifacts {
            let promised = lock(&self.promises).of(artifact);
            all &= promised.is_some_and(|result| self.fetch_one(artifact, &result));
        }
        all
    }

    fn fetch_one(&self, artifact: &Artifact, result: &RemoteResult) -> bool {
        let fingerprint = result.record.fingerprint;
        let alone = Arc::clone(lock(&self.fetching).entry(fingerprint).or_default());
        let _alone = lock(&alone);
        if self.cache.presence(artifact) == Presence::Present {
            return true;
        }
        let Some(remote) = self.remote() else { return false };
        match remote.fetch(&self.cache, result, &[artifact], &self.fetched) {
            Ok(()) => {
                self.record_if_whole(remote, result);
                true
            }
            Err(error) => {
                self.tell(&error, MADE_HERE);
                lock(&self.promises).is_broken(&fingerprint);
                false
            }
        }
    }

    /// Records a result all of whose outputs are here, so that the next run does not ask for it.
    fn record_if_whole(&self, remote: &Remote, result: &RemoteResult) {
        let is_here = |artifact: &Artifact| self.cache.presence(artifact) == Presence::Present;
        if result.record.outputs.iter().all(|output| is_here(&output.artifact))
            && let Err(error) = remote.pull(&self.cache, result, &self.fetched)
        {
            // What was needed is here.
            self.tell(&error, "The result is here, and the next run asks for it again.");
        }
    }

    /// Whether an artifact was promised, and did not come.
    pub fn is_lost(&self, artifact: &Artifact) -> bool {
        lock(&self.promises).is_lost(artifact)
    }

    /// Whether an artifact is promised.
    pub fn is_promised(&self, artifact: &Artifact) -> bool {
        lock(&self.promises).of(artifact).is_some()
    }

    /// Pushes a recorded result soon, if results are pushed.
    pub fn push(&self, record: &ActionRecord) {
        if !self.config.pushes {
            return;
        }
        let Some(remote) = self.remote() else { return };
        let (reported, notify) = (Arc::clone(&self.reported), Arc::clone(&self.notify));
        let on_trouble: Arc<dyn Fn(&RemoteError) + Send + Sync> =
            Arc::new(move |error| reported.line(error, NOT_PUSHED).into_iter().for_each(|line| notify(line)));
        let options = PushOptions { logs: self.config.push_logs, again: false };
        self.pusher.push(record.clone(), &self.cache, remote, options, &on_trouble);
    }

    /// Waits a moment for the end of all pushes.
    pub(crate) fn wait_for_pushes(&self, moment: Duration) -> PushState {
        let Pushes { left, report, failures } = self.pusher.wait(moment);
        let (done, total) = self.pusher.progress();
        PushState { left, failures, pushed: report.pushed, differing: report.differing.len(), done, total }
    }

    /// Bytes that were fetched, and that are to be fetched as far as known.
    pub(crate) fn fetched(&self) -> (u64, u64) {
        (self.fetched.done(), self.fetched.total())
    }

    /// Gives up all transfers.
    pub(crate) fn stop(&self) {
        self.fetched.stop();
        self.pusher.stop();
    }

    /// Its address.
    pub(crate) fn address(&self) -> String {
        self.config.address.to_string()
    }
}

/// Names of the outputs that such work always has.
pub(crate) fn required(ports: &[OutputPort]) -> impl Iterator<Item = &str> {
    ports.iter().filter(|port| !port.optional).map(|port| &*port.name)
}

/// State of the pushes of a run.
pub(crate) struct PushState {
    /// Number of results that are still to be pushed, at least.
    pub left: usize,
    /// Number of results that could not be pushed.
    pub failures: usize,
    /// Number of results that were pushed.
    pub pushed: usize,
    /// Number of results of which there is another one.
    pub differing: usize,
    /// Bytes that were sent.
    pub done: u64,
    /// Bytes that are to be sent, as far as known.
    pub total: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
