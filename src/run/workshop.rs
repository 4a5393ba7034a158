//! Where results are kept and stages do their work: the seam between a run's decisions and everything that touches a disk.
//!
//! [`OnDisk`] is the cache with folders for tries. A simulation keeps all of it in memory, so that millions of runs can be
//! held against a model.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use athanor_cache::{Cache, CacheError, Claim, Digest, Lookup};
use athanor_stages::context::StageReport;

use crate::plan::InstanceId;
use crate::run::attempt::{Attempt, Place};
use crate::run::dispatch::Happening;
use crate::run::executor::Job;
use crate::run::failure::log_tail;
use crate::run::recipe::Recipe;
use crate::run::resolve::Inputs;
use crate::run::resources::Allocation;

/// What a run needs for its results and its tries.
pub trait Workshop {
    /// The sole right to make a result, until it is dropped.
    type Claim;
    /// One try of one instance, prepared; holds its claim.
    type Attempt;

    /// What can be served for a fingerprint.
    fn lookup(&self, fingerprint: &Digest) -> Result<Lookup, CacheError>;
    /// Claims the right to make a fingerprint's result; `None` while somebody else has it.
    fn try_claim(&self, fingerprint: &Digest) -> Result<Option<Self::Claim>, CacheError>;
    /// Prepares a try of `id`, whose recipe is `recipe`.
    fn prepare(
        &mut self,
        inputs: &Inputs<'_>,
        id: InstanceId,
        recipe: Recipe,
        claim: Self::Claim,
        place: Place,
    ) -> Result<Self::Attempt, CacheError>;
    /// The job that does the work.
    fn job(&self, inputs: &Inputs<'_>, id: InstanceId, attempt: &Self::Attempt, allocation: &Allocation) -> Job;
    /// Keeps what a stage reports with its try.
    fn note(&self, attempt: &mut Self::Attempt, report: &StageReport);
    /// Records the result of a job that succeeded and ends the try; [`Happening::Committed`] follows.
    fn commit(&mut self, inputs: &Inputs<'_>, id: InstanceId, attempt: Self::Attempt);
    /// Ends a try that came to nothing; returns the last lines of its log.
    fn abandon(&self, attempt: Self::Attempt) -> Vec<String>;
}

/// The cache, and folders of tries.
pub struct OnDisk {
    cache: Arc<Cache>,
    run: Sender<Happening>,
}

impl OnDisk {
    /// Results go into `cache`; the run hears of it through `run`.
    pub fn new(cache: Arc<Cache>, run: Sender<Happening>) -> OnDisk {
        OnDisk { cache, run }
    }
}

impl Workshop for OnDisk {
    type Claim = Claim;
    type Attempt = Attempt;

    fn lookup(&self, fingerprint: &Digest) -> Result<Lookup, CacheError> {
        self.cache.lookup(fingerprint)
    }

    fn try_claim(&self, fingerprint: &Digest) -> Result<Option<Claim>, CacheError> {
        self.cache.try_claim(fingerprint)
    }

    fn prepare(
        &mut self,
        inputs: &Inputs<'_>,
        id: InstanceId,
        recipe: Recipe,
        claim: Claim,
        place: Place,
    ) -> Result<Attempt, CacheError> {
        Attempt::prepare(&self.cache, inputs, id, recipe, claim, place)
    }

    fn job(&self, inputs: &Inputs<'_>, id: InstanceId, attempt: &Attempt, allocation: &Allocation) -> Job {
        attempt.job(&self.cache, inputs, &inputs.plan.instances[id.index()], allocation)
    }

    fn note(&self, attempt: &mut Attempt, report: &StageReport) {
        attempt.note(report);
        if let StageReport::Log { line } = report {
            append_line(&attempt.log, line);
        }
    }

    fn commit(&mut self, inputs: &Inputs<'_>, id: InstanceId, attempt: Attempt) {
        let (cache, run) = (Arc::clone(&self.cache), self.run.clone());
        let instance = inputs.plan.instances[id.index()].clone();
        let project: PathBuf = inputs.project.to_owned();
        let read: Vec<String> = inputs.paths_read(id).into_iter().map(str::to_owned).collect();
        // Hashing large outputs takes a while, during which other stages want to be heard.
        std::thread::spawn(move || {
            let result = attempt.commit(&cache, &instance, &project, &read);
            attempt.clean_up();
            drop(attempt);
            // Nobody listens only when the whole process ends.
            let _ = run.send(Happening::Committed(id, Box::new(result)));
        });
    }

    fn abandon(&self, attempt: Attempt) -> Vec<String> {
        attempt.clean_up();
        log_tail(&attempt.log)
    }
}

fn append_line(log: &Path, line: &str) {
    use std::io::Write;
    let file = std::fs::File::options().append(true).create(true).open(log);
    // A log that cannot be written loses a line, not a stage.
    let _ = file.and_then(|mut file| writeln!(file, "{line}"));
}
