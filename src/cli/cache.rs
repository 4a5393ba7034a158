//! `athanor cache`.

use athanor_stages::secrets::mask_value;

use crate::cli::arguments::CacheCommand;
use crate::cli::inspect::print_json;
use crate::cli::{Exit, FAILED, UP_TO_DATE, load, print};
use crate::language::ByteSize;
use crate::run::collect::{self, CollectError};
use crate::settings::Settings;
use crate::view::text::{bytes, count, duration, table};
use crate::visible::visible;

pub fn cache(settings: &Settings, command: &CacheCommand) -> Result<u8, Exit> {
    match command {
        CacheCommand::Ls { json } => list(settings, *json),
        CacheCommand::Gc { max_size, dry_run } => collect(settings, *max_size, *dry_run),
        CacheCommand::Verify => verify(settings),
    }
}

fn list(settings: &Settings, json: bool) -> Result<u8, Exit> {
    let usage = load::project(settings)?.cache.usage().map_err(Exit::failed)?;
    if json {
        let mut usage = serde_json::json!(usage);
        // Records of earlier versions have secrets in them.
        mask_value(&mut usage);
        return print_json(&usage);
    }
    let text_of = |recipe: &serde_json::Value, key: &str| visible(recipe[key].as_str().unwrap_or("?")).into_owned();
    let rows: Vec<Vec<String>> = usage
        .entries
        .iter()
        .map(|entry| {
            vec![
                bytes(entry.bytes),
                duration(entry.duration_ms),
                entry.finished_at.strftime("%Y-%m-%d %H:%M").to_string(),
                text_of(&entry.recipe, "kind"),
                text_of(&entry.recipe, "instance"),
                entry.fingerprint.short(),
            ]
        })
        .collect();
    let header = ["SIZE", "TOOK", "MADE (UTC)", "KIND", "FIRST MADE AS", "FINGERPRINT"];
    let total = format!("{} in {}, {}", count(rows.len(), "result"), count(usage.objects, "file"), bytes(usage.bytes));
    print(&format!("{}\n{total}\n", table(&header, &rows)))
}

fn collect(settings: &Settings, max_size: Option<ByteSize>, dry_run: bool) -> Result<u8, Exit> {
    let project = load::project(settings)?;
    let report = collect::collect(&project.cache, max_size.map(ByteSize::bytes), dry_run);
    let report = report.map_err(|error: CollectError| Exit::failed(error))?;
    let verb = if dry_run { "would drop" } else { "dropped" };
    let freed = bytes(report.bytes_freed);
    print(&format!(
        "{verb} {} and {freed} of {}; {} kept\n",
        count(report.dropped.len(), "result"),
        bytes(report.bytes_before),
        report.kept
    ))
}

fn verify(settings: &Settings) -> Result<u8, Exit> {
    let project = load::project(settings)?;
    let report = project.cache.verify(&|_, _| {}).map_err(Exit::failed)?;
    let mut text = String::new();
    for damage in &report.damaged {
        let path = damage.path.strip_prefix(project.cache.root()).unwrap_or(&damage.path);
        text += &format!("damaged {}: {} (moved to quarantine)\n", damage.what, visible(&path.display().to_string()));
    }
    text += &format!("{} checked, {} damaged", count(report.checked, "item"), report.damaged.len());
    if !report.lost.is_empty() {
        text += &format!("; the next run makes {} again", count(report.lost.len(), "result"));
    }
    print(&(text + "\n"))?;
    Ok(if report.damaged.is_empty() { UP_TO_DATE } else { FAILED })
}
