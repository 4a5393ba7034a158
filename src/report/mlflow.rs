//! Results as a folder `mlruns` that MLflow lists: an experiment for the pipeline, a run for each result that has metrics.
//!
//! A run's folder is named by its result's fingerprint, so that what is there already is left as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use athanor_cache::{ActionRecord, Cache, Digest};
use serde::Deserialize;
use serde_json::Value;

use crate::escape::{escape, escape_lines};
use crate::plan::{Instance, Plan};
use crate::report::parameters::of_instance;
use crate::report::results::KnownResults;
use crate::run::attempts::annex::Annex;
use crate::run::attempts::facts::Facts;

/// File that says what a folder is.
const META: &str = "meta.yaml";
/// Digits of a run's name.
const RUN_DIGITS: usize = 32;
/// Digits of an experiment's number: MLflow's own have as many.
const EXPERIMENT_DIGITS: usize = 18;
/// Characters of the value of a parameter.
const MAX_VALUE: usize = 6000;
/// Characters of a name, which is one of a file.
const MAX_NAME: usize = 60;
/// MLflow's number for a run that has finished.
const FINISHED: u32 = 3;
/// Beginning of the name of a folder that is being written.
const HALF_WRITTEN: &str = ".athanor-";

/// Numbers of runs that were written, and of those that were there already.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Exported {
    /// Written.
    pub written: usize,
    /// There already.
    pub there: usize,
}

/// Part of an experiment's file that is read.
#[derive(Deserialize)]
struct Experiment {
    name: String,
    experiment_id: String,
}

/// Writes the results of `plan` that have metrics into the folder `root`.
pub(crate) fn export(root: &Path, plan: &Plan, cache: &Cache, results: &KnownResults) -> io::Result<Exported> {
    fs::create_dir_all(root)?;
    let root = fs::canonicalize(root)?;
    let mut exported = Exported::default();
    let mut experiment: Option<(String, PathBuf)> = None;
    for instance in &plan.instances {
        let Some(record) = results.get(&instance.name).and_then(|result| result.record(cache)) else { continue };
        let annex = Annex::of(cache, &record);
        let metrics = metrics(&record, &annex);
        if metrics.is_empty() {
            continue;
        }
        if experiment.is_none() {
            experiment = Some(experiment_of(&root, &plan.name, &record)?);
        }
        let Some((id, folder)) = &experiment else { continue };
        let run = record.fingerprint.to_string()[..RUN_DIGITS].to_owned();
        let place = folder.join(&run);
        if place.exists() {
            exported.there += 1;
            continue;
        }
        // Whole or not at all.
        let half = tempfile::Builder::new().prefix(HALF_WRITTEN).tempdir_in(&root)?;
        fs::set_permissions(half.path(), fs::metadata(folder)?.permissions())?;
        write_run(half.path(), plan, instance, &record, &metrics)?;
        fs::write(half.path().join(META), run_meta(id, &run, &place, instance, &record))?;
        fs::rename(half.path(), &place)?;
        exported.written += 1;
    }
    Ok(exported)
}

/// Number and folder of the experiment that has the pipeline's name; made if there is none.
fn experiment_of(root: &Path, name: &str, first: &ActionRecord) -> io::Result<(String, PathBuf)> {
    for entry in fs::read_dir(root)? {
        let folder = entry?.path();
        let Ok(text) = fs::read_to_string(folder.join(META)) else { continue };
        let known = serde_yaml::from_str::<Experiment>(&text).ok();
        if let Some(known) = known.filter(|known| known.name == escape(name)) {
            return Ok((known.experiment_id, folder));
        }
    }
    let digits = Digest::of(format!("athanor mlflow experiment {name}").as_bytes()).to_string();
    let number = u64::from_str_radix(&digits[..15], 16).unwrap_or_default();
    let id = format!("{number:0EXPERIMENT_DIGITS$}");
    let folder = root.join(&id);
    let made = first.finished_at.as_millisecond();
    let meta = meta(&[
        ("artifact_location", &uri(&folder)),
        ("creation_time", &made.to_string()),
        ("experiment_id", &quoted(&id)),
        ("last_update_time", &made.to_string()),
        ("lifecycle_stage", "active"),
        ("name", &quoted(&escape(name))),
    ]);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(META), meta)?;
    Ok((id, folder))
}

/// Lines of each metric's file: time, value, step.
fn metrics(record: &ActionRecord, annex: &Annex) -> BTreeMap<String, String> {
    let time = record.finished_at.as_millisecond();
    let line = |step: u64, value: f64| format!("{time} {value} {step}\n");
    let curve = |points: &Vec<(u64, f64)>| points.iter().map(|(step, value)| line(*step, *value)).collect::<String>();
    let mut metrics: BTreeMap<String, String> =
        annex.curves.iter().map(|(name, points)| (name.clone(), curve(points))).collect();
    for (name, value) in &record.metrics {
        if let Some(value) = value.as_f64() {
            metrics.entry(name.clone()).or_insert_with(|| line(0, value));
        }
    }
    metrics
}

fn write_run(
    folder: &Path,
    plan: &Plan,
    instance: &Instance,
    record: &ActionRecord,
    metrics: &BTreeMap<String, String>,
) -> io::Result<()> {
    fs::create_dir(folder.join("artifacts"))?;
    let of_metrics = metrics.iter().map(|(name, lines)| (name.clone(), lines.clone()));
    write_all(&folder.join("metrics"), of_metrics)?;
    let params = of_instance(instance).into_iter().map(|(name, value)| {
        let text = if let Value::String(text) = value { text } else { value.to_string() };
        (name, escape_lines(&text).chars().take(MAX_VALUE).collect())
    });
    write_all(&folder.join("params"), params)?;
    let provenance = Facts::of(record).provenance.unwrap_or_default();
    let mut tags = vec![
        ("mlflow.runName", escape(&instance.name).into_owned()),
        ("mlflow.source.type", "PROJECT".to_owned()),
        ("mlflow.source.name", escape(&plan.name).into_owned()),
        ("athanor.stage", escape(&plan.stages[instance.stage].name).into_owned()),
        ("athanor.kind", escape(&plan.stages[instance.stage].kind).into_owned()),
        ("athanor.fingerprint", record.fingerprint.to_string()),
    ];
    tags.extend(provenance.commit.map(|commit| ("mlflow.source.git.commit", commit.id)));
    write_all(&folder.join("tags"), tags.into_iter().map(|(name, value)| (name.to_owned(), value)))
}

/// Writes a file for each name, with the characters that MLflow allows in names, each once.
fn write_all(folder: &Path, files: impl Iterator<Item = (String, String)>) -> io::Result<()> {
    fs::create_dir(folder)?;
    let mut names = BTreeSet::new();
    for (name, content) in files {
        let is_plain = |c: char| c.is_alphanumeric() || "_-. :".contains(c);
        let plain = |c: char| match c {
            '/' => '.',
            c if is_plain(c) => c,
            _ => '_',
        };
        let mut name: String = name.chars().take(MAX_NAME).map(plain).collect();
        if name.trim_matches(['.', ' ']).is_empty() {
            name = "unnamed".to_owned();
        }
        while !names.insert(name.clone()) {
            name.push('_');
        }
        fs::write(folder.join(name), content)?;
    }
    Ok(())
}

fn run_meta(experiment: &str, run: &str, place: &Path, instance: &Instance, record: &ActionRecord) -> String {
    let ended = record.finished_at.as_millisecond();
    let begun = ended - i64::try_from(record.duration_ms).unwrap_or(0);
    meta(&[
        ("artifact_uri", &uri(&place.join("artifacts"))),
        ("end_time", &ended.to_string()),
        ("entry_point_name", "''"),
        ("experiment_id", &quoted(experiment)),
        ("lifecycle_stage", "active"),
        ("run_id", &quoted(run)),
        ("run_name", &quoted(&escape(&instance.name))),
        ("source_name", "''"),
        ("source_type", "4"),
        ("source_version", "''"),
        ("start_time", &begun.to_string()),
        ("status", &FINISHED.to_string()),
        ("tags", "[]"),
        ("user_id", "''"),
    ])
}

fn meta(lines: &[(&str, &str)]) -> String {
    lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
}

/// A text as YAML takes it: JSON is YAML.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Address of a folder.
fn uri(folder: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(folder.as_os_str());
    let path: String = bytes
        .iter()
        .map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    quoted(&format!("file://{path}"))
}
