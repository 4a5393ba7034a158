//! Results of one stage under all parameters that the cache still has results of.

use std::collections::{BTreeMap, BTreeSet};

use athanor_cache::{ActionRecord, Cache};
use serde_json::Value;

use crate::plan::{Plan, StageInfo};
use crate::report::metric_table::{MetricRow, MetricTable};
use crate::run::RunError;

/// Characters of a parameter that are shown.
const MAX_VALUE: usize = 60;

/// Metrics of all results of the instances of `stage` that the cache has, each with the parameters in which they differ.
pub(crate) fn sweep(plan: &Plan, cache: &Cache, stage: &StageInfo) -> Result<MetricTable, RunError> {
    let instance = |record: &ActionRecord| record.recipe["instance"].as_str().unwrap_or_default().to_owned();
    let is_of_stage = |record: &ActionRecord| {
        let name = instance(record);
        let of_stage = name.strip_prefix(&stage.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('['));
        of_stage && record.recipe["kind"].as_str() == Some(kind_of(plan, stage))
    };
    let mut records: Vec<ActionRecord> = cache.records()?.into_iter().filter(is_of_stage).collect();
    records.sort_by_key(|record| (instance(record), record.sequence));
    let all: Vec<BTreeMap<String, String>> = records.iter().map(parameters).collect();
    let names: BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    let differing: Vec<&String> =
        names.into_iter().filter(|name| all.iter().any(|params| params.get(*name) != all[0].get(*name))).collect();
    let rows = records.iter().zip(&all).map(|(record, params)| {
        let values = differing.iter().filter_map(|name| Some(((*name).clone(), params.get(*name)?.clone())));
        let metrics = record.metrics.iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)));
        MetricRow {
            instance: instance(record),
            params: values.collect(),
            metrics: metrics.collect(),
            ..MetricRow::default()
        }
    });
    Ok(MetricTable { rows: rows.collect() })
}

/// Name of a stage's kind, as recipes have it.
fn kind_of<'p>(plan: &'p Plan, stage: &'p StageInfo) -> &'p str {
    let instance = plan.instances.iter().find(|instance| plan.stages[instance.stage].name == stage.name);
    instance.map_or(stage.kind.as_str(), |instance| instance.kind.name())
}

/// Parameters of a recipe as texts, with dots into mappings.
fn parameters(record: &ActionRecord) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    flatten("", &record.recipe["params"], &mut flat);
    flat.insert("seed".to_owned(), record.recipe["seed"].to_string());
    flat
}

fn flatten(prefix: &str, value: &Value, flat: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                flatten(&if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") }, value, flat);
            }
        }
        other => {
            let text = other
                .as_str()
                .map_or_else(|| other.to_string(), |text| text.split_whitespace().collect::<Vec<_>>().join(" "));
            let cut: String = text.chars().take(MAX_VALUE).collect();
            flat.insert(prefix.to_owned(), if cut.len() < text.len() { cut + "…" } else { text });
        }
    }
}
