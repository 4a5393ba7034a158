//! What stages print: in order, bounded, there while they run.

mod support;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use support::{Project, wait_for};

fn stage(line: &str) -> Project {
    Project::new(&format!(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    run: |\n      {}\n    outputs: {{ o: o.txt }}\n",
        line.replace('\n', "\n      ")
    ))
}

fn log(project: &Project) -> String {
    project.athanor(&["logs", "p.yaml", "a"]).out
}

#[test]
fn both_outputs_are_in_the_log_in_the_order_in_which_they_were_written() {
    let project = stage("for i in 1 2 3; do echo out $i; echo err $i >&2; done; echo > ${{ outputs.o }}");
    assert_eq!(project.run(&[]).code, 0);
    assert_eq!(log(&project), "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n");
}

#[test]
fn of_a_flood_beginning_and_end_are_kept() {
    const LIMIT: usize = 64 << 20;
    let project = stage("echo first; { yes in between || true; } | head -c 150000000; echo; echo last; exit 1");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.out.contains("  | last\n"), "{}", outcome.out);
    let log = log(&project);
    assert!(
        log.starts_with("first\nin between\n") && log.ends_with("in between\nin between\nin\nlast\n")
            || log.ends_with("\nlast\n")
    );
    assert_eq!(log.len(), LIMIT);
    let cut = log.lines().filter(|line| line.starts_with("[… ")).collect::<Vec<_>>();
    assert_eq!(cut.len(), 1);
    assert_eq!(cut[0].trim_end(), "[… 79.1 MiB left out here …]");
}

#[test]
fn a_log_is_there_while_its_stage_runs() {
    let project = stage(
        "echo so far; touch $ATHANOR_PROJECT/there; until [ -e $ATHANOR_PROJECT/go ]; do sleep 0.01; done; echo > ${{ outputs.o }}",
    );
    let mut run = project.start(&[]);
    wait_for(&project.path("there"), &mut run);
    while log(&project) != "so far\n" {
        assert!(run.try_wait().unwrap().is_none());
    }
    project.write("go", "");
    assert!(run.wait().unwrap().success());
}

#[test]
fn a_silent_stage_has_an_empty_log() {
    for (line, code) in [("echo > ${{ outputs.o }}", 0), ("exit 1", 1)] {
        let project = stage(line);
        assert_eq!(project.run(&[]).code, code);
        let outcome = project.athanor(&["logs", "p.yaml", "a"]);
        assert_eq!((outcome.out.as_str(), outcome.err.as_str()), ("", "a printed nothing.\n"));
    }
}

#[test]
fn a_worker_logs_in_order_too() {
    let pipeline = "athanor: 1\nname: p\nstages: { t: { kind: synthetic_tables, params: { train: 20 } } }\n";
    let project = Project::new(pipeline);
    assert_eq!(project.run(&[]).code, 0);
    assert_eq!(project.athanor(&["logs", "p.yaml", "t"]).code, 0);
}

#[test]
fn a_log_is_followed_from_another_terminal_until_its_stage_has_ended() {
    let wait = |name: &str| format!("until [ -e $ATHANOR_PROJECT/{name} ]; do sleep 0.01; done");
    let project = stage(&format!(
        "echo so far; touch $ATHANOR_PROJECT/there; {}; echo more; printf end; {}; echo > ${{{{ outputs.o }}}}",
        wait("go"),
        wait("leave")
    ));
    let mut run = project.start(&[]);
    wait_for(&project.path("there"), &mut run);
    let mut follow = project.command(&["logs", "-f", "p.yaml", "a"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap());
    let mut read = || {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(read(), "so far\n");
    project.write("go", "");
    assert_eq!(read(), "more\n");
    project.write("leave", "");
    assert_eq!(read(), "end", "what has no end of a line comes at the end");
    assert_eq!(read(), "");
    assert!(follow.wait().unwrap().success() && run.wait().unwrap().success());
    // Where nothing runs it is as without.
    assert_eq!(project.athanor(&["logs", "-f", "p.yaml", "a"]).out, "so far\nmore\nend");
}

#[test]
fn with_other_variables_a_log_is_that_of_their_result() {
    let project = Project::new(
        "athanor: 1\nname: p\nvars: { v: 1 }\nstages:\n  a:\n    kind: command\n    run: echo printed ${{ vars.v }}; echo > ${{ outputs.o }}; [ ${{ vars.v }} != 4 ]\n    \
         outputs: { o: o.txt }\n",
    );
    let with = |value: &str| project.athanor(&["logs", "p.yaml", "a", "--set", &format!("v={value}")]).out;
    for value in ["1", "2", "3"] {
        assert_eq!(project.run(&["--set", &format!("v={value}")]).code, 0);
    }
    assert_eq!(["1", "2", "3"].map(with), ["printed 1\n", "printed 2\n", "printed 3\n"]);
    assert_eq!(log(&project), "printed 3\n", "the newest one");
    // What failed last says why, and has no result.
    assert_eq!(project.run(&["--set", "v=4"]).code, 1);
    assert_eq!(["4", "2", "5"].map(with), ["printed 4\n", "printed 2\n", "printed 4\n"]);
}
