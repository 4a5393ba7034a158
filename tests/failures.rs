//! Stages that fail, hang, are stopped or killed: the run says so and its state stays right.

mod support;

use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Project, events, wait_for, wait_until};

/// A pipeline of commands: name, line, further keys.
fn commands(stages: &[(&str, &str, &str)]) -> Project {
    let mut text = String::from("athanor: 1\nname: p\nstages:\n");
    for (name, line, more) in stages {
        text += &format!(
            "  {name}:\n    kind: command\n    run: |\n      {}\n    outputs: {{ o: o.txt }}\n",
            line.replace('\n', "\n      ")
        );
        more.lines().for_each(|line| text += &format!("    {line}\n"));
    }
    Project::new(&text)
}

const GOOD: &str = "echo fine > ${{ outputs.o }}";

#[test]
fn a_failed_stage_shows_its_cause_and_the_end_of_its_log() {
    let project =
        commands(&[("bad", "echo first >&2; echo last words; exit 3", ""), ("after", GOOD, "inputs: { i: bad }")]);
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    for piece in [
        "It ended with exit status 3.",
        "  | first",
        "  | last words",
        "skipped      after: it needs bad, which failed",
    ] {
        assert!(outcome.out.contains(piece), "{piece}: {}", outcome.out);
    }
    assert_eq!(project.athanor(&["logs", "p.yaml", "bad"]).out, "first\nlast words\n");
    assert!(
        project.athanor(&["status", "p.yaml"]).out.contains("its last attempt failed: It ended with exit status 3.")
    );
}

#[test]
fn what_was_not_come_to_is_counted() {
    let project = commands(&[("bad", "false", ""), ("b", "sleep 1; echo b", ""), ("c", "sleep 1; echo c", "")]);
    let outcome = project.run(&["-j", "1"]);
    assert!(outcome.out.contains("failed: 1 failed, 2 not started in"), "{}", outcome.out);
}

#[test]
fn a_log_does_not_reach_the_terminal_as_commands() {
    let project = commands(&[("bad", "printf 'a\\033[31mred\\rb\\n'; exit 1", "")]);
    assert!(project.run(&[]).out.contains("  | a\\u{1b}[31mred\\rb\n"));
    assert_eq!(project.athanor(&["logs", "p.yaml", "bad"]).out, "a\u{1b}[31mred\rb\n");
}

#[test]
fn signals_missing_programs_and_missing_outputs_are_told_apart() {
    for (line, cause) in [
        ("kill -SEGV $$", "It was killed by signal 11 (SIGSEGV)."),
        ("kill -ABRT $$", "It was killed by signal 6 (SIGABRT)."),
        ("no-such-program", "help: A program in the script was not found"),
        ("true", "did not write its output `o` (`o.txt`)"),
    ] {
        let outcome = commands(&[("bad", line, "")]).run(&[]);
        assert_eq!(outcome.code, 1);
        assert!(outcome.out.contains(cause), "{cause}: {}", outcome.out);
    }
}

#[test]
fn a_line_is_as_long_as_it_likes_and_a_program_is_not() {
    let long = "y".repeat(150_000);
    let line = format!("printf %s '{long}' | wc -c > ${{{{ outputs.o }}}}");
    assert_eq!(commands(&[("long", &line, "")]).run(&[]).code, 0);
    let outcome = commands(&[("long", &format!("/bin/echo '{long}' > ${{{{ outputs.o }}}}"), "")]).run(&[]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.out.contains("Argument list too long"), "{}", outcome.out);
    assert!(outcome.out.len() < 10_000, "and it is not repeated: {} bytes", outcome.out.len());
}

/// The worker process of a run, once there is one.
fn worker_of(run: &mut Child) -> Pid {
    let parent = format!("PPid:\t{}\n", run.id());
    loop {
        assert!(run.try_wait().unwrap().is_none(), "the run ended before its worker was found");
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let read = |name: &str| std::fs::read_to_string(process.path().join(name)).unwrap_or_default();
            if read("cmdline").contains("\0worker\0") && read("status").contains(&parent) {
                return Pid::from_raw(process.file_name().to_str().unwrap().parse().unwrap());
            }
        }
    }
}

#[test]
fn a_worker_that_crashes_is_a_failed_stage() {
    for (signal, cause) in [
        (Signal::SIGILL, "It was killed by signal 4 (SIGILL)."),
        (Signal::SIGABRT, "It was killed by signal 6 (SIGABRT)."),
        (Signal::SIGKILL, "It was killed by signal 9 (SIGKILL)."),
    ] {
        let big = "athanor: 1\nname: p\nstages: { big: { kind: synthetic_tables, params: { train: 2000000 } } }\n";
        let project = Project::new(big);
        let mut run = project.start(&[]);
        kill(worker_of(&mut run), signal).unwrap();
        let output = run.wait_with_output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{out}");
        assert!(out.contains(cause), "{out}");
        assert!(project.athanor(&["cache", "ls"]).out.contains("0 results"));
    }
}

#[test]
fn an_output_appears_only_when_its_stage_succeeds() {
    let project = commands(&[("bad", "echo half > ${{ outputs.o }}; exit 1", "")]);
    assert_eq!(project.run(&[]).code, 1);
    assert!(project.athanor(&["cache", "ls"]).out.contains("0 results in 0 files"));
}

#[test]
fn undeclared_files_are_reported() {
    let project = commands(&[("a", "echo x > ${{ outputs.o }}; mkdir d; echo y > d/stray", "")]);
    assert!(project.run(&[]).out.contains("note: it also wrote `d/stray`"));
}

#[test]
fn keep_going_makes_what_does_not_depend_on_the_failure() {
    let stages = [
        ("bad", "exit 1", ""),
        ("after", GOOD, "inputs: { i: bad }"),
        ("other", "sleep 0; echo > ${{ outputs.o }}", "inputs: { i: third }"),
        ("third", GOOD, ""),
    ];
    let project = commands(&stages);
    let outcome = project.run(&["-j", "1", "-k", "--json"]);
    assert_eq!(outcome.code, 1);
    assert_eq!(events(&outcome.out, "finished"), ["third", "other"]);
    assert_eq!(events(&outcome.out, "skipped"), ["after"]);
}

#[test]
fn a_retry_can_succeed() {
    let marker = "marker=$ATHANOR_PROJECT/tried; if [ -e $marker ]; then echo ok > ${{ outputs.o }}; else touch $marker; exit 1; fi";
    let project = commands(&[("flaky", marker, "retries: 1")]);
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.out.contains("flaky (attempt 1, retrying)"));
    assert!(outcome.out.contains("started      flaky (attempt 2)"));
}

#[test]
fn a_timeout_kills_the_whole_process_group() {
    let line = "(trap '' TERM; echo $$ > $ATHANOR_PROJECT/pid; sleep 1000) & wait";
    let project = commands(&[("slow", line, "timeout: 300ms")]);
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.out.contains("It took longer than its timeout of 300ms and was killed."), "{}", outcome.out);
    wait_for_group_to_end(&project);
}

/// Waits until the process group whose number the file `pid` holds is gone: killed processes go only once they are reaped.
fn wait_for_group_to_end(project: &Project) {
    let pid: i32 = project.read("pid").trim().parse().unwrap();
    wait_until("the process group is gone", || kill(Pid::from_raw(-pid), None).is_err());
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

#[test]
fn the_first_interrupt_lets_a_stage_stop_cleanly() {
    let line = "trap 'echo saved > $ATHANOR_PROJECT/saved; exit 0' TERM; touch $ATHANOR_PROJECT/up; while :; do sleep 0.01; done";
    let project = commands(&[("long", line, ""), ("after", GOOD, "inputs: { i: long }")]);
    let mut child = project.start(&[]);
    wait_for(&project.path("up"), &mut child);
    signal(&child, Signal::SIGINT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(project.read("saved"), "saved\n");
    assert!(project.athanor(&["cache", "verify"]).out.contains("0 damaged"));
}

/// Starts a run and waits until it hashes an input that takes far longer than any test.
fn start_hashing(project: &Project) -> Child {
    project.write("small.txt", "small");
    // Without blocks on disk.
    std::fs::File::create(project.path("big.bin")).unwrap().set_len(200 << 30).unwrap();
    let mut run = project.start(&["--json"]);
    let mut out = std::io::BufReader::new(run.stdout.as_mut().unwrap());
    let mut seen = String::new();
    while !seen.contains(r#""event":"hashing""#) {
        assert!(std::io::BufRead::read_line(&mut out, &mut seen).unwrap() > 0, "{seen}");
    }
    run
}

#[test]
fn an_interrupt_while_inputs_are_hashed_ends_the_run_at_once() {
    let project = commands(&[("a", GOOD, "inputs: { small: small.txt, big: big.bin }")]);
    let mut run = start_hashing(&project);
    signal(&run, Signal::SIGINT);
    assert_eq!(run.wait().unwrap().code(), Some(130));
    project.write("big.bin", "now small");
    assert_eq!(project.made(&[]), ["a"]);
}

#[test]
fn an_input_that_is_cut_short_while_it_is_hashed_stops_no_run() {
    let project = commands(&[("a", GOOD, "inputs: { small: small.txt, big: big.bin }")]);
    let run = start_hashing(&project);
    project.write("big.bin", "now small");
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("`big.bin` changed"), "{output:?}");
    assert_eq!(project.made(&[]), ["a"]);
}

#[test]
fn the_second_interrupt_kills() {
    let line = "trap 'touch $ATHANOR_PROJECT/heard' TERM; touch $ATHANOR_PROJECT/up; while :; do sleep 0.01; done";
    let project = commands(&[("deaf", line, "")]);
    let mut child = project.start(&[]);
    wait_for(&project.path("up"), &mut child);
    signal(&child, Signal::SIGINT);
    wait_for(&project.path("heard"), &mut child);
    signal(&child, Signal::SIGINT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_killed_run_leaves_no_orphans_and_loses_only_the_work_in_flight() {
    let line = "echo $$ > $ATHANOR_PROJECT/pid; [ -e $ATHANOR_PROJECT/second ] || while :; do sleep 0.01; done; echo > ${{ outputs.o }}";
    let project = commands(&[("quick", GOOD, ""), ("long", line, "inputs: { i: quick }")]);
    let mut child = project.start(&[]);
    wait_for(&project.path("pid"), &mut child);
    wait_until("its number is written", || !project.read("pid").trim().is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for_group_to_end(&project);
    project.write("second", "");
    assert_eq!(project.made(&[]), ["long"]);
    assert!(project.athanor(&["cache", "verify"]).out.contains("0 damaged"));
    let left = std::fs::read_dir(project.path(".athanor/scratch")).unwrap().count();
    assert_eq!(left, 0, "the killed run's folder is swept");
}

#[test]
fn an_input_that_changes_under_its_stage_is_not_recorded() {
    let line = "cat ${{ inputs.i }} > ${{ outputs.o }}; echo other > $ATHANOR_PROJECT/in.txt";
    let project = commands(&[("a", line, "inputs: { i: in.txt }")]);
    project.write("in.txt", "thing\n");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.out.contains("`in.txt` changed while the stage was running"), "{}", outcome.out);
    assert!(project.athanor(&["cache", "ls"]).out.contains("0 results"));
}

#[test]
fn an_input_that_changes_under_its_stage_and_back_is_not_recorded() {
    let back = "cat ${{ inputs.i }} > ${{ outputs.o }}; cd $ATHANOR_PROJECT; cp -p in.txt was; echo other > in.txt; cp -p was in.txt";
    let folder =
        "cat ${{ inputs.i }}/* > ${{ outputs.o }}; cd $ATHANOR_PROJECT/many; echo new > b; mv b a; echo same > a";
    for (line, input) in [(back, "in.txt"), (folder, "many")] {
        let project = commands(&[("a", line, &format!("inputs: {{ i: {input} }}"))]);
        project.write("in.txt", "thing\n");
        project.write("many/a", "same\n");
        let outcome = project.run(&[]);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert!(outcome.out.contains(&format!("`{input}` changed while the stage was running")), "{}", outcome.out);
        assert!(project.athanor(&["cache", "ls"]).out.contains("0 results"));
    }
}

#[test]
fn an_input_that_was_written_just_before_its_stage_is_no_reason_to_fail() {
    let project = commands(&[
        (
            "a",
            "cat ${{ inputs.i }} > ${{ outputs.o }}; echo late > $ATHANOR_PROJECT/other.txt",
            "inputs: { i: in.txt }",
        ),
        ("b", "cat ${{ inputs.a }} ${{ inputs.i }}/x > ${{ outputs.o }}", "inputs: { a: a, i: many }"),
    ]);
    project.write("in.txt", "thing\n");
    project.write("many/x", "thing\n");
    assert_eq!(project.made(&[]), ["a", "b"]);
}

#[test]
fn a_stage_that_writes_to_its_input_does_not_spoil_the_cache() {
    let line =
        "chmod u+w $(readlink ${{ inputs.i }}); echo bad >> ${{ inputs.i }}; cat ${{ inputs.i }} > ${{ outputs.o }}";
    let project = commands(&[("good", GOOD, ""), ("rude", line, "inputs: { i: good }")]);
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.out.contains("It changed its own input `good.o`"), "{}", outcome.out);
    assert!(project.athanor(&["cache", "verify"]).out.contains("0 damaged"));
    project.edit("chmod u+w $(readlink ${{ inputs.i }}); echo bad >> ${{ inputs.i }}; ", "");
    assert_eq!(project.made(&[]), ["rude"], "what it had spoiled was made again at once");
}

#[test]
fn two_runs_at_once_share_the_work() {
    let line = "echo x >> $ATHANOR_PROJECT/count; while [ ! -e $ATHANOR_PROJECT/go ]; do sleep 0.01; done; echo > ${{ outputs.o }}";
    let project = commands(&[
        ("a", line, ""),
        ("b", "cat ${{ inputs.i }} > ${{ outputs.o }}; echo y >> $ATHANOR_PROJECT/count", "inputs: { i: a }"),
    ]);
    let mut first = project.start(&[]);
    wait_for(&project.path("count"), &mut first);
    let mut second = project.start(&[]);
    let mut seen = String::new();
    let mut reader = std::io::BufReader::new(second.stdout.take().unwrap());
    while !seen.contains("waiting      a") {
        assert!(std::io::BufRead::read_line(&mut reader, &mut seen).unwrap() > 0, "{seen}");
    }
    project.write("go", "");
    assert_eq!(first.wait().unwrap().code(), Some(0));
    std::io::Read::read_to_string(&mut reader, &mut seen).unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(0), "{seen}");
    assert_eq!(project.read("count"), "x\ny\n");
}

#[test]
fn a_stage_reports_progress_and_metrics_through_its_events_file() {
    let line = r#"echo '{"event":"metric","name":"loss","value":0.5}' > $ATHANOR_EVENTS; echo 'junk' > $ATHANOR_EVENTS; echo > ${{ outputs.o }}"#;
    let outcome = commands(&[("a", line, "")]).run(&["--json"]);
    assert_eq!(outcome.code, 0);
    assert!(outcome.out.contains(r#""event":"metric","instance":"a","name":"loss","value":0.5"#), "{}", outcome.out);
}

#[test]
fn files_that_changed_in_a_folder_are_named() {
    let line = "ls ${{ inputs.i }} > ${{ outputs.o }}; echo x > $ATHANOR_PROJECT/left-behind.txt";
    let project = commands(&[("a", line, "inputs: { i: ./ }")]);
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let says = "`.` changed while the stage was running (`left-behind.txt`), so its result is not kept.";
    assert!(outcome.out.contains(says), "{}", outcome.out);
    assert!(outcome.out.contains("`.athanorignore`"), "{}", outcome.out);
    project.write(".athanorignore", "left-behind.txt\n");
    assert_eq!(project.run(&[]).code, 0);
}

#[test]
fn a_stage_whose_input_has_changed_already_is_not_started() {
    for (read, keys) in [
        ("cat ${{ inputs.x }}", "inputs: { first: a, x: in.yaml }"),
        ("cat $ATHANOR_PROJECT/in.yaml", "inputs: { first: a }\nreads: { in.yaml: [k] }"),
    ] {
        let change = "echo 'k: 2' > $ATHANOR_PROJECT/in.yaml; echo x > ${{ outputs.o }}";
        let reader = format!("{read} ${{{{ inputs.first }}}} > ${{{{ outputs.o }}}}");
        let project = commands(&[("a", change, ""), ("b", &reader, keys)]);
        project.write("in.yaml", "k: 1\n");
        let outcome = project.run(&["--json"]);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert_eq!(support::events(&outcome.out, "started"), ["a"], "{keys}");
        assert!(
            outcome.out.contains("`in.yaml` has changed since the run began, so the stage was not started."),
            "{}",
            outcome.out
        );
        assert_eq!(project.made(&[]), ["b"]);
    }
}

#[test]
fn a_script_that_ends_without_a_word_gets_a_hint() {
    let project = commands(&[("a", "grep -q nothing /dev/null; echo x > ${{ outputs.o }}", "")]);
    let outcome = project.run(&[]);
    assert!(outcome.out.contains("It printed nothing: one of its commands ended without a word"), "{}", outcome.out);
    project.edit("grep -q", "echo here; grep -q");
    assert!(!project.run(&[]).out.contains("It printed nothing"));
}
