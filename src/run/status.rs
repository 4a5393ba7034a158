//! Status of instances before a run: which are fresh, and exactly why the others are not.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};

use athanor_cache::{Cache, CacheError, Change, Digest, Lookup, OutputRecord, diff};
use athanor_stages::ports::OutputPort;
use athanor_stages::secrets;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::InstanceId;
use crate::run::inputs::fingerprint::{Recipe, RecipeInput, RecipeItem, recorded_recipe};
use crate::run::inputs::resolve::{Inputs, Unresolved};
use crate::run::remote::RemoteUse;
use crate::run::state::history::Ledger;
use crate::run::state::last_run::LastRun;
use crate::run::state::outputs::Outputs;
use crate::run::state::outputs::UpToDate;

/// Status of an instance before a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "standing")]
pub enum Status {
    /// Its result is in the cache.
    Fresh,
    /// Its result is in the remote cache.
    Remote,
    /// The instance would run.
    Stale {
        /// Reasons.
        reasons: Vec<Reason>,
    },
    /// Whether it runs depends on what the named instances make.
    Waits {
        /// Instances it reads from that would run or wait themselves.
        on: Vec<String>,
    },
}

/// Reason why an instance would run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Reason {
    /// Wish of the user to run it whatever is known.
    Forced,
    /// No earlier result.
    NeverRan,
    /// Failure of the last attempt.
    Failed {
        /// Cause.
        cause: String,
        /// Whether it was an attempt at other work, as with another `--set` or before an edit.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        of_other_work: bool,
    },
    /// Last attempt that has not come to an end: it was killed or interrupted, or is at work.
    Unfinished {
        /// Whether it was an attempt at other work.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        of_other_work: bool,
    },
    /// Something of the project that it reads cannot be read.
    Unreadable {
        /// Cause.
        cause: String,
    },
    /// Nothing that was declared differs from the last result, and yet it cannot be used.
    Unchanged,
    /// Record of its earlier result no longer in the cache.
    Forgotten,
    /// Outputs of its result missing from the cache or damaged.
    OutputsLost {
        /// Their names.
        names: Vec<String>,
    },
    /// Other kind.
    Kind {
        /// Before.
        from: String,
        /// Now.
        to: String,
    },
    /// Other revision of the kind.
    Revision {
        /// Before.
        from: u32,
        /// Now.
        to: u32,
    },
    /// Other seed.
    Seed {
        /// Before.
        from: u64,
        /// Now.
        to: u64,
    },
    /// Other value of a parameter.
    Parameter {
        /// Its name, with dots into mappings.
        name: String,
        /// Before; absent if it is new.
        from: Option<Value>,
        /// Now; absent if it is gone.
        to: Option<Value>,
    },
    /// Other secret in an address. Records hold none, so that its values are not known.
    Secret,
    /// Other content of an input.
    Input {
        /// The port.
        port: String,
        /// Source.
        from: String,
        /// Changed files, for a folder whose earlier content is known.
        files: Vec<Change>,
    },
    /// Other path at which a command finds an artifact, or other labels in the table of a list.
    InputName {
        /// The port.
        port: String,
        /// Before.
        from: String,
        /// Now.
        to: String,
    },
    /// Other number of artifacts of an input.
    InputList {
        /// The port.
        port: String,
        /// Number before.
        from: usize,
        /// Number now.
        to: usize,
    },
}

/// Knowledge of earlier runs.
pub(crate) struct EarlierRuns<'k> {
    /// Their results.
    pub cache: &'k Cache,
    /// A summary of these.
    pub last_run: &'k LastRun,
    /// Results that follow from the summary without a look at the cache, by instance.
    pub unchanged: Vec<Option<UpToDate>>,
    /// Instances that run in any case.
    pub force: &'k HashSet<InstanceId>,
    /// Remote cache, if it is to be asked.
    pub remote: Option<&'k RemoteUse>,
    /// Ledger; asked for if anything is not fresh.
    pub ledger: &'k dyn Fn() -> Result<Ledger, CacheError>,
}

/// Status of every instance of an order.
pub(crate) struct Statuses {
    /// By instance; `None` for others.
    pub of: Vec<Option<Status>>,
    /// Fingerprints of the results of those that are fresh, by instance.
    pub results: Vec<Option<Digest>>,
}

/// Status of every instance of `order`.
pub(crate) fn status(
    inputs: &Inputs<'_>,
    earlier: &EarlierRuns<'_>,
    order: &[InstanceId],
) -> Result<Statuses, CacheError> {
    let cache = earlier.cache;
    let ledger = OnceCell::new();
    let ledger = || match ledger.get() {
        Some(ledger) => Ok(ledger),
        None => (earlier.ledger)().map(|read| ledger.get_or_init(|| read)),
    };
    let count = inputs.plan.instances.len();
    let mut outputs: Vec<Option<Outputs>> = vec![None; count];
    let mut statuses = vec![None; count];
    let mut results = vec![None; count];
    for id in order.iter().copied() {
        if earlier.force.contains(&id) {
            statuses[id.index()] = Some(Status::Stale { reasons: vec![Reason::Forced] });
            continue;
        }
        if let Some(settled) = &earlier.unchanged[id.index()] {
            outputs[id.index()] = Some(Outputs::clone(&settled.outputs));
            results[id.index()] = Some(settled.fingerprint);
            statuses[id.index()] = Some(Status::Fresh);
            continue;
        }
        let mut unsettled: Vec<InstanceId> =
            inputs.plan.producers(id).filter(|producer| outputs[producer.index()].is_none()).collect();
        unsettled.sort_unstable();
        let on: Vec<String> = unsettled.into_iter().map(|id| inputs.plan.instances[id.index()].name.clone()).collect();
        if !on.is_empty() {
            statuses[id.index()] = Some(Status::Waits { on });
            continue;
        }
        let outcome =
            |producer: InstanceId| -> &[OutputRecord] { outputs[producer.index()].as_deref().unwrap_or_default() };
        let name = &inputs.plan.instances[id.index()].name;
        let cannot = |unresolved: Unresolved| Status::Stale { reasons: vec![Reason::from(unresolved)] };
        let found = match inputs.fingerprint(id, outcome) {
            Err(unwritten) => cannot(unwritten),
            Ok(fingerprint) => match find(earlier, &fingerprint, &inputs.plan.instances[id.index()].outputs)? {
                Ok((found, status)) => {
                    outputs[id.index()] = Some(found);
                    results[id.index()] = Some(fingerprint).filter(|_| status == Status::Fresh);
                    status
                }
                Err(lost) if !lost.is_empty() => {
                    Status::Stale { reasons: vec![Reason::OutputsLost { names: lost }, Reason::Unchanged] }
                }
                Err(_) => match inputs.recipe(id, outcome) {
                    Ok(recipe) => Status::Stale { reasons: reasons(cache, ledger()?, name, &recipe)? },
                    Err(unwritten) => cannot(unwritten),
                },
            },
        };
        statuses[id.index()] = Some(found);
    }
    Ok(Statuses { of: statuses, results })
}

/// Outputs of a result, and the status that it makes; the inner error is the names of outputs that were lost.
fn find(
    earlier: &EarlierRuns<'_>,
    fingerprint: &Digest,
    ports: &[OutputPort],
) -> Result<Result<(Outputs, Status), Vec<String>>, CacheError> {
    if let Some(recalled) = earlier.last_run.outputs(fingerprint) {
        return Ok(Ok((Outputs::clone(recalled), Status::Fresh)));
    }
    let lost = match earlier.cache.lookup(fingerprint)? {
        Lookup::Hit(record) => return Ok(Ok((record.outputs.into(), Status::Fresh))),
        Lookup::Incomplete { lost, .. } => lost,
        Lookup::Miss => Vec::new(),
    };
    let elsewhere = earlier.remote.and_then(|remote| remote.find(fingerprint, ports));
    Ok(elsewhere.map(|outputs| (outputs, Status::Remote)).ok_or(lost))
}

impl From<Unresolved> for Reason {
    fn from(unresolved: Unresolved) -> Reason {
        match unresolved {
            Unresolved::Unreadable { cause } => Reason::Unreadable { cause },
            missing @ Unresolved::MissingOutput { .. } => {
                Reason::Failed { cause: missing.to_string(), of_other_work: false }
            }
        }
    }
}

/// Reasons why the instance called `name` is to be made by `recipe`, by what the ledger says of earlier runs.
pub(crate) fn reasons(cache: &Cache, ledger: &Ledger, name: &str, recipe: &Recipe) -> Result<Vec<Reason>, CacheError> {
    let entry = ledger.instances.get(name);
    let mut reasons = Vec::new();
    let begun = entry.and_then(|entry| entry.unfinished);
    let is_other = begun.is_some_and(|begun| begun != recipe.fingerprint());
    let result = entry.and_then(|entry| entry.fingerprint);
    match entry.and_then(|entry| entry.failure.clone()) {
        Some(cause) => reasons.push(Reason::Failed { cause, of_other_work: is_other }),
        // Beside an earlier result, what differs from that tells more than an attempt at something else.
        None if begun.is_some() && (!is_other || result.is_none()) => {
            reasons.push(Reason::Unfinished { of_other_work: is_other });
        }
        None => {}
    }
    let Some(fingerprint) = result else {
        if reasons.is_empty() {
            reasons.push(Reason::NeverRan);
        }
        return Ok(reasons);
    };
    match recorded_recipe(cache, &fingerprint)? {
        Some(earlier) => match compare_masked(cache, &fingerprint, earlier, recipe) {
            same if same.is_empty() => reasons.push(Reason::Unchanged),
            differences => reasons.extend(differences),
        },
        None => reasons.push(Reason::Forgotten),
    }
    Ok(reasons)
}

/// Differences between a recorded recipe, which has no secrets, and a present one.
fn compare_masked(cache: &Cache, fingerprint: &Digest, mut before: Recipe, now: &Recipe) -> Vec<Reason> {
    let mut masked = now.clone();
    // Records of earlier versions have secrets.
    secrets::mask_value(&mut before.params);
    let has_secrets = secrets::mask_value(&mut masked.params);
    let reasons = compare(cache, &before, &masked);
    let unseen = reasons.is_empty() && has_secrets && *fingerprint != now.fingerprint();
    if unseen { vec![Reason::Secret] } else { reasons }
}

/// Differences between two recipes.
pub(crate) fn compare(cache: &Cache, before: &Recipe, now: &Recipe) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if before.kind != now.kind {
        return vec![Reason::Kind { from: before.kind.clone(), to: now.kind.clone() }];
    }
    if before.revision != now.revision {
        reasons.push(Reason::Revision { from: before.revision, to: now.revision });
    }
    if before.seed != now.seed {
        reasons.push(Reason::Seed { from: before.seed, to: now.seed });
    }
    compare_params("", Some(&before.params), Some(&now.params), &mut reasons);
    compare_inputs(cache, &before.inputs, &now.inputs, &mut reasons);
    reasons
}

fn compare_params(name: &str, before: Option<&Value>, now: Option<&Value>, reasons: &mut Vec<Reason>) {
    if before == now {
        return;
    }
    if let (Some(Value::Object(left)), Some(Value::Object(right))) = (before, now) {
        let keys: BTreeMap<&String, ()> = left.keys().chain(right.keys()).map(|key| (key, ())).collect();
        for key in keys.into_keys() {
            let inner = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            compare_params(&inner, left.get(key), right.get(key), reasons);
        }
        return;
    }
    reasons.push(Reason::Parameter { name: name.to_owned(), from: before.cloned(), to: now.cloned() });
}

fn compare_inputs(cache: &Cache, before: &[RecipeInput], now: &[RecipeInput], reasons: &mut Vec<Reason>) {
    let by_port = |inputs: &[RecipeInput]| -> BTreeMap<String, Vec<RecipeItem>> {
        inputs.iter().map(|input| (input.port.clone(), input.items.clone())).collect()
    };
    let (mut before, now) = (by_port(before), by_port(now));
    for (port, items) in now {
        let earlier = before.remove(&port).unwrap_or_default();
        if earlier.len() != items.len() {
            reasons.push(Reason::InputList { port, from: earlier.len(), to: items.len() });
            continue;
        }
        for (old, new) in earlier.iter().zip(&items) {
            if old.artifact.digest != new.artifact.digest || old.artifact.kind != new.artifact.kind {
                let files = changed_files(cache, old, new);
                reasons.push(Reason::Input { port: port.clone(), from: new.from.clone(), files });
            }
            if let (Some(from), Some(to)) = (name_seen(old), name_seen(new))
                && from != to
            {
                reasons.push(Reason::InputName { port: port.clone(), from, to });
            }
        }
    }
    reasons.extend(before.into_iter().map(|(port, items)| Reason::InputList { port, from: items.len(), to: 0 }));
}

/// Name under which a command sees an artifact: its path, and its labels.
fn name_seen(item: &RecipeItem) -> Option<String> {
    let path = item.path.as_ref()?;
    if item.labels.is_empty() { Some(path.clone()) } else { Some(format!("{path} ({})", item.labels.join(", "))) }
}

fn changed_files(cache: &Cache, old: &RecipeItem, new: &RecipeItem) -> Vec<Change> {
    match (cache.read_tree(&old.artifact.digest), cache.read_tree(&new.artifact.digest)) {
        (Ok(before), Ok(after)) => diff(&before, &after),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use athanor_cache::{Artifact, ArtifactKind};
    use serde_json::json;

    use super::*;

    fn recipe(content: &[u8]) -> Recipe {
        let digest = Digest::of(content);
        let artifact = Artifact { kind: ArtifactKind::File, digest, bytes: content.len() as u64, files: 1 };
        let items = vec![RecipeItem { artifact, from: "data/a.csv".to_owned(), path: None, labels: Vec::new() }];
        let inputs = vec![RecipeInput { port: "table".to_owned(), items, axes: None }];
        let params = json!({ "epochs": 5, "schedule": { "rate": 0.1 } });
        Recipe { kind: "train".to_owned(), revision: 1, params, seed: 0, inputs }
    }

    #[test]
    fn every_difference_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let before = recipe(b"one");
        assert_eq!(compare(&cache, &before, &before), []);
        let mut now = recipe(b"two");
        now.revision = 2;
        now.seed = 7;
        now.params = json!({ "schedule": { "rate": 0.2 }, "batch": 8 });
        let parameter = |name: &str, from, to| Reason::Parameter { name: name.to_owned(), from, to };
        let expected = [
            Reason::Revision { from: 1, to: 2 },
            Reason::Seed { from: 0, to: 7 },
            parameter("batch", None, Some(json!(8))),
            parameter("epochs", Some(json!(5)), None),
            parameter("schedule.rate", Some(json!(0.1)), Some(json!(0.2))),
            Reason::Input { port: "table".to_owned(), from: "data/a.csv".to_owned(), files: Vec::new() },
        ];
        assert_eq!(compare(&cache, &before, &now), expected);
        now.kind = "other".to_owned();
        let kind = Reason::Kind { from: "train".to_owned(), to: "other".to_owned() };
        assert_eq!(compare(&cache, &before, &now), [kind]);
    }

    #[test]
    fn a_changed_secret_is_said_to_have_changed_and_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let with = |secret: &str, path: &str| {
            let mut recipe = recipe(b"one");
            recipe.params = json!({ "url": format!("https://u:{secret}@h/{path}") });
            recipe
        };
        let masked = |of: &Recipe| {
            let mut masked = of.clone();
            secrets::mask_value(&mut masked.params);
            masked
        };
        let before = with("one", "x");
        let fingerprint = before.fingerprint();
        assert_eq!(compare_masked(&cache, &fingerprint, masked(&before), &before), []);
        assert_eq!(compare_masked(&cache, &fingerprint, masked(&before), &with("two", "x")), [Reason::Secret]);
        assert_eq!(compare_masked(&cache, &fingerprint, before.clone(), &with("two", "x")), [Reason::Secret]);
        let told = format!("{:?}", compare_masked(&cache, &fingerprint, masked(&before), &with("two", "y")));
        assert!(told.contains("u:***@h/x") && told.contains("u:***@h/y") && !told.contains("two"), "{told}");
    }

    #[test]
    fn the_fingerprint_is_of_the_work_and_not_of_names() {
        let one = recipe(b"one");
        let mut moved = recipe(b"one");
        moved.inputs[0].items[0].from = "elsewhere/b.csv".to_owned();
        assert_eq!(one.fingerprint(), moved.fingerprint());
        let changes: [fn(&mut Recipe); 9] = [
            |recipe| recipe.kind.push('2'),
            |recipe| recipe.revision += 1,
            |recipe| recipe.seed += 1,
            |recipe| recipe.params["epochs"] = json!(6),
            |recipe| recipe.inputs[0].port.push('2'),
            |recipe| recipe.inputs[0].items.clear(),
            |recipe| recipe.inputs[0].items[0].path = Some("inputs/table/a.csv".to_owned()),
            |recipe| recipe.inputs[0].items[0].labels.push("0".to_owned()),
            |recipe| recipe.inputs[0].axes = Some(Vec::new()),
        ];
        for change in changes {
            let mut changed = recipe(b"one");
            change(&mut changed);
            assert_ne!(one.fingerprint(), changed.fingerprint(), "{changed:?}");
        }
        assert_ne!(one.fingerprint(), recipe(b"two").fingerprint());
    }
}
