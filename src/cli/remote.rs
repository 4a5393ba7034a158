//! `athanor cache push`, `pull` and `serve`.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::arguments::TransferCommand;
use crate::cli::{Exit, FAILED, UP_TO_DATE, load, print, project, remote_config};
use crate::escape::escape;
use crate::run::remote::{RemoteConfig, RemoteUse};
use crate::run::session::transfers::{Pulled, Pushed};
use crate::run::{RunError, Session, Status};
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
    let Pushed { report, skipped, states } =
        session.push(&config, (unfinished, again), &mut progress("pushing")).map_err(failed)?;
    let address = config.address.to_string();
    let mut text = format!("pushed {} ({}) to {address}", count(report.pushed, "result"), bytes(report.bytes));
    if report.there > 0 {
        text += &format!(", {} there already", report.there);
    }
    text += "\n";
    if !report.differing.is_empty() {
        let many = count(report.differing.len(), "result");
        text += &format!("note: of {many} there are other bytes for the same work, which stay there\n");
    }
    if unfinished {
        text += &format!("pushed the state of {}\n", count(states, "unfinished instance"));
    }
    if skipped > 0 {
        text += &format!("{} not up to date, so that there is nothing to push of them\n", are(skipped));
    }
    print(&text)
}

pub(super) fn pull(settings: &Settings, command: &TransferCommand, unfinished: bool) -> Result<u8, Exit> {
    let config = required(settings)?;
    let plan = load::checked_plan(settings, &command.pipeline)?;
    let targets = load::select(&plan, &command.targets)?;
    let project = project::open(settings)?;
    project.cache.require_writable().map_err(|error| project::refused(&error))?;
    let session = load::session(&project, &plan, &command.pipeline, &targets)?;
    let Pulled { pulled, here, fetched, missing, waiting, failures, states } =
        session.pull(&config, &targets, unfinished, &mut progress("pulling")).map_err(failed)?;
    let mut text = format!("pulled {} ({})", count(pulled, "result"), bytes(fetched));
    text += &format!(" from {}, {here} here already\n", config.address);
    if unfinished {
        text += &format!("pulled the state of {}\n", count(states, "unfinished instance"));
    }
    if !missing.is_empty() {
        let named: Vec<String> = missing.iter().take(SHOWN).map(|name| escape(name).into_owned()).collect();
        let more = missing.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        text += &format!("not there: {}{more}\n", named.join(", "));
    }
    if waiting > 0 {
        text += &format!("{} not asked for, since what they read is not known yet\n", are(waiting));
    }
    print(&text)?;
    if failures.is_empty() {
        return Ok(UP_TO_DATE);
    }
    let lines: Vec<String> = failures.iter().take(SHOWN).map(|(name, why)| format!("error: {name}: {why}")).collect();
    Err(Exit { code: FAILED, ..Exit::wrong(lines.join("\n")) })
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
pub(super) fn statuses(settings: &Settings, session: &Session<'_>, ask: bool) -> Result<Vec<Option<Status>>, Exit> {
    if !ask {
        return session.status().map_err(Exit::failed);
    }
    let notify = |line: String| {
        // A terminal that is gone needs no notice.
        let _ = writeln!(std::io::stderr(), "note: {}", escape(&line));
    };
    let remote = RemoteUse::new(required(settings)?, Arc::clone(session.cache()), Arc::new(notify));
    session.status_with(Some(&remote)).map_err(Exit::failed)
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
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Exit::failed(error)),
        _ => Ok(UP_TO_DATE),
    }
}
