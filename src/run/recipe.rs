//! What an instance computes from, and the fingerprint of it.

use athanor_cache::{Artifact, Digest, hash_value};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::plan::{Instance, Work};

/// Everything an instance computes from. Recorded with its result, so that a later run can say what changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The kind's name.
    pub kind: String,
    /// The kind's revision.
    pub revision: u32,
    /// Canonical parameters without those that say how rather than what; for a command its line and outputs.
    pub params: Value,
    /// The seed.
    pub seed: u64,
    /// What it reads, by port.
    pub inputs: Vec<RecipeInput>,
}

/// A recipe and its fingerprint.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// What is to be done.
    pub recipe: Recipe,
    /// [`Recipe::fingerprint`] of it.
    pub fingerprint: Digest,
}

/// What one port reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecipeInput {
    /// The port, or `./path` for a project file that a command's line names.
    pub port: String,
    /// The artifacts, in order.
    pub items: Vec<RecipeItem>,
}

/// One artifact that is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecipeItem {
    /// Its content.
    pub artifact: Artifact,
    /// Where it came from, for people; not part of the fingerprint.
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
    /// The recipe of `instance`, given what its inputs hold.
    pub fn new(instance: &Instance, inputs: Vec<RecipeInput>) -> Recipe {
        let params = match &instance.work {
            Work::BuiltIn { params } => without(params, instance.kind.manner()),
            Work::Command(command) => {
                let outputs = instance.outputs.iter().map(|output| (output.name.clone(), json!(output.file)));
                let outputs: serde_json::Map<String, Value> = outputs.collect();
                json!({ "run": command.identity, "outputs": outputs })
            }
        };
        let (kind, revision) = (instance.kind.name().to_owned(), instance.kind.revision());
        Recipe { kind, revision, params, seed: instance.seed, inputs }
    }

    /// Equal for two recipes if and only if they describe the same work: kind, revision, parameters, seed, and each input's
    /// name and content. Not names of stages, paths, resources or times.
    pub fn fingerprint(&self) -> Digest {
        let inputs: serde_json::Map<String, Value> = self
            .inputs
            .iter()
            .map(|input| {
                let items = input.items.iter().map(|item| json!([item.artifact.kind, item.artifact.digest]));
                (input.port.clone(), items.collect())
            })
            .collect();
        let parts = json!({
            "kind": self.kind,
            "revision": self.revision,
            "params": self.params,
            "seed": self.seed,
            "inputs": inputs,
        });
        hash_value("athanor stage 1", &parts)
    }
}
