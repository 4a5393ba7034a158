//! Parameters of stages: those that all instances have alike, and those in which they differ.

use std::collections::{BTreeMap, BTreeSet};

use athanor_stages::secrets::mask_value;
use serde_json::{Map, Value};

use crate::plan::{Instance, Plan, Work};
use crate::report::data::{StageParams, VaryingParams};
use crate::run::inputs::fingerprint::Recipe;

/// Rows of differing parameters of a stage that are shown.
const MAX_ROWS: usize = 100;
/// Characters of a value that are shown.
const MAX_VALUE: usize = 4000;

/// Parameters by name.
pub(crate) type Parameters = BTreeMap<String, Value>;

/// Parameters by stage, of those by instance, as far as they are known.
pub(crate) fn of_stages(plan: &Plan, by_instance: &[Option<Parameters>]) -> Vec<StageParams> {
    let mut by_stage: BTreeMap<usize, Vec<(&Instance, &Parameters)>> = BTreeMap::new();
    for (instance, parameters) in plan.instances.iter().zip(by_instance) {
        if let Some(parameters) = parameters {
            by_stage.entry(instance.stage).or_default().push((instance, parameters));
        }
    }
    by_stage.into_iter().map(|(stage, instances)| of_stage(stage, &instances)).collect()
}

fn of_stage(stage: usize, instances: &[(&Instance, &Parameters)]) -> StageParams {
    let names: BTreeSet<&String> = instances.iter().flat_map(|(_, parameters)| parameters.keys()).collect();
    let (mut common, mut varying) = (Map::new(), VaryingParams::default());
    for name in names {
        let first = instances[0].1.get(name);
        match first.filter(|_| instances.iter().all(|(_, parameters)| parameters.get(name) == first)) {
            Some(value) => drop(common.insert(name.clone(), value.clone())),
            None => varying.names.push(name.clone()),
        }
    }
    if !varying.names.is_empty() {
        let rows = instances.iter().take(MAX_ROWS).map(|(instance, parameters)| {
            let values = varying.names.iter().map(|name| parameters.get(name).cloned().unwrap_or(Value::Null));
            std::iter::once(Value::from(instance.id.0)).chain(values).collect()
        });
        varying.rows = rows.collect();
    }
    StageParams { stage, common, varying }
}

/// Parameters of an instance, with dots into mappings, without secrets.
pub(crate) fn of_instance(instance: &Instance) -> Parameters {
    let params = match &instance.work {
        Work::BuiltIn { params } => params.clone(),
        Work::Command(command) => serde_json::json!({ "run": command.line }),
    };
    flat(params, instance.seed)
}

/// Parameters with which a recorded result of an instance was made, with dots into mappings, without secrets.
pub(crate) fn of_recipe(instance: &Instance, recipe: Recipe) -> Parameters {
    let params = match (&instance.work, recipe.params) {
        // As in a plan, where outputs and versions are no parameters.
        (Work::Command(_), params) => serde_json::json!({ "run": params.get("run") }),
        (Work::BuiltIn { .. }, params) => params,
    };
    flat(params, recipe.seed)
}

fn flat(mut params: Value, seed: u64) -> Parameters {
    mask_value(&mut params);
    let mut flat = BTreeMap::new();
    flatten("", params, &mut flat);
    if seed != 0 {
        flat.insert("seed".to_owned(), seed.into());
    }
    flat
}

fn flatten(prefix: &str, value: Value, flat: &mut Parameters) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                flatten(&name, value, flat);
            }
        }
        Value::String(text) if text.chars().count() > MAX_VALUE => {
            let cut: String = text.chars().take(MAX_VALUE).collect();
            flat.insert(prefix.to_owned(), Value::from(cut + "…"));
        }
        Value::Array(list) if list.len() > MAX_VALUE / 4 => {
            let count = list.len();
            flat.insert(prefix.to_owned(), Value::from(format!("{count} values")));
        }
        other => drop(flat.insert(prefix.to_owned(), other)),
    }
}
