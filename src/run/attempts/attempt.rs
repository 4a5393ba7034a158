//! Attempts of one instance: from its recipe to a job, and from the job's outputs to a recorded result.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use athanor_cache::{ActionRecord, Artifact, Cache, CacheError, Claim, Digest, Unsynced};
use athanor_stages::artifact::figure::{Figure, MAX_FIGURES};
use athanor_stages::context::StageReport;
use athanor_stages::secrets;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::gpu::GpuId;
use crate::plan::{Instance, InstanceId, Work};
use crate::run::access::policy::AccessPolicy;
use crate::run::attempts::annex::Annex;
use crate::run::attempts::command_files::{context, table_of};
use crate::run::attempts::command_state::{CommandState, kept_state};
use crate::run::attempts::curves::Metrics;
use crate::run::attempts::facts::{Facts, RunFacts};
use crate::run::attempts::failure::log_tail;
use crate::run::attempts::sandbox::{Cleared, Sandbox, ScratchFolder, TakeError};
use crate::run::attempts::stage_variables::{FoundImage, StageVariables, environment, script_of};
use crate::run::environment::Variables;
use crate::run::executor::access_rules::{AccessRule, AccessRules};
use crate::run::executor::job::{Job, Launch, ResourceUse, StoredOutputs};
use crate::run::executor::protocol::{PROTOCOL, WorkerRequest};
use crate::run::executor::resources::Allocation;
use crate::run::inputs::fingerprint::{Recipe, Resolved};
use crate::run::inputs::folder_views::ShownFolders;
use crate::run::inputs::link::Link;
use crate::run::inputs::mutation_guard::project_snapshots::ProjectSnapshot;
use crate::run::inputs::mutation_guard::readers::Reader;
use crate::run::inputs::mutation_guard::{AttemptStart, InputError, InputGuard};
use crate::run::inputs::resolve::Inputs;
use crate::run::program::PROGRAM;

/// Name of the folder of a run for kernels of stages whose GPUs are shared; no attempt has it.
const SHARED_KERNELS: &str = "kernels";

/// Warnings of a stage that are kept with its result.
const MAX_WARNINGS: usize = 20;

/// Name of the extension of records that says what a result was computed on: a [`ComputesOn`].
///
/// [`ComputesOn`]: athanor_stages::context::ComputesOn
pub(crate) const COMPUTED_ON: &str = "computed_on";

/// Attempt of one instance, while it lasts.
pub struct Attempt {
    /// Fingerprint of the work.
    pub fingerprint: Digest,
    started: Instant,
    /// Path of its log.
    pub log: PathBuf,
    sandbox: Sandbox,
    inputs: InputGuard,
    recipe: Recipe,
    metrics: Metrics,
    /// Outputs that were stored where it ran, if that was not here.
    made: Option<StoredOutputs>,
    /// State that it goes on from, if its stage keeps one.
    state: Option<CommandState>,
    /// Figures, by name.
    figures: BTreeMap<String, Figure>,
    /// Warnings of what it was given.
    warnings: Vec<String>,
    /// Further facts for the record.
    extensions: Map<String, Value>,
    /// Resources that it was given.
    given: OnceLock<(u32, Vec<GpuId>)>,
    /// Resources that its processes used.
    used: Option<ResourceUse>,
    /// Node of a cluster on which it runs.
    node: Option<String>,
    force: bool,
    cpu_fallback: bool,
    /// All that it may read and write, if it runs in a sandbox or a container.
    access: Option<AccessRules>,
    /// Whether that is a container.
    is_contained: bool,
    claim: Claim,
}

/// Reason why the result of a finished job could not be recorded.
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

/// Stored result that is to be recorded.
pub struct Stored {
    /// Record to be written.
    pub record: ActionRecord,
    /// Undeclared files that it left behind.
    pub undeclared: Vec<String>,
    /// Files that it added to its inputs, and that were removed again.
    pub removed: Vec<String>,
}

/// State of the inputs of an attempt that failed.
pub struct CheckedInputs {
    /// Why it may have failed through no fault of its own: another stage changed what it read.
    pub disturbed: Option<String>,
    /// Why the state that was kept of its work is dropped, if it is.
    pub dropped_state: Option<String>,
}

/// Context of an attempt.
pub struct AttemptContext<'v> {
    /// Scratch folder.
    pub folder: ScratchFolder,
    /// Snapshots of the project's files that it reads.
    pub reads: Vec<ProjectSnapshot>,
    /// Registration among the attempts that read at the same time.
    pub reader: Arc<Reader>,
    /// Views of the project's folders.
    pub views: ShownFolders<'v>,
    /// Access policy of the run.
    pub policy: Arc<AccessPolicy>,
}

impl Attempt {
    /// Prepares the folder of an attempt.
    pub fn prepare(
        cache: &Cache,
        inputs: &Inputs<'_>,
        id: InstanceId,
        Resolved { recipe, fingerprint }: Resolved,
        claim: Claim,
        AttemptContext { folder, reads, reader, views, policy }: AttemptContext<'_>,
        options: AttemptOptions,
    ) -> Result<Attempt, CacheError> {
        let instance = &inputs.plan.instances[id.index()];
        let links = inputs.links(id, &recipe, options.private_inputs);
        if (options.force || options.fresh_state) && options.number == 1 {
            cache.remove_resume_state(&fingerprint)?;
        }
        let mut metrics = Metrics::default();
        let state = instance.state.then(|| CommandState::take(cache, &fingerprint, &mut metrics)).transpose()?;
        // Taken before the inputs are linked, so that every later change shows.
        let began = AttemptStart::now(cache)?;
        let mut stored = links.iter().filter_map(Link::stored);
        if let Some(gone) = stored.find(|artifact| !cache.seems_present(artifact)) {
            return Err(CacheError::Gone { path: cache.path_of(gone) });
        }
        let mut access = policy.rules(cache, instance, folder.path(), &links, &inputs.read_in_place(id));
        if let (Some(access), Some(state)) = (&mut access, &state) {
            access.own.push(AccessRule::write(state.folder().to_owned()));
        }
        let is_contained = matches!(&instance.work, Work::Command(command) if command.container.is_some());
        let sandbox = prepare_sandbox(cache, folder, instance, &links, views)?;
        let inputs = InputGuard::new(instance, &links, |at| sandbox.path_of(at), reads, began, reader)?;
        Ok(Attempt {
            fingerprint,
            started: Instant::now(),
            log: options.log,
            sandbox,
            inputs,
            recipe,
            metrics,
            made: None,
            state,
            figures: BTreeMap::new(),
            warnings: Vec::new(),
            extensions: Map::new(),
            given: OnceLock::new(),
            used: None,
            node: None,
            force: options.force,
            cpu_fallback: options.cpu_fallback,
            access,
            is_contained,
            claim,
        })
    }

    /// Job that does the work.
    pub fn job(
        &self,
        cache: &Cache,
        inputs: &Inputs<'_>,
        instance: &Instance,
        allocation: &Allocation,
        variables: &Variables,
    ) -> Job {
        self.given.get_or_init(|| (allocation.cpus, allocation.gpus.clone()));
        let state = self.state.as_ref().map(CommandState::folder);
        let variables = environment(&self.sandbox, state, inputs.project, instance, allocation, variables);
        let launch = match &instance.work {
            Work::Command(command) => {
                let image = inputs.versions.image(command).map(|image| FoundImage { image, reference: &image.local });
                Launch::Script(script_of(command, image, variables.inside))
            }
            Work::BuiltIn { params } => Launch::Worker(Box::new(WorkerRequest {
                protocol: PROTOCOL,
                kind: instance.kind.name().to_owned(),
                revision: instance.kind.revision(),
                params: params.clone(),
                seed: instance.seed,
                inputs: instance.inputs.iter().map(|input| (input.port.clone(), inputs.input_files(input))).collect(),
                outputs: instance.outputs.iter().map(|port| (port.name.clone(), PathBuf::from(&port.file))).collect(),
                scratch: PathBuf::from(self.sandbox.temporary()),
                cache: cache.root().to_owned(),
                fingerprint: self.fingerprint,
                contents: self.contents(instance),
                force: self.force,
                placements: self.sandbox.placements(),
                cpu_fallback: self.cpu_fallback,
                shared_kernels: self.shared_kernels(allocation),
                threads: allocation.cpus as usize,
            })),
        };
        let StageVariables { environment, secrets, .. } = variables;
        let folder = self.sandbox.folder().to_owned();
        let attempt = self.sandbox.root().to_owned();
        let (log, access) = (self.log.clone(), self.access.clone());
        let state = self.state.as_ref().map(CommandState::shared);
        let (id, fingerprint, gpus) = (instance.id, self.fingerprint, allocation.gpus.clone());
        let outputs = self.sandbox.paths_of(&instance.outputs);
        Job { id, fingerprint, launch, folder, attempt, outputs, log, environment, secrets, gpus, access, state }
    }

    /// Folder of the run for kernels that are tuned while others compute on the same GPUs.
    fn shared_kernels(&self, allocation: &Allocation) -> Option<PathBuf> {
        let run = self.sandbox.root().parent()?;
        allocation.has_shared_gpu().then(|| run.join(SHARED_KERNELS))
    }

    /// Explanation of accesses that its sandbox denied and of files that it did not find, by the lines of its log.
    pub fn denied(&self, policy: &AccessPolicy, log: &[String]) -> Option<String> {
        policy.explain(self.access.as_ref().filter(|_| !self.is_contained), self.sandbox.folder(), log)
    }

    /// Explanation of files of the project that its log, if it has one, says it did not find. Programs may go on without them.
    pub fn absent(&self, policy: &AccessPolicy) -> Option<String> {
        let log = self.log.exists().then(|| log_tail(&self.log))?;
        policy.explain_absent(self.sandbox.folder(), &log)
    }

    /// Root folder of the attempt.
    pub fn folder(&self) -> &Path {
        self.sandbox.root()
    }

    /// Puts the inputs in order after a failed attempt, for all who read them later. State that may come from something else than
    /// its inputs is dropped.
    pub fn check_inputs(&self, cache: &Cache, others_run: impl Fn() -> bool) -> CheckedInputs {
        let checked = match self.state {
            Some(_) => self.inputs.check(cache, &self.recipe, others_run),
            None => self.inputs.check_stored(cache, &self.recipe, others_run),
        };
        // It failed in any case; an input that cannot be checked now is checked by its next reader.
        let error = checked.err().filter(|error| !matches!(error, InputError::Cache(_)));
        let (mut disturbed, mut dropped_state) = (None, None);
        if let Some(error) = error {
            let is_dropped = self.drop_state(cache);
            if matches!(error, InputError::Disturbed { .. }) {
                disturbed = Some(error.to_string());
            } else if is_dropped {
                let why = match error {
                    InputError::Changed { path, files } => format!("`{path}` changed while it ran{files}"),
                    _ => "it changed its own input".to_owned(),
                };
                dropped_state = Some(format!("its state is dropped, since {why}"));
            }
        }
        CheckedInputs { disturbed, dropped_state }
    }

    /// Drops the state that is kept of the work; returns whether there was any of a command.
    fn drop_state(&self, cache: &Cache) -> bool {
        let is_there = kept_state(cache, &self.fingerprint).is_some();
        // It is under the fingerprint of other inputs than it was made from. One that cannot be removed is read-only.
        cache.remove_resume_state(&self.fingerprint).is_ok() && is_there
    }

    /// Artifacts at the paths that the stage is given.
    fn contents(&self, instance: &Instance) -> BTreeMap<PathBuf, Artifact> {
        let bound = instance.inputs.iter().zip(&self.recipe.inputs);
        let items = bound.flat_map(|(input, bound)| input.files.iter().zip(&bound.items));
        items.map(|(at, item)| (PathBuf::from(at), item.artifact.clone())).collect()
    }

    /// Notes a metric, or the device, for the record; returns whether the run's log should have it, too.
    pub fn note(&mut self, report: &StageReport) -> bool {
        match report {
            StageReport::Metric { name, value, step } => {
                let is_for_log = self.metrics.add(name, *value, *step);
                if let Some(state) = self.state.as_ref().filter(|_| is_for_log) {
                    state.add_report(report);
                }
                is_for_log
            }
            StageReport::ComputesOn(on) => {
                self.extensions.insert(COMPUTED_ON.to_owned(), serde_json::json!(on));
                true
            }
            StageReport::Figure { name, figure } => {
                if self.figures.len() < MAX_FIGURES || self.figures.contains_key(name) {
                    self.figures.insert(name.clone(), figure.clone());
                }
                false
            }
            StageReport::Warning { text } => {
                if self.warnings.len() < MAX_WARNINGS {
                    self.warnings.push(text.clone());
                }
                true
            }
            StageReport::Progress { .. } | StageReport::Message { .. } | StageReport::Log { .. } => true,
        }
    }

    /// Takes outputs that were stored where it ran.
    pub fn made(&mut self, made: StoredOutputs) {
        self.made = Some(made);
    }

    /// Notes the resources that its processes used, for the record.
    pub(crate) fn note_use(&mut self, used: ResourceUse) {
        self.used = Some(used);
    }

    /// Notes the node of a cluster on which it runs, for the record.
    pub(crate) fn note_node(&mut self, node: &str) {
        self.node = Some(node.to_owned());
    }

    fn facts(&self, cache: &Cache, name: &str, of_run: &RunFacts) -> Facts {
        let (cpus, gpus) = self.given.get().cloned().unwrap_or_default();
        Facts {
            why: of_run.why(cache, name, &self.recipe, self.force),
            cpus,
            gpus,
            used: self.used,
            node: self.node.clone(),
            warnings: self.warnings.clone(),
            provenance: of_run.provenance.clone(),
        }
    }

    /// Curves and figures; `None` if there are none.
    fn annex(&self) -> Option<Annex> {
        let curves = self.metrics.curves();
        let is_empty = curves.is_empty() && self.figures.is_empty();
        (!is_empty).then(|| Annex { curves, figures: self.figures.clone() })
    }

    /// Stores the result of a job that succeeded: moves its outputs into the cache, then checks its inputs. Objects that are
    /// not yet synced are added to `unsynced`. `others_run` tells whether another run works with the cache. Returns the record,
    /// and the files that the stage added to its inputs.
    pub fn store(
        &self,
        cache: &Cache,
        instance: &Instance,
        facts: &RunFacts,
        others_run: impl Fn() -> bool,
        unsynced: &mut Unsynced,
    ) -> Result<(ActionRecord, Vec<String>), CommitError> {
        let taken = match &self.made {
            Some(made) => Ok(made.outputs.clone()),
            None => self.sandbox.take_outputs(cache, &instance.outputs, self.access.as_ref(), unsynced),
        };
        let duration = self.made.as_ref().map_or_else(|| self.started.elapsed(), |made| made.duration);
        // Also where there is no result: others read the same inputs.
        let checked = self.inputs.check(cache, &self.recipe, others_run);
        let is_finding = |error: &InputError| !matches!(error, InputError::Cache(_));
        if checked.as_ref().is_err_and(is_finding) {
            self.drop_state(cache);
        }
        let (outputs, removed) = match (taken, checked) {
            // It tells more than that an output is missing.
            (_, Err(error)) if is_finding(&error) => return Err(error.into()),
            (taken, checked) => (taken?, checked?),
        };
        let log = self.store_log(cache, unsynced);
        let mut extensions = self.extensions.clone();
        self.facts(cache, &instance.name, facts).add_to(&mut extensions)?;
        let annex = self.annex().map(|annex| serde_json::to_vec(&annex)).transpose()?;
        let annex = annex.map(|annex| cache.store_annex(&annex, unsynced)).transpose()?;
        let record = ActionRecord {
            fingerprint: self.fingerprint,
            recipe: self.describe(instance)?,
            outputs,
            metrics: self.metrics.values(),
            log,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            finished_at: Timestamp::now(),
            program: PROGRAM.to_owned(),
            sequence: cache.next_sequence(0)?,
            annex,
            extensions,
        };
        Ok((record, removed))
    }

    /// Moves the log into the cache; `None` if it is empty. A log that cannot be stored stays where it is.
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

    /// Ends the attempt: its folder is emptied, for the next one to use, or removed. The claim goes on.
    pub fn end(self) -> (Claim, Cleared) {
        (self.claim, self.sandbox.clear())
    }

    /// Ends the attempt and leaves its folder as it is. The claim goes on.
    pub fn end_kept(self) -> (Claim, Cleared) {
        (self.claim, Cleared { folder: None, undeclared: Vec::new() })
    }
}

/// Prepares the folder of an attempt of `instance`: its inputs, and the files that a command reads beside them.
pub(crate) fn prepare_sandbox(
    cache: &Cache,
    folder: ScratchFolder,
    instance: &Instance,
    links: &[Link],
    views: ShownFolders<'_>,
) -> Result<Sandbox, CacheError> {
    let mut sandbox = Sandbox::prepare(cache, folder, links, &instance.outputs, views)?;
    if let Work::Command(command) = &instance.work {
        sandbox.write_script(&command.line, &context(instance, command))?;
        for input in &instance.inputs {
            if let Some(table) = table_of(input) {
                sandbox.write_input(&format!("inputs/{}.csv", input.port), table.as_bytes())?;
            }
        }
    }
    Ok(sandbox)
}

/// Options of an attempt.
pub struct AttemptOptions {
    /// Path of its log.
    pub log: PathBuf,
    /// Number of the attempt, from 1.
    pub number: u32,
    /// Whether the work is to be done from scratch, whatever is known.
    pub force: bool,
    /// Whether state that is kept of the work is dropped before its first attempt.
    pub fresh_state: bool,
    /// Whether the CPU may take the place of GPUs that cannot be used.
    pub cpu_fallback: bool,
    /// Whether it gets copies of its stored inputs, since the last attempt may have read what another stage had changed.
    pub private_inputs: bool,
}
