//! Small promises of the command line: what each option says is what it does.

mod support;

use std::process::Command;

use serde_json::Value;
use support::{Outcome, Project};

const PIPELINE: &str = "athanor: 1\nname: p\nstages:\n  a: { kind: command, run: 'echo 1 > ${{ outputs.o }}', outputs: { o: o.txt } }\n  \
    b: { kind: command, inputs: { i: a }, run: 'cp ${{ inputs.i }} ${{ outputs.o }}', outputs: { o: o.txt } }\n  \
    c: { kind: command, run: 'echo 3 > ${{ outputs.o }}', outputs: { o: o.txt } }\n";

#[test]
fn a_dry_run_knows_what_is_forced_and_speaks_json() {
    let project = Project::new(PIPELINE);
    project.made(&[]);
    assert_eq!(project.run(&["-n"]).out, "0 instances would run or wait, 3 fresh\n");
    let forced = project.run(&["-n", "--force", "a"]);
    assert_eq!(forced.out, "a: forced\nb: waits for a\n2 instances would run or wait, 1 fresh\n");
    let json: Value = serde_json::from_str(&project.run(&["-n", "--force", "a", "--json"]).out).unwrap();
    assert_eq!(json[0]["state"]["reasons"][0]["reason"], "forced");
    assert_eq!(json[1]["state"]["standing"], "waits");
    assert_eq!(json[2]["state"]["standing"], "fresh");
}

#[test]
fn a_stage_that_asks_for_more_cpus_than_there_are_gets_those() {
    let project = Project::new(&PIPELINE.replace("c: { kind: command,", "c: { kind: command, resources: { cpus: 8 },"));
    let note = "note: `c` asks for 8 CPUs, and gets the 2 that the run has\n";
    let dry = project.run(&["-n", "-j", "2", "c"]);
    assert_eq!((dry.code, dry.out.starts_with(note)), (0, true), "{dry:?}");
    let outcome = project.run(&["-j", "2", "c"]);
    assert_eq!((outcome.code, outcome.out.contains(note)), (0, true), "{outcome:?}");
    assert!(outcome.out.contains("started      c (2 CPUs)"), "{}", outcome.out);
    assert!(!project.run(&["-j", "8", "--force", "c", "c"]).out.contains("note:"));
}

const WARNED: &str = "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    inputs: { x: p.yaml }\n    \
    run: cat {input.x} ${vars.n} \"{{ matrix.a }}\" > ${{ outputs.o }}\n    outputs: { o: o.txt }\n";

#[test]
fn what_looks_like_an_expression_is_warned_of() {
    let project = Project::new(WARNED);
    let outcome = project.athanor(&["check", "p.yaml"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (0, "p.yaml: 1 stage, 1 instance, no mistakes\n"));
    insta::assert_snapshot!(outcome.err);
    for _ in 0..2 {
        // The second time the plan is not compiled.
        assert!(project.run(&[]).err.starts_with(&outcome.err), "a run says so, too");
    }
}

/// A pipeline with one command that declares `figure.png`, and what it says of it.
fn warnings(stage: &str, files: &[(&str, &str)]) -> String {
    let project = Project::new(&format!(
        "athanor: 1\nname: p\nstages:\n  plot:\n    kind: command\n    outputs: {{ figure: figure.png }}\n{stage}"
    ));
    files.iter().for_each(|(name, text)| project.write(name, text));
    let outcome = project.athanor(&["check", "p.yaml"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    outcome.err
}

#[test]
fn outputs_that_nothing_in_a_script_names_are_warned_of() {
    insta::assert_snapshot!(warnings("    run: |\n      # draws\n      echo drawn > plot.png\n", &[]));
    let script = "import sys\nprint(open(sys.argv[1]).read())\n";
    let told = "nothing in `run` of `plot` names its output `figure` (`figure.png`)";
    assert!(warnings("    run: python draw.py draw.py\n", &[("draw.py", script)]).contains(told));
    assert!(warnings("    shell: python\n    run: |\n      print(1)\n", &[]).contains(told));
}

#[test]
fn outputs_that_may_be_written_are_not_warned_of() {
    let stages = [
        "    run: echo x > figure.png\n",
        "    run: cd . && echo x > figure.png\n",
        "    run: N=figure; echo x > $N.png\n",
        "    run: for f in a b; do echo > $f; done\n",
        "    run: echo > $ATHANOR_OUT\n",
        "    run: make\n",
        "    run: tar xf archive.tar\n",
        "    run: cp -r pictures/. .\n",
        "    run: python -m tools.draw\n",
        "    run: python ${{ vars.script }}\n",
        "    run: echo `cat $ATHANOR_CONTEXT`\n",
        "    shell: perl {0}\n    run: print 1\n",
        "    env: { OUT: \"${{ 'figure' }}.png\" }\n    run: echo x\n",
    ];
    for stage in stages {
        let stage = stage.replace("${{ vars.script }}", "absent.py");
        assert_eq!(warnings(&stage, &[]), "", "{stage}");
    }
    let scripts = [
        "open('figure.png', 'w')",
        "name = 'fig' + 'ure'; open(name + '.png', 'w')",
        "import os; open(os.environ['ATHANOR_CONTEXT'])",
        "import yaml; open(yaml.safe_load(open('params.yaml'))['out'], 'w')",
        "from drawing import draw; draw()",
        "import subprocess; subprocess.run(['make'])",
    ];
    for script in scripts {
        assert_eq!(warnings("    run: python draw.py\n", &[("draw.py", script)]), "", "{script}");
    }
}

#[test]
fn mistakes_and_warnings_are_json_for_programs() {
    let project = Project::new(&WARNED.replace("outputs: { o: o.txt }", "outputs: { o: o.txt }\n    seed: -1"));
    let outcome = project.athanor(&["check", "--json", "p.yaml"]);
    assert_eq!((outcome.code, outcome.err.as_str()), (2, ""));
    insta::assert_snapshot!(outcome.out);
    project.edit("\n    seed: -1", "");
    let right: Value = serde_json::from_str(&project.athanor(&["check", "--json", "p.yaml"]).out).unwrap();
    assert_eq!((&right["pipeline"], right["diagnostics"].as_array().unwrap().len()), (&Value::from("p"), 3));
}

#[test]
fn data_that_is_not_there_is_one_mistake_and_can_be_left_aside() {
    let stage = |name: &str, file: &str| {
        format!(
            "  {name}: {{ kind: command, inputs: {{ i: {file} }}, run: 'cp ${{{{ inputs.i }}}} ${{{{ outputs.o }}}}', outputs: {{ o: o }} }}\n"
        )
    };
    let files = [
        "data/hpa/train.csv",
        "data/hpa/sub/test.csv",
        "data/hpa/images",
        "data/hpa/train.csv",
        "here/x.csv",
        "here/y.csv",
        "/nowhere/1/x",
        "/nowhere/2/y",
        "alone.csv",
    ];
    let stages = files.iter().enumerate().map(|(number, file)| stage(&format!("s{number}"), file));
    let project = Project::new(&format!("athanor: 1\nname: p\nstages:\n{}", stages.collect::<String>()));
    project.write("here/z", "");
    let outcome = project.athanor(&["check", "p.yaml"]);
    assert_eq!(outcome.code, 2);
    insta::assert_snapshot!(outcome.err);
    let unlooked = project.athanor(&["check", "--no-files", "p.yaml"]);
    assert_eq!((unlooked.code, unlooked.out.as_str()), (0, "p.yaml: 9 stages, 9 instances, no mistakes\n"));
    assert_eq!(project.run(&[]).code, 2);
    assert!(!project.path(".athanor").exists(), "nothing is made before the pipeline is right");
}

/// Runs the program in a folder of the project.
fn inside(project: &Project, folder: &str, arguments: &[&str]) -> Outcome {
    let mut command: Command = project.command(arguments);
    command.current_dir(project.path(folder));
    Outcome::of(command)
}

#[test]
fn from_a_sub_folder_the_project_is_found() {
    let project = Project::new(PIPELINE);
    project.write("sub/deep/q.yaml", &PIPELINE.replace("i: a", "i: beside.txt"));
    project.write("beside.txt", "2\n");
    // Nothing is a project yet.
    let alone = inside(&project, "sub/deep", &["check", "../../p.yaml"]);
    assert_eq!((alone.code, alone.err.as_str()), (0, ""));
    project.made(&[]);
    let outcome = inside(&project, "sub", &["run", "../p.yaml"]);
    assert!(outcome.out.contains("up to date: 3 cached"), "{outcome:?}");
    let folder = std::fs::canonicalize(project.path("")).unwrap();
    let note =
        format!("note: the project is `{}`, which has `.athanor/format`; this folder has none\n", folder.display());
    assert_eq!(outcome.err, note);
    let outcome = inside(&project, "sub/deep", &["run", "q.yaml"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let wrong = inside(&project, "sub/deep", &["check", "q.yaml", "--set", "x=1"]);
    assert!(wrong.err.contains("1 mistake in q.yaml"), "{}", wrong.err);
    assert!(!project.path("sub/.athanor").exists() && !project.path("sub/deep/.athanor").exists());
    let cache = inside(&project, "sub", &["--cache", "own", "run", "../p.yaml"]);
    assert!(cache.out.contains("3 ran") && project.path("sub/own/format").exists(), "{cache:?}");
    std::fs::create_dir_all(project.path("sub/repository/.git")).unwrap();
    std::fs::copy(project.path("p.yaml"), project.path("sub/repository/p.yaml")).unwrap();
    let repository = inside(&project, "sub/repository", &["run", "p.yaml"]);
    assert!(repository.out.contains("3 ran") && repository.err.is_empty(), "{repository:?}");
}

#[test]
fn files_that_are_written_lie_where_the_command_was_given() {
    let project = Project::new(PIPELINE);
    project.write("sub/x", "");
    project.made(&[]);
    for arguments in [
        &["run", "../p.yaml", "--junit", "junit.xml"][..],
        &["report", "../p.yaml", "-o", "named.html"],
        &["report", "../p.yaml"],
    ] {
        assert_eq!(inside(&project, "sub", arguments).code, 0, "{arguments:?}");
    }
    for file in ["junit.xml", "named.html", "p-report.html"] {
        assert!(project.path("sub").join(file).exists() && !project.path(file).exists(), "{file}");
    }
}

#[test]
fn a_pipeline_of_another_project_is_noted() {
    let project = Project::new(PIPELINE);
    project.made(&[]);
    std::fs::create_dir_all(project.path("elsewhere/.git")).unwrap();
    let listed = inside(&project, "elsewhere", &["runs", "../p.yaml"]);
    assert_eq!((listed.code, listed.out.as_str()), (0, "no runs yet\n"));
    let folder = std::fs::canonicalize(project.path("")).unwrap();
    assert!(listed.err.starts_with(&format!("note: `{}` is a project of its own", folder.display())), "{listed:?}");
}

#[test]
fn the_status_of_what_is_stale_is_an_exit_code() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.athanor(&["status", "p.yaml", "--exit-code"]).code, 3);
    assert_eq!(project.athanor(&["status", "p.yaml"]).code, 0);
    project.made(&[]);
    assert_eq!(project.athanor(&["status", "p.yaml", "--exit-code", "--json"]).code, 0);
}

#[test]
fn a_changed_script_is_shown_line_by_line() {
    let script = "run: |\n      echo one\n      echo two\n      echo three > ${{ outputs.o }}\n";
    let project = Project::new(&format!(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    {script}    outputs: {{ o: o.txt }}\n"
    ));
    project.made(&[]);
    project.edit("echo two", "echo 2");
    let explained = project.athanor(&["explain", "p.yaml", "a"]).out;
    insta::assert_snapshot!(explained);
    assert!(project.athanor(&["status", "p.yaml"]).out.contains("a         stale: parameter `run` changed:\n"));
}

#[test]
fn lines_can_be_fewer_and_have_the_time() {
    let project = Project::new(&PIPELINE.replace("run: 'echo 3 ", "run: 'false; echo 3 "));
    let quiet = project.run(&["-q", "-k"]).out;
    let lines: Vec<&str> = quiet.lines().collect();
    assert!(
        lines[0].starts_with("failed       c (attempt 1)")
            && lines.last().unwrap().starts_with("failed: 2 ran, 1 failed"),
        "{quiet}"
    );
    assert!(!quiet.contains("started") && !quiet.contains("finished"), "{quiet}");
    for line in project.run(&["--timestamps", "a", "--force", "a"]).out.lines() {
        let time = line.split(' ').next().unwrap();
        assert!(time.len() == 20 && time.ends_with('Z') && time.starts_with("20"), "{line}");
    }
}

#[test]
fn what_runs_and_what_was_interrupted_is_known_from_elsewhere() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    state: true\n    run: |\n      \
         echo '{\"event\":\"progress\",\"done\":170,\"total\":240,\"unit\":\"steps\"}' > $ATHANOR_EVENTS\n      \
         echo x > $ATHANOR_STATE/x\n      touch $ATHANOR_PROJECT/here\n      sleep 1000\n    outputs: { o: o.txt }\n",
    );
    let mut run = project.start(&[]);
    support::wait_for(&project.path("here"), &mut run);
    let status = project.athanor(&["status", "p.yaml", "--json"]);
    let json: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!(json[0]["activity"]["is_running"], true, "{status:?}");
    let text = project.athanor(&["status", "p.yaml"]).out;
    assert!(text.contains("a         running since 20"), "{text}");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(run.id().cast_signed()), nix::sys::signal::Signal::SIGINT)
        .unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let text = project.athanor(&["status", "p.yaml"]).out;
    assert!(text.contains("a         interrupted"), "{text}");
}

#[test]
fn the_last_attempt_is_that_of_the_last_run() {
    let project = Project::new(
        "athanor: 1\nname: p\nvars: { n: 1 }\nstages:\n  a:\n    kind: command\n    run: |\n      \
         [ ${{ vars.n }} != 2 ] || exit 7\n      P=$ATHANOR_PROJECT; touch $P/here\n      sleep 1000\n    outputs: { o: o.txt }\n",
    );
    let says = |arguments: &[&str]| {
        let [status, explain] = [&["status", "p.yaml"][..], &["explain", "p.yaml", "a"]]
            .map(|command| project.athanor(&[command, arguments].concat()).out);
        format!("{status}{explain}")
    };
    assert_eq!(project.run(&["--set", "n=2"]).code, 1);
    let failed = "its last attempt failed: It ended with exit status 7.";
    assert_eq!(says(&["--set", "n=2"]).matches(failed).count(), 2);
    let other = "its last attempt, which was at other work, failed: It ended with exit status 7.";
    assert_eq!(says(&[]).matches(other).count(), 2, "{}", says(&[]));
    let mut run = project.start(&[]);
    support::wait_for(&project.path("here"), &mut run);
    let text = project.athanor(&["status", "p.yaml"]).out;
    assert!(text.contains("a         running since 20"), "{text}");
    run.kill().unwrap();
    run.wait().unwrap();
    let text = says(&[]);
    assert_eq!(text.matches("its last attempt has not come to an end").count(), 2, "{text}");
    assert!(!text.contains("never ran") && !text.contains("failed"), "{text}");
    let text = says(&["--set", "n=3"]);
    assert_eq!(text.matches("its last attempt, which was at other work, has not come to an end").count(), 2, "{text}");
}
