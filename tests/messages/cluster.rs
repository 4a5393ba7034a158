//! Messages about jobs of a cluster, with a stand-in for Slurm and with commands of the user's.

use std::process::{Child, Stdio};

use crate::fake::Cluster;
use crate::shown::shown;
use crate::support::{Outcome, Project, wait_for, wait_until};

/// A stage with a job of its own.
const ALONE: &str =
    "athanor: 1\nname: p\nstages:\n  a: { kind: command, run: \"true\", outputs: {}, resources: { gpus: 1 } }\n";
/// A stage with a job of its own that says that it is there, and waits.
const WAITING: &str = "athanor: 1
name: p
stages:
  a:
    kind: command
    run: echo x >> $ATHANOR_PROJECT/up; sleep 1000
    resources: { gpus: 1, memory: 1GiB, time: 90m }
";

fn said(project: &Project, outcome: &Outcome) -> String {
    shown(outcome, &[(&project.path("."), "<project>")])
}

#[test]
fn slurm_that_is_not_there() {
    let project = Project::new(ALONE);
    let mut command = project.command(&["run", "p.yaml", "--executor", "slurm"]);
    command.env("PATH", project.path("no/programs"));
    insta::assert_snapshot!(said(&project, &Outcome::of(command)));
}

#[test]
fn refusals_of_slurm() {
    let cluster = Cluster::new(ALONE);
    let all = [
        "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified\n",
        "sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n",
        "",
    ]
    .map(|words| {
        cluster.set("refuse", words);
        said(&cluster.project, &cluster.run(&[]))
    });
    insta::assert_snapshot!(all.concat());
}

#[test]
fn a_job_that_ends_before_its_work_begins() {
    let cluster = Cluster::new(ALONE);
    let settings = "executor: slurm\nslurm: { poll: 1s, setup: 'echo no such module; exit 4' }\n";
    cluster.project.write("athanor.config.yaml", settings);
    let failed = said(&cluster.project, &cluster.run(&[]));
    cluster.project.write("athanor.config.yaml", "executor: slurm\nslurm: { poll: 1s }\nscratch: $NO_SUCH_DISK/x\n");
    let scratch = said(&cluster.project, &cluster.run(&[]));
    cluster.project.write("athanor.config.yaml", "executor: slurm\nslurm: { poll: 1s }\n");
    cluster.set("hold", "JobHeldUser\n");
    let mut command = cluster.command(&["run", "p.yaml"]);
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("its job waits", || cluster.get("jobs/103/state") == "PENDING");
    let polls = || cluster.get("polls").lines().count();
    let before = polls();
    wait_until("that is told", || polls() > before + 1);
    cluster.set("jobs/103/state", "CANCELLED\n");
    let cancelled = said(&cluster.project, &Outcome::of_child(run));
    insta::assert_snapshot!([failed, scratch, cancelled].concat());
}

/// Waits until the attempt of this number has begun.
fn wait_for_attempt(cluster: &Cluster, number: usize, run: &mut Child) {
    wait_for(&cluster.project.path("up"), run);
    wait_until("the attempt has begun", || cluster.project.read("up").lines().count() == number);
}

#[test]
fn ends_of_a_job_while_its_stage_works() {
    let mut all = String::new();
    for (state, signal) in [("TIMEOUT", "-KILL"), ("OUT_OF_MEMORY", "-KILL"), ("CANCELLED", "-TERM")] {
        let cluster = Cluster::new(WAITING);
        let run = cluster.start(&[], "up");
        cluster.end_job(&cluster.running_job(), state, signal);
        all += &said(&cluster.project, &Outcome::of_child(run));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_job_that_is_lost_again_and_again() {
    let cluster = Cluster::new(WAITING);
    let mut run = cluster.start(&[], "up");
    for number in 1..=4 {
        wait_for_attempt(&cluster, number, &mut run);
        cluster.end_job(&cluster.running_job(), "FAILED", "-KILL");
    }
    insta::assert_snapshot!(said(&cluster.project, &Outcome::of_child(run)));
}

/// A run whose jobs are those of these commands.
fn with_commands(submit: &str, poll: &str) -> String {
    let project = Project::new(ALONE);
    let [submit, poll] = [submit, poll].map(|line| serde_json::to_string(line).unwrap());
    let settings = format!(
        "executor: batch\nbatch: {{ submit: {submit}, poll: {poll}, cancel: 'true' }}\nslurm: {{ poll: 1s, idle: 2s }}\n"
    );
    project.write("athanor.config.yaml", &settings);
    said(&project, &project.run(&[]))
}

#[test]
fn commands_of_another_queue_that_fail() {
    let all = [
        with_commands("cat > /dev/null", "true"),
        with_commands("cat > /dev/null; echo Your job 7 has been submitted", "true"),
        with_commands("exit 3", "true"),
        with_commands("echo qsub: no such queue >&2; exit 1", "true"),
        // It fails once, and then knows of no job.
        with_commands("cat > /dev/null; echo 7", "[ -e polled ] || { touch polled; exit 3; }"),
    ];
    insta::assert_snapshot!(all.concat());
}
