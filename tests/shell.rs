//! `athanor shell`: a shell in a stage's prepared folder.

mod support;

use std::io::Write;
use std::process::Stdio;

use support::{Outcome, Project};

const PIPELINE: &str = "athanor: 1
name: p
stages:
  first: { kind: command, run: 'echo made > ${{ outputs.o }}', outputs: { o: o.txt } }
  second:
    kind: command
    matrix: { n: [1, 2] }
    inputs: { i: first }
    seed: 7
    run: cat ${{ inputs.i }} tools/s.sh > ${{ outputs.o }}; echo ${{ matrix.n }}
    outputs: { o: sub/o.txt }
";

/// The outcome of these lines in a shell for `selector`.
fn shell(project: &Project, selector: &str, lines: &str) -> Outcome {
    let mut command = project.sandboxed(&["shell", "p.yaml", selector]);
    command.env("SHELL", "/bin/sh").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A shell that was refused reads nothing.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn project() -> Project {
    let project = Project::new(PIPELINE);
    project.write("tools/s.sh", "script\n");
    project.write("secret", "secret\n");
    project
}

#[test]
fn a_shell_has_the_folder_the_variables_and_the_sandbox_of_its_stage_and_leaves_nothing() {
    let project = project();
    assert_eq!(project.run(&["first"]).code, 0);
    let lines =
        "cat inputs/* tools/s.sh; echo x > sub/o.txt; echo $ATHANOR_STAGE $ATHANOR_SEED; echo {} > $ATHANOR_EVENTS
pwd > /dev/stderr; cat $ATHANOR_PROJECT/secret && echo open; exit 3\n";
    let outcome = shell(&project, "second[n=2]", lines);
    assert_eq!(outcome.code, 3, "{outcome:?}");
    assert!(outcome.out.contains("script\nsecond[n=2] 7\n"), "{outcome:?}");
    let without = outcome.err.contains("run without a sandbox");
    assert!(without || !outcome.out.contains("open"), "{outcome:?}");
    assert!(outcome.err.contains("  | cat "), "its line is shown: {}", outcome.err);
    let folder = outcome.err.lines().find(|line| line.starts_with('/')).expect("`pwd` prints its folder");
    assert!(folder.ends_with("/work") && !std::path::Path::new(folder).exists(), "{folder}");
    let left: Vec<_> = std::fs::read_dir(project.path(".athanor/tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(project.made(&[]).len(), 2, "nothing was recorded");
}

#[test]
fn a_shell_for_what_has_no_inputs_yet_says_which_stage_runs_first() {
    let outcome = shell(&project(), "second[n=1]", "echo reached\n");
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.err.contains("run `first` first"), "{}", outcome.err);
    assert!(!outcome.out.contains("reached"));
}

#[test]
fn a_shell_is_for_one_instance() {
    let outcome = shell(&project(), "second", "");
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.err.contains("`second` selects 2 instances"), "{}", outcome.err);
    assert_eq!(shell(&project(), "third", "").code, 2);
}
