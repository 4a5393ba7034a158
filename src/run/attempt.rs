//! One try of one instance: from its recipe to a job, and from what the job left to a recorded result.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use athanor_cache::{ActionRecord, Artifact, Cache, CacheError, Claim, Digest, Unsynced};
use athanor_stages::context::StageReport;
use athanor_stages::secrets;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::plan::{Instance, InstanceId, Work};
use crate::run::executor::{Job, Launch};
use crate::run::protocol::{Order, PROTOCOL};
use crate::run::recipe::{Recipe, Resolved};
use crate::run::resolve::Inputs;
use crate::run::resources::Allocation;
use crate::run::traces::Untouched;
use crate::run::workspace::{Cleared, TakeError, Workspace};

/// Name and version of this program, as recorded with results.
pub const PROGRAM: &str = concat!("athanor ", env!("CARGO_PKG_VERSION"));

/// One try of one instance, while it lasts.
pub struct Attempt {
    /// What it computes.
    pub fingerprint: Digest,
    started: Instant,
    /// Where its output goes.
    pub log: PathBuf,
    prepared_at: SystemTime,
    workspace: Workspace,
    /// The project's files that it reads.
    reads: Vec<Untouched>,
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
    /// An input is not what it was.
    #[error(
        "`{path}` changed while the stage was running, so its result is not kept. Run again when nothing writes to it."
    )]
    InputChanged {
        /// The input's path as the user wrote it.
        path: String,
    },
    /// The stage wrote to what it was only to read.
    #[error(
        "It changed its own input `{from}`, so its result is not kept, and the stored copy of that input was thrown away. Let it work on a copy, and run again."
    )]
    InputWritten {
        /// What the input was read from.
        from: String,
    },
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
}

impl Attempt {
    /// Makes the folder of a try.
    pub fn prepare(
        cache: &Cache,
        inputs: &Inputs<'_>,
        id: InstanceId,
        Resolved { recipe, fingerprint }: Resolved,
        claim: Claim,
        (folder, reads): (PathBuf, Vec<Untouched>),
        place: Place,
    ) -> Result<Attempt, CacheError> {
        let instance = &inputs.plan.instances[id.index()];
        let links = inputs.links(id, &recipe);
        if place.anew && place.number == 1 {
            cache.forget_unfinished(&fingerprint)?;
        }
        let workspace = Workspace::prepare(cache, folder, &links, &instance.outputs)?;
        Ok(Attempt {
            fingerprint,
            started: Instant::now(),
            log: place.log,
            prepared_at: SystemTime::now(),
            workspace,
            reads,
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
        Job { id: instance.id, launch, folder, log: self.log.clone(), environment }
    }

    /// What lies at the paths that the stage is given.
    fn contents(&self, instance: &Instance) -> BTreeMap<PathBuf, Artifact> {
        let bound = instance.inputs.iter().zip(&self.recipe.inputs);
        let items = bound.flat_map(|(input, bound)| input.files.iter().zip(&bound.items));
        items.map(|(at, item)| (PathBuf::from(at), item.artifact.clone())).collect()
    }

    fn environment(&self, project: &Path, instance: &Instance, allocation: &Allocation) -> Vec<(String, String)> {
        let devices: Vec<String> = allocation.gpus.iter().map(u32::to_string).collect();
        let temporary = self.workspace.folder().join(self.workspace.temporary());
        let mut environment = vec![
            ("CUDA_VISIBLE_DEVICES".to_owned(), devices.join(",")),
            ("ATHANOR_PROJECT".to_owned(), project.display().to_string()),
            ("ATHANOR_STAGE".to_owned(), instance.name.clone()),
            ("ATHANOR_SEED".to_owned(), instance.seed.to_string()),
            ("TMPDIR".to_owned(), temporary.display().to_string()),
        ];
        let pools = ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"];
        environment.extend(pools.map(|pool| (pool.to_owned(), allocation.cpus.to_string())));
        environment
    }

    /// Keeps a figure for the record. A curve keeps its last value.
    pub fn note(&mut self, report: &StageReport) {
        if let StageReport::Metric { name, value, .. } = report {
            self.metrics.insert(name.clone(), Value::from(*value));
        }
    }

    /// Stores the result of a job that succeeded: outputs into the cache, then inputs looked at again. What is still to be
    /// brought to disk is added to `unsynced`.
    pub fn store(
        &self,
        cache: &Cache,
        instance: &Instance,
        project: &Path,
        read: &[String],
        unsynced: &mut Unsynced,
    ) -> Result<ActionRecord, CommitError> {
        let outputs = self.workspace.take_outputs(cache, &instance.outputs, unsynced)?;
        self.recheck_inputs(cache, project, read)?;
        let log = self.store_log(cache, unsynced)?;
        Ok(ActionRecord {
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
        })
    }

    /// Stores a copy of what the stage printed; `None` if that is nothing.
    fn store_log(&self, cache: &Cache, unsynced: &mut Unsynced) -> Result<Option<Artifact>, CacheError> {
        if self.is_silent() {
            return Ok(None);
        }
        let copy = self.workspace.folder().join(self.workspace.temporary()).join("stage.log");
        let copied = std::fs::copy(&self.log, &copy).is_ok();
        if copied { cache.ingest_unsynced(&copy, &HashMap::new(), unsynced).map(Some) } else { Ok(None) }
    }

    /// Whether the stage has printed nothing so far.
    pub fn is_silent(&self) -> bool {
        std::fs::metadata(&self.log).is_ok_and(|log| log.len() == 0)
    }

    fn describe(&self, instance: &Instance) -> Result<Value, serde_json::Error> {
        let mut recipe = serde_json::to_value(&self.recipe)?;
        secrets::mask_value(&mut recipe);
        if let Value::Object(map) = &mut recipe {
            map.insert("instance".to_owned(), Value::from(instance.name.clone()));
        }
        Ok(recipe)
    }

    fn recheck_inputs(&self, cache: &Cache, project: &Path, read: &[String]) -> Result<(), CommitError> {
        let items = || self.recipe.inputs.iter().flat_map(|input| &input.items);
        for item in items().filter(|item| !read.contains(&item.from)) {
            if cache.quarantine_if_spoilt_since(&item.artifact, self.prepared_at)? {
                return Err(CommitError::InputWritten { from: item.from.clone() });
            }
        }
        for (path, untouched) in read.iter().zip(&self.reads) {
            let changed = || CommitError::InputChanged { path: path.clone() };
            let now = cache.artifact_of(&project.join(path)).map_err(|_| changed())?;
            let is_other = items().any(|item| item.from == *path && item.artifact != now);
            // What holds the same again may have held something else meanwhile.
            if is_other || !untouched.is_untouched(self.prepared_at) {
                return Err(changed());
            }
        }
        Ok(())
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
}
