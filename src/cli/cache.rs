//! `athanor cache`.

use crate::cli::arguments::{CacheCommand, CachePlace};
use crate::cli::{Exit, FAILED, UP_TO_DATE, load, print};
use crate::language::ByteSize;
use crate::run::collect::{self, CollectError};
use crate::run::suspects::{self, Suspect};
use crate::view::text::{bytes, count, duration, table};
use crate::visible::visible;

pub fn cache(place: &CachePlace, command: &CacheCommand) -> Result<u8, Exit> {
    match command {
        CacheCommand::Ls { json } => list(place, *json),
        CacheCommand::Gc { max_size, dry_run } => collect(place, *max_size, *dry_run),
        CacheCommand::Verify { repair } => verify(place, *repair),
    }
}

fn list(place: &CachePlace, json: bool) -> Result<u8, Exit> {
    let usage = load::project(place)?.cache.usage().map_err(Exit::failed)?;
    if json {
        return print(&(serde_json::to_string_pretty(&usage).map_err(Exit::failed)? + "\n"));
    }
    let text_of = |recipe: &serde_json::Value, key: &str| recipe[key].as_str().unwrap_or("?").to_owned();
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

fn collect(place: &CachePlace, max_size: Option<ByteSize>, dry_run: bool) -> Result<u8, Exit> {
    let project = load::project(place)?;
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

fn verify(place: &CachePlace, repair: bool) -> Result<u8, Exit> {
    let project = load::project(place)?;
    let cache = &project.cache;
    let report = cache.verify(&|_, _| {}).map_err(Exit::failed)?;
    let suspects = suspects::remembered(cache, &report.damaged).map_err(Exit::failed)?;
    let mut text = String::new();
    for damage in &report.damaged {
        let path = damage.path.strip_prefix(cache.root()).unwrap_or(&damage.path);
        let now = if damage.restored { "made right again from stored files" } else { "moved to quarantine" };
        text += &format!("damaged {}: {} ({now})\n", damage.what, visible(&path.display().to_string()));
    }
    for Suspect { instance, fingerprint, read, .. } in &suspects {
        let (instance, read, short) = (visible(instance), visible(read), fingerprint.short());
        text += &format!("suspect result: {instance} ({short}) read {read} after it was last known to be right\n");
    }
    if repair {
        suspects::set_aside(cache, &suspects).map_err(Exit::failed)?;
    } else if !suspects.is_empty() {
        text += "`athanor cache verify --repair` has the next run make suspect results again\n";
    }
    text += &format!("{} checked, {} damaged", count(report.checked, "item"), report.damaged.len());
    let again = report.lost.len() + if repair { suspects.len() } else { 0 };
    if again > 0 {
        text += &format!("; the next run makes {} again", count(again, "result"));
    }
    print(&(text + "\n"))?;
    Ok(if report.damaged.is_empty() { UP_TO_DATE } else { FAILED })
}
