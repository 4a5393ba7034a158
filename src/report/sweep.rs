//! Results of one stage of a pipeline under all parameters that the cache still has results of.

use std::collections::{BTreeMap, BTreeSet};

use athanor_cache::{ActionRecord, Cache, Digest};
use serde_json::Value;

use crate::plan::{Plan, StageInfo};
use crate::report::metric_table::{MetricRow, MetricTable};
use crate::report::results::results_ever;
use crate::run::{RunError, Session};

/// Characters of a parameter that are shown.
const MAX_VALUE: usize = 60;
/// Beginning of the name of a column that is about an input.
const INPUT: &str = "input ";
/// Digits of the content of an input that are shown.
const DIGITS: usize = 8;

/// Metrics of all results that runs of the pipeline, under whatever profile, made or found for the instances of `stage`, and that the
/// cache still has, each with the parameters and inputs in which they differ. Records do not tell: other pipelines may have a stage
/// of the same name, and one that does the same work is served with the record of the first.
pub(crate) fn sweep(session: &Session<'_>, cache: &Cache, stage: &StageInfo) -> Result<MetricTable, RunError> {
    let is_of_stage =
        |name: &String| name.strip_prefix(&stage.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('['));
    let kind = kind_of(session.plan, stage);
    let mut records: Vec<(String, ActionRecord)> = Vec::new();
    for (fingerprint, names) in results_ever(session.history(), cache)? {
        let Some(name) = names.into_iter().find(is_of_stage) else { continue };
        let record = cache.read_record(&fingerprint)?;
        records.extend(record.filter(|record| record.recipe["kind"].as_str() == Some(kind)).map(|it| (name, it)));
    }
    records.sort_by(|(name, record), (other, later)| (name, record.sequence).cmp(&(other, later.sequence)));
    let all: Vec<BTreeMap<String, String>> = records.iter().map(|(_, record)| parameters(record)).collect();
    let names: BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    // Instances have inputs of their own; it tells something where those of one instance differ.
    let differs = |name: &String| match name.starts_with(INPUT) {
        // Sorted by instance.
        true => {
            let pairs = records.iter().zip(&all).zip(records.iter().zip(&all).skip(1));
            pairs
                .into_iter()
                .any(|(((one, _), its), ((other, _), params))| one == other && its.get(name) != params.get(name))
        }
        false => all.iter().any(|params| params.get(name) != all[0].get(name)),
    };
    let differing: Vec<(&String, usize)> =
        names.into_iter().filter(|name| differs(name)).map(|name| (name, shown_from(&all, name))).collect();
    let rows = records.iter().zip(&all).map(|((name, record), params)| {
        let values =
            differing.iter().filter_map(|(name, from)| Some(((*name).clone(), cut(params.get(*name)?, *from))));
        let metrics = record.metrics.iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)));
        MetricRow {
            instance: name.clone(),
            made: Some(record.finished_at),
            params: values.collect(),
            metrics: metrics.collect(),
            ..MetricRow::default()
        }
    });
    Ok(MetricTable { rows: rows.collect(), stale: 0 })
}

/// Character from which values of a parameter are shown, so that those in which they differ are.
fn shown_from(all: &[BTreeMap<String, String>], name: &str) -> usize {
    let mut values = all.iter().filter_map(|params| params.get(name));
    let Some(first) = values.next() else { return 0 };
    let alike = |value: &String| first.chars().zip(value.chars()).take_while(|(one, other)| one == other).count();
    let alike = values.filter(|value| *value != first).map(alike).min().unwrap_or(0);
    // With some of what is alike in front of it.
    if alike < MAX_VALUE { 0 } else { alike - MAX_VALUE / 3 }
}

/// A value on one line, from a character on.
fn cut(value: &str, from: usize) -> String {
    let on_one_line = |c: char| if c.is_whitespace() { ' ' } else { c };
    let shown: String = value.chars().skip(from).take(MAX_VALUE).map(on_one_line).collect();
    let before = if from > 0 { "…" } else { "" };
    let after = if value.chars().count() > from + MAX_VALUE { "…" } else { "" };
    format!("{before}{shown}{after}")
}

/// Name of a stage's kind, as recipes have it.
fn kind_of<'p>(plan: &'p Plan, stage: &'p StageInfo) -> &'p str {
    let instance = plan.instances.iter().find(|instance| plan.stages[instance.stage].name == stage.name);
    instance.map_or(stage.kind.as_str(), |instance| instance.kind.name())
}

/// Parameters of a recipe as texts, with dots into mappings, and beginnings of the contents of its inputs: results that differ
/// in nothing else, such as before and after a change of a script, can be told apart.
fn parameters(record: &ActionRecord) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    flatten("", &record.recipe["params"], &mut flat);
    flat.insert("seed".to_owned(), record.recipe["seed"].to_string());
    for input in record.recipe["inputs"].as_array().into_iter().flatten() {
        let items = input["items"].as_array().into_iter().flatten();
        let digests: Vec<&str> = items.filter_map(|item| item["artifact"]["digest"].as_str()).collect();
        let digest = match digests.as_slice() {
            [one] => (*one).to_owned(),
            several => Digest::of(several.join(" ").as_bytes()).to_string(),
        };
        if let (Some(port), Some(digits)) = (input["port"].as_str(), digest.get(..DIGITS)) {
            flat.insert(format!("{INPUT}{}", port.strip_prefix("./").unwrap_or(port)), digits.to_owned());
        }
    }
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
            let text = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
            flat.insert(prefix.to_owned(), text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_shown_where_they_differ() {
        let start = "echo begin\n".repeat(20);
        let values = ["a", "b"].map(|end| BTreeMap::from([("run".to_owned(), format!("{start}echo {end}"))]));
        let from = shown_from(&values, "run");
        let shown = values.each_ref().map(|params| cut(&params["run"], from));
        assert!(
            shown[0].starts_with('…') && shown[0].ends_with(" echo a") && shown[1].ends_with(" echo b"),
            "{shown:?}"
        );
        assert_eq!(cut(&"x".repeat(MAX_VALUE + 1), 0), "x".repeat(MAX_VALUE) + "…");
        assert_eq!(shown_from(&values, "seed"), 0);
    }
}
