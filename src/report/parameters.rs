//! Parameters of stages: those that all instances have alike, and those in which they differ.

use std::collections::{BTreeMap, BTreeSet};

use athanor_stages::secrets::mask_value;
use serde_json::{Map, Value};

use crate::plan::{Instance, Plan, Work};
use crate::report::data::{StageParams, VaryingParams};

/// Rows of differing parameters of a stage that are shown.
const MAX_ROWS: usize = 100;
/// Characters of a value that are shown.
const MAX_VALUE: usize = 4000;

/// Parameters by stage.
pub(crate) fn of_stages(plan: &Plan) -> Vec<StageParams> {
    let mut by_stage: BTreeMap<usize, Vec<&Instance>> = BTreeMap::new();
    plan.instances.iter().for_each(|instance| by_stage.entry(instance.stage).or_default().push(instance));
    by_stage.into_iter().map(|(stage, instances)| of_stage(stage, &instances)).collect()
}

fn of_stage(stage: usize, instances: &[&Instance]) -> StageParams {
    let all: Vec<BTreeMap<String, Value>> = instances.iter().map(|instance| of_instance(instance)).collect();
    let names: BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    let (mut common, mut varying) = (Map::new(), VaryingParams::default());
    for name in names {
        let first = all[0].get(name);
        match first.filter(|_| all.iter().all(|params| params.get(name) == first)) {
            Some(value) => drop(common.insert(name.clone(), value.clone())),
            None => varying.names.push(name.clone()),
        }
    }
    if !varying.names.is_empty() {
        let rows = instances.iter().zip(&all).take(MAX_ROWS).map(|(instance, params)| {
            let values = varying.names.iter().map(|name| params.get(name).cloned().unwrap_or(Value::Null));
            std::iter::once(Value::from(instance.id.0)).chain(values).collect()
        });
        varying.rows = rows.collect();
    }
    StageParams { stage, common, varying }
}

/// Parameters of an instance, with dots into mappings, without secrets.
pub(crate) fn of_instance(instance: &Instance) -> BTreeMap<String, Value> {
    let mut params = match &instance.work {
        Work::BuiltIn { params } => params.clone(),
        Work::Command(command) => serde_json::json!({ "run": command.line }),
    };
    mask_value(&mut params);
    let mut flat = BTreeMap::new();
    flatten("", params, &mut flat);
    if instance.seed != 0 {
        flat.insert("seed".to_owned(), instance.seed.into());
    }
    flat
}

fn flatten(prefix: &str, value: Value, flat: &mut BTreeMap<String, Value>) {
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
