//! What must hold after a fault.

use std::path::Path;

use crate::injector::{Fault, Injected};
use crate::scenario::{Results, Scenario, files_below, results};
use crate::support::{Outcome, Project, events};

/// Folders of a cache in which nothing is left once no run works.
const TRANSIENT: [&str; 3] = ["tmp", "scratch", "pending"];
/// Words of the system's messages for the errors that are injected, and of ours.
const WORDS: [&str; 5] = ["os error", "No space left", "is full", "Input/output error", "failed"];

/// Looks at what the command said, then at what later commands find.
pub(crate) fn check(
    project: &Project,
    scenario: Scenario,
    fault: &Fault,
    injected: &Injected,
    expected: &Results,
) -> Result<(), String> {
    said_what_happened(fault, injected)?;
    let is_run = scenario.arguments()[0] == "run";
    if injected.outcome.code == 0 && is_run {
        is_right(project, expected).map_err(|wrong| format!("it ended with 0, but {wrong}: {:?}", injected.outcome))?;
    }
    scenario.keeps_what_is_the_users(project)?;
    let again = project.run(&[]);
    succeeded("a run without faults", &again)?;
    is_right(project, expected).map_err(|wrong| format!("after a run without faults {wrong}: {again:?}"))?;
    scenario.keeps_what_is_the_users(project)?;
    let idle = project.run(&["--json"]);
    succeeded("the run after that", &idle)?;
    let made = events(&idle.out, "finished");
    ensure(made.is_empty(), || format!("the run after that made {made:?}"))?;
    let verified = project.athanor(&["cache", "verify"]);
    succeeded("verification", &verified)?;
    ensure(verified.out.contains(" 0 damaged"), || format!("verification found damage: {verified:?}"))?;
    succeeded("collection", &project.athanor(&["cache", "gc", "--keep-runs=1"]))?;
    nothing_is_left(project)?;
    scenario.keeps_what_is_the_users(project)
}

fn said_what_happened(fault: &Fault, injected: &Injected) -> Result<(), String> {
    let outcome = &injected.outcome;
    let said = format!("{}{}", outcome.out, outcome.err);
    ensure(!injected.timed_out, || format!("it hung: {outcome:?}"))?;
    ensure(!said.contains("panicked"), || format!("it panicked: {outcome:?}"))?;
    if fault.is_kill() {
        return Ok(());
    }
    ensure(outcome.code >= 0 && outcome.code < 128, || format!("it died: {outcome:?}"))?;
    // A verification that finds damage says so, and ends with 1.
    let is_finding = outcome.out.contains(" damaged");
    ensure(outcome.code == 0 || is_finding || WORDS.iter().any(|word| said.contains(word)), || {
        format!("it failed without a word about it: {outcome:?}")
    })?;
    if fault.stays {
        let says_so = ["No space left", "is full"].iter().any(|words| said.contains(words));
        ensure(outcome.code == 0 || is_finding || says_so, || {
            format!("it does not say that the disk is full: {outcome:?}")
        })?;
        let advises_loss = ["cache gc", "rm -", "delete", "--forget"].iter().any(|words| said.contains(words));
        ensure(!advises_loss, || format!("it advises what loses work: {outcome:?}"))?;
    }
    Ok(())
}

fn is_right(project: &Project, expected: &Results) -> Result<(), String> {
    let found = results(project);
    let differs = |name: &&std::path::PathBuf| found.get(*name) != expected.get(*name);
    let wrong: Vec<_> = expected.keys().chain(found.keys()).filter(differs).collect();
    ensure(wrong.is_empty(), || format!("these results are not right: {wrong:?}"))
}

fn nothing_is_left(project: &Project) -> Result<(), String> {
    let mut left = Vec::new();
    for folder in TRANSIENT {
        files_below(&project.path(".athanor").join(folder), &mut left);
    }
    ensure(left.is_empty(), || format!("a collection left {left:?}"))?;
    temporaries(&project.path("results"), &mut left);
    ensure(left.is_empty(), || format!("left among results: {left:?}"))
}

/// Finds files and folders with the names that are ours while something is put in place.
fn temporaries(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".athanor-") {
            found.push(entry.path());
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            temporaries(&entry.path(), found);
        }
    }
}

fn succeeded(what: &str, outcome: &Outcome) -> Result<(), String> {
    ensure(outcome.code == 0, || format!("{what} failed: {outcome:?}"))?;
    let panicked = outcome.err.contains("panicked") || outcome.out.contains("panicked");
    ensure(!panicked, || format!("{what} panicked: {outcome:?}"))
}

fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}
