//! `athanor cache push`, `pull`, `serve` and `gc --remote`.

use std::collections::HashSet;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use athanor_remote::{CollectionPlan, RemoteError, UnneededResult};

use crate::cli::arguments::TransferCommand;
use crate::cli::{Exit, FAILED, UP_TO_DATE, load, print, project, remote_config};
use crate::escape::escape;
use crate::run::remote::{RemoteConfig, RemoteGcOptions, RemoteUse, differing};
use crate::run::session::transfers::{Pulled, Pushed};
use crate::run::status::Statuses;
use crate::run::{RunError, Session};
use crate::settings::Settings;
use crate::view::text::{bytes, count, pace};

/// Interval of lines about a transfer where nobody sits at a terminal.
const LINES: Duration = Duration::from_secs(10);
/// Interval of updates on a terminal.
const UPDATES: Duration = Duration::from_millis(200);
/// Names that are listed before the rest is counted.
const SHOWN: usize = 10;

/// The remote cache that the settings name.
fn required(settings: &Settings) -> Result<RemoteConfig, Exit> {
    remote_config::config(settings)?.ok_or_else(|| {
        Exit::wrong(
            "error: there is no remote cache.\n  help: put `remote: file:///mnt/team`, or another address, into \
             `athanor.config.yaml`; `athanor schema --config` knows its keys",
        )
    })
}

pub(super) fn push(settings: &Settings, command: &TransferCommand, unfinished: bool, again: bool) -> Result<u8, Exit> {
    let config = required(settings)?;
    let plan = load::checked_plan(settings, &command.pipeline)?;
    let targets = load::select(&plan, &command.targets)?;
    let project = project::open(settings)?;
    let session = load::session(&project, &plan, &command.pipeline, &targets)?;
    let Pushed { report, skipped, states, failures } =
        session.push(&config, (unfinished, again), &mut progress("pushing")).map_err(failed)?;
    let address = config.address.to_string();
    let mut text = format!("pushed {} ({}) to {address}", count(report.pushed, "result"), bytes(report.bytes));
    if report.there > 0 {
        text += &format!(", {} there already", report.there);
    }
    text += "\n";
    if !report.differing.is_empty() {
        text += &format!("note: {}\n", differing(report.differing.len(), &address));
    }
    if unfinished {
        text += &format!("pushed the state of {}\n", count(states, "unfinished instance"));
    }
    if skipped > 0 {
        let have = if skipped == 1 { "has" } else { "have" };
        text += &format!("{} not up to date, and {have} no result to push\n", are(skipped));
    }
    print(&text)?;
    unless_failed(&failures)
}

pub(super) fn pull(settings: &Settings, command: &TransferCommand, unfinished: bool) -> Result<u8, Exit> {
    let config = required(settings)?;
    let plan = load::checked_plan(settings, &command.pipeline)?;
    let targets = load::select(&plan, &command.targets)?;
    let project = project::open(settings)?;
    project.cache.require_writable().map_err(|error| project::refused(&error))?;
    let session = load::session(&project, &plan, &command.pipeline, &targets)?;
    let Pulled { pulled, here, fetched, missing, waiting, failures, states, links_left_out } =
        session.pull(&config, &targets, unfinished, &mut progress("pulling")).map_err(failed)?;
    let mut text = format!("pulled {} ({})", count(pulled, "result"), bytes(fetched));
    text += &format!(" from {}, {here} here already\n", config.address);
    if unfinished {
        text += &format!("pulled the state of {}\n", count(states, "unfinished instance"));
    }
    if links_left_out > 0 {
        let many = count(links_left_out, "symbolic link");
        text += &format!("note: {many} of states left out, since the file system of the cache has none\n");
    }
    if !missing.is_empty() {
        let named: Vec<String> = missing.iter().take(SHOWN).map(|name| escape(name).into_owned()).collect();
        let more = missing.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        text += &format!("not in the remote cache: {}{more}\n", named.join(", "));
    }
    if waiting > 0 {
        let read = if waiting == 1 { "it reads" } else { "they read" };
        text += &format!("{} not asked for, since what {read} is not known yet\n", are(waiting));
    }
    print(&text)?;
    unless_failed(&failures)
}

/// Exit code of a transfer of which these instances failed.
fn unless_failed(failures: &[(String, RemoteError)]) -> Result<u8, Exit> {
    if failures.is_empty() {
        return Ok(UP_TO_DATE);
    }
    let line = |(name, why): &(String, RemoteError)| format!("error: {}: {why}", escape(name));
    let mut lines: Vec<String> = failures.iter().take(SHOWN).map(line).collect();
    if failures.len() > SHOWN {
        lines.push(format!("and {} more", failures.len() - SHOWN));
    }
    Err(Exit { code: FAILED, ..Exit::wrong(lines.join("\n")) })
}

pub(super) fn collect(settings: &Settings, options: &RemoteGcOptions) -> Result<u8, Exit> {
    let config = required(settings)?;
    let project = project::inspect(settings)?;
    let mut outcome = Ok(UP_TO_DATE);
    let plan =
        crate::run::remote::collect(&project.cache, &config, options, |plan| outcome = print(&goes(plan, options)));
    let plan = plan.map_err(Exit::failed)?;
    outcome?;
    let (verb, results) = (if options.dry_run { "would drop" } else { "dropped" }, count(plan.results.len(), "result"));
    let (freed, before) = (bytes(plan.bytes_freed), bytes(plan.bytes_before));
    print(&format!("{verb} {results} and {freed} of {before} at {}; {} kept\n", config.address, plan.kept))
}

/// Lines about what goes, and why: the results that were put there longest ago first.
fn goes(plan: &CollectionPlan, options: &RemoteGcOptions) -> String {
    const NAMED: usize = 100;
    let mut oldest: Vec<&UnneededResult> = plan.results.iter().collect();
    oldest.sort_by_key(|result| (result.put, result.fingerprint));
    let mut text = String::new();
    for UnneededResult { fingerprint, record, put } in oldest.iter().take(NAMED) {
        let (short, put) = (fingerprint.short(), put.strftime("%Y-%m-%d %H:%M"));
        text += &match record {
            None => format!(
                "  ? ({short}): put there {put}: its record is damaged, and no recorded run of this cache uses it\n"
            ),
            Some(record) => {
                let name = escape(record.recipe["instance"].as_str().unwrap_or("?")).into_owned();
                let sizes = record.outputs.iter().map(|output| output.artifact.bytes);
                let size = bytes(sizes.fold(0, u64::saturating_add));
                format!("  {name} ({short}): {size}, put there {put}: no recorded run of this cache uses it\n")
            }
        };
    }
    if oldest.len() > NAMED {
        text += &format!("  and {} more\n", oldest.len() - NAMED);
    }
    let verb = if options.dry_run { "would go" } else { "going" };
    let rest = [
        (plan.states, "state", "of work that no recorded run of this cache has begun"),
        (plan.contents, "stored file", "that nothing names which stays"),
        (plan.leftovers, "file", "left by killed processes"),
    ];
    for (number, noun, what) in rest.into_iter().filter(|(number, ..)| *number > 0) {
        text += &format!("  {} {what}\n", count(number, noun));
    }
    if !text.is_empty() {
        text = format!("{verb}:\n{text}");
    }
    for key in plan.doubts.iter().take(SHOWN) {
        text +=
            &format!("note: `{key}` is needed and damaged: which stored files it needs is not known, and none goes\n");
    }
    if plan.doubts.len() > SHOWN {
        text += &format!("  and {} more\n", plan.doubts.len() - SHOWN);
    }
    if !plan.doubts.is_empty() {
        text += "  help: `athanor cache push --again`, on a machine that has the result, mends it\n";
    }
    text
}

fn are(number: usize) -> String {
    format!("{} {}", count(number, "instance"), if number == 1 { "is" } else { "are" })
}

fn failed(error: RunError) -> Exit {
    match error {
        RunError::NeverFits(problems) | RunError::NoVersions(problems) => load::report(&problems),
        other => Exit::failed(other),
    }
}

/// Statuses of a session; with `ask`, the remote cache is asked, too.
pub(super) fn statuses(settings: &Settings, session: &Session<'_>, ask: bool) -> Result<Statuses, Exit> {
    if !ask {
        return session.statuses(None, &HashSet::new()).map_err(Exit::failed);
    }
    let notify = |line: String| {
        // A terminal that is gone needs no notice.
        let _ = writeln!(std::io::stderr(), "note: {}", escape(&line));
    };
    let remote = RemoteUse::new(required(settings)?, Arc::clone(session.cache()), Arc::new(notify));
    session.statuses(Some(&remote), &HashSet::new()).map_err(Exit::failed)
}

/// Tells how far a transfer is, on standard error.
fn progress(does: &'static str) -> impl FnMut(u64, u64) {
    let live = std::io::stderr().is_terminal();
    let (begun, mut told) = (Instant::now(), Instant::now());
    move |done, total| {
        if told.elapsed() < if live { UPDATES } else { LINES } || total == 0 {
            return;
        }
        told = Instant::now();
        let pace = pace(done, total, begun.elapsed());
        let end = if live { "\r" } else { "\n" };
        // A terminal that is gone needs no progress.
        let _ = write!(std::io::stderr(), "{does}: {pace:60}{end}");
    }
}

/// Serves a folder over standard input and output, until the other side goes away.
pub(super) fn serve(folder: &Path) -> Result<u8, Exit> {
    let (from, to) = (std::io::stdin().lock(), std::io::stdout().lock());
    match athanor_remote::serve(folder, from, to) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let why = "The other side of the connection sends something else than requests";
            Err(match error.kind() {
                std::io::ErrorKind::InvalidData => Exit::failed(format!("{why}: {error}.")),
                _ => Exit::failed(format!("`{}` cannot be served: {error}.", folder.display())),
            })
        }
        _ => Ok(UP_TO_DATE),
    }
}
