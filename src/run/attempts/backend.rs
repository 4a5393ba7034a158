//! The seam between the decisions of a run and everything that touches a disk.
//!
//! [`CacheBackend`] is the cache with scratch folders. A simulation implements the same trait in memory, so that millions of
//! runs can be compared with a model.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use athanor_cache::{ActionRecord, Cache, CacheError, Claim, Digest, Lookup, Unsynced};
use athanor_stages::context::StageReport;

use crate::plan::InstanceId;
use crate::run::access::policy::AccessPolicy;
use crate::run::attempts::attempt::{Attempt, AttemptContext, AttemptOptions, CheckedInputs, CommitError, Stored};
use crate::run::attempts::command_state::kept_state;
use crate::run::attempts::facts::RunFacts;
use crate::run::attempts::failure::log_tail;
use crate::run::attempts::group_commit::{GroupCommitter, Recorded, Unrecorded};
use crate::run::attempts::sandbox::Cleared;
use crate::run::attempts::scratch_pool::ScratchPool;
use crate::run::environment::Variables;
use crate::run::executor::job::{Job, ResourceUse, StoredOutputs};
use crate::run::executor::resources::Allocation;
use crate::run::executor::thread_pool::ThreadPool;
use crate::run::inputs::fingerprint::Resolved;
use crate::run::inputs::folder_views::{FolderViews, ShownFolders};
use crate::run::inputs::mutation_guard::project_snapshots::ProjectSnapshots;
use crate::run::inputs::mutation_guard::readers::Readers;
use crate::run::inputs::resolve::Inputs;
use crate::run::remote::RemoteUse;
use crate::run::state::last_run::LastRun;
use crate::run::state::outputs::Outputs;

/// Reason why an attempt could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The cache refused.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file of the project is not what it was when the run began.
    #[error("`{0}` has changed since the run began, so the stage was not started. Run again.")]
    Outdated(String),
}

/// Storage of results and preparation of attempts, as the dispatcher needs them.
pub trait RunBackend {
    /// The sole right to make a result, until it is dropped.
    type Claim;
    /// A prepared attempt of one instance; holds its claim.
    type Attempt;

    /// Returns the outputs of a result that can be served.
    fn look_up(&self, fingerprint: &Digest) -> Result<Option<Outputs>, CacheError>;
    /// Asks elsewhere for a result that is not here; returns whether it does: [`BackendEvent::Answered`] follows.
    fn ask(&mut self, _inputs: &Inputs<'_>, _id: InstanceId, _fingerprint: &Digest) -> bool {
        false
    }
    /// Fetches what `id` reads and is elsewhere; returns whether there is anything: [`BackendEvent::Fetched`] follows.
    fn fetch(&mut self, _inputs: &Inputs<'_>, _id: InstanceId, _resolved: &Resolved) -> bool {
        false
    }
    /// Notes that a result was recorded.
    fn recorded(&mut self, _record: &ActionRecord) {}
    /// Whether the history does not yet say that the instance called `name` has this result.
    fn is_news(&self, name: &str, fingerprint: &Digest) -> bool;
    /// Claims the right to make the result of a fingerprint; `None` while another process has it, or the state of its work.
    fn try_claim(&self, fingerprint: &Digest) -> Result<Option<Self::Claim>, CacheError>;
    /// Prepares an attempt of `id` at the resolved work.
    fn prepare(
        &mut self,
        inputs: &Inputs<'_>,
        id: InstanceId,
        resolved: Resolved,
        claim: Self::Claim,
        options: AttemptOptions,
    ) -> Result<Self::Attempt, PrepareError>;
    /// Describes the job that does the work.
    fn job(&self, inputs: &Inputs<'_>, id: InstanceId, attempt: &Self::Attempt, allocation: &Allocation) -> Job;
    /// Notes what a stage reports about its attempt; returns whether the run's log should have it: of a long curve it gets some points.
    fn note(&self, attempt: &mut Self::Attempt, report: &StageReport) -> bool;
    /// Takes outputs of an attempt that were stored where it ran.
    fn made(&self, _attempt: &mut Self::Attempt, _made: StoredOutputs) {}
    /// Notes the resources that the attempt's processes used.
    fn note_use(&self, _attempt: &mut Self::Attempt, _used: ResourceUse) {}
    /// Notes the node of a cluster on which the attempt runs.
    fn note_node(&self, _attempt: &mut Self::Attempt, _node: &str) {}
    /// Stores the result of a job that succeeded and ends the attempt; [`BackendEvent::Stored`] follows.
    fn store(&mut self, inputs: &Inputs<'_>, id: InstanceId, attempt: Self::Attempt);
    /// Records a stored result, soon; [`BackendEvent::Recorded`] follows. Its claim is held until then.
    fn record(&mut self, id: InstanceId, stored: &Stored);
    /// Records at once what waits to be recorded, as nothing else is going on.
    fn flush(&self);
    /// Place of the state that is kept of a command's work, if there is any.
    fn kept_state(&self, fingerprint: &Digest) -> Option<PathBuf>;
    /// Ends an attempt that failed.
    fn abandon(&mut self, inputs: &Inputs<'_>, id: InstanceId, attempt: Self::Attempt) -> Abandoned;
}

/// Outcome of work that a backend did on another thread.
pub enum BackendEvent {
    /// The result of a finished job was stored, or not; the attempt is over.
    Stored(InstanceId, Box<Result<Stored, CommitError>>),
    /// Results were recorded, or not.
    Recorded(Recorded),
    /// Outputs of the result that an instance needs, if it is elsewhere.
    Answered(InstanceId, Digest, Option<Outputs>),
    /// All that an instance reads is here, or not.
    Fetched(InstanceId, bool),
    /// Sentence about the run as a whole, for the user.
    Notice(String),
}

/// Receives the events of a backend, from any thread; must not block.
pub type BackendListener = Arc<dyn Fn(BackendEvent) + Send + Sync>;

/// Remains of an attempt that failed.
#[derive(Debug, Default)]
pub struct Abandoned {
    /// Last lines of its log.
    pub log_tail: Vec<String>,
    /// Why it may have failed through no fault of its own: another stage changed what it read.
    pub disturbed: Option<String>,
    /// Accesses that its sandbox denied, as sentences, if its log tells of any.
    pub denied: Option<String>,
    /// Why the state that was kept of its work is dropped, if it is.
    pub dropped_state: Option<String>,
}

/// Results that are known from earlier runs.
#[derive(Clone, Copy)]
pub struct KnownResults<'r> {
    /// Summary of the last run.
    pub last_run: &'r LastRun,
    /// Whether the history may contradict the summary, so that every result is news.
    pub is_outdated: bool,
    /// Facts for the records of this run.
    pub facts: &'r Arc<RunFacts>,
}

/// Backend on the cache and scratch folders.
pub struct CacheBackend<'r> {
    cache: Arc<Cache>,
    known: KnownResults<'r>,
    threads: ThreadPool,
    scratch_pool: Arc<Mutex<ScratchPool>>,
    snapshots: ProjectSnapshots,
    views: FolderViews,
    readers: Readers,
    /// Results that are stored, ready to be recorded.
    stored: Arc<Mutex<HashMap<InstanceId, Unrecorded>>>,
    group_committer: GroupCommitter,
    /// Variables of this process, of which commands get some.
    variables: Variables,
    policy: Arc<AccessPolicy>,
    /// Whether its executor goes on with what agents of a killed run do.
    adopts: bool,
    /// Remote cache, if there is one.
    remote: Option<Arc<RemoteUse>>,
    /// Whether results are looked for there.
    asks: bool,
    listener: BackendListener,
}

impl<'r> CacheBackend<'r> {
    /// A backend that keeps results in `cache`, of which some are `known`, and reports to `listener`.
    pub fn new(
        cache: Arc<Cache>,
        known: KnownResults<'r>,
        scratch_pool: ScratchPool,
        threads: ThreadPool,
        variables: Variables,
        policy: Arc<AccessPolicy>,
        listener: BackendListener,
    ) -> CacheBackend<'r> {
        let on_recorded = {
            let listener = Arc::clone(&listener);
            move |recorded| listener(BackendEvent::Recorded(recorded))
        };
        let group_committer = GroupCommitter::start(Arc::clone(&cache), on_recorded);
        CacheBackend {
            cache,
            known,
            threads,
            scratch_pool: Arc::new(Mutex::new(scratch_pool)),
            snapshots: ProjectSnapshots::default(),
            views: FolderViews::default(),
            readers: Readers::default(),
            stored: Arc::default(),
            group_committer,
            variables,
            policy,
            adopts: false,
            remote: None,
            asks: false,
            listener,
        }
    }

    /// The same backend, under an executor that goes on with what agents of a killed run do.
    #[must_use]
    pub(crate) fn adopting(self) -> CacheBackend<'r> {
        CacheBackend { adopts: true, ..self }
    }

    /// Uses a remote cache, too: pushes what is recorded, fetches what is promised, and, if it `asks`, looks for results there.
    #[must_use]
    pub fn with_remote(mut self, remote: Option<Arc<RemoteUse>>, asks: bool) -> Self {
        (self.remote, self.asks) = (remote, asks);
        self
    }
}

impl RunBackend for CacheBackend<'_> {
    type Claim = Claim;
    type Attempt = Attempt;

    fn look_up(&self, fingerprint: &Digest) -> Result<Option<Outputs>, CacheError> {
        if let Some(outputs) = self.known.last_run.outputs(fingerprint) {
            return Ok(Some(Arc::clone(outputs)));
        }
        Ok(match self.cache.lookup(fingerprint)? {
            Lookup::Hit(record) => Some(record.outputs.into()),
            Lookup::Incomplete { .. } | Lookup::Miss => None,
        })
    }

    fn ask(&mut self, inputs: &Inputs<'_>, id: InstanceId, fingerprint: &Digest) -> bool {
        let Some(remote) = self.remote.as_ref().filter(|_| self.asks) else { return false };
        let (listener, fingerprint) = (Arc::clone(&self.listener), *fingerprint);
        let ports = &inputs.plan.instances[id.index()].outputs;
        remote.ask(fingerprint, ports, move |outputs| listener(BackendEvent::Answered(id, fingerprint, outputs)));
        true
    }

    fn fetch(&mut self, inputs: &Inputs<'_>, id: InstanceId, resolved: &Resolved) -> bool {
        let Some(remote) = &self.remote else { return false };
        let missing = remote.missing(&inputs.stored(id, &resolved.recipe));
        if missing.is_empty() {
            return false;
        }
        let listener = Arc::clone(&self.listener);
        remote.fetch(missing, move |all| listener(BackendEvent::Fetched(id, all)));
        true
    }

    fn recorded(&mut self, record: &ActionRecord) {
        self.remote.iter().for_each(|remote| remote.push(record));
    }

    fn is_news(&self, name: &str, fingerprint: &Digest) -> bool {
        self.known.is_outdated || !self.known.last_run.is_current(name, fingerprint)
    }

    fn try_claim(&self, fingerprint: &Digest) -> Result<Option<Claim>, CacheError> {
        let claim = self.cache.try_claim(fingerprint)?;
        // Processes of a run that was killed outlive its claim for a moment, and its agents for longer.
        let is_free = |_: &Claim| {
            !self.cache.is_program_state_held(fingerprint) && (self.adopts || !self.cache.has_agent(fingerprint))
        };
        Ok(claim.filter(is_free))
    }

    fn prepare(
        &mut self,
        inputs: &Inputs<'_>,
        id: InstanceId,
        resolved: Resolved,
        claim: Claim,
        options: AttemptOptions,
    ) -> Result<Attempt, PrepareError> {
        let folder = {
            let mut scratch_pool = lock(&self.scratch_pool);
            scratch_pool.prepare_log(&options.log)?;
            scratch_pool.acquire()?
        };
        let exclusions = inputs.contents.exclusions();
        let reads = inputs.paths_read(id).into_iter();
        let reads = reads.map(|read| self.snapshots.take(inputs.project, &read, exclusions));
        let reads = reads.collect::<Result<Vec<_>, _>>()?;
        // Its result could not be kept, however long it works.
        if let Some(outdated) = reads.iter().find(|read| read.is_outdated(&self.cache)) {
            return Err(PrepareError::Outdated(outdated.name().to_owned()));
        }
        let reader = self.readers.begin(inputs.stored(id, &resolved.recipe));
        let views = ShownFolders { views: &mut self.views, exclusions };
        let context = AttemptContext { folder, reads, reader, views, policy: Arc::clone(&self.policy) };
        let attempt = Attempt::prepare(&self.cache, inputs, id, resolved, claim, context, options);
        self.policy.notices().into_iter().for_each(|notice| (self.listener)(BackendEvent::Notice(notice)));
        Ok(attempt?)
    }

    fn job(&self, inputs: &Inputs<'_>, id: InstanceId, attempt: &Attempt, allocation: &Allocation) -> Job {
        attempt.job(&self.cache, inputs, &inputs.plan.instances[id.index()], allocation, &self.variables)
    }

    fn note(&self, attempt: &mut Attempt, report: &StageReport) -> bool {
        attempt.note(report)
    }

    fn made(&self, attempt: &mut Attempt, made: StoredOutputs) {
        attempt.made(made);
    }

    fn note_use(&self, attempt: &mut Attempt, used: ResourceUse) {
        attempt.note_use(used);
    }

    fn note_node(&self, attempt: &mut Attempt, node: &str) {
        attempt.note_node(node);
    }

    fn kept_state(&self, fingerprint: &Digest) -> Option<PathBuf> {
        kept_state(&self.cache, fingerprint)
    }

    fn store(&mut self, inputs: &Inputs<'_>, id: InstanceId, attempt: Attempt) {
        let (cache, listener) = (Arc::clone(&self.cache), Arc::clone(&self.listener));
        let (scratch_pool, stored) = (Arc::clone(&self.scratch_pool), Arc::clone(&self.stored));
        let facts = Arc::clone(self.known.facts);
        let instance = inputs.plan.instances[id.index()].clone();
        let policy = Arc::clone(&self.policy);
        // Hashing large outputs takes a while, during which the dispatcher must react to other stages.
        self.threads.run(move || {
            let mut unsynced = Unsynced::default();
            // The log is stored with the result.
            let absent = attempt.absent(&policy);
            let result = attempt.store(&cache, &instance, &facts, || lock(&scratch_pool).others_run(), &mut unsynced);
            let result = result.and_then(|(record, removed)| Ok((record.seal()?, record, removed)));
            if let (true, Some(absent)) = (result.is_ok(), absent) {
                let name = &instance.name;
                let notice = format!("{name} has ended well, though its log tells of a missing file: {absent}");
                listener(BackendEvent::Notice(notice));
            }
            let kept = if result.is_err() { lock(&scratch_pool).keep(&instance.name, attempt.folder()) } else { None };
            let (claim, Cleared { folder, undeclared }) =
                if kept.is_some() { attempt.end_kept() } else { attempt.end() };
            kept.into_iter().for_each(|notice| listener(BackendEvent::Notice(notice)));
            lock(&scratch_pool).release(folder);
            let result = result.map(|(sealed, record, removed)| {
                let (fingerprint, work_ms) = (record.fingerprint, record.duration_ms);
                let unrecorded = Unrecorded { id, fingerprint, work_ms, record: sealed, unsynced, claim };
                lock(&stored).insert(id, unrecorded);
                Stored { record, undeclared, removed }
            });
            listener(BackendEvent::Stored(id, Box::new(result)));
        });
    }

    fn record(&mut self, id: InstanceId, _result: &Stored) {
        if let Some(result) = lock(&self.stored).remove(&id) {
            self.group_committer.record(result);
        }
    }

    fn flush(&self) {
        self.group_committer.flush();
    }

    fn abandon(&mut self, inputs: &Inputs<'_>, id: InstanceId, attempt: Attempt) -> Abandoned {
        let instance = &inputs.plan.instances[id.index()].name;
        let log_tail = log_tail(&attempt.log);
        let CheckedInputs { disturbed, dropped_state } =
            attempt.check_inputs(&self.cache, || lock(&self.scratch_pool).others_run());
        let denied = attempt.denied(&self.policy, &log_tail);
        let kept = lock(&self.scratch_pool).keep(instance, attempt.folder());
        let (_, cleared) = if kept.is_some() { attempt.end_kept() } else { attempt.end() };
        kept.into_iter().for_each(|notice| (self.listener)(BackendEvent::Notice(notice)));
        lock(&self.scratch_pool).release(cleared.folder);
        Abandoned { log_tail, disturbed, denied, dropped_state }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
