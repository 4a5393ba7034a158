//! `athanor cache`.

use std::collections::BTreeMap;

use athanor_cache::{Digest, Dropped};
use athanor_stages::secrets::mask_value;
use jiff::Timestamp;
use serde_json::json;

use crate::cli::arguments::CacheCommand;
use crate::cli::inspect::print_json;
use crate::cli::{Exit, FAILED, UP_TO_DATE, line_width, load, print, project, remote};
use crate::escape::escape;
use crate::language::ByteSize;
use crate::plan::Selector;
use crate::run::gc::{self, GcOptions, GcOutcome, OutOfReach, RebuiltList, name_of};
use crate::run::remote::RemoteGcOptions;
use crate::run::state::history::{History, Pins};
use crate::run::suspects::{self, Suspect};
use crate::settings::Settings;
use crate::view::columns::Columns;
use crate::view::text::{bytes, count, duration, table};

pub(super) fn cache(settings: &Settings, command: &CacheCommand) -> Result<u8, Exit> {
    match command {
        CacheCommand::Ls { json } => list(settings, *json),
        CacheCommand::Gc { remote: true, keep_runs, older_than, dry_run, .. } => {
            let options = RemoteGcOptions { keep_runs: *keep_runs, min_age: *older_than, dry_run: *dry_run };
            remote::collect(settings, &options)
        }
        CacheCommand::Gc { remote: false, keep_runs, older_than, max_size, dry_run, forget } => {
            let (max_size, folder) = (max_size.map(ByteSize::bytes), load::current_folder()?);
            let (keep_runs, dry_run, forget) = (*keep_runs, *dry_run, forget.clone());
            // An age from before time began spares nothing more.
            let since = older_than.map(|age| Timestamp::now().checked_sub(age).unwrap_or(Timestamp::MIN));
            collect(settings, &GcOptions { keep_runs, since, max_size, dry_run, forget, folder })
        }
        CacheCommand::Pin { selectors } => pin(settings, selectors, true),
        CacheCommand::Unpin { selectors } => pin(settings, selectors, false),
        CacheCommand::Verify { repair } => verify(settings, *repair),
        CacheCommand::Push { transfer, unfinished, again } => remote::push(settings, transfer, *unfinished, *again),
        CacheCommand::Pull { transfer, unfinished } => remote::pull(settings, transfer, *unfinished),
        CacheCommand::Serve { stdio: _, folder } => remote::serve(folder),
    }
}

fn list(settings: &Settings, json: bool) -> Result<u8, Exit> {
    let project = project::inspect(settings)?;
    let cache = &project.cache;
    let usage = cache.usage().map_err(Exit::failed)?;
    let histories = History::all(cache.root()).map_err(Exit::failed)?.unwrap_or_default();
    let pins = Pins::read(cache.root()).map_err(Exit::failed)?.pins;
    if json {
        let mut usage = serde_json::to_value(&usage).map_err(Exit::failed)?;
        usage["pipelines"] = histories.iter().map(|it| json!({ "key": it.key(), "name": name_of(it) })).collect();
        usage["pinned"] = pins.iter().map(ToString::to_string).collect();
        // Records of earlier versions have secrets in them.
        mask_value(&mut usage);
        return print_json(&usage);
    }
    let text_of = |recipe: &serde_json::Value, key: &str| escape(recipe[key].as_str().unwrap_or("?")).into_owned();
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
                entry.fingerprint.short() + if pins.contains(&entry.fingerprint) { " (pinned)" } else { "" },
            ]
        })
        .collect();
    let header = ["SIZE", "TOOK", "MADE (UTC)", "KIND", "FIRST MADE AS", "FINGERPRINT"];
    let count_of_results = rows.len();
    let mut results = Columns::new(&header, rows);
    if let Some(width) = line_width() {
        results.leave_out_until(width, &["MADE (UTC)", "KIND", "TOOK"]);
        results.cut_to(width, "FIRST MADE AS");
    }
    let mut total =
        format!("{} in {}, {}", count(count_of_results, "result"), count(usage.objects, "file"), bytes(usage.bytes));
    if usage.quarantine.items > 0 {
        total += &format!("; {} in quarantine, which `athanor cache gc` frees", bytes(usage.quarantine.bytes));
    }
    let pipelines: Vec<Vec<String>> = histories.iter().map(|it| vec![it.key().to_owned(), name_of(it)]).collect();
    let pipelines = table(&["PIPELINE", "FILE"], &pipelines);
    print(&format!("{}\n{pipelines}\n{total}\n", results.text()))
}

fn collect(settings: &Settings, options: &GcOptions) -> Result<u8, Exit> {
    let cache = project::open(settings)?.cache;
    let GcOutcome { forgotten, out_of_reach, rebuilt, store } = gc::collect(&cache, options).map_err(Exit::failed)?;
    let did = |did: &str, would: &str| if options.dry_run { format!("would {would}") } else { did.to_owned() };
    let mut text = String::new();
    for (pipeline, why) in forgotten {
        text += &format!("{} {pipeline}: {why}\n", did("forgot", "forget"));
    }
    for OutOfReach { pipeline, why, key } in out_of_reach {
        let kept = did("kept", "keep");
        text += &format!(
            "{kept} what {pipeline} uses: {why}\n    If it is gone for good: athanor cache gc --forget {key}\n"
        );
    }
    for RebuiltList { pipeline, why } in rebuilt {
        text += &format!("{} all that {pipeline} ever made: {why}\n", did("kept", "keep"));
    }
    let freed = [
        (store.quarantine, "set aside as damaged"),
        (store.resume_states, "of unfinished work that is not in use"),
        (store.leftovers, "left by killed processes"),
    ];
    for (freed, what) in freed.iter().filter(|(freed, _)| freed.items > 0) {
        let (verb, size) = (did("freed", "free"), bytes(freed.bytes));
        text += &format!("{verb} {size} {what} ({})\n", count(freed.items, "item"));
    }
    let list = removed(&store.dropped, options);
    let (dropped, of) = (count(store.dropped.len(), "result"), bytes(store.bytes_before));
    let (verb, size) = (did("dropped", "drop"), bytes(store.bytes_freed));
    print(&format!("{text}{verb} {dropped} and {size} of {of}; {} kept\n{list}", store.kept))
}

/// Lines about the results that go, and why: the largest first.
fn removed(dropped: &[Dropped], options: &GcOptions) -> String {
    const NAMED: usize = 100;
    let mut largest: Vec<&Dropped> = dropped.iter().collect();
    largest.sort_by_key(|result| (std::cmp::Reverse(result.bytes), result.fingerprint));
    let why = |result: &Dropped| match (result.is_in_use, options.keep_runs, options.since) {
        (true, ..) => "in use, and makes way for `--max-size`".to_owned(),
        (false, 0 | 1, _) => "no pipeline's last run used it".to_owned(),
        (false, runs, None) => format!("none of a pipeline's last {runs} runs used it"),
        (false, _, Some(since)) => format!("no pipeline used it since {}", since.strftime("%Y-%m-%d %H:%M")),
    };
    let line = |result: &&Dropped| {
        let name = escape(result.recipe["instance"].as_str().unwrap_or("?")).into_owned();
        let made = result.finished_at.strftime("%Y-%m-%d %H:%M");
        let (size, took, short) = (bytes(result.bytes), duration(result.duration_ms), result.fingerprint.short());
        format!("  {name} ({short}): {size}, made {made} in {took}: {}\n", why(result))
    };
    let mut text: String = largest.iter().take(NAMED).map(line).collect();
    if largest.len() > NAMED {
        text += &format!("  and {} more\n", largest.len() - NAMED);
    }
    text
}

/// Pins the results that selectors select, or takes their pins away.
fn pin(settings: &Settings, selectors: &[String], pins: bool) -> Result<u8, Exit> {
    let cache = project::open(settings)?.cache;
    let usage = cache.usage().map_err(Exit::failed)?;
    let mut chosen: BTreeMap<Digest, String> = BTreeMap::new();
    let mut refused = Vec::new();
    for text in selectors {
        let before = chosen.len();
        let parsed = Selector::parse(text);
        for entry in &usage.entries {
            let name = entry.recipe["instance"].as_str().unwrap_or_default();
            let is_called = parsed.as_ref().is_ok_and(|selector| selector.selects(name));
            let is_digest = text.len() >= 6 && entry.fingerprint.to_string().starts_with(text.as_str());
            if is_called || is_digest {
                chosen.insert(entry.fingerprint, name.to_owned());
            }
        }
        if chosen.len() == before && !chosen.values().any(|name| parsed.as_ref().is_ok_and(|it| it.selects(name))) {
            refused.push(format!("error: no result of this cache is `{text}`\n  help: `athanor cache ls` lists them"));
        }
    }
    if !refused.is_empty() {
        return Err(Exit::wrong(refused.join("\n")));
    }
    let change = if pins { Pins::add(cache.root(), chosen.keys()) } else { Pins::remove(cache.root(), chosen.keys()) };
    change.map_err(Exit::failed)?;
    let did = if pins { "pinned" } else { "unpinned" };
    let lines = chosen.iter().map(|(digest, name)| format!("{did} {} ({})\n", escape(name), digest.short()));
    print(&lines.collect::<String>())
}

fn verify(settings: &Settings, repair: bool) -> Result<u8, Exit> {
    let project = project::open(settings)?;
    let cache = &project.cache;
    let report = cache.verify(&|_, _| {}).map_err(Exit::failed)?;
    let suspects = suspects::remembered(cache, &report.damaged).map_err(Exit::failed)?;
    let mut text = String::new();
    for damage in &report.damaged {
        let path = damage.path.strip_prefix(cache.root()).unwrap_or(&damage.path);
        let now = match damage.restored {
            true => "restored from stored files",
            false if cache.is_read_only() => "left where it is",
            false => "moved to quarantine",
        };
        text += &format!("damaged {}: {} ({now})\n", damage.what, escape(&path.display().to_string()));
    }
    for Suspect { instance, fingerprint, read, .. } in &suspects {
        let (instance, read, short) = (escape(instance), escape(read), fingerprint.short());
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
