//! Nothing that a stage started is left when its outputs are taken, whatever it did to get away.

mod support;

use std::io::Read;
use std::process::{Child, Stdio};

use support::{Project, wait_for, wait_until};

/// Whether a process is there and has not ended.
fn lives(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.trim())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// A pipeline with one stage, which does this.
fn stage(line: &str) -> Project {
    let line = line.replace('\n', "\n      ");
    Project::new(&format!(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    run: |\n      {line}\n    outputs: {{ o: o.txt }}\n"
    ))
}

/// Says its number in the file `pid` of the project, and stays.
const STAY: &str = "echo $$ > $P/pid.new; mv $P/pid.new $P/pid; while :; do sleep 1; done";

/// Waits for that, and ends well.
const LEAVE: &str = "until [ -e $ATHANOR_PROJECT/pid ]; do sleep 0.01; done; echo fine > ${{ outputs.o }}";

/// A run of a stage that stays, once it has said its number.
fn start(project: &Project) -> Child {
    let mut run = project.start(&[]);
    wait_for(&project.path("pid"), &mut run);
    run
}

/// Kills a run, and no other process.
fn kill(mut run: Child) {
    run.kill().unwrap();
    run.wait().unwrap();
}

#[test]
fn no_process_outlives_its_stage() {
    let ways = [
        ("a session of its own", "P=$ATHANOR_PROJECT setsid sh -c '@' &"),
        ("a daemon with everything closed", "(cd /; P=$ATHANOR_PROJECT setsid sh -c '@' <&- >&- 2>&- &) &"),
        ("no environment", "env -i PATH=$PATH P=$ATHANOR_PROJECT setsid sh -c 'cd /; @' &"),
        (
            "no environment, orphaned twice",
            "(cd /; (env -i PATH=$PATH P=$ATHANOR_PROJECT setsid sh -c '@' <&- >&- 2>&- &) &) &",
        ),
        ("no hangup, no end", "P=$ATHANOR_PROJECT nohup setsid sh -c 'trap \"\" TERM INT HUP; @' > /dev/null &"),
        ("held output", "exec 3<>${{ outputs.o }}; P=$ATHANOR_PROJECT setsid sh -c '@' &"),
        (
            "a worker of a worker",
            "P=$ATHANOR_PROJECT setsid sh -c 'setsid sh -c \"setsid sleep 1000 & exec sleep 1000\" & @' &",
        ),
    ];
    for (way, line) in ways {
        let project = stage(&format!("{}\n{LEAVE}", line.replace('@', STAY)));
        let outcome = project.run(&[]);
        assert_eq!(outcome.code, 0, "{way}: {outcome:?}");
        assert!(!lives(&project.read("pid")), "{way}");
    }
}

#[test]
fn one_stage_ends_while_another_keeps_its_processes() {
    let leaving = format!("env -i PATH=$PATH P=$ATHANOR_PROJECT setsid sh -c 'cd /; {STAY}' &\n{LEAVE}");
    let project = stage(&leaving);
    let staying = "
  b:
    kind: command
    run: |
      (env -i PATH=$PATH P=$ATHANOR_PROJECT setsid sh -c 'cd /; echo $$ > $P/own.new; mv $P/own.new $P/own; while :; do sleep 1; done' &) &
      until [ -e $ATHANOR_PROJECT/own ]; do sleep 0.01; done
      until [ -e $ATHANOR_PROJECT/pid ]; do sleep 0.01; done
      while kill -0 $(cat $ATHANOR_PROJECT/pid) 2> /dev/null; do sleep 0.01; done
      kill -0 $(cat $ATHANOR_PROJECT/own) && echo fine > ${{ outputs.o }}
    timeout: 60s
    outputs: { o: o.txt }
";
    let pipeline = project.read("p.yaml");
    project.write("p.yaml", &(pipeline + staying.trim_start_matches('\n')));
    let outcome = project.run(&["-j", "2"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(!lives(&project.read("own")));
}

#[test]
fn what_the_run_did_not_start_is_left_in_peace() {
    let project = stage("echo fine > ${{ outputs.o }}");
    let mut command = std::process::Command::new("/bin/sh");
    let line = "sleep 1000 & echo $! > helper; exec \"$0\" run p.yaml";
    command.args(["-c", line, env!("CARGO_BIN_EXE_athanor")]).current_dir(project.path(""));
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
    let helper = project.read("helper");
    assert!(lives(&helper));
    let helper = nix::unistd::Pid::from_raw(helper.trim().parse().unwrap());
    nix::sys::signal::kill(helper, nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[test]
fn orphans_that_end_are_not_kept_while_a_run_goes_on() {
    let project = stage(
        "for i in 1 2 3 4 5; do (setsid true &) & done; wait; touch $ATHANOR_PROJECT/there; until [ -e $ATHANOR_PROJECT/go ]; do sleep 0.01; done; echo > ${{ outputs.o }}",
    );
    let mut run = project.start(&[]);
    wait_for(&project.path("there"), &mut run);
    let dead_children = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let stats = processes.filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok());
        let mark = format!(" Z {} ", run.id());
        stats.filter(|stat| stat.contains(&mark)).count()
    };
    wait_until("the dead are reaped", || dead_children() == 0);
    project.write("go", "");
    assert!(run.wait().unwrap().success());
}

#[test]
fn a_killed_run_leaves_nobody_without_environment_either() {
    let line = format!("env -i PATH=$PATH P=$ATHANOR_PROJECT setsid sh -c 'cd /; {STAY}' <&- >&- 2>&- &\nwait");
    let project = stage(&line);
    kill(start(&project));
    wait_until("the orphan is gone", || !lives(&project.read("pid")));
}

#[test]
fn a_killed_run_leaves_nobody_in_its_control_group_as_root() {
    if !support::is_root() {
        return;
    }
    let line = format!(
        "env -i PATH=$PATH P=$ATHANOR_PROJECT prlimit --rttime=unlimited setsid sh -c 'cd /; {STAY}' <&- >&- 2>&- &\nwait"
    );
    let project = stage(&line);
    let run = start(&project);
    let process = project.read("pid");
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", process.trim())).unwrap();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned();
    kill(run);
    if !group.contains("athanor-run-") {
        let process = nix::unistd::Pid::from_raw(process.trim().parse().unwrap());
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).unwrap();
        return support::skips("no control group of version 2 can be made here");
    }
    wait_until("the orphan is gone", || !lives(&process));
    let is_there = |top: &str| std::path::Path::new(&format!("{top}{group}")).exists();
    wait_until("its control group is gone", || !["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].into_iter().any(is_there));
}

/// The numbers of the reapers of runs in this project.
fn reapers(project: &Project) -> Vec<String> {
    let folder = project.path(".athanor").canonicalize().unwrap().display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    let is_one = |process: &String| {
        let line = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
        line.contains("\0reaper\0") && line.contains(&folder) && lives(process)
    };
    processes.filter(is_one).collect()
}

#[test]
fn the_reaper_of_a_killed_run_kills_who_shows_no_mark_and_spares_who_only_looks() {
    let line = format!(
        "echo $PWD > $ATHANOR_PROJECT/folder; env -i PATH=$PATH P=$ATHANOR_PROJECT prlimit --rttime=unlimited setsid sh -c '{STAY}' <&- >&- 2>&- &\nwait"
    );
    let project = stage(&line);
    let run = start(&project);
    let folder = project.read("folder");
    let mut looking = std::process::Command::new("sleep").arg("1000").current_dir(folder.trim()).spawn().unwrap();
    assert_eq!(reapers(&project).len(), 1);
    kill(run);
    wait_until("the reaper is gone", || reapers(&project).is_empty());
    let (is_gone, is_spared) = (!lives(&project.read("pid")), looking.try_wait().unwrap().is_none());
    looking.kill().unwrap();
    looking.wait().unwrap();
    assert!(is_gone && is_spared, "the orphan is gone: {is_gone}; who looks is spared: {is_spared}");
}

#[test]
fn a_run_and_a_collection_may_follow_a_killed_run_at_once() {
    for next in [&["run", "p.yaml"][..], &["cache", "gc", "--keep-runs=1"]] {
        // A folder that takes long to clear away.
        let project = stage(
            "mkdir many; (cd many; seq 3000 | xargs touch); [ -e $ATHANOR_PROJECT/there ] || { touch $ATHANOR_PROJECT/there; sleep 1000; }; echo > ${{ outputs.o }}",
        );
        let mut run = project.start(&[]);
        wait_for(&project.path("there"), &mut run);
        run.kill().unwrap();
        run.wait().unwrap();
        let outcome = project.athanor(next);
        assert_eq!(outcome.code, 0, "{next:?}: {outcome:?}");
    }
}

#[test]
fn a_run_within_a_stage_goes_with_the_stage() {
    let inner = "athanor: 1\nname: inner\nstages:\n  a:\n    kind: command\n    run: echo $$ > $ATHANOR_PROJECT/../pid; setsid sleep 1000\n    outputs: { o: o.txt }\n";
    let program = env!("CARGO_BIN_EXE_athanor");
    let line = format!(
        "P=$ATHANOR_PROJECT; cd $P/inner; setsid {program} --cache $P/inner/cache run p.yaml > /dev/null &\nuntil [ -s $ATHANOR_PROJECT/pid ]; do sleep 0.01; done; cd - > /dev/null; echo fine > ${{{{ outputs.o }}}}"
    );
    let project = stage(&line);
    project.write("inner/p.yaml", inner);
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(!lives(&project.read("pid")));
}

#[test]
fn output_that_is_written_late_is_cut_off() {
    let line = format!("setsid sh -c 'yes late' &\nP=$ATHANOR_PROJECT setsid sh -c '{STAY}' &\n{LEAVE}; echo last");
    let project = stage(&line);
    let mut run = project.start(&[]);
    let mut said = String::new();
    run.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(run.wait().unwrap().success(), "{said}");
    let log = project.athanor(&["logs", "p.yaml", "a"]).out;
    assert!(log.contains("late") && log.contains("last"));
}
