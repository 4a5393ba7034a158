//! The end of `athanor run`: files for CI, and the user's own command.

use std::io::Write;
use std::process::{Command, Stdio};

use athanor_cache::Cache;
use serde_json::json;

use crate::cli::Exit;
use crate::cli::arguments::RunCommand;
use crate::cli::report::write;
use crate::events::Outcome;
use crate::report::junit::junit;
use crate::report::{outcome_name, results_now, tensorboard};
use crate::run::{RunReport, Session};
use crate::settings::Settings;

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
        write(path, &junit(session.plan, session.wanted(), &events))?;
    }
    if let Some(folder) = &command.tensorboard {
        let results = results_now(session).map_err(Exit::failed)?;
        tensorboard::write(folder, session.plan, cache, &results)
            .map_err(|error| Exit::failed(format!("`{}` cannot be written: {error}.", folder.display())))?;
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
    let said = command.spawn().and_then(|mut child| {
        if let Some(mut stdin) = child.stdin.take() {
            // A hook need not read it.
            let _ = writeln!(stdin, "{facts}");
        }
        child.wait()
    });
    let problem = match said {
        Ok(status) if status.success() => return,
        Ok(status) => format!("it ended with {status}"),
        Err(error) => error.to_string(),
    };
    // A terminal that is gone needs no warning.
    let _ = writeln!(std::io::stderr(), "note: the hook `{}` failed: {problem}", crate::escape::escape(hook));
}
