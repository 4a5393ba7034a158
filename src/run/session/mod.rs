//! Sessions: a project, a plan and the cache together. Every command about a pipeline starts here.

mod activity;
mod durations;
mod execution;
pub(crate) mod headline;
mod made;
mod passes;
mod remote;
mod room;
mod run_summary;
pub mod second_pass;
pub mod shell;
mod time;
pub(crate) mod transfers;
pub mod whereabouts;
mod withheld;

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use athanor_cache::{Cache, CacheError, Exclusions};
use athanor_remote::RemoteError;

use crate::escape::escape;
use crate::events::{Counts, EventSink, Outcome, RunEvent};
use crate::language::Diagnostics;
use crate::plan::{Instance, InstanceId, Plan};
use crate::run::access::config::SandboxConfig;
use crate::run::access::policy::AccessPolicy;
use crate::run::environment::Variables;
use crate::run::executor::cluster::{ClusterConfig, SlurmConfig};
use crate::run::executor::resources::Capacity;
use crate::run::inputs::contents::{Contents, Reading};
use crate::run::inputs::project_reads::{self, Mentions};
use crate::run::inputs::resolve::Inputs;
use crate::run::inputs::versions::{self, Asking, Versions};
use crate::run::remote::{RemoteConfig, RemoteUse};
use crate::run::state::history::{History, Ledger, RunId};
use crate::run::state::last_run::LastRun;
use crate::run::state::plan_snapshot::{KeyedPlan, PlanKey};
use crate::run::state::snapshot_file::SnapshotFiles;
use crate::run::status::{EarlierRuns, Status, Statuses, status};
use crate::settings::Settings;
use crate::view::time_left::TimeLeft;

pub use activity::{Activity, ActivityProgress};
use durations::known_durations;
use execution::Execution;
pub use made::Made;
pub use room::{check_room, scaled_down};
use withheld::Withheld;

/// A folder with pipelines, and the cache they use.
pub struct Project {
    /// Project folder, absolute.
    pub folder: PathBuf,
    /// The cache.
    pub cache: Arc<Cache>,
    /// Folder of all pipelines' results, absolute or relative to the project folder.
    pub results: PathBuf,
    /// Limit of a stage's log, in bytes.
    pub log_limit: u64,
    /// Variables of this process, of which commands get some.
    pub variables: Variables,
    /// Sandbox of commands.
    pub sandbox: SandboxConfig,
    /// Remote cache, if there is one.
    pub remote: Option<RemoteConfig>,
}

impl Project {
    /// A project with the built-in settings, whose commands get no variables of the user's.
    pub fn new(folder: PathBuf, cache: Arc<Cache>) -> Project {
        let Settings { results, log_limit, .. } = Settings::default();
        Project {
            folder,
            cache,
            results: results.value,
            log_limit: log_limit.value.bytes(),
            variables: Variables::default(),
            sandbox: SandboxConfig::default(),
            remote: None,
        }
    }

    /// Access of stages to files.
    fn access_policy(&self) -> AccessPolicy {
        AccessPolicy::new(self.sandbox.clone(), &self.folder, self.cache.root(), &self.results)
    }
}

/// Failure of a run as a whole, apart from stages that failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The cache refused.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The remote cache failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// Stages ask for more than the run has.
    #[error("{0}")]
    NeverFits(Box<Diagnostics>),
    /// Version commands failed.
    #[error("{0}")]
    NoVersions(Box<Diagnostics>),
}

/// A plan in its project, ready to be inspected or run.
pub struct Session<'a> {
    /// The plan.
    pub plan: &'a Plan,
    plan_key: PlanKey,
    project: &'a Project,
    history: History,
    snapshots: SnapshotFiles,
    wanted: Vec<InstanceId>,
    mentions: OnceLock<Mentions>,
    /// Folders that are no content of the project, absolute.
    closed: Vec<PathBuf>,
    /// Entries of the project's folders that are no content.
    exclusions: Arc<Exclusions>,
}

/// Options of a run.
pub struct RunRequest {
    /// Resources that it may use.
    pub capacity: Capacity,
    /// Whether to go on with what does not depend on a failed instance.
    pub keep_going: bool,
    /// Whether to keep the folders of failed attempts.
    pub keep_scratch: bool,
    /// Instances to make even if the cache has their results.
    pub force: HashSet<InstanceId>,
    /// Instances whose work begins afresh, without the state that is kept of it.
    pub fresh_state: HashSet<InstanceId>,
    /// Time that it has, if that is limited.
    pub stop_after: Option<Duration>,
    /// Path of this program's binary.
    pub program: PathBuf,
    /// Pipeline file as given.
    pub file: String,
    /// Options of a cluster's jobs, if it is to run stages there.
    pub cluster: Option<SlurmConfig>,
    /// Value of `ATHANOR_ATTEMPT` in this process: empty unless the run is part of another run's stage.
    pub within: String,
}

/// Outcome of a run.
pub struct RunReport {
    /// Outcome.
    pub outcome: Outcome,
    /// Numbers of instances by outcome.
    pub counts: Counts,
    /// Name of the run.
    pub run: RunId,
}

/// Interrupts a run, from any thread.
pub type Interrupter = Box<dyn Fn() -> InterruptOutcome + Send>;

/// Effect of an interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterruptOutcome {
    /// The run stops its stages and then ends.
    Stopping,
    /// No stage has been started yet, and digests computed so far are remembered: the process may end at once.
    NothingStarted,
}

impl<'a> Session<'a> {
    /// A session about `targets` and all they read from, or about everything if there are no targets.
    pub fn new(
        project: &'a Project,
        plan: &'a KeyedPlan,
        file: &Path,
        profiles: &[String],
        targets: &[InstanceId],
    ) -> Result<Session<'a>, RunError> {
        project.cache.recover_wal()?;
        let KeyedPlan { plan, key } = plan;
        let wanted = needed_by(plan, targets);
        // Neither is content of the project, wherever in it they lie.
        let closed = vec![project.cache.root().to_owned(), project.folder.join(&project.results)];
        let exclusions = Arc::new(Exclusions::of_project(&project.folder, &closed)?);
        let history = History::open(project.cache.root(), &project.folder, file, profiles);
        // Where that does not succeed, the pipeline is one that has not run yet.
        let _ = history.take_over_moved();
        let snapshots = History::snapshots(project.cache.root(), &project.folder, file, profiles);
        Ok(Session {
            plan,
            plan_key: *key,
            project,
            history,
            snapshots,
            wanted,
            mentions: OnceLock::new(),
            closed,
            exclusions,
        })
    }

    /// History of the pipeline.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Ledger of the pipeline's instances.
    pub fn ledger(&self) -> Result<Ledger, RunError> {
        Ok(self.history.ledger()?)
    }

    /// Instances that the session is about, producers first.
    pub fn wanted(&self) -> &[InstanceId] {
        &self.wanted
    }

    /// Forecast of a run with these resources. A history that cannot be read counts as none.
    pub(crate) fn time_left(&self, capacity: &Capacity) -> TimeLeft {
        let known = known_durations(self.plan, &self.history.ledger().unwrap_or_default());
        let share =
            |instance: &Instance| capacity.shares(&capacity.wanted_by(instance)).into_iter().fold(0.0, f64::max);
        let shares: Vec<f64> = self.plan.instances.iter().map(share).collect();
        TimeLeft::new(self.plan, &self.wanted, &known, &shares)
    }

    /// The cache.
    pub(crate) fn cache(&self) -> &Arc<Cache> {
        &self.project.cache
    }

    /// Whether there is a remote cache.
    pub fn has_remote(&self) -> bool {
        self.project.remote.is_some()
    }

    /// Status of each of them, by instance.
    pub fn status(&self) -> Result<Vec<Option<Status>>, RunError> {
        self.status_with(None, &HashSet::new())
    }

    /// Status of each of them, by instance, for a run that is to make those in `force` in any case; a remote cache is asked, too, if
    /// there is one.
    pub fn status_with(
        &self,
        remote: Option<&RemoteUse>,
        force: &HashSet<InstanceId>,
    ) -> Result<Vec<Option<Status>>, RunError> {
        Ok(self.statuses(remote, force)?.of)
    }

    /// The same, with the results of those that are fresh.
    pub(crate) fn statuses(
        &self,
        remote: Option<&RemoteUse>,
        force: &HashSet<InstanceId>,
    ) -> Result<Statuses, RunError> {
        let last_run = self.last_run();
        let contents = self.read_sources(&|_, _| {})?;
        let versions = self.last_versions();
        let inputs = self.inputs(&contents, &versions);
        let order: Vec<InstanceId> = self.wanted.iter().copied().filter(|id| !force.contains(id)).collect();
        let unchanged = last_run.unchanged(&self.plan_key, &inputs, &order);
        let earlier = EarlierRuns {
            cache: &self.project.cache,
            last_run: &last_run,
            unchanged,
            force,
            remote,
            ledger: &|| self.history.ledger(),
        };
        Ok(status(&inputs, &earlier, &self.wanted)?)
    }

    /// Brings the wanted instances up to date. `on_start` is given a way to interrupt the run before it begins.
    pub fn run(
        &self,
        request: RunRequest,
        view: Box<dyn EventSink>,
        on_start: impl FnOnce(Interrupter),
    ) -> Result<RunReport, RunError> {
        if request.cluster.is_none() {
            check_room(self.plan, &self.wanted, &request.capacity)?;
        }
        let _use = self.project.cache.use_shared()?;
        let mut execution = Execution::prepare(self, request.file.clone(), view, on_start)?;
        let executed = execution.execute(request)?;
        Ok(execution.finish(executed)?)
    }

    /// Summary of the last run.
    fn last_run(&self) -> LastRun {
        // The reads of commands besides their inputs are needed next, and are found meanwhile.
        let read = || LastRun::read(&self.snapshots, &self.project.cache);
        rayon::join(read, || self.mentions()).0
    }

    /// Reads of commands in the project besides their inputs.
    fn mentions(&self) -> &Mentions {
        self.mentions.get_or_init(|| {
            let Project { folder, cache, .. } = self.project;
            project_reads::mentions(self.plan, &self.wanted, folder, |words| {
                project_reads::project_files(words, folder, cache.root())
            })
        })
    }

    fn read_sources(&self, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<Contents, CacheError> {
        let Project { folder, cache, .. } = self.project;
        let (exclusions, closed, snapshots) = (&self.exclusions, &self.closed, &self.snapshots);
        let reading = Reading { project: folder, cache, exclusions, closed, snapshots };
        Contents::read(self.plan, &self.wanted, self.mentions(), &reading, progress)
    }

    /// Whether what instances compute from depends on version commands and images, for which only a run asks.
    pub fn asks_versions(&self) -> bool {
        versions::asks(self.plan, &self.wanted)
    }

    /// Last answers of the version commands.
    fn last_versions(&self) -> Versions {
        if self.asks_versions() { Versions::last(&self.snapshots) } else { Versions::default() }
    }

    /// Asks the version commands, and keeps the answers.
    fn ask_versions(&self) -> Result<Versions, RunError> {
        if !self.asks_versions() {
            return Ok(Versions::default());
        }
        let mut problems = self.plan.diagnostics();
        let Project { folder, cache, variables, .. } = self.project;
        let waiting = |what: &str, instance: &str| {
            // A terminal that is gone needs no notice.
            let _ = writeln!(std::io::stderr(), "note: waiting for {} of `{}`", escape(what), escape(instance));
        };
        let asking = Asking { project: folder, cache, variables, waiting: &waiting };
        let versions = Versions::ask(self.plan, &self.wanted, &asking, &mut problems);
        if !problems.is_empty() {
            return Err(RunError::NoVersions(Box::new(problems)));
        }
        versions.keep(&self.snapshots);
        Ok(versions)
    }

    /// Variables of the user's that scripts of the instances in `ids` name and do not get.
    fn withheld(&self, ids: &[InstanceId], contents: &Contents) -> Withheld {
        let Project { folder, variables, .. } = self.project;
        Withheld::find(self.plan, ids, self.mentions(), contents, folder, variables)
    }

    /// Messages about variables of the user's that scripts of the instances in `ids` name and do not get.
    pub fn withheld_events(&self, ids: &[InstanceId]) -> Result<Vec<RunEvent>, RunError> {
        let contents = self.read_sources(&|_, _| {})?;
        Ok(self.withheld(ids, &contents).events().collect())
    }

    /// Configuration of the executor of a cluster for the run called `run`, and the folder of the pipeline's history.
    fn cluster_config(&self, slurm: SlurmConfig, program: &Path, run: &str) -> (ClusterConfig, PathBuf) {
        // A history that cannot be read counts as none: which stages share a job depends on it.
        let ledger = self.history.ledger().unwrap_or_default();
        let config = ClusterConfig {
            program: program.to_owned(),
            cache: Arc::clone(&self.project.cache),
            project: self.project.folder.clone(),
            instances: self.plan.instances.clone().into(),
            expected: known_durations(self.plan, &ledger).into(),
            slurm,
            log_limit: self.project.log_limit,
            inherits_environment: self.project.variables.withholds_nothing(),
            run: run.to_owned(),
        };
        (config, self.history.folder().to_owned())
    }

    fn inputs<'s>(&'s self, contents: &'s Contents, versions: &'s Versions) -> Inputs<'s> {
        Inputs { plan: self.plan, project: &self.project.folder, mentions: self.mentions(), contents, versions }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.plan.instances.iter().map(|instance| instance.name.as_str())
    }
}

/// `targets` (all instances if there are none) and everything they read from, producers first.
pub fn needed_by(plan: &Plan, targets: &[InstanceId]) -> Vec<InstanceId> {
    let order = plan.order();
    if targets.is_empty() {
        return order;
    }
    let mut needed: HashSet<InstanceId> = HashSet::new();
    let mut front = targets.to_vec();
    while let Some(id) = front.pop() {
        if needed.insert(id) {
            front.extend(plan.producers(id));
        }
    }
    order.into_iter().filter(|id| needed.contains(id)).collect()
}
