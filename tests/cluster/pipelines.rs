//! The pipelines of this repository, through a queue and on this machine.

use std::path::Path;
use std::process::Command;

use super::results;
use super::support::{Outcome, Project, events};

/// A project with the pipelines of this repository.
pub(crate) fn project() -> Project {
    let project = Project::new("");
    let pipelines = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let copied = Command::new("cp").arg("-r").arg(pipelines).arg(project.path("")).status().unwrap();
    assert!(copied.success());
    project
}

/// Runs a pipeline through a queue and on this machine: results and fingerprints are the same, and then there is nothing to do.
pub(crate) fn same(queue: &Project, run: impl Fn(&[&str]) -> Command, arguments: &[&str]) {
    let outcome = Outcome::of(run(&[&["run"], arguments].concat()));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.out.contains(" in job "), "{outcome:?}");
    let local = project();
    let outcome = local.athanor(&[&["run"], arguments].concat());
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(results(queue), results(&local));
    // The note beside results names the run.
    let compared = Command::new("diff")
        .args(["-r", "--exclude=.athanor.json"])
        .args([queue.path("results"), local.path("results")])
        .output()
        .unwrap();
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
    let again = Outcome::of(run(&[&["run", "--executor", "local", "--json"], arguments].concat()));
    assert_eq!((again.code, events(&again.out, "started")), (0, Vec::new()), "{again:?}");
}

/// The smallest work that goes through every stage of the demo.
pub(crate) const SMALL_DEMO: [&str; 7] = [
    "pipelines/demo.yaml",
    "--set",
    "train=40",
    "--set",
    "test=8",
    "--set",
    "models={resnet18: {arch: resnet18, crop: 32, batch: 8, epochs: 1, schedule: [[1, 0.002]]}}",
];
