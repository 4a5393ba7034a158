//! Runs on a cluster: against a stand-in for Slurm everywhere, and against a real one where Slurm is installed.

mod containers;
mod disturbed;
mod fake;
mod pipelines;
mod real;
mod scratch;
mod shared_folder;
#[path = "../containers/stand_in.rs"]
#[allow(dead_code, reason = "not all of it is for runs on a cluster")]
mod stand_in;
#[path = "../support/mod.rs"]
mod support;
mod training;

use std::collections::BTreeMap;
use std::process::Child;

use fake::Cluster;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Outcome, Project, events, wait_while_running};

/// Stages of several sorts: a matrix, gathered inputs, a project file, a built-in kind, a folder.
const PIPELINE: &str = "athanor: 1
name: p
stages:
  part:
    kind: command
    matrix: { n: [1, 2, 3, 4, 5, 6] }
    inputs: { words: words.txt }
    run: head -n ${{ matrix.n }} ${{ inputs.words }} > ${{ outputs.text }}; echo made ${{ matrix.n }}
    outputs: { text: text.txt }
  all:
    kind: command
    inputs: { parts: part }
    run: mkdir d; cat ${{ inputs.parts }} > d/all; wc -l < d/all > d/lines
    outputs: { folder: d }
  tables:
    kind: synthetic_tables
    params: { train: 40, test: 20 }
results:
  all: all
";

fn project(pipeline: &str) -> Cluster {
    let cluster = Cluster::new(pipeline);
    cluster.project.write("words.txt", "a\nb\nc\nd\ne\nf\n");
    cluster
}

/// Digests of outputs, by fingerprint.
fn results(project: &Project) -> BTreeMap<String, String> {
    let list = |folder: std::path::PathBuf| -> Vec<std::path::PathBuf> {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let records = list(project.path(".athanor/actions")).into_iter().flat_map(list);
    let mut results = BTreeMap::new();
    for path in records {
        let text = std::fs::read_to_string(path).unwrap();
        for sealed in text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
            let record = &sealed["record"];
            results.insert(record["fingerprint"].to_string(), record["outputs"].to_string());
        }
    }
    results
}

pub(crate) fn end(run: Child) -> Outcome {
    Outcome::of_child(run)
}

fn signal(run: &Child, signal: Signal) {
    kill(Pid::from_raw(run.id().cast_signed()), signal).unwrap();
}

#[test]
fn a_cluster_gives_what_this_machine_gives() {
    let cluster = project(PIPELINE);
    let outcome = cluster.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.out.contains("running      all on n1 in job 1"), "{}", outcome.out);
    let explained = Outcome::of(cluster.command(&["explain", "p.yaml", "all"])).out;
    assert!(explained.contains(" on n1, with ") && explained.contains(" of CPU time"), "{explained}");
    assert_eq!(cluster.project.athanor(&["report", "p.yaml", "-o", "out.html"]).code, 0);
    assert!(cluster.project.read("out.html").contains("\"node\":[\"n1\",\"n1\""));
    let local = Project::new(PIPELINE);
    local.write("words.txt", "a\nb\nc\nd\ne\nf\n");
    assert_eq!(local.run(&[]).code, 0);
    assert_eq!(results(&cluster.project), results(&local));
    assert_eq!(cluster.project.read("results/p/all/all"), local.read("results/p/all/all"));
    // Nothing is left to do, here or there, and no job is left.
    for executor in ["local", "slurm"] {
        let again = cluster.run(&["--executor", executor, "--json"]);
        assert_eq!((again.code, events(&again.out, "started")), (0, Vec::new()), "{again:?}");
    }
    let log = Outcome::of(cluster.command(&["logs", "p.yaml", "part[n=3]"]));
    assert_eq!(log.out, "made 3\n", "{log:?}");
    let states: Vec<String> = cluster.jobs().iter().map(|job| cluster.get(&format!("jobs/{job}/state"))).collect();
    assert!(states.iter().all(|state| state == "CANCELLED" || state == "COMPLETED"), "{states:?}");
    assert_eq!(cluster.shared_folders(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn stages_with_gpus_are_jobs_of_one_array() {
    let cluster = Cluster::new(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    matrix: { n: [1, 2, 3] }\n    run: echo ${{ matrix.n }} $CUDA_VISIBLE_DEVICES > \
         ${{ outputs.o }}\n    outputs: { o: o.txt }\n    resources: { gpus: 1, cpus: 2, memory: 1GiB, time: 6h }\n    slurm: { partition: gpu, \
         extra: --constraint=a100 }\nresults: { o: a }\n",
    );
    let outcome = cluster.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(cluster.jobs(), ["101_0", "101_1", "101_2"]);
    let options = cluster.get("jobs/101_0/options");
    for option in [
        "--gres=gpu:1",
        "--cpus-per-task=2",
        "--mem=1024M",
        "--time=360",
        "--partition=gpu",
        "--constraint=a100",
        "--array=0-2",
    ] {
        assert!(options.lines().any(|line| line == option), "{option}: {options}");
    }
    assert!(options.contains("--requeue\n--open-mode=append\n--signal=B:TERM@120\n"), "{options}");
    assert_eq!(cluster.project.read("results/p/o/n=2.txt"), "2 1\n");
}

#[test]
fn failures_say_what_they_say_here() {
    let cluster = Cluster::new(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    run: echo so it is; exit 3\n    outputs: { o: o.txt }\n  b:\n    kind: command\n    \
         run: \"true\"\n    outputs: { o: o.txt }\n",
    );
    let outcome = cluster.run(&["-k"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains("failed       a (attempt 1): It ended with exit status 3."), "{}", outcome.out);
    assert!(outcome.out.contains("  | so it is"), "{}", outcome.out);
    assert!(outcome.out.contains("did not write its output `o`"), "{}", outcome.out);
}

#[test]
fn several_nodes_are_refused_by_name() {
    let cluster = Cluster::new(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    run: \"true\"\n    resources: { nodes: 2 }\n",
    );
    let outcome = cluster.run(&[]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.contains("`nodes` is not supported: a stage runs on one node"), "{}", outcome.err);
}

#[test]
fn a_refusal_of_the_queue_is_a_failure_in_its_words() {
    let cluster = project(PIPELINE);
    cluster.set(
        "refuse",
        "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified\n",
    );
    let outcome = cluster.run(&["part[n=1]"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let words = "The cluster refused its job: Batch job submission failed: Invalid account or account/partition combination specified.";
    assert!(outcome.out.contains(words), "{}", outcome.out);
}

#[test]
fn a_job_that_ends_before_its_agent_begins_says_what_it_printed() {
    let cluster = Cluster::new(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    run: \"true\"\n    resources: { gpus: 1 }\n",
    );
    cluster
        .project
        .write("athanor.config.yaml", "executor: slurm\nslurm: { poll: 1s, setup: 'echo no such module; exit 4' }\n");
    let outcome = cluster.run(&[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(
        outcome.out.contains("Its job 101 ended on n1 before its work began (FAILED). It printed:"),
        "{}",
        outcome.out
    );
    assert!(outcome.out.contains("no such module"), "{}", outcome.out);
}

/// A stage with state that counts its attempts, and waits for the file `go`.
fn counting(resources: &str) -> Cluster {
    Cluster::new(&format!(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    state: true\n    run: |\n      trap 'exit 75' TERM\n      P=$ATHANOR_PROJECT\n      \
         echo x >> $ATHANOR_STATE/n\n      touch $P/up$(wc -l < $ATHANOR_STATE/n)\n      until [ -e $P/go ]; do sleep 0.05; done\n      \
         cat $ATHANOR_STATE/n > ${{{{ outputs.o }}}}\n    outputs: {{ o: o.txt }}\n    resources: {resources}\nresults: {{ o.txt: a }}\n"
    ))
}

#[test]
fn a_preempted_job_goes_on_from_its_state_in_the_same_job() {
    let cluster = counting("{ gpus: 1 }");
    let mut run = cluster.start(&[], "up1");
    let job = cluster.running_job();
    cluster.preempt(&job, &mut run);
    support::wait_for(&cluster.project.path("up2"), &mut run);
    cluster.project.write("go", "");
    let outcome = end(run);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.out.contains("resuming     a: attempt 1 was preempted, or lost its node"), "{}", outcome.out);
    assert_eq!((cluster.jobs(), cluster.project.read("results/p/o.txt")), (vec![job], "x\nx\n".to_owned()));
}

#[test]
fn a_cancelled_job_is_a_failure_and_a_lost_one_is_not() {
    let cluster = counting("{ gpus: 1 }");
    let mut run = cluster.start(&[], "up1");
    // Its agent is killed, and the queue says that the node failed.
    cluster.end_job(&cluster.running_job(), "NODE_FAIL", "-KILL");
    support::wait_for(&cluster.project.path("up2"), &mut run);
    cluster.end_job(&cluster.running_job(), "CANCELLED", "-TERM");
    let outcome = end(run);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(
        outcome.out.contains("resuming     a: attempt 1 was lost on n1 with its job 101 (NODE_FAIL)"),
        "{}",
        outcome.out
    );
    assert!(outcome.out.contains("failed       a (attempt 2): Its job 102 was cancelled on n1."), "{}", outcome.out);
}

#[test]
fn a_node_that_failed_is_left_out_while_there_is_another() {
    for is_only in [false, true] {
        let cluster = counting("{ gpus: 1 }");
        if is_only {
            cluster.set("only_node", "");
        }
        let mut run = cluster.start(&[], "up1");
        cluster.end_job(&cluster.running_job(), "NODE_FAIL", "-KILL");
        support::wait_for(&cluster.project.path("up2"), &mut run);
        cluster.project.write("go", "");
        let outcome = end(run);
        assert_eq!((outcome.code, cluster.jobs()), (0, vec!["101".to_owned(), "102".to_owned()]), "{outcome:?}");
        let options = |job: &str| cluster.get(&format!("jobs/{job}/options"));
        assert!(!options("101").contains("--exclude"), "{}", options("101"));
        assert_eq!(options("102").contains("--exclude=n1"), !is_only, "{}", options("102"));
        let out = outcome.out;
        assert!(out.contains("note: the node n1 failed: further jobs of this run leave it out"), "{out}");
        let told = "note: there is no other node than n1, which failed: it is no longer left out";
        assert_eq!(out.contains(told), is_only, "{out}");
    }
}

#[test]
fn a_time_limit_is_for_who_changes_the_state() {
    let cluster = counting("{ gpus: 1 }");
    let mut run = cluster.start(&[], "up1");
    cluster.end_job(&cluster.running_job(), "TIMEOUT", "-KILL");
    support::wait_for(&cluster.project.path("up2"), &mut run);
    cluster.project.write("go", "");
    assert_eq!(end(run).code, 0);

    let cluster = Cluster::new(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    run: touch $ATHANOR_PROJECT/up; sleep 1000\n    resources: { gpus: 1, time: 1h }\n",
    );
    let run = cluster.start(&[], "up");
    cluster.end_job(&cluster.running_job(), "TIMEOUT", "-KILL");
    let outcome = end(run);
    assert!(
        outcome.out.contains("failed       a (attempt 1): Its job 101 reached its time limit of 1h on n1."),
        "{}",
        outcome.out
    );
}

#[test]
fn memory_grows_with_retries() {
    let cluster = counting("{ gpus: 1, memory: 4GiB }\n    retries: 1");
    let mut run = cluster.start(&[], "up1");
    cluster.end_job(&cluster.running_job(), "OUT_OF_MEMORY", "-KILL");
    support::wait_for(&cluster.project.path("up2"), &mut run);
    cluster.project.write("go", "");
    let outcome = end(run);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.out.contains("Its job 101 was killed on n1 when it ran out of memory."), "{}", outcome.out);
    assert!(cluster.get("jobs/102/options").contains("--mem=6144M"));
}

#[test]
fn the_next_run_goes_on_with_the_jobs_of_one_that_was_killed() {
    for resources in ["{ gpus: 1 }", "{ cpus: 1 }"] {
        let cluster = counting(resources);
        let mut run = cluster.start(&[], "up1");
        run.kill().unwrap();
        run.wait().unwrap();
        let told = || {
            let runs = std::fs::read_dir(cluster.project.path(".athanor/pipelines")).unwrap().flatten();
            let logs = runs
                .flat_map(|pipeline| std::fs::read_dir(pipeline.path().join("runs")).into_iter().flatten().flatten());
            logs.filter(|log| {
                std::fs::read_to_string(log.path().join("events.jsonl")).is_ok_and(|text| text.contains("\"placed\""))
            })
            .count()
        };
        // The run that was killed may not have come to tell it.
        let before = told();
        let mut run = cluster.start(&[], "up1");
        wait_while_running(&mut run, "it tells where its work is", || told() != before);
        cluster.project.write("go", "");
        let outcome = end(run);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        assert_eq!(
            (cluster.jobs().len(), cluster.project.read("results/p/o.txt")),
            (1, "x\n".to_owned()),
            "{outcome:?}"
        );
    }
}

#[test]
fn work_that_ended_while_no_run_was_there_is_used() {
    let cluster = counting("{ gpus: 1 }");
    let mut run = cluster.start(&[], "up1");
    run.kill().unwrap();
    run.wait().unwrap();
    let job = cluster.running_job();
    cluster.project.write("go", "");
    cluster.wait_for_end_of(&job);
    let outcome = cluster.run(&[]);
    assert_eq!((outcome.code, cluster.jobs()), (0, vec![job]), "{outcome:?}");
    assert_eq!(cluster.project.read("results/p/o.txt"), "x\n");
}

#[test]
fn interrupts_stop_jobs_in_good_order_and_leave_none() {
    for resources in ["{ gpus: 1 }", "{ cpus: 1 }"] {
        let cluster = counting(resources);
        let run = cluster.start(&[], "up1");
        signal(&run, Signal::SIGINT);
        let outcome = end(run);
        assert_eq!(outcome.code, 130, "{outcome:?}");
        let states: Vec<String> = cluster.jobs().iter().map(|job| cluster.get(&format!("jobs/{job}/state"))).collect();
        assert!(states.iter().all(|state| state == "CANCELLED" || state == "COMPLETED"), "{states:?}");
        cluster.project.write("go", "");
        assert_eq!(cluster.run(&[]).code, 0);
        assert_eq!(cluster.project.read("results/p/o.txt"), "x\nx\n", "it went on from its state");
    }
}

#[test]
fn jobs_are_stopped_in_good_order_before_a_run_s_time_is_over() {
    let cluster = counting("{ gpus: 1 }");
    let run = cluster.start(&["--stop-after", "15s"], "up1");
    let outcome = end(run);
    assert_eq!(outcome.code, 130, "{outcome:?}");
    assert!(outcome.out.contains("the time is over: running stages may finish cleanly"), "{}", outcome.out);
    let states: Vec<String> = cluster.jobs().iter().map(|job| cluster.get(&format!("jobs/{job}/state"))).collect();
    assert!(states.iter().all(|state| state == "CANCELLED" || state == "COMPLETED"), "{states:?}");
    cluster.project.write("go", "");
    assert_eq!(cluster.run(&[]).code, 0);
    assert_eq!(cluster.project.read("results/p/o.txt"), "x\nx\n", "it went on from its state");
    // Nothing is submitted that has no time.
    let outcome = cluster.run(&["--force", "a", "--stop-after", "0s"]);
    assert_eq!((outcome.code, cluster.jobs().len()), (130, states.len() + 1), "{outcome:?}");
}

#[test]
fn what_waits_in_the_queue_is_cancelled() {
    let cluster = counting("{ gpus: 1 }");
    cluster.set("hold", "JobHeldUser\n");
    let mut command = cluster.command(&["run", "p.yaml"]);
    let mut run = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    wait_while_running(&mut run, "it has asked for its job", || cluster.get("polls").contains("poll"));
    signal(&run, Signal::SIGINT);
    let outcome = end(run);
    assert_eq!((outcome.code, cluster.get("jobs/101/state")), (130, "CANCELLED".to_owned()), "{outcome:?}");
}

#[test]
fn a_controller_that_is_away_is_waited_for() {
    let cluster = counting("{ gpus: 1 }");
    let mut run = cluster.start(&[], "up1");
    cluster.set("away", "");
    let job = cluster.running_job();
    cluster.end_job(&job, "NODE_FAIL", "-KILL");
    let polls = cluster.get("polls").lines().count();
    wait_while_running(&mut run, "it has asked once more", || cluster.get("polls").lines().count() > polls);
    std::fs::remove_file(cluster.path("away")).unwrap();
    support::wait_for(&cluster.project.path("up2"), &mut run);
    cluster.project.write("go", "");
    assert_eq!(end(run).code, 0);
}

#[test]
fn another_queue_needs_three_commands() {
    let cluster = project(PIPELINE);
    cluster.project.write("athanor.config.yaml", "executor: batch\nbatch.submit: qsub\n");
    let outcome = cluster.run(&[]);
    assert!(outcome.code == 2 && outcome.err.contains("lacks `batch.poll`, `batch.cancel`"), "{outcome:?}");
    let commands = "submit: 'sbatch --job-name=$ATHANOR_JOB_NAME --output=$ATHANOR_JOB_OUTPUT', poll: \"squeue | tr '|' ' '\", cancel: scancel";
    let settings = format!("executor: batch\nbatch: {{ {commands} }}\nslurm: {{ poll: 1s, max_jobs: 3 }}\n");
    cluster.project.write("athanor.config.yaml", &settings);
    cluster.set("refuse", "qsub: no such queue\n");
    let refused = cluster.run(&["part[n=1]"]);
    assert!(
        refused.code == 1 && refused.out.contains("The cluster refused its job: qsub: no such queue."),
        "{refused:?}"
    );
    assert!(refused.out.contains("`batch.submit`") && !refused.out.contains("settings of `slurm`"), "{refused:?}");
    std::fs::remove_file(cluster.path("refuse")).unwrap();
    let outcome = cluster.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(cluster.jobs().iter().all(|job| !job.contains('_')), "{:?}", cluster.jobs());
    assert_eq!(cluster.project.read("results/p/all/lines"), "21\n");
    let states: Vec<String> = cluster.jobs().iter().map(|job| cluster.get(&format!("jobs/{job}/state"))).collect();
    assert!(states.iter().all(|state| state == "CANCELLED" || state == "COMPLETED"), "{states:?}");
}
