//! Where results are kept and stages do their work: the seam between a run's decisions and everything that touches a disk.
//!
//! [`CacheBackend`] is the cache with folders for tries. A simulation keeps all of it in memory, so that millions of runs can be
//! held against a model.

use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use athanor_cache::{Cache, CacheError, Claim, Digest, Lookup, Unsynced};
use athanor_stages::context::StageReport;

use crate::plan::InstanceId;
use crate::run::attempts::attempt::{Attempt, AttemptContext, AttemptOptions, Stored};
use crate::run::attempts::failure::log_tail;
use crate::run::attempts::group_commit::{GroupCommitter, Unrecorded};
use crate::run::attempts::sandbox::Cleared;
use crate::run::attempts::scratch_pool::ScratchPool;
use crate::run::engine::dispatcher::Message;
use crate::run::engine::in_flight::Outputs;
use crate::run::executor::job::Job;
use crate::run::executor::resources::Allocation;
use crate::run::executor::thread_pool::ThreadPool;
use crate::run::inputs::fingerprint::Resolved;
use crate::run::inputs::mutation_guard::project_snapshots::ProjectSnapshots;
use crate::run::inputs::mutation_guard::readers::Readers;
use crate::run::inputs::resolve::Inputs;
use crate::run::state::last_run::LastRun;

/// What a run needs for its results and its tries.
pub trait RunBackend {
    /// The sole right to make a result, until it is dropped.
    type Claim;
    /// One try of one instance, prepared; holds its claim.
    type Attempt;

    /// The outputs of a result that can be served.
    fn look_up(&self, fingerprint: &Digest) -> Result<Option<Outputs>, CacheError>;
    /// Whether it is news that the instance called `name` has this result, for those who look at the history.
    fn is_news(&self, name: &str, fingerprint: &Digest) -> bool;
    /// Claims the right to make a fingerprint's result; `None` while somebody else has it.
    fn try_claim(&self, fingerprint: &Digest) -> Result<Option<Self::Claim>, CacheError>;
    /// Prepares a try of `id`, which is to do what is resolved.
    fn prepare(
        &mut self,
        inputs: &Inputs<'_>,
        id: InstanceId,
        resolved: Resolved,
        claim: Self::Claim,
        options: AttemptOptions,
    ) -> Result<Self::Attempt, CacheError>;
    /// The job that does the work.
    fn job(&self, inputs: &Inputs<'_>, id: InstanceId, attempt: &Self::Attempt, allocation: &Allocation) -> Job;
    /// Keeps what a stage reports with its try.
    fn note(&self, attempt: &mut Self::Attempt, report: &StageReport);
    /// Stores the result of a job that succeeded and ends the try; [`Message::Stored`] follows.
    fn store(&mut self, inputs: &Inputs<'_>, id: InstanceId, attempt: Self::Attempt);
    /// Records a stored result, soon; [`Message::Recorded`] follows. Until then its claim goes on.
    fn record(&mut self, id: InstanceId, stored: &Stored);
    /// Nothing else is going on: what is to be recorded need not wait any longer.
    fn flush(&self);
    /// Ends a try that came to nothing.
    fn abandon(&mut self, attempt: Self::Attempt) -> Abandoned;
}

/// What is left of a try that came to nothing.
#[derive(Debug, Default)]
pub struct Abandoned {
    /// The last lines of its log.
    pub log_tail: Vec<String>,
    /// Why it may have failed through no fault of its own: another stage changed what it read.
    pub disturbed: Option<String>,
}

/// The cache, and folders of tries.
pub struct CacheBackend<'r> {
    cache: Arc<Cache>,
    last_run: &'r LastRun,
    all_is_news: bool,
    threads: ThreadPool,
    scratch_pool: Arc<Mutex<ScratchPool>>,
    snapshots: ProjectSnapshots,
    readers: Readers,
    /// Results that are stored, ready to be recorded.
    stored: Arc<Mutex<HashMap<InstanceId, Unrecorded>>>,
    group_committer: GroupCommitter,
    run: Sender<Message>,
}

impl<'r> CacheBackend<'r> {
    /// Results go into `cache`, of which `last_run` is a summary; the run hears of it through `run`. `all_is_news` says that the
    /// history may contradict the summary.
    pub fn new(
        cache: Arc<Cache>,
        (last_run, all_is_news): (&'r LastRun, bool),
        scratch_pool: ScratchPool,
        threads: ThreadPool,
        run: Sender<Message>,
    ) -> CacheBackend<'r> {
        let sender = run.clone();
        // Nobody listens only when the whole run ends early.
        let listener = move |recorded| drop(sender.send(Message::Recorded(recorded)));
        let group_committer = GroupCommitter::start(Arc::clone(&cache), listener);
        let (scratch_pool, stored) = (Arc::new(Mutex::new(scratch_pool)), Arc::default());
        CacheBackend {
            cache,
            last_run,
            all_is_news,
            threads,
            scratch_pool,
            snapshots: ProjectSnapshots::default(),
            readers: Readers::default(),
            stored,
            group_committer,
            run,
        }
    }
}

impl RunBackend for CacheBackend<'_> {
    type Claim = Claim;
    type Attempt = Attempt;

    fn look_up(&self, fingerprint: &Digest) -> Result<Option<Outputs>, CacheError> {
        if let Some(outputs) = self.last_run.outputs(fingerprint) {
            return Ok(Some(Arc::clone(outputs)));
        }
        Ok(match self.cache.lookup(fingerprint)? {
            Lookup::Hit(record) => Some(record.outputs.into()),
            Lookup::Incomplete { .. } | Lookup::Miss => None,
        })
    }

    fn is_news(&self, name: &str, fingerprint: &Digest) -> bool {
        self.all_is_news || !self.last_run.is_current(name, fingerprint)
    }

    fn try_claim(&self, fingerprint: &Digest) -> Result<Option<Claim>, CacheError> {
        self.cache.try_claim(fingerprint)
    }

    fn prepare(
        &mut self,
        inputs: &Inputs<'_>,
        id: InstanceId,
        resolved: Resolved,
        claim: Claim,
        options: AttemptOptions,
    ) -> Result<Attempt, CacheError> {
        let folder = {
            let mut scratch_pool = lock(&self.scratch_pool);
            scratch_pool.prepare_log(&options.log)?;
            scratch_pool.folder()?
        };
        let reads = inputs.paths_read(id).into_iter().map(|path| self.snapshots.take(inputs.project, path));
        let reads = reads.collect::<Result<_, _>>()?;
        let reader = self.readers.begin(inputs.stored(id, &resolved.recipe));
        let context = AttemptContext { folder, reads, reader };
        Attempt::prepare(&self.cache, inputs, id, resolved, claim, context, options)
    }

    fn job(&self, inputs: &Inputs<'_>, id: InstanceId, attempt: &Attempt, allocation: &Allocation) -> Job {
        attempt.job(&self.cache, inputs, &inputs.plan.instances[id.index()], allocation)
    }

    fn note(&self, attempt: &mut Attempt, report: &StageReport) {
        attempt.note(report);
    }

    fn store(&mut self, inputs: &Inputs<'_>, id: InstanceId, attempt: Attempt) {
        let (cache, run) = (Arc::clone(&self.cache), self.run.clone());
        let (scratch_pool, stored) = (Arc::clone(&self.scratch_pool), Arc::clone(&self.stored));
        let instance = inputs.plan.instances[id.index()].clone();
        // Hashing large outputs takes a while, during which other stages want to be heard.
        self.threads.run(move || {
            let mut unsynced = Unsynced::default();
            let result = attempt.store(&cache, &instance, || lock(&scratch_pool).others_run(), &mut unsynced);
            let result = result.and_then(|(record, removed)| Ok((record.seal()?, record, removed)));
            let (claim, Cleared { folder, undeclared }) = attempt.end();
            lock(&scratch_pool).release(folder);
            let result = result.map(|(sealed, record, removed)| {
                let (fingerprint, work_ms) = (record.fingerprint, record.duration_ms);
                let unrecorded = Unrecorded { id, fingerprint, work_ms, record: sealed, unsynced, claim };
                lock(&stored).insert(id, unrecorded);
                Stored { record, undeclared, removed }
            });
            // Nobody listens only when the whole process ends.
            let _ = run.send(Message::Stored(id, Box::new(result)));
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

    fn abandon(&mut self, attempt: Attempt) -> Abandoned {
        let log_tail = log_tail(&attempt.log);
        let disturbed = attempt.disturbed(&self.cache, || lock(&self.scratch_pool).others_run());
        let (_, cleared) = attempt.end();
        lock(&self.scratch_pool).release(cleared.folder);
        Abandoned { log_tail, disturbed }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
