//! State of commands: what survives, what goes, who has it, and what exit status 75 means.

mod support;

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Outcome, Project, events, wait_for};

/// A pipeline with one stage `a` with state, which does this and has further keys.
fn stage(line: &str, more: &str) -> Project {
    let line = line.replace('\n', "\n      ");
    Project::new(&format!(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    run: |\n      {line}\n    outputs: {{ o: o.txt }}\n    state: true\n    {more}\n"
    ))
}

/// Counts its attempts in its state, says how many there were in `seen` of the project, and says that it is there.
const COUNT: &str = "P=$ATHANOR_PROJECT; echo x >> $ATHANOR_STATE/n; wc -l < $ATHANOR_STATE/n > $P/seen; touch $P/up";
/// Waits for the file `go`.
const WAIT: &str = "until [ -e $P/go ]; do sleep 0.01; done";
/// Puts the count into its output.
const MAKE: &str = "cat $ATHANOR_STATE/n > ${{ outputs.o }}";

fn counting() -> Project {
    stage(&format!("{COUNT}; {WAIT}; {MAKE}"), "")
}

/// Folders of resume states in the project's cache.
fn kept(project: &Project) -> Vec<PathBuf> {
    let list = |folder: PathBuf| -> Vec<PathBuf> {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    list(project.path(".athanor/unfinished")).into_iter().flat_map(list).collect()
}

fn seen(project: &Project) -> String {
    project.read("seen").trim().to_owned()
}

/// Starts a run, waits until its stage is there, and ends it by a signal.
fn stopped(project: &Project, signal: Signal) -> Outcome {
    let _ = std::fs::remove_file(project.path("up"));
    let mut run = project.start(&[]);
    wait_for(&project.path("up"), &mut run);
    kill(Pid::from_raw(run.id().cast_signed()), signal).unwrap();
    outcome(run)
}

/// Reads what a run says until it says `text`; returns all of it.
fn hear(run: &mut Child, text: &str) -> String {
    let (stdout, mut heard) = (run.stdout.as_mut().unwrap(), Vec::new());
    while !String::from_utf8_lossy(&heard).contains(text) {
        let mut byte = [0];
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&heard));
        heard.extend(byte);
    }
    String::from_utf8(heard).unwrap()
}

fn outcome(run: Child) -> Outcome {
    let output = run.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code().unwrap_or(-9), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn state_survives_interrupts_and_kills_and_goes_with_the_result() {
    let project = counting();
    assert_eq!(stopped(&project, Signal::SIGINT).code, 130);
    assert_eq!(seen(&project), "1");
    assert_eq!(stopped(&project, Signal::SIGTERM).code, 130);
    // The next run follows at once.
    assert_eq!(stopped(&project, Signal::SIGKILL).code, -9);
    assert_eq!(stopped(&project, Signal::SIGKILL).code, -9);
    assert_eq!(seen(&project), "4");
    assert_eq!(kept(&project).len(), 1);
    project.write("go", "");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(seen(&project), "5");
    assert!(kept(&project).is_empty(), "{:?}", kept(&project));
    assert!(project.athanor(&["cache", "verify"]).out.contains("0 damaged"));
}

#[test]
fn state_survives_retries_and_timeouts() {
    let retried = stage(&format!("{COUNT}; [ $(cat $P/seen) -ge 3 ]; {MAKE}"), "retries: 2");
    assert_eq!(retried.made(&[]), ["a"]);
    assert_eq!(seen(&retried), "3");
    let overdue =
        stage(&format!("{COUNT}; [ $(cat $P/seen) -ge 2 ] || sleep 1000; {MAKE}"), "retries: 1\n    timeout: 5s");
    assert_eq!(overdue.made(&[]), ["a"]);
    assert_eq!(seen(&overdue), "2");
    assert!(kept(&retried).is_empty() && kept(&overdue).is_empty());
}

#[test]
fn other_work_finds_none_of_it() {
    let project = stage(&format!("{COUNT}; exit 1"), "");
    assert_eq!(project.run(&[]).code, 1);
    project.edit("exit 1", "exit 2");
    assert_eq!(project.run(&[]).code, 1);
    assert_eq!(seen(&project), "1");
    project.edit("exit 2", "exit 1");
    assert_eq!(project.run(&[]).code, 1);
    assert_eq!(seen(&project), "2");
}

#[test]
fn state_timeouts_and_retries_make_nothing_run_again() {
    let project = stage("echo fine > ${{ outputs.o }}", "");
    project.edit("    state: true\n", "");
    assert_eq!(project.made(&[]), ["a"]);
    let plain = project.read("p.yaml");
    for keys in ["state: true", "state: \"${{ 1 == 1 }}\"", "timeout: 1h", "retries: 3", "state: false"] {
        project.write("p.yaml", &format!("{plain}    {keys}\n"));
        assert_eq!(project.made(&[]), [""; 0], "{keys}");
        assert!(project.athanor(&["status", "p.yaml"]).out.contains("fresh"), "{keys}");
    }
}

#[test]
fn two_runs_never_share_a_state() {
    let alone = "mkdir $ATHANOR_STATE/alone || touch $P/shared";
    let project = stage(&format!("{COUNT}; {alone}; {WAIT}; rmdir $ATHANOR_STATE/alone; {MAKE}"), "");
    let mut first = project.start(&[]);
    wait_for(&project.path("up"), &mut first);
    let mut second = project.start(&[]);
    hear(&mut second, "waiting      a");
    project.write("go", "");
    assert_eq!(outcome(first).code, 0);
    assert_eq!(outcome(second).code, 0);
    assert_eq!(seen(&project), "1");
    assert!(!project.path("shared").exists());
}

#[test]
fn state_waits_for_the_last_process_of_a_killed_run() {
    let project = counting();
    stopped(&project, Signal::SIGKILL);
    // As a process has it that is not gone yet.
    let lock = File::open(kept(&project)[0].join("in-use")).unwrap();
    lock.lock().unwrap();
    std::fs::remove_file(project.path("up")).unwrap();
    let mut run = project.start(&[]);
    hear(&mut run, "waiting      a");
    assert!(!project.path("up").exists());
    project.write("go", "");
    drop(lock);
    assert_eq!(outcome(run).code, 0);
    assert_eq!(seen(&project), "2");
}

#[test]
fn processes_of_a_stage_hold_its_state() {
    let held = "sh -c 'ls -l /proc/self/fd' | grep -c /in-use > $P/held";
    let project = stage(&format!("{COUNT}; {held}; {MAKE}"), "");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(project.read("held"), "1\n");
}

#[test]
fn a_stage_without_state_has_none_of_a_run_around_it() {
    let project = stage("echo ${ATHANOR_STATE-none} > ${{ outputs.o }}; cat ${{ outputs.o }}", "");
    project.edit("    state: true\n", "");
    let mut command = project.command(&["run", "p.yaml"]);
    command.env("ATHANOR_STATE", project.path(""));
    assert_eq!(Outcome::of(command).code, 0);
    assert_eq!(project.athanor(&["logs", "p.yaml", "a"]).out, "none\n");
    project.edit("${ATHANOR_STATE-none}", "$ATHANOR_STATE");
    let outcome = project.run(&[]);
    assert!(outcome.out.contains("help: `state: true` in the stage gives it a folder"), "{}", outcome.out);
}

#[test]
fn a_stage_that_was_asked_to_stop_and_ends_with_75_is_interrupted() {
    let saving = "trap 'echo y >> $ATHANOR_STATE/n; exit 75' TERM";
    let project = stage(&format!("{saving}; {COUNT}; {WAIT}; {MAKE}"), "");
    let outcome = stopped(&project, Signal::SIGINT);
    assert_eq!(outcome.code, 130, "{outcome:?}");
    assert!(outcome.out.contains("interrupted  a"), "{}", outcome.out);
    project.write("go", "");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(seen(&project), "3", "two attempts, and what the trap wrote");
}

#[test]
fn a_stage_that_was_asked_to_stop_and_ends_well_without_its_output_is_interrupted() {
    let project = stage(&format!("trap 'exit 0' TERM; {COUNT}; {WAIT}; {MAKE}"), "");
    let outcome = stopped(&project, Signal::SIGINT);
    assert_eq!(outcome.code, 130, "{outcome:?}");
    assert!(outcome.out.contains("interrupted  a") && !outcome.out.contains("failed  "), "{}", outcome.out);
    project.write("go", "");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(seen(&project), "2");
}

#[test]
fn a_state_may_hold_anything_and_no_link_in_it_is_followed() {
    let odd = "ln -sfn gone $ATHANOR_STATE/latest; ln -sfn $P $ATHANOR_STATE/data; test -p $ATHANOR_STATE/p || mkfifo $ATHANOR_STATE/p";
    let project = stage(&format!("{COUNT}; {odd}; [ $(cat $P/seen) -ge 3 ] || exit 75; {MAKE}"), "");
    let outcome = project.run(&["--json"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(events(&outcome.out, "resuming").len(), 2);
    // The project, in which every attempt writes, is no part of it.
    let project = stage("P=$ATHANOR_PROJECT; ln -sfn $P $ATHANOR_STATE/data; date +%N > $P/now; exit 75", "");
    let outcome = project.run(&["--json"]);
    assert_eq!(events(&outcome.out, "started").len(), 2, "{}", outcome.out);
    assert!(outcome.out.contains("without having changed its state"), "{}", outcome.out);
}

#[test]
fn a_stage_whose_state_was_made_of_another_input_does_not_go_on() {
    let project = stage(&format!("{COUNT}; {WAIT}; exit 75"), "inputs: { i: in.txt }");
    project.write("in.txt", "thing\n");
    let mut run = project.start(&[]);
    wait_for(&project.path("up"), &mut run);
    project.write("in.txt", "other\n");
    project.write("go", "");
    let outcome = outcome(run);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains("its state is dropped, since `in.txt` changed while it ran"), "{}", outcome.out);
    assert!(
        outcome.out.contains("there is no state to go on from") && !outcome.out.contains("resuming"),
        "{}",
        outcome.out
    );
}

#[test]
fn programs_save_their_state_although_their_shell_has_ended() {
    let save = "touch $P/saving; until [ -e $P/release ]; do sleep 0.01; done; echo y >> $ATHANOR_STATE/n; exit 75";
    let program = format!("trap '{save}' TERM; touch $P/up; while :; do sleep 0.01; done");
    let project = stage(
        "P=$ATHANOR_PROJECT sh program.sh; touch $ATHANOR_PROJECT/after; cp $ATHANOR_STATE/n ${{ outputs.o }}",
        "",
    );
    project.write("program.sh", &program);
    let mut run = project.start(&[]);
    wait_for(&project.path("up"), &mut run);
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGINT).unwrap();
    wait_for(&project.path("saving"), &mut run);
    project.write("release", "");
    assert_eq!(outcome(run).code, 130);
    assert!(!project.path("after").exists());
    assert_eq!(std::fs::read_to_string(kept(&project)[0].join("state/n")).unwrap(), "y\n");
}

#[test]
fn a_stage_that_stops_unasked_goes_on_at_once_if_its_state_changed() {
    let project = stage(&format!("{COUNT}; [ $(cat $P/seen) -ge 4 ] || exit 75; {MAKE}"), "");
    let outcome = project.run(&["--json"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(events(&outcome.out, "resuming").len(), 3);
    assert_eq!(events(&outcome.out, "started").len(), 4);
    assert!(events(&outcome.out, "failed").is_empty());
    let project =
        stage(&format!("{COUNT}; [ $(cat $P/seen) -ge 3 ] || exit 75; [ $(cat $P/seen) -ge 4 ]; {MAKE}"), "retries: 1");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 0, "to go on is no retry: {outcome:?}");
    assert!(outcome.out.contains("resuming     a: attempt 1 stopped in good order"), "{}", outcome.out);
}

#[test]
fn a_stage_that_stops_unasked_without_a_change_has_failed() {
    for (line, attempts) in [
        ("exit 75", 1),
        ("ls $ATHANOR_STATE; exit 75", 1),
        ("echo same > $ATHANOR_STATE/s; exit 75", 2),
        ("touch $ATHANOR_STATE/s; mv $ATHANOR_STATE/s $ATHANOR_STATE/t; exit 75", 2),
    ] {
        let project = stage(line, "");
        let outcome = project.run(&["--json"]);
        assert_eq!(outcome.code, 1, "{line}: {outcome:?}");
        assert_eq!(events(&outcome.out, "started").len(), attempts, "{line}: {}", outcome.out);
        assert!(outcome.out.contains("without having changed its state"), "{line}: {}", outcome.out);
    }
    let project = stage("exit 75", "retries: 1");
    assert_eq!(events(&project.run(&["--json"]).out, "started").len(), 2);
    project.edit("    state: true\n", "");
    project.edit("exit 75", "true; exit 75");
    assert!(project.run(&[]).out.contains("It ended with exit status 75."));
}

#[test]
fn nothing_goes_on_in_a_run_that_ends_at_a_failure() {
    let project = stage(&format!("{COUNT}; {WAIT}; exit 75"), "");
    project.edit(
        "stages:\n",
        "stages:\n  b: { kind: command, run: 'until [ -e $ATHANOR_PROJECT/up ]; do sleep 0.01; done; exit 1' }\n",
    );
    let mut run = project.start(&["-j", "2"]);
    let heard = hear(&mut run, "failed       b");
    project.write("go", "");
    let outcome = outcome(run);
    assert_eq!(outcome.code, 1, "{heard}{}", outcome.out);
    assert!(outcome.out.contains("interrupted  a") && !outcome.out.contains("resuming"), "{}", outcome.out);
    assert_eq!(kept(&project).len(), 1);
}

#[test]
fn a_failure_keeps_the_state_and_says_where_until_it_is_dropped() {
    let project = stage(&format!("{COUNT}; exit 3"), "");
    let outcome = project.run(&[]);
    let place = outcome.out.split("goes on from it: `").nth(1).and_then(|rest| rest.split('`').next());
    let place = PathBuf::from(place.unwrap_or_else(|| panic!("{}", outcome.out)));
    assert_eq!(std::fs::read_to_string(place.join("n")).unwrap(), "x\n");
    project.run(&[]);
    assert_eq!(seen(&project), "2");
    assert_eq!(project.run(&["--fresh-state", "b"]).code, 2);
    project.run(&["--fresh-state", "a"]);
    assert_eq!(seen(&project), "1");
    project.run(&["--force", "a"]);
    assert_eq!(seen(&project), "1");
    project.edit("exit 3", &format!("test -e $P/go; {MAKE}"));
    project.edit("    state: true", "    state: true\n    retries: 1");
    project.run(&["--fresh-state", "a"]);
    assert_eq!(seen(&project), "2", "it is dropped before the first attempt alone");
    project.write("go", "");
    assert_eq!(project.made(&["--fresh-state", "a"]), ["a"]);
    assert_eq!(project.made(&["--fresh-state", "a"]), [""; 0], "a result stands");
}

#[test]
fn a_state_that_was_made_of_another_input_is_dropped() {
    let project = stage(&format!("{COUNT}; {WAIT}; {MAKE}"), "inputs: { i: in.txt }");
    project.write("in.txt", "thing\n");
    let mut run = project.start(&[]);
    wait_for(&project.path("up"), &mut run);
    project.write("in.txt", "other\n");
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGINT).unwrap();
    let outcome = outcome(run);
    assert!(outcome.out.contains("its state is dropped"), "{}", outcome.out);
    project.write("in.txt", "thing\n");
    project.write("go", "");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(seen(&project), "1");
}

#[test]
fn collections_keep_the_state_of_a_killed_run_as_long_as_it_is_wanted() {
    let project = counting();
    stopped(&project, Signal::SIGKILL);
    for _ in 0..2 {
        assert_eq!(project.athanor(&["cache", "gc", "--keep-runs=1"]).code, 0);
        assert_eq!(kept(&project).len(), 1);
        stopped(&project, Signal::SIGINT);
    }
    assert_eq!(seen(&project), "3");
    project.edit("cat $ATHANOR_STATE/n", "echo");
    project.write("go", "");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(kept(&project).len(), 1);
    let collected = project.athanor(&["cache", "gc", "--keep-runs=1"]);
    assert!(kept(&project).is_empty(), "{collected:?}");
}

#[test]
fn state_can_be_written_in_the_sandbox_and_nothing_beside_it() {
    let beside = "(echo x > $ATHANOR_STATE/../beside) 2> /dev/null && touch ${{ outputs.o }}/open";
    let line = format!(
        "mkdir ${{{{ outputs.o }}}}; echo x > own; mv own $ATHANOR_STATE/n; ls -l $ATHANOR_STATE; {beside}; true"
    );
    let project = stage(&line, "");
    project.edit("o.txt", "made");
    project.edit("state: true", "state: true\nresults: { made: a }");
    let outcome = Outcome::of(project.sandboxed(&["run", "p.yaml"]));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let without = outcome.out.contains("run without a sandbox");
    assert!(without || !project.path("results/p/made/open").exists());
}

#[test]
fn a_shell_shows_a_copy_of_the_state() {
    let project = counting();
    stopped(&project, Signal::SIGINT);
    let shell = |lines: &str| {
        project.write("lines", lines);
        let mut command = project.sandboxed(&["shell", "p.yaml", "a"]);
        command.env("SHELL", "/bin/sh").stdin(File::open(project.path("lines")).unwrap());
        Outcome::of(command)
    };
    let outcome = shell("cat $ATHANOR_STATE/n; echo more >> $ATHANOR_STATE/n && wc -l < $ATHANOR_STATE/n\n");
    assert_eq!(outcome.out, "x\n2\n", "{outcome:?}");
    std::fs::remove_file(project.path("up")).unwrap();
    let mut run = project.start(&[]);
    wait_for(&project.path("up"), &mut run);
    let outcome = shell("ls $ATHANOR_STATE | wc -l\n");
    assert_eq!(outcome.out, "0\n", "{outcome:?}");
    assert!(outcome.err.contains("a run works on the stage and has its state"), "{}", outcome.err);
    project.write("go", "");
    assert_eq!(run.wait().unwrap().code(), Some(0));
    assert_eq!(seen(&project), "2", "nothing of the shells' is in it");
}

#[test]
fn state_is_for_commands() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  t: { kind: synthetic_tables, state: true }\n  u: { kind: command, run: 'true', state: often }\n",
    );
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.contains("`state` is for commands"), "{}", outcome.err);
    assert!(outcome.err.contains("2 mistakes"), "{}", outcome.err);
}

#[test]
fn a_state_that_cannot_be_is_not_dropped_without_a_word() {
    let project = stage(&format!("{COUNT}; {MAKE}"), "");
    project.edit("stages:\n", "stages:\n  b: { kind: command, run: 'true' }\n");
    let outcome = project.run(&["--fresh-state", "b"]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.err.contains("error: `b` keeps no state that could be dropped"), "{}", outcome.err);
    assert_eq!(project.run(&["--fresh-state", "a"]).code, 0);
}

#[test]
fn a_stage_does_not_go_on_for_ever() {
    let project = stage("echo x >> $ATHANOR_STATE/n; exit 75", "");
    let outcome = project.run(&["-q"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains("more than 1000 times in this run"), "{}", outcome.out);
    assert!(outcome.out.contains("The next run goes on from its state"), "{}", outcome.out);
    let count = std::fs::read_to_string(kept(&project)[0].join("state/n")).unwrap().lines().count();
    assert_eq!(count, 1001);
}
