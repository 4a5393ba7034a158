//! Recipes of instances and their fingerprints.

use athanor_cache::{Artifact, Cache, CacheError, Content, Digest, ValueHasher};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::plan::{Instance, Work};

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
}

/// Artifact that is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecipeItem {
    /// Its content.
    pub artifact: Artifact,
    /// Source, for people; not part of the fingerprint.
    pub from: String,
}

fn without(params: &Value, names: &[&str]) -> Value {
    let mut params = params.clone();
    if let Value::Object(map) = &mut params {
        map.retain(|name, _| !names.contains(&name.as_str()));
    }
    params
}

impl Recipe {
    /// The recipe of `instance` that reads `inputs`.
    pub fn new(instance: &Instance, inputs: Vec<RecipeInput>) -> Recipe {
        let params = match &instance.work {
            Work::BuiltIn { params } => without(params, instance.kind.not_in_fingerprint()),
            Work::Command(command) => {
                let outputs = instance.outputs.iter().map(|output| (output.name.clone(), json!(output.file)));
                let outputs: serde_json::Map<String, Value> = outputs.collect();
                json!({ "run": command.identity, "outputs": outputs })
            }
        };
        let (kind, revision) = (instance.kind.name().to_owned(), instance.kind.revision());
        Recipe { kind, revision, params, seed: instance.seed, inputs }
    }

    /// Fingerprint, equal for two recipes if and only if they describe the same work: kind, revision, parameters, seed, and each input's
    /// name and content. Not names of stages, paths, resources or times.
    pub fn fingerprint(&self) -> Digest {
        let contents = |input: &RecipeInput| input.items.iter().map(|item| item.artifact.content()).collect();
        let mut inputs: Vec<Port<'_>> =
            self.inputs.iter().map(|input| (input.port.as_str(), contents(input))).collect();
        fingerprint(&self.kind, self.revision, self.seed, &mut inputs, |hasher| hasher.value(&self.params))
    }
}

/// Recipe of a recorded result, without secrets; `None` if there is no record of it.
pub fn recorded_recipe(cache: &Cache, fingerprint: &Digest) -> Result<Option<Recipe>, CacheError> {
    let record = cache.read_record(fingerprint)?;
    Ok(record.and_then(|record| serde_json::from_value(record.recipe).ok()))
}

/// Name of a port and the contents that it reads.
pub type Port<'p> = (&'p str, Vec<Content>);

/// Fingerprint of a recipe for `instance` that reads `inputs`: [`Recipe::fingerprint`], without the recipe being made.
pub fn fingerprint_of(instance: &Instance, inputs: &mut [Port<'_>]) -> Digest {
    let kind = instance.kind;
    fingerprint(kind.name(), kind.revision(), instance.seed, inputs, |hasher| match &instance.work {
        Work::BuiltIn { params } if kind.not_in_fingerprint().is_empty() => hasher.value(params),
        Work::BuiltIn { params } => hasher.value(&without(params, kind.not_in_fingerprint())),
        Work::Command(command) => {
            let mut outputs: Vec<(&str, &str)> =
                instance.outputs.iter().map(|output| (output.name.as_str(), output.file.as_str())).collect();
            outputs.sort_unstable();
            hasher.map(2);
            hasher.key("outputs");
            hasher.map(outputs.len());
            for (name, file) in outputs {
                hasher.key(name);
                hasher.text(file);
            }
            hasher.key("run");
            hasher.text(&command.identity);
        }
    })
}

/// Hashes `{inputs: {port: [[artifact kind, digest], …]}, kind, params, revision, seed}`.
fn fingerprint(
    kind: &str,
    revision: u32,
    seed: u64,
    inputs: &mut [Port<'_>],
    params: impl FnOnce(&mut ValueHasher),
) -> Digest {
    inputs.sort_unstable_by(|left, right| left.0.as_bytes().cmp(right.0.as_bytes()));
    let mut hasher = ValueHasher::new("athanor stage 1");
    hasher.map(5);
    hasher.key("inputs");
    hasher.map(inputs.len());
    for (port, contents) in inputs {
        hasher.key(port);
        hasher.list(contents.len());
        for (kind, digest) in contents {
            hasher.list(2);
            hasher.text(kind.name());
            hasher.text(&digest.to_string());
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
