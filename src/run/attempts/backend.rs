//! Where results are kept and stages do their work: the seam between a run's decisions and everything that touches a disk.
//!
//! [`OnDisk`] is the cache with folders for tries. A simulation keeps all of it in memory, so that millions of runs can be
//! held against a model.

use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use athanor_cache::{Cache, CacheError, Claim, Digest, Lookup, Unsynced};
use athanor_stages::context::StageReport;

use crate::plan::InstanceId;
use crate::run::attempts::attempt::{Attempt, Place, Stored, Surroundings};
use crate::run::attempts::failure::log_tail;
use crate::run::attempts::group_commit::{Recorder, Unrecorded};
use crate::run::attempts::sandbox::Cleared;
use crate::run::attempts::scratch_pool::Places;
use crate::run::engine::dispatcher::Happening;
use crate::run::engine::in_flight::Outputs;
use crate::run::executor::job::Job;
use crate::run::executor::resources::Allocation;
use crate::run::executor::thread_pool::Crew;
use crate::run::inputs::fingerprint::Resolved;
use crate::run::inputs::mutation_guard::project_snapshots::Traces;
use crate::run::inputs::mutation_guard::readers::Readers;
use crate::run::inputs::resolve::Inputs;
use crate::run::state::last_run::Recall;

/// What a run needs for its results and its tries.
pub trait Workshop {
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
        place: Place,
    ) -> Result<Self::Attempt, CacheError>;
    /// The job that does the work.
    fn job(&self, inputs: &Inputs<'_>, id: InstanceId, attempt: &Self::Attempt, allocation: &Allocation) -> Job;
    /// Keeps what a stage reports with its try.
    fn note(&self, attempt: &mut Self::Attempt, report: &StageReport);
    /// Stores the result of a job that succeeded and ends the try; [`Happening::Stored`] follows.
    fn store(&mut self, inputs: &Inputs<'_>, id: InstanceId, attempt: Self::Attempt);
    /// Records a stored result, soon; [`Happening::Recorded`] follows. Until then its claim goes on.
    fn record(&mut self, id: InstanceId, stored: &Stored);
    /// Nothing else is going on: what is to be recorded need not wait any longer.
    fn hurry(&self);
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
pub struct OnDisk<'r> {
    cache: Arc<Cache>,
    recall: &'r Recall,
    all_is_news: bool,
    crew: Crew,
    places: Arc<Mutex<Places>>,
    traces: Traces,
    readers: Readers,
    /// Results that are stored, ready to be recorded.
    stored: Arc<Mutex<HashMap<InstanceId, Unrecorded>>>,
    recorder: Recorder,
    run: Sender<Happening>,
}

impl<'r> OnDisk<'r> {
    /// Results go into `cache`, of which `recall` is a summary; the run hears of it through `run`. `all_is_news` says that the
    /// history may contradict the summary.
    pub fn new(
        cache: Arc<Cache>,
        (recall, all_is_news): (&'r Recall, bool),
        places: Places,
        crew: Crew,
        run: Sender<Happening>,
    ) -> OnDisk<'r> {
        let heard = run.clone();
        // Nobody listens only when the whole run ends early.
        let listener = move |recorded| drop(heard.send(Happening::Recorded(recorded)));
        let recorder = Recorder::start(Arc::clone(&cache), listener);
        let (places, stored) = (Arc::new(Mutex::new(places)), Arc::default());
        OnDisk {
            cache,
            recall,
            all_is_news,
            crew,
            places,
            traces: Traces::default(),
            readers: Readers::default(),
            stored,
            recorder,
            run,
        }
    }
}

impl Workshop for OnDisk<'_> {
    type Claim = Claim;
    type Attempt = Attempt;

    fn look_up(&self, fingerprint: &Digest) -> Result<Option<Outputs>, CacheError> {
        if let Some(outputs) = self.recall.outputs(fingerprint) {
            return Ok(Some(Arc::clone(outputs)));
        }
        Ok(match self.cache.lookup(fingerprint)? {
            Lookup::Hit(record) => Some(record.outputs.into()),
            Lookup::Incomplete { .. } | Lookup::Miss => None,
        })
    }

    fn is_news(&self, name: &str, fingerprint: &Digest) -> bool {
        self.all_is_news || !self.recall.is_current(name, fingerprint)
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
        place: Place,
    ) -> Result<Attempt, CacheError> {
        let folder = {
            let mut places = lock(&self.places);
            places.prepare_log(&place.log)?;
            places.folder()?
        };
        let reads = inputs.paths_read(id).into_iter().map(|path| self.traces.take(inputs.project, path));
        let reads = reads.collect::<Result<_, _>>()?;
        let reader = self.readers.begin(inputs.stored(id, &resolved.recipe));
        let surroundings = Surroundings { folder, reads, reader };
        Attempt::prepare(&self.cache, inputs, id, resolved, claim, surroundings, place)
    }

    fn job(&self, inputs: &Inputs<'_>, id: InstanceId, attempt: &Attempt, allocation: &Allocation) -> Job {
        attempt.job(&self.cache, inputs, &inputs.plan.instances[id.index()], allocation)
    }

    fn note(&self, attempt: &mut Attempt, report: &StageReport) {
        attempt.note(report);
    }

    fn store(&mut self, inputs: &Inputs<'_>, id: InstanceId, attempt: Attempt) {
        let (cache, run) = (Arc::clone(&self.cache), self.run.clone());
        let (places, stored) = (Arc::clone(&self.places), Arc::clone(&self.stored));
        let instance = inputs.plan.instances[id.index()].clone();
        // Hashing large outputs takes a while, during which other stages want to be heard.
        self.crew.run(move || {
            let mut unsynced = Unsynced::default();
            let result = attempt.store(&cache, &instance, || lock(&places).others_run(), &mut unsynced);
            let result = result.and_then(|(record, removed)| Ok((record.seal()?, record, removed)));
            let (claim, Cleared { folder, undeclared }) = attempt.end();
            lock(&places).vacate(folder);
            let result = result.map(|(sealed, record, removed)| {
                let (fingerprint, work_ms) = (record.fingerprint, record.duration_ms);
                let unrecorded = Unrecorded { id, fingerprint, work_ms, record: sealed, unsynced, claim };
                lock(&stored).insert(id, unrecorded);
                Stored { record, undeclared, removed }
            });
            // Nobody listens only when the whole process ends.
            let _ = run.send(Happening::Stored(id, Box::new(result)));
        });
    }

    fn record(&mut self, id: InstanceId, _result: &Stored) {
        if let Some(result) = lock(&self.stored).remove(&id) {
            self.recorder.record(result);
        }
    }

    fn hurry(&self) {
        self.recorder.hurry();
    }

    fn abandon(&mut self, attempt: Attempt) -> Abandoned {
        let log_tail = log_tail(&attempt.log);
        let disturbed = attempt.disturbed(&self.cache, || lock(&self.places).others_run());
        let (_, cleared) = attempt.end();
        lock(&self.places).vacate(cleared.folder);
        Abandoned { log_tail, disturbed }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
