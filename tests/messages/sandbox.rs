//! Messages about files that a stage does not declare, or may not change or run.

use crate::shown::shown;
use crate::support::{Outcome, Project, skips};

/// The outcome of a stage with this line and these further keys, in a project with a few files.
fn said(line: &str, more: &str) -> String {
    let line = serde_json::to_string(line).unwrap();
    let project = Project::new(&format!(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    shell: sh\n    run: {line}\n    outputs: {{}}\n{more}"
    ));
    project.write("data/in.csv", "in\n");
    project.write("data/a, b.csv", "in\n");
    project.write("results/other/r.txt", "r\n");
    project.write("tool.sh", "true\n");
    let mut command = project.sandboxed(&["run", "p.yaml"]);
    command.env("LC_ALL", "C").env_remove("LANGUAGE");
    let outcome = Outcome::of(command);
    let text = shown(&outcome, &[(&project.path("."), "<project>")]);
    // Programs of other systems use other words.
    let told = text.split_inclusive('\n').filter(|line| !line.starts_with("  | "));
    format!("{line}\n{}", told.collect::<String>())
}

#[test]
fn files_that_are_not_in_the_stages_folder() {
    if said("true", "").contains("without a sandbox") {
        return skips("this kernel has no Landlock of version 3");
    }
    let python = "m=data; echo \"ModuleNotFoundError: No module named '$m'\" >&2; exit 1";
    let all = [said("d=data; cat $d/in.csv", ""), said(python, ""), said("exec ./tool.sh", "")];
    insta::assert_snapshot!(all.concat());
}

#[test]
fn files_that_the_sandbox_closes() {
    let probe = said("true", "");
    if probe.contains("without a sandbox") {
        return skips("this kernel has no Landlock of version 3");
    }
    let all = [
        said("P=$ATHANOR_PROJECT; cat $P/data/in.csv", ""),
        said("P=$ATHANOR_PROJECT; cat \"$P/data/a, b.csv\"", ""),
        said("P=$ATHANOR_PROJECT; cat $P/results/other/r.txt", ""),
        said("P=$ATHANOR_PROJECT; cat $P/.athanor/format", ""),
        said("P=$ATHANOR_PROJECT; echo x > $P/new.txt || exit 1", ""),
        said("echo x > inputs/f/in.csv || exit 1", "    inputs: { f: data/in.csv }\n"),
    ];
    insta::assert_snapshot!(all.concat());
}

#[test]
fn a_project_that_is_the_home_folder() {
    let project = Project::new("athanor: 1\nname: p\nstages:\n  a: { kind: command, run: \"true\", outputs: {} }\n");
    project.write(".profile", "");
    let mut command = project.sandboxed(&["run", "p.yaml"]);
    command.env("HOME", project.path("")).env("PATH", format!("{}:/usr/bin:/bin", project.path("bin").display()));
    project.write("bin/mine", "");
    let text = shown(&Outcome::of(command), &[(&project.path(""), "<project>")]);
    if text.contains("without a sandbox") {
        return skips("this kernel has no Landlock of version 3");
    }
    insta::assert_snapshot!(text);
}
