//! One try of one instance: from its recipe to a job, and from what the job left to a recorded result.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use athanor_cache::{ActionRecord, Artifact, Cache, CacheError, Claim, Digest, Unsynced};
use athanor_stages::context::StageReport;
use athanor_stages::secrets;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::plan::{Instance, InstanceId, Work};
use crate::run::executor::{Job, Launch};
use crate::run::input_guard::{Began, InputError, InputGuard};
use crate::run::protocol::{Order, PROTOCOL};
use crate::run::readers::Reader;
use crate::run::recipe::{Recipe, Resolved};
use crate::run::resolve::Inputs;
use crate::run::resources::Allocation;
use crate::run::traces::Untouched;
use crate::run::workspace::{Cleared, Link, TakeError, Workspace};

/// Name and version of this program, as recorded with results.
pub const PROGRAM: &str = concat!("athanor ", env!("CARGO_PKG_VERSION"));

/// One try of one instance, while it lasts.
pub struct Attempt {
    /// What it computes.
    pub fingerprint: Digest,
    started: Instant,
    /// Where its output goes.
    pub log: PathBuf,
    workspace: Workspace,
    inputs: InputGuard,
    recipe: Recipe,
    metrics: Map<String, Value>,
    anew: bool,
    claim: Claim,
}

/// Why a finished job's result could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// An output is missing, or the cache refused.
    #[error(transparent)]
    Take(#[from] TakeError),
    /// The cache refused.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// An input is not what it should be.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The record cannot be written down.
    #[error("The result cannot be described: {0}.")]
    Describe(#[from] serde_json::Error),
}

/// A stored result, to be recorded, and what was noticed on the way.
pub struct Stored {
    /// What is to be recorded.
    pub record: ActionRecord,
    /// Files left behind that are not declared.
    pub undeclared: Vec<String>,
    /// Files that it added to its inputs, and that are gone again.
    pub removed: Vec<String>,
}

/// What an attempt needs to know about before it begins.
pub struct Surroundings {
    /// Its folder.
    pub folder: PathBuf,
    /// The project's files that it reads, as they are before it begins.
    pub reads: Vec<Untouched>,
    /// Itself among the attempts that go on at the same time.
    pub reader: Arc<Reader>,
}

impl Attempt {
    /// Makes the folder of a try.
    pub fn prepare(
        cache: &Cache,
        inputs: &Inputs<'_>,
        id: InstanceId,
        Resolved { recipe, fingerprint }: Resolved,
        claim: Claim,
        Surroundings { folder, reads, reader }: Surroundings,
        place: Place,
    ) -> Result<Attempt, CacheError> {
        let instance = &inputs.plan.instances[id.index()];
        let links = inputs.links(id, &recipe, place.private);
        if place.anew && place.number == 1 {
            cache.remove_resume_state(&fingerprint)?;
        }
        // Of before the inputs are put in place: whatever happens to them from now on shows.
        let began = Began::now(cache)?;
        let mut stored = links.iter().filter_map(Link::stored);
        if let Some(gone) = stored.find(|artifact| !cache.seems_present(artifact)) {
            return Err(CacheError::Gone { path: cache.path_of(gone) });
        }
        let workspace = Workspace::prepare(cache, folder, &links, &instance.outputs)?;
        let inputs = InputGuard::new(&workspace, instance, &links, reads, (began, reader))?;
        Ok(Attempt {
            fingerprint,
            started: Instant::now(),
            log: place.log,
            workspace,
            inputs,
            recipe,
            metrics: Map::new(),
            anew: place.anew,
            claim,
        })
    }

    /// The job that does the work.
    pub fn job(&self, cache: &Cache, inputs: &Inputs<'_>, instance: &Instance, allocation: &Allocation) -> Job {
        let launch = match &instance.work {
            Work::Command(command) => Launch::Shell(command.line.clone()),
            Work::BuiltIn { params } => Launch::Worker(Box::new(Order {
                protocol: PROTOCOL,
                kind: instance.kind.name().to_owned(),
                revision: instance.kind.revision(),
                params: params.clone(),
                seed: instance.seed,
                inputs: instance.inputs.iter().map(|input| (input.port.clone(), inputs.input_files(input))).collect(),
                outputs: instance.outputs.iter().map(|port| (port.name.clone(), PathBuf::from(&port.file))).collect(),
                scratch: PathBuf::from(self.workspace.temporary()),
                cache: cache.root().to_owned(),
                fingerprint: self.fingerprint,
                contents: self.contents(instance),
                anew: self.anew,
                placements: self.workspace.placements(),
                threads: allocation.cpus as usize,
            })),
        };
        let environment = self.environment(inputs.project, instance, allocation);
        let folder = self.workspace.folder().to_owned();
        let attempt = self.workspace.root().to_owned();
        Job { id: instance.id, launch, folder, attempt, log: self.log.clone(), environment }
    }

    /// Puts the inputs in order after an attempt that came to nothing, for all who read them later; says whether another stage
    /// may have changed what this one read.
    pub fn disturbed(&self, cache: &Cache, others_run: impl Fn() -> bool) -> Option<String> {
        match self.inputs.check_stored(cache, &self.recipe, others_run) {
            Err(error @ InputError::Disturbed { .. }) => Some(error.to_string()),
            // It failed in any case; one that cannot be looked at now is looked at by who reads it next.
            _ => None,
        }
    }

    /// What lies at the paths that the stage is given.
    fn contents(&self, instance: &Instance) -> BTreeMap<PathBuf, Artifact> {
        let bound = instance.inputs.iter().zip(&self.recipe.inputs);
        let items = bound.flat_map(|(input, bound)| input.files.iter().zip(&bound.items));
        items.map(|(at, item)| (PathBuf::from(at), item.artifact.clone())).collect()
    }

    fn environment(&self, project: &Path, instance: &Instance, allocation: &Allocation) -> Vec<(String, OsString)> {
        let devices: Vec<String> = allocation.gpus.iter().map(u32::to_string).collect();
        let temporary = self.workspace.folder().join(self.workspace.temporary());
        let mut environment = vec![
            ("CUDA_VISIBLE_DEVICES".to_owned(), devices.join(",").into()),
            ("ATHANOR_PROJECT".to_owned(), project.into()),
            ("ATHANOR_STAGE".to_owned(), instance.name.clone().into()),
            ("ATHANOR_SEED".to_owned(), instance.seed.to_string().into()),
            ("TMPDIR".to_owned(), temporary.into()),
        ];
        let pools = ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"];
        environment.extend(pools.map(|pool| (pool.to_owned(), allocation.cpus.to_string().into())));
        environment
    }

    /// Keeps a figure for the record. A curve keeps its last value.
    pub fn note(&mut self, report: &StageReport) {
        if let StageReport::Metric { name, value, .. } = report {
            self.metrics.insert(name.clone(), Value::from(*value));
        }
    }

    /// Stores the result of a job that succeeded: outputs into the cache, then inputs looked at again. What is still to be
    /// brought to disk is added to `unsynced`. `others_run` says whether another run works with the cache. Returns the files
    /// that the stage added to its inputs, too.
    pub fn store(
        &self,
        cache: &Cache,
        instance: &Instance,
        others_run: impl Fn() -> bool,
        unsynced: &mut Unsynced,
    ) -> Result<(ActionRecord, Vec<String>), CommitError> {
        let outputs = self.workspace.take_outputs(cache, &instance.outputs, unsynced)?;
        let removed = self.inputs.check(cache, &self.recipe, others_run)?;
        let log = self.store_log(cache, unsynced);
        let record = ActionRecord {
            fingerprint: self.fingerprint,
            recipe: self.describe(instance)?,
            outputs,
            metrics: self.metrics.clone(),
            log,
            duration_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            finished_at: Timestamp::now(),
            program: PROGRAM.to_owned(),
            sequence: cache.next_sequence(0)?,
            annex: None,
            extensions: Map::new(),
        };
        Ok((record, removed))
    }

    /// Moves what the stage printed into the cache; `None` if that is nothing. A log that cannot be stored stays where it is.
    fn store_log(&self, cache: &Cache, unsynced: &mut Unsynced) -> Option<Artifact> {
        if self.is_silent() { None } else { cache.ingest_unsynced(&self.log, &HashMap::new(), unsynced).ok() }
    }

    /// Whether the stage has printed nothing so far.
    pub fn is_silent(&self) -> bool {
        // A log is made when something is printed.
        !std::fs::metadata(&self.log).is_ok_and(|log| log.len() > 0)
    }

    fn describe(&self, instance: &Instance) -> Result<Value, serde_json::Error> {
        let mut recipe = serde_json::to_value(&self.recipe)?;
        secrets::mask_value(&mut recipe);
        if let Value::Object(map) = &mut recipe {
            map.insert("instance".to_owned(), Value::from(instance.name.clone()));
        }
        Ok(recipe)
    }

    /// Ends the try: its folder is emptied, for the next one to use, or removed. The claim goes on.
    pub fn end(self) -> (Claim, Cleared) {
        (self.claim, self.workspace.clear())
    }
}

/// Where a try takes place.
pub struct Place {
    /// Its log.
    pub log: PathBuf,
    /// 1 for the first try.
    pub number: u32,
    /// Whether the work is to be done from scratch, whatever is known.
    pub anew: bool,
    /// Whether it gets copies of its stored inputs, since the last attempt may have read what another stage had changed.
    pub private: bool,
}
