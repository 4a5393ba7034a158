//! Layers: partial settings from one file, the variables or the options.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::language::node::Value;
use crate::language::shape::Typed;
use crate::language::{ByteSize, Diagnostic, SandboxMode, SourceText, Span};

use super::choice::choice;
use super::folder::folder;
use super::remote::{RemoteMode, RemoteUrl};
use super::sandbox::paths;
use super::slurm::{ExecutorChoice, SlurmLayer};
use super::{EnvironmentRule, OnNoGpu, Origin, Setting, VerifyOnUse};

/// Settings of one origin; those that it does not mention are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layer {
    /// See [`Settings`](super::Settings).
    pub cache: Option<Setting<PathBuf>>,
    /// See [`Settings`](super::Settings).
    pub verify_on_use: Option<Setting<VerifyOnUse>>,
    /// See [`Settings`](super::Settings).
    pub environment: Option<Setting<EnvironmentRule>>,
    /// See [`Settings`](super::Settings).
    pub executor: Option<Setting<ExecutorChoice>>,
    /// See [`Settings`](super::Settings).
    pub slurm: SlurmLayer,
    /// See [`Settings`](super::Settings).
    pub log_limit: Option<Setting<ByteSize>>,
    /// See [`Settings`](super::Settings).
    pub on_no_gpu: Option<Setting<OnNoGpu>>,
    /// See [`Settings`](super::Settings).
    pub remote: Option<Setting<RemoteUrl>>,
    /// See [`Settings`](super::Settings).
    pub remote_mode: Option<Setting<RemoteMode>>,
    /// See [`Settings`](super::Settings).
    pub remote_push_logs: Option<Setting<bool>>,
    /// See [`Settings`](super::Settings).
    pub remote_key_file: Option<Setting<PathBuf>>,
    /// See [`Settings`](super::Settings).
    pub results: Option<Setting<PathBuf>>,
    /// See [`Settings`](super::Settings).
    pub on_success: Option<Setting<Option<String>>>,
    /// See [`Settings`](super::Settings).
    pub on_failure: Option<Setting<Option<String>>>,
    /// See [`Settings`](super::Settings).
    pub sandbox: Option<Setting<SandboxMode>>,
    /// See [`Settings`](super::Settings).
    pub sandbox_reads: Option<Setting<Vec<PathBuf>>>,
    /// See [`Settings`](super::Settings).
    pub sandbox_writes: Option<Setting<Vec<PathBuf>>>,
    /// See [`Settings`](super::Settings).
    pub scratch: Option<Setting<Option<String>>>,
    /// See [`Settings`](super::Settings).
    pub scratch_limit: Option<Setting<Option<ByteSize>>>,
}

/// The environment variables that are settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variable {
    /// `cache`.
    Cache,
    /// `cache.verify_on_use`.
    VerifyOnUse,
    /// `environment`.
    Environment,
    /// `executor`.
    Executor,
    /// `log_limit`.
    LogLimit,
    /// `on_no_gpu`.
    OnNoGpu,
    /// `remote`.
    Remote,
    /// `remote.mode`.
    RemoteMode,
    /// `results`.
    Results,
    /// `sandbox`.
    Sandbox,
    /// `sandbox.reads`.
    SandboxReads,
    /// `sandbox.writes`.
    SandboxWrites,
}

impl Variable {
    /// All variables.
    pub(crate) const ALL: [Variable; 12] = [
        Variable::Cache,
        Variable::VerifyOnUse,
        Variable::Environment,
        Variable::Executor,
        Variable::LogLimit,
        Variable::OnNoGpu,
        Variable::Remote,
        Variable::RemoteMode,
        Variable::Results,
        Variable::Sandbox,
        Variable::SandboxReads,
        Variable::SandboxWrites,
    ];

    /// Its name in the environment.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Variable::Cache => "ATHANOR_CACHE",
            Variable::VerifyOnUse => "ATHANOR_CACHE_VERIFY_ON_USE",
            Variable::Environment => "ATHANOR_ENVIRONMENT",
            Variable::Executor => "ATHANOR_EXECUTOR",
            Variable::LogLimit => "ATHANOR_LOG_LIMIT",
            Variable::OnNoGpu => "ATHANOR_ON_NO_GPU",
            Variable::Remote => "ATHANOR_REMOTE",
            Variable::RemoteMode => "ATHANOR_REMOTE_MODE",
            Variable::Results => "ATHANOR_RESULTS",
            Variable::Sandbox => "ATHANOR_SANDBOX",
            Variable::SandboxReads => "ATHANOR_SANDBOX_READS",
            Variable::SandboxWrites => "ATHANOR_SANDBOX_WRITES",
        }
    }
}

/// Reads variables. An empty one counts as one that is not set. A mistake lies in a text of the variable's name, which is
/// added to `texts`.
pub(crate) fn variables<'v>(
    values: impl IntoIterator<Item = (Variable, &'v OsStr)>,
    home: Option<&Path>,
    texts: &mut Vec<SourceText>,
    problems: &mut Vec<Diagnostic>,
) -> Layer {
    let mut layer = Layer::default();
    for (variable, value) in values.into_iter().filter(|(_, value)| !value.is_empty()) {
        let read = match variable {
            Variable::Cache => path(value, home).map(|path| layer.cache = Some(of(variable, path))),
            Variable::Remote => typed(value).map(|url| layer.remote = Some(of(variable, url))),
            Variable::RemoteMode => typed(value).map(|mode| layer.remote_mode = Some(of(variable, mode))),
            Variable::Results => path(value, home).map(|path| layer.results = Some(of(variable, path))),
            Variable::VerifyOnUse => typed(value).map(|choice| layer.verify_on_use = Some(of(variable, choice))),
            Variable::Environment => typed(value).map(|choice| layer.environment = Some(of(variable, choice))),
            Variable::Executor => typed(value).map(|choice| layer.executor = Some(of(variable, choice))),
            Variable::OnNoGpu => typed(value).map(|choice| layer.on_no_gpu = Some(of(variable, choice))),
            Variable::Sandbox => typed(value).map(|mode| layer.sandbox = Some(of(variable, mode))),
            Variable::SandboxReads => paths(value, home).map(|list| layer.sandbox_reads = Some(of(variable, list))),
            Variable::SandboxWrites => paths(value, home).map(|list| layer.sandbox_writes = Some(of(variable, list))),
            Variable::LogLimit => typed(value).map(|LogLimit(size)| layer.log_limit = Some(of(variable, size))),
        };
        if let Err(message) = read {
            let text = value.to_string_lossy().into_owned();
            let span = Span::new(texts.len() as u32, 0..text.len());
            problems.push(Diagnostic::new(span, format!("the variable `{}`: {message}", variable.name())));
            texts.push(SourceText { name: variable.name().to_owned(), text });
        }
    }
    layer
}

/// Reads options.
pub(crate) fn options(
    cache: Option<&Path>,
    results: Option<&Path>,
    home: Option<&Path>,
    texts: &mut Vec<SourceText>,
    problems: &mut Vec<Diagnostic>,
) -> Layer {
    let mut read = |name: &'static str, written: Option<&Path>| {
        let written = written?;
        match path(written.as_os_str(), home) {
            Ok(value) => Some(Setting { value, origin: Origin::Option { name } }),
            Err(message) => {
                let text = written.to_string_lossy().into_owned();
                let span = Span::new(texts.len() as u32, 0..text.len());
                problems.push(Diagnostic::new(span, format!("the option `{name}`: {message}")));
                texts.push(SourceText { name: name.to_owned(), text });
                None
            }
        }
    };
    Layer { cache: read("--cache", cache), results: read("--results", results), ..Layer::default() }
}

fn of<T>(variable: Variable, value: T) -> Setting<T> {
    Setting { value, origin: Origin::Variable { name: variable.name() } }
}

fn path(value: &OsStr, home: Option<&Path>) -> Result<PathBuf, String> {
    folder(Path::new(value), home)
}

fn typed<T: Typed>(value: &OsStr) -> Result<T, String> {
    let text = value.to_str().ok_or("its value is not UTF-8 text")?;
    T::parse(&Value::Text(text.to_owned()))
}

/// Size limit of a stage's log.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogLimit(pub ByteSize);

impl Typed for LogLimit {
    fn parse(value: &Value) -> Result<Self, String> {
        /// Less would not hold one message.
        const LEAST: ByteSize = ByteSize::new(1 << 10);
        let size = ByteSize::parse(value)?;
        if size < LEAST {
            Err(format!("`{size}` is too little: at least {LEAST} of a log are kept"))
        } else {
            Ok(Self(size))
        }
    }

    fn schema() -> serde_json::Value {
        ByteSize::schema()
    }
}

impl Typed for VerifyOnUse {
    fn parse(value: &Value) -> Result<Self, String> {
        choice(value, &VerifyOnUse::ALL, VerifyOnUse::name)
    }

    fn schema() -> serde_json::Value {
        serde_json::json!({ "enum": VerifyOnUse::ALL.map(VerifyOnUse::name) })
    }
}

impl Typed for EnvironmentRule {
    fn parse(value: &Value) -> Result<Self, String> {
        choice(value, &EnvironmentRule::ALL, EnvironmentRule::name)
    }

    fn schema() -> serde_json::Value {
        serde_json::json!({ "enum": EnvironmentRule::ALL.map(EnvironmentRule::name) })
    }
}

impl Typed for OnNoGpu {
    fn parse(value: &Value) -> Result<Self, String> {
        choice(value, &OnNoGpu::ALL, OnNoGpu::name)
    }

    fn schema() -> serde_json::Value {
        serde_json::json!({ "enum": OnNoGpu::ALL.map(OnNoGpu::name) })
    }
}
