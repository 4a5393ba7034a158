//! Shared folders that show old state for a while, and ones without locks.

use tempfile::TempDir;

use super::support::{self, Outcome, Project, events, wait_for, wait_until};
use super::{PIPELINE, counting, end, project, results};
use crate::fake::Cluster;

/// Preloads a library into the program and its agents; `None`, and a message, where it cannot be made.
fn preload(cluster: &mut Cluster, source: &str, variables: &[(&str, &str)]) -> Option<TempDir> {
    let (folder, library) = support::library(source)?;
    cluster.variables.push(("LD_PRELOAD".to_owned(), library.display().to_string()));
    let named = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    cluster.variables.extend(named);
    Some(folder)
}

/// A folder in which others' files, and what they write to them, are seen late.
fn delayed(cluster: &mut Cluster, milliseconds: &str) -> Option<TempDir> {
    preload(cluster, "tests/cluster/delayed.c", &[("DELAYED_MS", milliseconds)])
}

/// A folder without locks.
fn unlocked(cluster: &mut Cluster) -> Option<TempDir> {
    let below = [("REFUSED", "flock record"), ("REFUSED_BELOW", "/.athanor/")];
    preload(cluster, "tests/support/shim.c", &below)
}

/// Runs the pipeline of several sorts of stages: its results are those of this machine, and nothing is left to do.
fn gives_the_same(cluster: &Cluster) {
    let outcome = cluster.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let local = Project::new(PIPELINE);
    local.write("words.txt", "a\nb\nc\nd\ne\nf\n");
    assert_eq!(local.run(&[]).code, 0);
    assert_eq!(results(&cluster.project), results(&local));
    assert_eq!(cluster.project.read("results/p/all/all"), local.read("results/p/all/all"));
    for executor in ["local", "slurm"] {
        let again = cluster.run(&["--executor", executor, "--json"]);
        assert_eq!((again.code, events(&again.out, "started")), (0, Vec::new()), "{again:?}");
    }
    let verified = Outcome::of(cluster.command(&["cache", "verify"]));
    assert!(verified.code == 0 && verified.out.contains(" 0 damaged"), "{verified:?}");
    assert!(
        !outcome.out.contains("resuming") && !outcome.out.contains("failed"),
        "nothing was made twice: {outcome:?}"
    );
}

/// A preempted job goes on from its state, once.
fn goes_on(cluster: &Cluster) {
    let mut run = cluster.start(&[], "up1");
    let job = cluster.running_job();
    cluster.preempt(&job, &mut run);
    wait_for(&cluster.project.path("up2"), &mut run);
    cluster.project.write("go", "");
    let outcome = end(run);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(
        (cluster.jobs(), cluster.project.read("results/p/o.txt")),
        (vec![job], "x\nx\n".to_owned()),
        "{outcome:?}"
    );
}

/// A run is killed, and its job ends while there is none; what the next one says.
fn next_run(cluster: &Cluster) -> Outcome {
    let mut run = cluster.start(&[], "up1");
    run.kill().unwrap();
    run.wait().unwrap();
    let job = cluster.running_job();
    cluster.project.write("go", "");
    cluster.wait_for_end_of(&job);
    let outcome = cluster.run(&[]);
    let states: Vec<String> = cluster.jobs().iter().map(|job| cluster.get(&format!("jobs/{job}/state"))).collect();
    assert!(states.iter().all(|state| state == "CANCELLED" || state == "COMPLETED"), "{states:?}: {outcome:?}");
    assert_eq!((outcome.code, cluster.shared_folders().len()), (0, 0), "{outcome:?}");
    outcome
}

/// The next run uses what the killed one's job made.
fn is_taken_over(cluster: &Cluster) {
    let outcome = next_run(cluster);
    assert_eq!((cluster.jobs().len(), cluster.project.read("results/p/o.txt")), (1, "x\n".to_owned()), "{outcome:?}");
}

#[test]
fn a_shared_folder_that_shows_old_state_changes_nothing() {
    for milliseconds in ["300", "6000"] {
        let mut cluster = project(PIPELINE);
        let Some(_library) = delayed(&mut cluster, milliseconds) else { return };
        gives_the_same(&cluster);
    }
}

#[test]
fn preemptions_are_seen_late_and_end_right() {
    let mut cluster = counting("{ gpus: 1 }");
    let Some(_library) = delayed(&mut cluster, "4000") else { return };
    goes_on(&cluster);
}

#[test]
fn work_of_a_killed_run_is_used_or_made_again_where_it_is_not_seen() {
    for milliseconds in ["300", "8000"] {
        let mut cluster = counting("{ gpus: 1 }");
        let Some(_library) = delayed(&mut cluster, milliseconds) else { return };
        // It has the name of the earlier one's job for its own, and an agent of its own all the same.
        next_run(&cluster);
        assert!(cluster.project.read("results/p/o.txt").starts_with("x\n"));
    }
}

#[test]
fn a_shared_folder_without_locks_changes_nothing() {
    let mut cluster = project(PIPELINE);
    let Some(_library) = unlocked(&mut cluster) else { return };
    gives_the_same(&cluster);
    let left = cluster.project.path(".athanor/leases").read_dir().unwrap();
    assert_eq!(left.count(), 0, "no lease is left");
}

#[test]
fn without_locks_preempted_and_killed_work_goes_on() {
    for disturb in [goes_on, is_taken_over] {
        let mut cluster = counting("{ gpus: 1 }");
        let Some(_library) = unlocked(&mut cluster) else { return };
        disturb(&cluster);
    }
}

#[test]
fn a_shared_folder_that_becomes_read_only_ends_the_run_and_its_jobs() {
    for resources in ["{ gpus: 1 }", "{ cpus: 1 }"] {
        let mut cluster = counting(resources);
        let from = cluster.path("read-only");
        let variables = [("READ_ONLY_FROM", from.to_str().unwrap()), ("READ_ONLY_BELOW", "/.athanor/")];
        let Some(_library) = preload(&mut cluster, "tests/cluster/read_only.c", &variables) else { return };
        let mut run = cluster.start(&[], "up1");
        let job = cluster.running_job();
        cluster.set("read-only", "");
        wait_until("the run has ended", || run.try_wait().unwrap().is_some());
        let outcome = end(run);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        let told = "Its job cannot report what it does: `";
        assert!(outcome.out.contains(told) && outcome.out.contains("Read-only file system"), "{outcome:?}");
        cluster.wait_for_end_of(&job);
        // It goes on from its state when the folder can be written to again.
        std::fs::remove_file(from).unwrap();
        cluster.project.write("go", "");
        let outcome = cluster.run(&[]);
        assert_eq!((outcome.code, cluster.project.read("results/p/o.txt")), (0, "x\nx\n".to_owned()), "{outcome:?}");
    }
}
