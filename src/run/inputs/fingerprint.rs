//! Recipes of instances and their fingerprints.

use athanor_cache::{Artifact, Cache, CacheError, Content, Digest, ValueHasher};
use athanor_stages::ports::OutputPort;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::plan::context::STAGE_VARIABLE;
use crate::plan::{CommandLine, Instance, Work};
use crate::run::inputs::versions::Versions;

/// Recipe: everything an instance computes from. Recorded with its result, so that a later run can say what changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The kind's name.
    pub kind: String,
    /// The kind's revision.
    pub revision: u32,
    /// Canonical parameters without those that do not affect the result; for a command its line and outputs.
    pub params: Value,
    /// The seed.
    pub seed: u64,
    /// Inputs, by port.
    pub inputs: Vec<RecipeInput>,
}

/// A recipe and its fingerprint.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Recipe of the work.
    pub recipe: Recipe,
    /// [`Recipe::fingerprint`] of it.
    pub fingerprint: Digest,
}

/// Input of one port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecipeInput {
    /// The port, or the name of something of the project that a command reads besides ([`ProjectRead::port`]).
    ///
    /// [`ProjectRead::port`]: crate::run::inputs::project_reads::ProjectRead::port
    pub port: String,
    /// The artifacts, in order.
    pub items: Vec<RecipeItem>,
    /// For a list that a command reads: the gathered axes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axes: Option<Vec<String>>,
}

/// Artifact that is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecipeItem {
    /// Its content.
    pub artifact: Artifact,
    /// Source, for people; not part of the fingerprint.
    pub from: String,
    /// Path at which a command finds it, which is part of the fingerprint; `None` for other kinds, which do not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its labels on the gathered axes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

fn without(params: &Value, names: &[&str]) -> Value {
    let mut params = params.clone();
    if let Value::Object(map) = &mut params {
        map.retain(|name, _| !names.contains(&name.as_str()));
    }
    params
}

/// Parameters of a command: its script and outputs, and what else is not as by default.
fn command_params(instance: &Instance, command: &CommandLine, versions: &Versions) -> Value {
    let files = |output: &OutputPort| if output.is_group() { json!(output.group) } else { json!(output.file) };
    let outputs = instance.outputs.iter().map(|output| (output.name.clone(), files(output)));
    let outputs: serde_json::Map<String, Value> = outputs.collect();
    let mut params = json!({ "run": command.identity(), "outputs": outputs });
    if let Some(shell) = command.shell.written() {
        params["shell"] = shell.into();
    }
    if let Some(context) = &command.context {
        params["context"] = context.clone();
    }
    if tells_its_name(command) {
        params["instance"] = instance.name.as_str().into();
    }
    if !command.env.is_empty() {
        let env = command.env.iter().map(|variable| (variable.name.clone(), json!(variable.identity)));
        params["env"] = env.collect::<serde_json::Map<String, Value>>().into();
    }
    if !command.versions.is_empty() {
        let answers = versions.of(command).map(|(question, answer)| (question.to_owned(), json!(answer)));
        params["versions"] = answers.collect::<serde_json::Map<String, Value>>().into();
    }
    if command.container.is_some() {
        params["container"] = json!({ "image": versions.image(command).map(|image| &image.digest) });
    }
    params
}

impl Recipe {
    /// The recipe of `instance` that reads `inputs`.
    pub fn new(instance: &Instance, inputs: Vec<RecipeInput>, versions: &Versions) -> Recipe {
        let params = match &instance.work {
            Work::BuiltIn { params } => without(params, instance.kind.not_in_fingerprint()),
            Work::Command(command) => command_params(instance, command, versions),
        };
        let (kind, revision) = (instance.kind.name().to_owned(), instance.kind.revision());
        Recipe { kind, revision, params, seed: instance.seed, inputs }
    }

    /// Fingerprint, equal for two recipes if and only if they describe the same work: kind, revision, parameters, seed, and each input's
    /// name and content; for commands also the paths and labels under which they find them. Not names of stages, paths in the
    /// project, resources or times.
    pub fn fingerprint(&self) -> Digest {
        let mut inputs: Vec<Port<'_>> = Vec::with_capacity(self.inputs.len());
        for RecipeInput { port, items, axes } in &self.inputs {
            inputs.push(Port {
                name: port,
                axes: axes.as_deref(),
                artifacts: items.iter().map(RecipeItem::seen).collect(),
            });
        }
        fingerprint(&self.kind, self.revision, self.seed, &mut inputs, |hasher| hasher.value(&self.params))
    }
}

/// Recipe of a recorded result, without secrets; `None` if there is no record of it.
pub fn recorded_recipe(cache: &Cache, fingerprint: &Digest) -> Result<Option<Recipe>, CacheError> {
    let record = cache.read_record(fingerprint)?;
    Ok(record.and_then(|record| serde_json::from_value(record.recipe).ok()))
}

/// Whether a command has a script and outputs, and else nothing that its result depends on.
fn is_plain(command: &CommandLine) -> bool {
    let CommandLine { shell, context, env, versions, container, .. } = command;
    let has_keys = shell.written().is_some() || !env.is_empty() || !versions.is_empty() || container.is_some();
    !has_keys && context.is_none() && !tells_its_name(command)
}

/// Whether a script may tell the name of its instance: two that are alike but for that are not the same work.
fn tells_its_name(command: &CommandLine) -> bool {
    command.line.contains(STAGE_VARIABLE)
}

/// Content of a port, as it enters the fingerprint.
pub struct Port<'p> {
    /// Its name.
    pub name: &'p str,
    /// For a list that a command reads: the gathered axes.
    pub axes: Option<&'p [String]>,
    /// Artifacts, in order.
    pub artifacts: Vec<Seen<'p>>,
}

/// Artifact as an instance sees it.
pub struct Seen<'p> {
    /// Its content.
    pub content: Content,
    /// Path at which a command finds it; `None` for other kinds.
    pub path: Option<&'p str>,
    /// Its labels on the gathered axes.
    pub labels: &'p [String],
}

impl RecipeItem {
    fn seen(&self) -> Seen<'_> {
        Seen { content: self.artifact.content(), path: self.path.as_deref(), labels: &self.labels }
    }
}

/// Fingerprint of a recipe for `instance` that reads `inputs`: [`Recipe::fingerprint`], without the recipe being made.
pub fn fingerprint_of(instance: &Instance, inputs: &mut [Port<'_>], versions: &Versions) -> Digest {
    let kind = instance.kind;
    fingerprint(kind.name(), kind.revision(), instance.seed, inputs, |hasher| match &instance.work {
        Work::BuiltIn { params } if kind.not_in_fingerprint().is_empty() => hasher.value(params),
        Work::BuiltIn { params } => hasher.value(&without(params, kind.not_in_fingerprint())),
        Work::Command(command) if !is_plain(command) => hasher.value(&command_params(instance, command, versions)),
        Work::Command(command) => {
            let mut outputs: Vec<&OutputPort> = instance.outputs.iter().collect();
            outputs.sort_unstable_by(|left, right| left.name.cmp(&right.name));
            hasher.map(2);
            hasher.key("outputs");
            hasher.map(outputs.len());
            for output in outputs {
                hasher.key(&output.name);
                if output.is_group() {
                    hasher.list(output.group.len());
                    output.group.iter().for_each(|file| hasher.text(file));
                } else {
                    hasher.text(&output.file);
                }
            }
            hasher.key("run");
            hasher.text(command.identity());
        }
    })
}

/// Hashes `{inputs: {port: [[artifact kind, digest], …]}, kind, params, revision, seed}`; for commands, an artifact is `[kind,
/// digest, path, label, …]`, and a list begins with the gathered axes.
fn fingerprint(
    kind: &str,
    revision: u32,
    seed: u64,
    inputs: &mut [Port<'_>],
    params: impl FnOnce(&mut ValueHasher),
) -> Digest {
    inputs.sort_unstable_by(|left, right| left.name.as_bytes().cmp(right.name.as_bytes()));
    let mut hasher = ValueHasher::new("athanor stage 1");
    hasher.map(5);
    hasher.key("inputs");
    hasher.map(inputs.len());
    for Port { name, axes, artifacts } in inputs.iter() {
        hasher.key(name);
        hasher.list(artifacts.len() + usize::from(axes.is_some()));
        if let Some(axes) = axes {
            hasher.list(axes.len());
            axes.iter().for_each(|axis| hasher.text(axis));
        }
        for Seen { content: (kind, digest), path, labels } in artifacts {
            hasher.list(2 + usize::from(path.is_some()) + labels.len());
            hasher.text(kind.name());
            hasher.text(&digest.to_string());
            path.iter().for_each(|path| hasher.text(path));
            labels.iter().for_each(|label| hasher.text(label));
        }
    }
    hasher.key("kind");
    hasher.text(kind);
    hasher.key("params");
    params(&mut hasher);
    hasher.key("revision");
    hasher.integer(revision.into());
    hasher.key("seed");
    hasher.integer(seed.into());
    hasher.finish()
}
