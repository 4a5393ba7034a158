//! Settings files: their keys, and how they are read.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::language::node::{self, Entry, Node, Value};
use crate::language::shape::{Literal, Shape, keys};
use crate::language::{ByteSize, Diagnostic, SourceText, Span, suggest};

use super::folder::{PathText, folder};
use super::layer::{Layer, LogLimit};
use super::remote::{RemoteKeys, RemoteSetting};
use super::sandbox::{self, SandboxKeys, SandboxSetting};
use super::scratch::NodeFolder;
use super::slurm::{self, BatchKeys, ExecutorChoice, SlurmKeys};
use super::{EnvironmentRule, OnNoGpu, Origin, Setting, VerifyOnUse};

keys! {
    /// A settings file.
    "a settings file"
    pub(crate) struct SettingsKeys {
        /// Commands of a queue other than Slurm, for `executor: batch`.
        optional batch: BatchKeys,
        /// The cache: its folder, or a mapping of `dir` and `verify_on_use`.
        optional cache: CacheSetting,
        /// Variables of the user's environment that commands get: `strict` for a documented set and what their stages name
        /// (`athanor kinds command` lists them), `inherit` for all; `strict` if left out.
        optional environment: Literal<EnvironmentRule>,
        /// Executor of stages: `local` for processes of this machine, `slurm` for jobs of a Slurm cluster, `batch` for jobs of
        /// another queue; `local` if left out.
        optional executor: Literal<ExecutorChoice>,
        /// Commands that are run when a run has ended, with what came of it as JSON on their standard input.
        optional hooks: HookKeys,
        /// Size limit of a stage's log, such as `64MiB`; beyond it the log's beginning and end are kept.
        optional log_limit: Literal<LogLimit>,
        /// Behaviour of a stage that computes on a GPU where none can be used: `fail`, or `cpu` to compute on the CPU; `fail` if
        /// left out.
        optional on_no_gpu: Literal<OnNoGpu>,
        /// Remote cache: its address, or a mapping of `url`, `mode`, `push_logs` and `key_file`; none if left out.
        optional remote: RemoteSetting,
        /// Folder under which the results of every pipeline are put, `results` if left out. `~` is the home folder; a
        /// relative path starts in the project folder.
        optional results: Literal<PathText>,
        /// Sandbox of commands: `on` or `off`, or a mapping of `mode`, `reads` and `writes`; `on` if left out.
        optional sandbox: SandboxSetting,
        /// Folder on a cluster's nodes in which attempts work, such as `$SLURM_TMPDIR`: their inputs are copied there, once a node.
        /// Absolute, or beginning with a variable of the nodes; the cache's own folder if left out.
        optional scratch: Literal<NodeFolder>,
        /// Size that copies of inputs in `scratch` take on a node at most, such as `200GiB`: those that were used longest ago go first.
        /// If left out, they fill the disk but for a twentieth, or 10 GiB of a large one.
        optional scratch_limit: Literal<ByteSize>,
        /// Options of jobs on a Slurm cluster.
        optional slurm: SlurmKeys,
    }
}

keys! {
    /// Settings of the cache.
    "`cache`"
    pub(crate) struct CacheKeys {
        /// Folder of the cache, `.athanor` if left out; several projects may share one. `~` is the home folder; a relative
        /// path starts in the project folder.
        optional dir: Literal<PathText>,
        /// When stored files are hashed again before they are used: `never`, `sample` or `always`; `never` if left out.
        optional verify_on_use: Literal<VerifyOnUse>,
    }
}

keys! {
    /// Commands that are run when a run has ended.
    "`hooks`"
    pub(crate) struct HookKeys {
        /// Shell line that is run when everything is up to date.
        optional on_success: Literal<String>,
        /// Shell line that is run when a stage has failed.
        optional on_failure: Literal<String>,
    }
}

/// Names of all settings, as they may be written in one line of a file.
pub(crate) const NAMES: [&str; 37] = [
    "batch",
    "batch.cancel",
    "batch.poll",
    "batch.submit",
    "cache",
    "cache.dir",
    "cache.verify_on_use",
    "environment",
    "executor",
    "hooks",
    "hooks.on_failure",
    "hooks.on_success",
    "log_limit",
    "on_no_gpu",
    "remote",
    "remote.key_file",
    "remote.mode",
    "remote.push_logs",
    "remote.url",
    "results",
    "sandbox",
    "sandbox.mode",
    "sandbox.reads",
    "sandbox.writes",
    "scratch",
    "scratch_limit",
    "slurm",
    "slurm.account",
    "slurm.extra",
    "slurm.gpus",
    "slurm.idle",
    "slurm.max_jobs",
    "slurm.partition",
    "slurm.poll",
    "slurm.qos",
    "slurm.setup",
    "slurm.time",
];

/// Settings that are mappings, each with the key that stands for it where it is one value.
const MAPPINGS: [(&str, &str); 6] = [
    ("batch", "submit"),
    ("cache", "dir"),
    ("hooks", "on_success"),
    ("remote", "url"),
    ("sandbox", "mode"),
    ("slurm", "partition"),
];

/// Folder of the cache, or a mapping of its settings.
#[derive(Debug, Clone)]
pub(super) struct CacheSetting(CacheKeys);

impl Shape for CacheSetting {
    fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        match &node.value {
            Value::Map(_) => CacheKeys::read(node, problems).map(CacheSetting),
            Value::Text(_) => {
                let dir = Some(Literal::read(node, problems)?);
                Some(CacheSetting(CacheKeys { span: node.span, unread: Vec::new(), dir, verify_on_use: None }))
            }
            other => {
                let message = format!("`cache` is a folder or a mapping, not {}", other.noun());
                problems.push(Diagnostic::new(node.span, message).help("write `cache: DIR`, or `cache: { dir: DIR }`"));
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "type": "string" }, CacheKeys::schema()] })
    }
}

/// Reads a settings file. `number` is the file's number among the texts that spans count in.
pub(crate) fn read(file: &SourceText, number: u32, home: Option<&Path>, problems: &mut Vec<Diagnostic>) -> Layer {
    let root = match node::parse(&file.text, 0, number) {
        Ok(root) => root,
        Err(problem) => {
            problems.push(*problem);
            return Layer::default();
        }
    };
    if root.value == Value::Null {
        return Layer::default();
    }
    let root = nested(known(root, problems), problems);
    let Some(keys) = SettingsKeys::read(&root, problems) else { return Layer::default() };
    let origin = |span: Span| {
        let (line, column) = file.line_and_column(span.range().start);
        Origin::File { file: file.name.clone(), line, column }
    };
    let mut path = |written: Literal<PathText>| -> Option<Setting<PathBuf>> {
        match folder(Path::new(&written.value.0), home) {
            Ok(value) => Some(Setting { value, origin: origin(written.span) }),
            Err(message) => {
                problems.push(Diagnostic::new(written.span, message));
                None
            }
        }
    };
    let (dir, verify) = keys.cache.map_or((None, None), |CacheSetting(keys)| (keys.dir, keys.verify_on_use));
    let (mode, reads, writes) =
        keys.sandbox.map_or((None, None, None), |SandboxSetting(keys)| (keys.mode, keys.reads, keys.writes));
    let hook = |written: Literal<String>| Setting { value: Some(written.value), origin: origin(written.span) };
    let (on_success, on_failure) = keys.hooks.map_or((None, None), |hooks| (hooks.on_success, hooks.on_failure));
    let mut layer = Layer {
        on_success: on_success.map(hook),
        on_failure: on_failure.map(hook),
        cache: dir.and_then(&mut path),
        results: keys.results.and_then(&mut path),
        verify_on_use: verify.map(|written| Setting { value: written.value, origin: origin(written.span) }),
        on_no_gpu: keys.on_no_gpu.map(|written| Setting { value: written.value, origin: origin(written.span) }),
        environment: keys.environment.map(|written| Setting { value: written.value, origin: origin(written.span) }),
        executor: keys.executor.map(|written| Setting { value: written.value, origin: origin(written.span) }),
        slurm: slurm::layer(keys.slurm, keys.batch, &origin),
        log_limit: keys.log_limit.map(|written| Setting { value: written.value.0, origin: origin(written.span) }),
        scratch: keys.scratch.map(|written| Setting { value: Some(written.value.0), origin: origin(written.span) }),
        scratch_limit: keys
            .scratch_limit
            .map(|written| Setting { value: Some(written.value), origin: origin(written.span) }),
        sandbox: mode.map(|written| Setting { value: written.value, origin: origin(written.span) }),
        ..Layer::default()
    };
    if let Some(RemoteSetting(remote)) = keys.remote {
        layer.remote_key_file = remote.key_file.clone().and_then(&mut path);
        layer.add_remote(remote, origin);
    }
    let mut paths = |written: Literal<sandbox::PathList>| {
        let value = sandbox::read(&written.value, written.span, home, problems)?;
        Some(Setting { value, origin: origin(written.span) })
    };
    layer.sandbox_reads = reads.and_then(&mut paths);
    layer.sandbox_writes = writes.and_then(&mut paths);
    layer
}

impl Layer {
    /// Adds what is written about the remote cache, apart from the key's file.
    pub(super) fn add_remote(&mut self, keys: RemoteKeys, origin: impl Fn(Span) -> Origin) {
        self.remote = keys.url.map(|written| Setting { value: written.value, origin: origin(written.span) });
        self.remote_mode = keys.mode.map(|written| Setting { value: written.value, origin: origin(written.span) });
        let push_logs = keys.push_logs.map(|written| Setting { value: written.value, origin: origin(written.span) });
        self.remote_push_logs = push_logs;
    }
}

/// Removes unknown keys, each of which is reported.
fn known(mut root: Node, problems: &mut Vec<Diagnostic>) -> Node {
    let Value::Map(entries) = &mut root.value else { return root };
    entries.retain(|Entry { key, .. }| {
        let first = key.name.split('.').next().unwrap_or_default();
        let is_inner = first != key.name && MAPPINGS.iter().any(|(outer, _)| *outer == first);
        if NAMES.contains(&key.name.as_str()) || is_inner {
            return true;
        }
        let inner = NAMES.iter().find(|name| name.rsplit('.').next() == Some(key.name.as_str()));
        let help = inner.map(|name| format!("did you mean `{name}`?"));
        let help = help.or_else(|| suggest::help(&key.name, NAMES, "its keys"));
        let message = format!("unknown key `{}` in a settings file", key.name);
        problems.push(Diagnostic::new(key.span, message).maybe_help(help));
        false
    });
    root
}

/// Rewrites `cache.NAME: …` as `cache: { NAME: … }`, and likewise for the other mappings.
fn nested(mut root: Node, problems: &mut Vec<Diagnostic>) -> Node {
    let Value::Map(entries) = &mut root.value else { return root };
    let (dotted, mut plain): (Vec<Entry>, Vec<Entry>) =
        std::mem::take(entries).into_iter().partition(|entry| entry.key.name.contains('.'));
    for mut entry in dotted {
        let Some((outer, inner)) = entry.key.name.split_once('.').map(|(o, i)| (o.to_owned(), i.to_owned())) else {
            continue;
        };
        let whole = std::mem::replace(&mut entry.key.name, inner);
        let into = match plain.iter_mut().find(|other| other.key.name == outer) {
            Some(other) => mapping_of(&outer, &mut other.value),
            None => {
                let key = node::Key { name: outer.clone(), span: entry.key.span };
                let value = Node { value: Value::Map(Vec::new()), span: entry.value.span };
                plain.push(Entry { key, value });
                plain.last_mut().and_then(|last| mapping_of(&outer, &mut last.value))
            }
        };
        match into {
            Some(into) if into.iter().any(|other| other.key.name == entry.key.name) => {
                let message = format!("`{whole}` is there twice");
                problems.push(Diagnostic::new(entry.key.span, message).help("take one of them out"));
            }
            Some(into) => into.push(entry),
            // Of another type than it may be: that is reported where it is read.
            None => {}
        }
    }
    *entries = plain;
    root
}

/// The entries of the mapping `outer`; where it is one value alone, that becomes one of them.
fn mapping_of<'v>(outer: &str, value: &'v mut Node) -> Option<&'v mut Vec<Entry>> {
    let (_, inner) = MAPPINGS.iter().find(|(name, _)| *name == outer)?;
    if let Value::Text(_) | Value::Bool(_) = &value.value {
        let key = node::Key { name: (*inner).to_owned(), span: value.span };
        let dir = Entry { key, value: value.clone() };
        value.value = Value::Map(vec![dir]);
    }
    if let Value::Map(entries) = &mut value.value { Some(entries) } else { None }
}

/// The JSON Schema of a settings file.
pub(crate) fn schema() -> Json {
    let mut schema = SettingsKeys::schema();
    if let Some(Json::Object(properties)) = schema.get_mut("properties") {
        for (outer, keys) in [
            ("cache", CacheKeys::schema()),
            ("hooks", HookKeys::schema()),
            ("remote", RemoteKeys::schema()),
            ("sandbox", SandboxKeys::schema()),
            ("slurm", SlurmKeys::schema()),
            ("batch", BatchKeys::schema()),
        ] {
            for (name, inner) in keys["properties"].as_object().into_iter().flatten() {
                properties.insert(format!("{outer}.{name}"), inner.clone());
            }
        }
    }
    if let Json::Object(map) = &mut schema {
        map.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        map.insert("title".to_owned(), "Athanor settings".into());
        map.insert("type".to_owned(), json!(["object", "null"]));
    }
    schema
}
