//! Agents and runs that are killed at odd moments, and queues that answer late, refuse, and forget.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Child;

use crate::fake::Cluster;
use crate::support::{is_root, wait_for, wait_until, wait_while_running};
use crate::{counting, end};

/// A run whose output goes to the file `out` of the project.
fn start(cluster: &Cluster) -> Child {
    let out = File::create(cluster.project.path("out")).unwrap();
    cluster.command(&["run", "p.yaml"]).stdout(out).spawn().unwrap()
}

/// Waits until the run has said this.
fn hears(cluster: &Cluster, run: &mut Child, text: &str) {
    wait_while_running(run, text, || cluster.project.read("out").contains(text));
}

/// The folder that the run shares with agents.
fn shared(cluster: &Cluster) -> PathBuf {
    cluster.shared_folders().into_iter().find(|path| path.is_dir()).unwrap()
}

fn names(folder: PathBuf) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Lets the stage end: the run succeeds, with this number of attempts and jobs.
fn succeeds(cluster: &Cluster, run: Child, attempts: usize, jobs: usize) {
    cluster.project.write("go", "");
    let code = end(run).code;
    let out = cluster.project.read("out");
    assert_eq!((code, cluster.jobs().len()), (0, jobs), "{out}");
    assert_eq!(cluster.project.read("results/p/o.txt"), "x\n".repeat(attempts), "{out}");
}

#[test]
fn requests_that_an_agent_took_before_it_was_killed_are_repeated() {
    for resources in ["{ gpus: 1 }", "{ cpus: 1 }"] {
        let cluster = counting(resources);
        cluster.set("hold", "Priority\n");
        let mut run = start(&cluster);
        wait_while_running(&mut run, "its job waits", || cluster.get("polls").contains("poll"));
        // An agent leaves this that is killed between two system calls.
        let (queue, agent) = (names(shared(&cluster).join("queues")), shared(&cluster).join("agents/j00001.r000"));
        let request = names(queue[0].clone()).remove(0);
        fs::create_dir(&agent).unwrap();
        fs::rename(&request, agent.join(request.file_name().unwrap())).unwrap();
        fs::write(agent.join("lines"), "{\"line\":\"hello\",\"job\":\"101\",\"node\":\"n1\"}\n").unwrap();
        fs::remove_file(cluster.path("hold")).unwrap();
        cluster.set("jobs/101/state", "FAILED\n");
        wait_for(&cluster.project.path("up1"), &mut run);
        succeeds(&cluster, run, 1, 2);
    }
}

#[test]
fn jobs_whose_numbers_a_killed_run_did_not_note_are_watched() {
    for resources in ["{ gpus: 1 }", "{ cpus: 1 }"] {
        let cluster = counting(resources);
        let mut run = cluster.start(&[], "up1");
        run.kill().unwrap();
        run.wait().unwrap();
        fs::remove_file(shared(&cluster).join("jobs/j00001.id")).unwrap();
        let mut run = start(&cluster);
        hears(&cluster, &mut run, "running      a on n1 in job 101");
        cluster.end_job("101", "NODE_FAIL", "-KILL");
        wait_for(&cluster.project.path("up2"), &mut run);
        succeeds(&cluster, run, 2, 2);
    }
}

#[test]
fn requests_that_a_killed_run_left_in_a_queue_are_submitted_again() {
    let cluster = counting("{ gpus: 1 }");
    cluster.set("hold", "Priority\n");
    let mut run = start(&cluster);
    wait_while_running(&mut run, "its job waits", || cluster.get("polls").contains("poll"));
    run.kill().unwrap();
    run.wait().unwrap();
    // Its job is lost before an agent has begun.
    cluster.set("jobs/101/state", "NODE_FAIL\n");
    fs::remove_file(cluster.path("hold")).unwrap();
    let mut run = start(&cluster);
    wait_for(&cluster.project.path("up1"), &mut run);
    succeeds(&cluster, run, 1, 2);
}

#[test]
fn a_late_answer_of_the_queue_ends_nothing_that_has_begun_since() {
    let cluster = counting("{ gpus: 1 }");
    cluster.set("hold", "Priority\n");
    cluster.set("late", "");
    let mut run = start(&cluster);
    wait_for(&cluster.path("looked"), &mut run);
    cluster.start_jobs();
    hears(&cluster, &mut run, "running      a on n1 in job 101");
    wait_for(&cluster.project.path("up1"), &mut run);
    let polls = cluster.get("polls").lines().count();
    fs::remove_file(cluster.path("late")).unwrap();
    cluster.set("answer", "");
    wait_while_running(&mut run, "it has asked once more", || cluster.get("polls").lines().count() > polls);
    assert!(!cluster.project.read("out").contains("resuming"));
    succeeds(&cluster, run, 1, 1);
}

#[test]
fn a_job_that_is_submitted_twice_does_its_work_once() {
    for resources in ["{ gpus: 1 }", "{ cpus: 1 }"] {
        for ends in [false, true] {
            let cluster = counting(resources);
            cluster.set("lost_answer", "");
            let mut run = start(&cluster);
            wait_for(&cluster.project.path("up1"), &mut run);
            let agents = || names(shared(&cluster).join("agents")).len();
            wait_while_running(&mut run, "the other job has begun", || agents() == 2);
            hears(&cluster, &mut run, "running      a on n1 in job 101");
            if ends {
                // The run has only been told of the other one.
                cluster.end_job("101", "NODE_FAIL", "-KILL");
                wait_for(&cluster.project.path("up2"), &mut run);
            }
            assert!(ends || !cluster.project.read("out").contains("resuming"));
            cluster.project.write("go", "");
            assert_eq!(end(run).code, 0, "{}", cluster.project.read("out"));
            assert_eq!(cluster.project.read("results/p/o.txt"), if ends { "x\nx\n" } else { "x\n" });
        }
    }
}

#[test]
fn a_signal_near_the_time_limit_is_taken_for_what_the_queue_says() {
    let near = || counting("{ gpus: 1, time: 1m }");
    let cluster = near();
    let mut run = start(&cluster);
    wait_for(&cluster.project.path("up1"), &mut run);
    cluster.end_job("101", "CANCELLED", "-TERM");
    assert_eq!((end(run).code, cluster.jobs().len()), (1, 1));
    assert!(cluster.project.read("out").contains("Its job 101 was cancelled on n1."));

    let cluster = near();
    let mut run = start(&cluster);
    wait_for(&cluster.project.path("up1"), &mut run);
    cluster.preempt("101", &mut run);
    wait_for(&cluster.project.path("up2"), &mut run);
    // An agent that obeys its signal ends in good order before the limit itself.
    cluster.end_job("101", "COMPLETED", "-TERM");
    wait_for(&cluster.project.path("up3"), &mut run);
    let out = cluster.project.read("out");
    assert!(out.contains("attempt 1 was preempted, or lost its node"), "{out}");
    assert!(out.contains("attempt 2 reached its time limit of 1m and goes on from its state"), "{out}");
    succeeds(&cluster, run, 3, 2);
}

#[test]
fn jobs_that_are_left_time_to_end_when_they_are_preempted_go_on() {
    let cluster = counting("{ gpus: 1 }");
    let mut run = start(&cluster);
    // More often than an agent may be lost.
    for attempt in 1..=4 {
        wait_for(&cluster.project.path(&format!("up{attempt}")), &mut run);
        cluster.end_job(&cluster.running_job(), "COMPLETED", "-TERM");
    }
    wait_for(&cluster.project.path("up5"), &mut run);
    let out = cluster.project.read("out");
    assert!(out.contains("attempt 4 was stopped on n1 by the cluster with its job 104 (COMPLETED)"), "{out}");
    succeeds(&cluster, run, 5, 5);
}

#[test]
fn a_stage_that_the_cluster_stops_fails_in_the_end_unless_it_comes_forward() {
    let cluster = Cluster::new(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    resources: { gpus: 1 }\n    run: |\n      trap 'exit 75' TERM\n      \
         touch $ATHANOR_PROJECT/up$(ls $ATHANOR_PROJECT | grep -c ^up)\n      while true; do sleep 0.05; done\n",
    );
    let mut run = start(&cluster);
    for attempt in 0..4 {
        wait_for(&cluster.project.path(&format!("up{attempt}")), &mut run);
        cluster.end_job(&cluster.running_job(), "COMPLETED", "-TERM");
    }
    assert_eq!(end(run).code, 1);
    let out = cluster.project.read("out");
    let told = "It was stopped on n1 by the cluster with its job 104 (COMPLETED), as 3 times before.";
    assert!(out.contains(told), "{out}");
}

#[test]
fn a_limit_that_nobody_asked_for_is_one() {
    let cluster = counting("{ gpus: 1 }");
    cluster.set("limit", "60");
    let mut run = start(&cluster);
    wait_for(&cluster.project.path("up1"), &mut run);
    cluster.end_job("101", "COMPLETED", "-TERM");
    wait_for(&cluster.project.path("up2"), &mut run);
    let out = cluster.project.read("out");
    assert!(out.contains("attempt 1 reached its time limit and goes on from its state"), "{out}");
    succeeds(&cluster, run, 2, 2);
}

const MANY: &str = "athanor: 1
name: p
stages:
  a:
    kind: command
    matrix: { n: [1, 2, 3, 4, 5, 6] }
    run: echo ${{ matrix.n }} > ${{ outputs.o }}
    outputs: { o: o.txt }
    resources: { gpus: 1 }
results: { o: a }
";

#[test]
fn arrays_are_as_large_as_the_cluster_takes_them() {
    for (limit, value) in [("max_array", "2"), ("max_array", "1"), ("max_submit", "2")] {
        let cluster = Cluster::new(MANY);
        cluster.set(limit, value);
        let outcome = cluster.run(&[]);
        assert_eq!((outcome.code, cluster.jobs().len()), (0, 6), "{limit} {value}: {outcome:?}");
        let of_two = cluster.jobs().iter().filter(|job| job.contains('_')).count();
        assert!((of_two > 0) == (value == "2"), "{limit} {value}: {:?}", cluster.jobs());
    }
}

#[test]
fn jobs_that_cannot_be_cancelled_are_told() {
    let cluster = counting("{ gpus: 1 }");
    let mut run = start(&cluster);
    wait_for(&cluster.project.path("up1"), &mut run);
    cluster.set("away", "");
    cluster.project.write("go", "");
    assert_eq!(end(run).code, 0);
    let (name, out) = (cluster.get("jobs/101/name"), cluster.project.read("out"));
    assert!(out.contains(&format!("some may still be in the queue: `scancel --name={name}` cancels them")), "{out}");
}

#[test]
fn accounting_that_does_not_work_is_asked_once() {
    let cluster = counting("{ gpus: 1 }");
    let mut run = start(&cluster);
    wait_for(&cluster.project.path("up1"), &mut run);
    cluster.set("jobs/101/forgotten", "");
    cluster.end_job("101", "FAILED", "-KILL");
    wait_for(&cluster.project.path("up2"), &mut run);
    succeeds(&cluster, run, 2, 2);
    assert_eq!(cluster.get("accounted").lines().count(), 1, "{}", cluster.get("accounted"));
}

#[test]
fn jobs_of_another_users_killed_run_are_left_alone_as_root() {
    if !is_root() {
        return;
    }
    let cluster = counting("{ gpus: 1 }");
    let mut run = cluster.start(&[], "up1");
    run.kill().unwrap();
    run.wait().unwrap();
    let theirs = shared(&cluster);
    cluster.project.write("go", "");
    wait_until("their job has ended", || cluster.running_jobs().is_empty());
    std::os::unix::fs::chown(&theirs, Some(65_534), None).unwrap();
    let run = start(&cluster);
    succeeds(&cluster, run, 2, 2);
    assert!(theirs.is_dir());
}

#[test]
fn processes_that_commands_of_the_queue_leave_running_hold_nothing_up() {
    let cluster = Cluster::new(MANY);
    cluster.set("lingers", "");
    let outcome = cluster.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(!cluster.path("gave_up").exists(), "it was waited for: {outcome:?}");
    cluster.set("gone", "");
}

#[test]
fn variables_that_are_options_of_the_queues_commands_hide_no_jobs() {
    let mut cluster = counting("{ gpus: 1 }");
    cluster.variables.push(("SQUEUE_PARTITION".to_owned(), "another".to_owned()));
    cluster.set("hold", "Priority\n");
    let mut run = start(&cluster);
    let polls = || cluster.get("polls").lines().count();
    wait_while_running(&mut run, "it has asked often enough to miss a job", || polls() >= 5);
    fs::remove_file(cluster.path("hold")).unwrap();
    cluster.start_jobs();
    wait_for(&cluster.project.path("up1"), &mut run);
    succeeds(&cluster, run, 1, 1);
}

#[test]
fn options_that_runs_rely_on_are_refused_by_name() {
    for option in ["--wait", "--job-name=mine", "-o/dev/null", "--array=0-3"] {
        let cluster =
            Cluster::new(&MANY.replace("gpus: 1 }", &format!("gpus: 1 }}\n    slurm: {{ extra: \"{option}\" }}")));
        let outcome = cluster.run(&["-k"]);
        assert_eq!((outcome.code, cluster.jobs().len()), (1, 0), "{outcome:?}");
        let told = format!("the option `{option}` of `slurm.extra` is not for users to give");
        assert!(outcome.out.contains(&told), "{outcome:?}");
    }
}
