//! The end of `athanor run`: files for CI, and the user's own command.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use athanor_cache::Cache;
use serde_json::json;

use crate::cli::arguments::RunCommand;
use crate::cli::written_file::{Form, write};
use crate::cli::{Exit, system_message};
use crate::events::Outcome;
use crate::report::junit::junit;
use crate::report::{outcome_name, results_now, tensorboard};
use crate::run::limited_command::{Patience, QUIET, status_in_words, wait_for};
use crate::run::{RunReport, Session};
use crate::settings::Settings;

/// Time after which a hook is given up.
const HOOK_LIMIT: Duration = Duration::from_secs(600);

/// Writes the files that were asked for, and runs the hook of the outcome.
pub(super) fn finish(
    settings: &Settings,
    command: &RunCommand,
    session: &Session<'_>,
    cache: &Cache,
    report: &RunReport,
) -> Result<(), Exit> {
    if let Some(path) = &command.junit {
        let events = session.history().events(&report.run).map_err(Exit::failed)?;
        let is_whole = report.outcome == Outcome::UpToDate;
        let up_to_date = if is_whole { None } else { Some(results_now(session).map_err(Exit::failed)?) };
        write(path, Form::Junit, &junit(session.plan, session.wanted(), &events, up_to_date.as_ref()))?;
    }
    if let Some(folder) = &command.tensorboard {
        let results = results_now(session).map_err(Exit::failed)?;
        tensorboard::write(folder, session.plan, cache, &results).map_err(|error| {
            Exit::failed(format!("`{}` cannot be written: {}.", folder.display(), system_message(&error)))
        })?;
    }
    let hook = match report.outcome {
        Outcome::UpToDate => &settings.on_success.value,
        Outcome::Failed => &settings.on_failure.value,
        Outcome::Interrupted => return Ok(()),
    };
    if let Some(hook) = hook {
        run_hook(hook, session, report);
    }
    Ok(())
}

/// Runs a hook with the run as JSON on its standard input. A run that went well is not spoilt by its hook.
fn run_hook(hook: &str, session: &Session<'_>, report: &RunReport) {
    let facts = json!({
        "pipeline": session.plan.name,
        "run": report.run,
        "outcome": outcome_name(report.outcome),
        "counts": report.counts,
        "folder": session.history().run_folder(&report.run),
    });
    let mut command = Command::new("/bin/sh");
    command.args(["-c", hook]).stdin(Stdio::piped());
    let note = |text: String| {
        // A terminal that is gone needs no note.
        let _ = writeln!(std::io::stderr(), "note: {text}");
    };
    let shown = crate::escape::escape(hook);
    let tell = || note(format!("waiting for the hook `{shown}`"));
    let ended = command.spawn().and_then(|mut child| {
        if let Some(mut stdin) = child.stdin.take() {
            // A hook need not read it.
            let _ = writeln!(stdin, "{facts}");
        }
        wait_for(&mut child, &Patience { quiet: QUIET, limit: HOOK_LIMIT, tell: &tell })
    });
    let problem = match ended {
        Ok(Some(status)) if status.success() => return,
        Ok(Some(status)) => format!("it ended with {}", status_in_words(status)),
        Ok(None) => format!("it did not end within {} minutes and was killed", HOOK_LIMIT.as_secs() / 60),
        Err(error) => error.to_string(),
    };
    note(format!("the hook `{shown}` failed: {problem}"));
}
