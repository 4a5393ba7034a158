//! A shell in a stage's folder, prepared as for an attempt.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use athanor_cache::{CacheError, Digest, Lookup, OutputRecord, UseGuard, remove_tree};
use tempfile::TempDir;

use crate::gpu::GpuId;
use crate::plan::{InstanceId, Work};
use crate::run::attempts::attempt::prepare_sandbox;
use crate::run::attempts::sandbox::Sandbox;
use crate::run::attempts::stage_variables::{FoundImage, StageVariables, environment, script_of};
use crate::run::container::{ContainerRun, Purpose, interactive, mounts, new_name};
use crate::run::environment::EnvironmentVariable;
use crate::run::executor::access_rules::AccessRules;
use crate::run::executor::job::JobContainer;
use crate::run::executor::local::landlock::{OpenRules, Restriction};
use crate::run::executor::protocol::EVENTS_VARIABLE;
use crate::run::executor::resources::{Capacity, Pool};
use crate::run::inputs::folder_views::{FolderViews, ShownFolders};
use crate::run::inputs::resolve::{Inputs, Unresolved};
use crate::run::program_search::find_program;
use crate::run::state::outputs::Outputs;

use super::{Project, Session};

/// Name of a copy of the stage's state, in the folder that is made for the shell.
const STATE: &str = "state";

/// Reason why there is no shell for a stage.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// The cache refused.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Inputs of the stage are not up to date.
    #[error("`{stage}` reads what is not up to date: {} first.", run_first(.first))]
    Inputs {
        /// The stage's name.
        stage: String,
        /// Names of the instances that have to run.
        first: Vec<String>,
    },
    /// An input was not written, or cannot be read.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// The stage's resources are not there.
    #[error("`{0}` asks for more than this machine has; `athanor run` says of what.")]
    Resources(String),
    /// No run has looked for the image of the stage's container.
    #[error("The image of `{0}` is not known yet: `athanor run` looks for it.")]
    NoImage(String),
    /// The system refused.
    #[error("The shell cannot be started: {0}.")]
    Start(#[from] std::io::Error),
}

fn run_first(first: &[String]) -> String {
    let named = first.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    format!("run {named}")
}

/// Folder of a stage, prepared as for an attempt; removed when it is dropped.
pub struct PreparedStage {
    sandbox: Sandbox,
    environment: Vec<EnvironmentVariable>,
    access: Option<AccessRules>,
    container: Option<Box<JobContainer>>,
    gpus: Vec<GpuId>,
    /// Sentences about it for the user.
    pub notices: Vec<String>,
    /// Script of the stage, if it is a command.
    pub line: Option<String>,
    _folder: TempDir,
    _use: UseGuard,
}

impl Drop for PreparedStage {
    fn drop(&mut self) {
        // A leftover is swept by the next collection.
        let _ = remove_tree(self.sandbox.root());
    }
}

impl PreparedStage {
    /// Folder that the stage works in.
    pub fn folder(&self) -> &Path {
        self.sandbox.folder()
    }

    /// Runs `shell` in the folder, with the stage's variables and in its sandbox, until it ends; in a container the image's own.
    pub fn run(&self, shell: &Path) -> Result<ExitStatus, ShellError> {
        if let Some(container) = &self.container {
            return self.run_inside(container);
        }
        let mut command = Command::new(shell);
        command.current_dir(self.folder());
        if self.line.is_some() {
            command.env_clear();
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).env(EVENTS_VARIABLE, "/dev/null");
        let mut child = match &self.access {
            Some(rules) => Restriction::new(rules, &OpenRules::default())?.spawn(&mut command)?,
            None => command.spawn()?,
        };
        Ok(child.wait()?)
    }

    /// Runs a shell in the stage's container until it ends.
    fn run_inside(&self, container: &JobContainer) -> Result<ExitStatus, ShellError> {
        let JobContainer { image, reference, variables } = container;
        let engine = image.engine.name();
        let lacking = || std::io::Error::other(format!("`{engine}` is not on the PATH"));
        let program = find_program(engine, &self.environment).ok_or_else(lacking)?;
        let mut variables = variables.clone();
        variables.set.insert(0, (EVENTS_VARIABLE.into(), "/dev/null".into()));
        let run = ContainerRun {
            image,
            reference,
            name: &new_name(),
            folder: self.folder(),
            mounts: &self.access.as_ref().map(mounts).unwrap_or_default(),
            variables: &variables,
            gpus: &self.gpus,
            purpose: Purpose::Interactive { has_terminal: std::io::stdin().is_terminal() },
        };
        let mut command = run.command(&program, &self.environment, &interactive());
        Ok(command.current_dir(self.folder()).status()?)
    }
}

impl Session<'_> {
    /// Prepares the folder of `id`, which must be the session's only target.
    pub fn prepare_shell(&self, id: InstanceId, capacity: &Capacity) -> Result<PreparedStage, ShellError> {
        let cache = &self.project.cache;
        let guard = cache.use_shared()?;
        let contents = self.read_sources(&|_, _| {})?;
        let versions = self.last_versions();
        let inputs = self.inputs(&contents, &versions);
        let outputs = self.recorded_outputs(id, &inputs)?;
        let recipe = inputs.recipe(id, |producer| outputs[producer.index()].as_deref().unwrap_or_default())?;
        let instance = &self.plan.instances[id.index()];
        let allocation = Pool::new(capacity).take(&capacity.wanted_by(instance));
        let allocation = allocation.ok_or_else(|| ShellError::Resources(instance.name.clone()))?;
        // Named as the cache names its own, so that a collection removes it if this process is killed.
        let folder = tempfile::Builder::new().prefix("athanor-").rand_bytes(6).tempdir_in(cache.root().join("tmp"))?;
        let root = folder.path().join("1");
        let links = inputs.links(id, &recipe, false);
        let policy = self.project.access_policy();
        let access = policy.rules(cache, instance, &root, &links, &inputs.read_in_place(id));
        let views = ShownFolders { views: &mut FolderViews::default(), exclusions: &self.exclusions };
        let sandbox = prepare_sandbox(cache, root.into(), instance, &links, views)?;
        let mut notices = policy.notices();
        let state = match instance.state {
            true => Some(self.copy_of_state(&recipe.fingerprint(), sandbox.root(), &mut notices)?),
            false => None,
        };
        let Project { folder: project, variables, .. } = self.project;
        let StageVariables { environment, inside, .. } =
            environment(&sandbox, state.as_deref(), project, instance, &allocation, variables);
        let script = match &instance.work {
            Work::Command(command) => {
                let image = versions.image(command).map(|image| FoundImage { image, reference: &image.local });
                if command.container.is_some() && image.is_none() {
                    return Err(ShellError::NoImage(instance.name.clone()));
                }
                Some(script_of(command, image, inside))
            }
            Work::BuiltIn { .. } => None,
        };
        let (line, container) = script.map(|script| (script.text, script.container)).unzip();
        let (container, gpus) = (container.flatten(), allocation.gpus);
        Ok(PreparedStage { sandbox, environment, access, container, gpus, notices, line, _folder: folder, _use: guard })
    }

    /// Makes a copy of the state that is kept of the work `fingerprint` in `folder`: nothing that is done in a shell decides a result.
    fn copy_of_state(
        &self,
        fingerprint: &Digest,
        folder: &Path,
        notices: &mut Vec<String>,
    ) -> Result<PathBuf, CacheError> {
        let (cache, copy) = (&self.project.cache, folder.join(STATE));
        let claim = cache.try_claim(fingerprint)?.filter(|_| !cache.is_program_state_held(fingerprint));
        match claim {
            Some(_) => cache.copy_program_state(fingerprint, &copy)?,
            None => {
                notices.push("a run works on the stage and has its state: here it is empty".to_owned());
                std::fs::create_dir(&copy).map_err(|source| CacheError::Io { path: copy.clone(), source })?;
            }
        }
        Ok(copy)
    }

    /// The recorded outputs of all that `id` reads from, by instance.
    fn recorded_outputs(&self, id: InstanceId, inputs: &Inputs<'_>) -> Result<Vec<Option<Outputs>>, ShellError> {
        let mut outputs: Vec<Option<Outputs>> = vec![None; self.plan.instances.len()];
        let mut missing = Vec::new();
        for producer in self.wanted.iter().copied().filter(|producer| *producer != id) {
            let is_settled = |before: InstanceId| outputs[before.index()].is_some();
            let found = if self.plan.producers(producer).all(is_settled) {
                let outcome =
                    |before: InstanceId| -> &[OutputRecord] { outputs[before.index()].as_deref().unwrap_or_default() };
                let fingerprint = inputs.fingerprint(producer, outcome)?;
                match self.project.cache.lookup(&fingerprint)? {
                    Lookup::Hit(record) => Some(Outputs::from(record.outputs)),
                    Lookup::Incomplete { .. } | Lookup::Miss => None,
                }
            } else {
                None
            };
            if found.is_none() {
                missing.push(producer);
            }
            outputs[producer.index()] = found;
        }
        // The others follow when these have run.
        let is_direct = |producer: &InstanceId| self.plan.producers(id).any(|direct| direct == *producer);
        let first: Vec<String> =
            missing.into_iter().filter(is_direct).map(|id| self.plan.instances[id.index()].name.clone()).collect();
        if first.is_empty() {
            return Ok(outputs);
        }
        Err(ShellError::Inputs { stage: self.plan.instances[id.index()].name.clone(), first })
    }
}
