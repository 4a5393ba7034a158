//! Settings of the program on a machine, for a user or in a project, with the origin of each.
//!
//! Layers are laid over each other, lowest first: built-in defaults, the machine's file, the user's, the project's, variables,
//! options. They determine how and where work is done, never its result: no setting is part of a fingerprint. Texts and values
//! come in; nothing here reads a file or the environment.

mod choice;
mod file;
mod folder;
mod layer;
mod remote;
mod sandbox;
mod scratch;
mod slurm;

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value as Json, json};

pub(crate) use file::{read, schema};
pub(crate) use layer::{Layer, Variable, options, variables};
pub(crate) use remote::{RemoteMode, RemoteUrl};
pub(crate) use slurm::{ExecutorChoice, GpuOption, SlurmSettings};

use crate::language::{ByteSize, SandboxMode};

/// Name of a settings file in a project.
pub(crate) const FILE: &str = "athanor.config.yaml";

/// Value with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    /// The value.
    pub value: T,
    /// Origin.
    pub origin: Origin,
}

/// Origin of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "source")]
pub(crate) enum Origin {
    /// Built in.
    Default,
    /// A settings file.
    File {
        /// Its path, as it is shown.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// An environment variable.
    Variable {
        /// Its name.
        name: &'static str,
    },
    /// A command-line option.
    Option {
        /// As it is written.
        name: &'static str,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { file, line, .. } => write!(f, "{file}:{line}"),
            Origin::Variable { name } | Origin::Option { name } => f.write_str(name),
        }
    }
}

/// Rule for when stored files are hashed again before they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VerifyOnUse {
    /// Never: `athanor cache verify` does that.
    #[default]
    Never,
    /// Some of them, at random.
    Sample,
    /// All rules.
    Always,
}

impl VerifyOnUse {
    /// All rules.
    pub(crate) const ALL: [VerifyOnUse; 3] = [VerifyOnUse::Never, VerifyOnUse::Sample, VerifyOnUse::Always];

    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            VerifyOnUse::Never => "never",
            VerifyOnUse::Sample => "sample",
            VerifyOnUse::Always => "always",
        }
    }
}

/// Behaviour of a stage that computes on a GPU where none can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnNoGpu {
    /// It fails.
    #[default]
    Fail,
    /// It computes on the CPU.
    Cpu,
}

impl OnNoGpu {
    /// All choices.
    pub(crate) const ALL: [OnNoGpu; 2] = [OnNoGpu::Fail, OnNoGpu::Cpu];

    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            OnNoGpu::Fail => "fail",
            OnNoGpu::Cpu => "cpu",
        }
    }
}

/// Rule for which variables of the user's environment commands get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EnvironmentRule {
    /// A documented set, and what their stages name.
    #[default]
    Strict,
    /// All of them.
    Inherit,
}

impl EnvironmentRule {
    /// All rules.
    pub(crate) const ALL: [EnvironmentRule; 2] = [EnvironmentRule::Strict, EnvironmentRule::Inherit];

    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            EnvironmentRule::Strict => "strict",
            EnvironmentRule::Inherit => "inherit",
        }
    }
}

/// Effective settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The cache's folder, absolute or relative to the project folder.
    pub cache: Setting<PathBuf>,
    /// Rule for when stored files are hashed again before they are used.
    pub verify_on_use: Setting<VerifyOnUse>,
    /// Rule for which variables of the user's environment commands get.
    pub environment: Setting<EnvironmentRule>,
    /// Executor of stages.
    pub executor: Setting<ExecutorChoice>,
    /// Size limit of a stage's log.
    pub log_limit: Setting<ByteSize>,
    /// Behaviour of a stage that computes on a GPU where none can be used.
    pub on_no_gpu: Setting<OnNoGpu>,
    /// Address of the remote cache.
    pub remote: Setting<RemoteUrl>,
    /// Use of the remote cache.
    pub remote_mode: Setting<RemoteMode>,
    /// Whether the logs of stages are pushed.
    pub remote_push_logs: Setting<bool>,
    /// File with the key of the team.
    pub remote_key_file: Setting<Option<PathBuf>>,
    /// The folder of all pipelines' results, absolute or relative to the project folder.
    pub results: Setting<PathBuf>,
    /// Shell line that is run when everything is up to date.
    pub on_success: Setting<Option<String>>,
    /// Shell line that is run when a stage has failed.
    pub on_failure: Setting<Option<String>>,
    /// Whether commands run in a sandbox.
    pub sandbox: Setting<SandboxMode>,
    /// Paths that every command may read besides, absolute or relative to the project folder.
    pub sandbox_reads: Setting<Vec<PathBuf>>,
    /// Paths that every command may write to besides, absolute or relative to the project folder.
    pub sandbox_writes: Setting<Vec<PathBuf>>,
    /// Folder on a cluster's nodes in which attempts work; it may begin with a variable of theirs.
    pub scratch: Setting<Option<String>>,
    /// Size that copies of inputs there take on a node at most.
    pub scratch_limit: Setting<Option<ByteSize>>,
    /// Options of jobs on a Slurm cluster.
    pub slurm: SlurmSettings,
}

impl Default for Settings {
    fn default() -> Settings {
        const LOG_LIMIT: ByteSize = ByteSize::new(64 << 20);
        Settings {
            cache: built_in(".athanor".into()),
            verify_on_use: built_in(VerifyOnUse::default()),
            environment: built_in(EnvironmentRule::default()),
            executor: built_in(ExecutorChoice::default()),
            log_limit: built_in(LOG_LIMIT),
            on_no_gpu: built_in(OnNoGpu::default()),
            remote: built_in(RemoteUrl(None)),
            remote_mode: built_in(RemoteMode::default()),
            remote_push_logs: built_in(true),
            remote_key_file: built_in(None),
            results: built_in("results".into()),
            on_success: built_in(None),
            on_failure: built_in(None),
            sandbox: built_in(SandboxMode::default()),
            sandbox_reads: built_in(Vec::new()),
            sandbox_writes: built_in(Vec::new()),
            scratch: built_in(None),
            scratch_limit: built_in(None),
            slurm: SlurmSettings::default(),
        }
    }
}

fn or_none(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn built_in<T>(value: T) -> Setting<T> {
    Setting { value, origin: Origin::Default }
}

impl Settings {
    /// The defaults with `layers` over them, lowest first.
    pub(crate) fn over(layers: impl IntoIterator<Item = Layer>) -> Settings {
        let mut settings = Settings::default();
        for layer in layers {
            let Layer { cache, verify_on_use, environment, log_limit, on_no_gpu, results, .. } = layer;
            settings.cache = cache.unwrap_or(settings.cache);
            settings.verify_on_use = verify_on_use.unwrap_or(settings.verify_on_use);
            settings.environment = environment.unwrap_or(settings.environment);
            settings.executor = layer.executor.unwrap_or(settings.executor);
            settings.slurm = settings.slurm.under(layer.slurm);
            settings.log_limit = log_limit.unwrap_or(settings.log_limit);
            settings.on_no_gpu = on_no_gpu.unwrap_or(settings.on_no_gpu);
            settings.remote = layer.remote.unwrap_or(settings.remote);
            settings.remote_mode = layer.remote_mode.unwrap_or(settings.remote_mode);
            settings.remote_push_logs = layer.remote_push_logs.unwrap_or(settings.remote_push_logs);
            let key_file = layer.remote_key_file.map(|file| Setting { value: Some(file.value), origin: file.origin });
            settings.remote_key_file = key_file.unwrap_or(settings.remote_key_file);
            settings.results = results.unwrap_or(settings.results);
            settings.on_success = layer.on_success.unwrap_or(settings.on_success);
            settings.on_failure = layer.on_failure.unwrap_or(settings.on_failure);
            settings.sandbox = layer.sandbox.unwrap_or(settings.sandbox);
            settings.sandbox_reads = layer.sandbox_reads.unwrap_or(settings.sandbox_reads);
            settings.sandbox_writes = layer.sandbox_writes.unwrap_or(settings.sandbox_writes);
            settings.scratch = layer.scratch.unwrap_or(settings.scratch);
            settings.scratch_limit = layer.scratch_limit.unwrap_or(settings.scratch_limit);
        }
        settings
    }

    /// Every setting's name, value as text, and origin, in the order of the documentation.
    pub(crate) fn list(&self) -> Vec<(&'static str, String, &Origin)> {
        let mut list = vec![
            ("cache", self.cache.value.display().to_string(), &self.cache.origin),
            ("cache.verify_on_use", self.verify_on_use.value.name().to_owned(), &self.verify_on_use.origin),
            ("environment", self.environment.value.name().to_owned(), &self.environment.origin),
            ("executor", self.executor.value.name().to_owned(), &self.executor.origin),
            ("hooks.on_failure", or_none(self.on_failure.value.as_ref()), &self.on_failure.origin),
            ("hooks.on_success", or_none(self.on_success.value.as_ref()), &self.on_success.origin),
            ("log_limit", self.log_limit.value.to_string(), &self.log_limit.origin),
            ("on_no_gpu", self.on_no_gpu.value.name().to_owned(), &self.on_no_gpu.origin),
            ("remote", or_none(self.remote.value.0.as_ref()), &self.remote.origin),
            ("remote.mode", self.remote_mode.value.name().to_owned(), &self.remote_mode.origin),
            ("remote.push_logs", self.remote_push_logs.value.to_string(), &self.remote_push_logs.origin),
            (
                "remote.key_file",
                or_none(self.remote_key_file.value.as_ref().map(|path| path.display())),
                &self.remote_key_file.origin,
            ),
            ("results", self.results.value.display().to_string(), &self.results.origin),
            ("sandbox", self.sandbox.value.name().to_owned(), &self.sandbox.origin),
            ("sandbox.reads", sandbox::shown(&self.sandbox_reads.value), &self.sandbox_reads.origin),
            ("sandbox.writes", sandbox::shown(&self.sandbox_writes.value), &self.sandbox_writes.origin),
            ("scratch", or_none(self.scratch.value.as_ref()), &self.scratch.origin),
            ("scratch_limit", or_none(self.scratch_limit.value), &self.scratch_limit.origin),
        ];
        list.extend(self.slurm.list());
        list
    }

    /// The settings as JSON.
    pub(crate) fn json(&self) -> Json {
        let entry = |(name, value, origin): (&str, String, &Origin)| {
            (name.to_owned(), json!({ "value": value, "from": origin }))
        };
        self.list().into_iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests;
