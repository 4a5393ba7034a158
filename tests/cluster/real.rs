//! Runs on a real Slurm, two nodes on this machine: as root, where `slurmctld` and `munged` are installed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use super::support::{Outcome, Project, events, is_root, skips, wait_for, wait_until};
use super::{PIPELINE, end, pipelines, results, training};

/// A Slurm of its own, which ends with the test.
struct Slurm {
    folder: TempDir,
    port: u32,
    /// One at a time: each has two nodes, which are this machine.
    _alone: MutexGuard<'static, ()>,
}

impl Slurm {
    fn start() -> Option<Slurm> {
        if !is_root() {
            return None;
        }
        let is_there = |program: &str| {
            Command::new("which").arg(program).stdout(Stdio::null()).status().is_ok_and(|it| it.success())
        };
        if !["slurmctld", "slurmd", "munged"].into_iter().all(is_there) {
            skips("Slurm is not installed (slurm-wlm, munge)");
            return None;
        }
        static ALONE: Mutex<()> = Mutex::new(());
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        // The one before may not have given its three ports back yet.
        let port = 20_000 + std::process::id() % 1_000 * 12 + STARTED.fetch_add(1, Ordering::Relaxed) % 4 * 3;
        let slurm = Slurm { folder: tempfile::tempdir().unwrap(), port, _alone: alone };
        assert!(
            slurm.control("start"),
            "{}",
            std::fs::read_to_string(slurm.folder.path().join("controller.log")).unwrap_or_default()
        );
        Some(slurm)
    }

    fn control(&self, action: &str) -> bool {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/real-slurm");
        let mut command = Command::new(script);
        command.arg(action).arg(self.folder.path()).arg(self.port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap().success()
    }

    /// A command with Slurm's configuration, which has five minutes; what it prints.
    fn ask(&self, line: &str) -> String {
        let mut command = Command::new("timeout");
        command.args(["300", "bash", "-c", line]).env("SLURM_CONF", self.folder.path().join("slurm.conf"));
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn project(&self, pipeline: &str) -> Project {
        let project = Project::new(pipeline);
        project.write("athanor.config.yaml", SETTINGS);
        project.write("words.txt", "a\nb\nc\nd\ne\nf\n");
        project
    }

    fn command(&self, project: &Project, arguments: &[&str]) -> Command {
        let mut command = project.command(arguments);
        command.env("SLURM_CONF", self.folder.path().join("slurm.conf"));
        command
    }

    fn start_run(&self, project: &Project, up: &str) -> Child {
        let mut command = self.command(project, &["run", "p.yaml"]);
        let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&project.path(up), &mut run);
        run
    }

    /// Number of the only job in the queue.
    fn job(&self) -> String {
        self.ask("squeue -h -o %i").trim().to_owned()
    }

    /// Kills the agent of the job that runs.
    fn kill_agent(&self, project: &Project) {
        // The pattern is not in the command line of who looks for it.
        self.ask(&format!("pkill -KILL -f '[a]gent .?{}'", project.path("").display()));
    }

    /// Preempts a job by one of a partition of a higher tier, and lets it start again.
    fn preempt(&self, job: &str) {
        self.take_nodes();
        self.hurry(job);
    }

    /// Takes all nodes for a moment by a job of a partition of a higher tier.
    fn take_nodes(&self) {
        let urgent = self.ask("sbatch --parsable -p urgent -N 2 --exclusive --output=/dev/null --wrap 'sleep 600'");
        let urgent = urgent.trim();
        self.ask(&format!("until [ \"$(squeue -h -j {urgent} -o %T)\" = RUNNING ]; do sleep 0.1; done"));
        // Slurm takes a job that starts again within the second in which it was stopped for the stopped one, and ends it.
        self.ask(&format!("sleep 2; scancel {urgent}"));
    }

    fn hurry(&self, job: &str) {
        // A job that was put back starts two minutes later, if nobody hurries it.
        self.ask(&format!("until scontrol update job={job} StartTime=now 2> /dev/null; do sleep 0.2; done"));
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        self.control("stop");
    }
}

/// Settings of projects.
const SETTINGS: &str = "executor: slurm\nslurm: { poll: 1s, time: 30m, max_jobs: 4 }\n";

/// A stage with state that counts its attempts, and waits for the file `go`.
const COUNTING: &str = "athanor: 1
name: p
stages:
  a:
    kind: command
    state: true
    resources: { gpus: 1 }
    run: |
      trap 'exit 75' TERM
      P=$ATHANOR_PROJECT
      echo x >> $ATHANOR_STATE/n
      touch $P/up$(wc -l < $ATHANOR_STATE/n)
      until [ -e $P/go ]; do sleep 0.05; done
      cat $ATHANOR_STATE/n > ${{ outputs.o }}
    outputs: { o: o.txt }
results: { o.txt: a }
";

fn same_results(slurm: &Slurm) {
    let project = slurm.project(PIPELINE);
    let outcome = Outcome::of(slurm.command(&project, &["run", "p.yaml"]));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let local = Project::new(PIPELINE);
    local.write("words.txt", "a\nb\nc\nd\ne\nf\n");
    assert_eq!(local.run(&[]).code, 0);
    assert_eq!(results(&project), results(&local));
    let again = Outcome::of(slurm.command(&project, &["run", "p.yaml", "--executor", "local", "--json"]));
    assert_eq!((again.code, events(&again.out, "started")), (0, Vec::new()), "{again:?}");
}

/// Runs the counting stage, disturbs it, and lets it go on; returns what the run said.
fn disturbed(slurm: &Slurm, disturb: impl FnOnce(&str)) -> String {
    disturbed_in(slurm, &slurm.project(COUNTING), disturb)
}

fn disturbed_in(slurm: &Slurm, project: &Project, disturb: impl FnOnce(&str)) -> String {
    let mut run = slurm.start_run(project, "up1");
    disturb(&slurm.job());
    // It says why, if it has ended.
    wait_until("its job has started again", || project.path("up2").exists() || run.try_wait().unwrap().is_some());
    project.write("go", "");
    let outcome = end(run);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(project.read("results/p/o.txt"), "x\nx\n", "{outcome:?}");
    outcome.out
}

#[test]
fn a_real_slurm_does_all_this_as_root() {
    let Some(slurm) = Slurm::start() else { return };
    same_results(&slurm);

    // Preempted by jobs of a partition of a higher tier.
    let out = disturbed(&slurm, |job| slurm.preempt(job));
    assert!(out.contains("resuming     a: attempt 1"), "{out}");

    // A node is lost.
    let out = disturbed(&slurm, |job| {
        let node = slurm.ask(&format!("squeue -h -j {job} -o %N"));
        slurm.ask(&format!("scontrol update nodename={} state=down reason=test", node.trim()));
        slurm.hurry(job);
        slurm.ask(&format!("scontrol update nodename={} state=resume || true", node.trim()));
    });
    assert!(out.contains("resuming     a: attempt 1"), "{out}");

    // The controller is started again meanwhile, and the run is killed, and its next one goes on with the job.
    let project = slurm.project(COUNTING);
    let mut run = slurm.start_run(&project, "up1");
    assert!(slurm.control("restart"));
    run.kill().unwrap();
    run.wait().unwrap();
    let run = slurm.start_run(&project, "up1");
    project.write("go", "");
    let outcome = end(run);
    assert_eq!((outcome.code, project.read("results/p/o.txt")), (0, "x\n".to_owned()), "{outcome:?}");

    // `scancel` is a failure.
    let project = slurm.project(COUNTING);
    let run = slurm.start_run(&project, "up1");
    let job = slurm.job();
    slurm.ask(&format!("scancel {job}"));
    let outcome = end(run);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains(&format!("Its job {job} was cancelled")), "{outcome:?}");
    assert_eq!(slurm.ask("squeue -h -t PD,R"), "");
}

#[test]
fn a_real_slurm_ends_agents_and_jobs_in_other_ways_as_root() {
    let Some(slurm) = Slurm::start() else { return };
    // The agent is killed.
    let project = slurm.project(COUNTING);
    let out = disturbed_in(&slurm, &project, |_| slurm.kill_agent(&project));
    assert!(out.contains("resuming     a: attempt 1 was lost on n"), "{out}");

    // Preempted in a partition that leaves its jobs time to end by themselves.
    let project = slurm.project(COUNTING);
    project.write("athanor.config.yaml", &SETTINGS.replace(" }", ", partition: graceful }"));
    let out = disturbed_in(&slurm, &project, |_| slurm.take_nodes());
    assert!(out.contains("resuming     a: attempt 1 was stopped on n"), "{out}");

    // The controller is started again while the stage runs, and the run sees its end.
    let project = slurm.project(COUNTING);
    let run = slurm.start_run(&project, "up1");
    assert!(slurm.control("restart"));
    project.write("go", "");
    let outcome = end(run);
    assert_eq!((outcome.code, project.read("results/p/o.txt")), (0, "x\n".to_owned()), "{outcome:?}");
    assert!(!outcome.out.contains("resuming"), "{outcome:?}");
    assert_eq!(slurm.ask("squeue -h -t PD,R"), "");
}

/// A stage that goes on after its time limit, and one without state that hears no signal.
const LIMITED: &str = "
  deaf:
    kind: command
    resources: { gpus: 1, time: 1m }
    run: |
      trap '' TERM
      until [ -e $ATHANOR_PROJECT/never ]; do sleep 0.05; done
";

/// Whether the long tests are wanted, too.
fn is_whole() -> bool {
    std::env::var_os("ATHANOR_CLUSTER").is_some_and(|wanted| wanted == "all")
}

#[test]
fn a_real_slurm_has_time_limits_as_root() {
    if !is_whole() {
        return skips("Slurm counts time limits by the minute; ATHANOR_CLUSTER=all waits for them");
    }
    let Some(slurm) = Slurm::start() else { return };
    let (head, results) = COUNTING.split_once("results:").unwrap();
    let limited = head.replace("gpus: 1 }", "gpus: 1, time: 1m }");
    let project = slurm.project(&format!("{limited}{}results:{results}", &LIMITED[1..]));
    let mut run = slurm.command(&project, &["run", "p.yaml", "-k"]);
    let mut run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&project.path("up2"), &mut run);
    project.write("go", "");
    let outcome = end(run);
    assert_eq!((outcome.code, project.read("results/p/o.txt")), (1, "x\nx\n".to_owned()), "{outcome:?}");
    let out = &outcome.out;
    assert!(out.contains("resuming     a: attempt 1 reached its time limit of 1m and goes on from its state"), "{out}");
    let failed =
        out.lines().find(|line| line.starts_with("failed       deaf (attempt 1): Its job ")).unwrap_or_default();
    assert!(failed.contains(" reached its time limit of 1m on n"), "{out}");
    assert_eq!(slurm.ask("squeue -h -t PD,R"), "");
}

#[test]
fn a_real_slurm_preempts_a_training_that_ends_with_the_same_bytes_as_root() {
    let Some(slurm) = Slurm::start() else { return };
    let project = slurm.project(training::PIPELINE);
    let mut run = training::start(&project, slurm.command(&project, &["run", "p.yaml", "--json"]));
    for steps in training::DISTURBED_AT {
        training::hear_of(&project, steps, &mut run);
        slurm.preempt(&training::job(&project));
    }
    training::ends_the_same(&project, run);
}

#[test]
fn a_real_slurm_makes_the_pipelines_of_this_repository_as_root() {
    let Some(slurm) = Slurm::start() else { return };
    let same = |arguments: &[&str]| {
        let project = pipelines::project();
        project.write("athanor.config.yaml", SETTINGS);
        pipelines::same(&project, |arguments| slurm.command(&project, arguments), arguments);
    };
    // The whole takes an hour or so where the program is not optimised.
    if is_whole() {
        same(&["pipelines/demo.yaml"]);
        same(&["pipelines/hpa.yaml", "--profile", "smoke"]);
    } else {
        same(&pipelines::SMALL_DEMO);
    }
}
