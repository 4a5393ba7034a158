//! Files that shell scripts of a line source and run: they count as inputs, and lie in the folder of the stage.

mod support;

use std::os::unix::fs::PermissionsExt;

use support::Project;

/// A pipeline with one command `a`, whose result is `x.txt`.
fn project(line: &str) -> Project {
    Project::new(&format!(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    run: {}\n    outputs: {{ x: x.txt }}\nresults: {{ x.txt: a }}\n",
        serde_json::to_string(line).unwrap()
    ))
}

/// The stage runs, with this result.
fn makes(project: &Project, result: &str) {
    assert_eq!((project.made(&[]), project.read("results/p/x.txt")), (vec!["a".to_owned()], result.to_owned()));
    assert!(project.made(&[]).is_empty());
}

#[test]
fn files_that_a_script_sources_count_however_the_script_says_where_they_lie() {
    let ways = [
        "source steps/lib.sh",
        ". \"$(dirname \"$0\")/lib.sh\"",
        "source \"${BASH_SOURCE%/*}/lib.sh\"",
        "HERE=$(cd \"$(dirname \"${BASH_SOURCE[0]}\")\" && pwd)\n. $HERE/lib.sh",
        "cd \"$(dirname \"$0\")\"; source ./lib.sh; cd ..",
        "source $ATHANOR_PROJECT/steps/lib.sh",
    ];
    for way in ways {
        let project = project("bash steps/all.sh > ${{ outputs.x }}");
        // A file that is not there ends no script of its own, and without it the result would be empty.
        project.write("steps/all.sh", &format!("{way}\necho \"v=$V\"\n"));
        project.write("steps/lib.sh", "source \"${BASH_SOURCE%/*}/deeper.conf\"\n");
        project.write("steps/deeper.conf", "V=1\n");
        makes(&project, "v=1\n");
        project.write("steps/deeper.conf", "V=2\n");
        let why = project.athanor(&["explain", "p.yaml", "a"]).out;
        assert!(
            why.contains("`steps/all.sh (imports)` changed") && why.contains("modified steps/deeper.conf"),
            "{why}"
        );
        makes(&project, "v=2\n");
        project.write("steps/lib.sh", "V=3\n");
        makes(&project, "v=3\n");
    }
}

#[test]
fn a_file_that_a_script_would_source_counts_from_when_it_is_there() {
    let project = project("sh all.sh > ${{ outputs.x }}");
    project.write("all.sh", "V=0\nif [ -e local.env ]; then . ./local.env; fi\necho $V\n");
    makes(&project, "0\n");
    project.write("local.env", "V=1\n");
    makes(&project, "1\n");
    std::fs::remove_file(project.path("local.env")).unwrap();
    assert!(project.made(&[]).is_empty());
    assert_eq!(project.read("results/p/x.txt"), "0\n");
}

#[test]
fn scripts_that_a_script_runs_count_and_files_that_it_writes_do_not() {
    let project = project("./all > ${{ outputs.x }}");
    project.write("all", "#!/bin/sh\nbash lib/step.sh\ncat made.txt x.txt 2> /dev/null || true\n");
    std::fs::set_permissions(project.path("all"), std::fs::Permissions::from_mode(0o755)).unwrap();
    project.write("lib/step.sh", "echo step >> made.txt; echo 1\n");
    // Left behind by somebody who ran the script by hand.
    project.write("made.txt", "by hand\n");
    makes(&project, "1\nstep\n");
    project.write("lib/step.sh", "echo step >> made.txt; echo 2\n");
    makes(&project, "2\nstep\n");
    project.write("made.txt", "again\n");
    assert!(project.made(&[]).is_empty());
}

#[test]
fn a_script_that_is_named_where_it_lies_finds_what_it_names_from_the_stages_folder() {
    let project = project("bash $ATHANOR_PROJECT/all.sh > ${{ outputs.x }}");
    project.write("all.sh", ". \"$(dirname \"$0\")/lib.sh\"\nbash step.sh\n");
    project.write("lib.sh", "export V=1\n");
    project.write("step.sh", "echo $V\n");
    makes(&project, "1\n");
    project.write("lib.sh", "export V=2\n");
    makes(&project, "2\n");
}

#[test]
fn an_environment_that_a_script_activates_is_left_as_it_is() {
    let project = project("bash all.sh > ${{ outputs.x }}; .venv/bin/tool >> ${{ outputs.x }}");
    project.write("all.sh", "source .venv/bin/activate\necho $NAME\n");
    project.write(".venv/pyvenv.cfg", "");
    project.write(".venv/bin/activate", "NAME=one\n");
    project.write(".venv/bin/tool", "#!/bin/sh\necho tool\n");
    std::fs::set_permissions(project.path(".venv/bin/tool"), std::fs::Permissions::from_mode(0o755)).unwrap();
    makes(&project, "one\ntool\n");
    project.write(".venv/bin/activate", "NAME=two\n");
    makes(&project, "two\ntool\n");
    assert_eq!(project.read(".venv/bin/activate"), "NAME=two\n");
}

#[test]
fn modules_of_a_python_program_without_an_extension_count() {
    if !std::process::Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        support::skips("there is no python3");
        return;
    }
    let project = project("bin/tool > ${{ outputs.x }}");
    project.write("bin/tool", "#!/usr/bin/env python3\nimport helper\nprint(helper.V)\n");
    std::fs::set_permissions(project.path("bin/tool"), std::fs::Permissions::from_mode(0o755)).unwrap();
    project.write("bin/helper.py", "V = 1\n");
    makes(&project, "1\n");
    project.write("bin/helper.py", "V = 2\n");
    makes(&project, "2\n");
}
