//! Variables of the user's shell, and what commands get of them.

mod support;

use support::{Outcome, Project};

/// A stage that runs `line`.
fn stage(keys: &str, line: &str) -> Project {
    Project::new(&format!(
        "athanor: 1\nname: p\nvars: {{ lr: 0.5 }}\nstages:\n  a:\n    kind: command\n{keys}    run: |\n      {}\n    \
         outputs: {{ o: o.txt }}\nresults: {{ o.txt: a }}\n",
        line.replace('\n', "\n      ")
    ))
}

fn run_with(project: &Project, variables: &[(&str, &str)], arguments: &[&str]) -> Outcome {
    let mut command = project.command(&[&["run", "p.yaml"], arguments].concat());
    command.envs(variables.iter().copied());
    Outcome::of(command)
}

#[test]
fn a_variable_of_the_users_shell_decides_nothing() {
    let project = stage("", "echo ${LR:-none} ${LC_ALL:-none} ${SLURM_JOB_ID:-none} > ${{ outputs.o }}");
    let outcome = run_with(&project, &[("LR", "0.1"), ("LC_ALL", "C"), ("SLURM_JOB_ID", "7")], &[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(project.read("results/p/o.txt"), "none C 7\n");
    // It is said once, with the line that passes it.
    let note = "note: `LR` is set here and named by `a`, which does not get it: `env_passthrough: [LR]` passes it";
    assert_eq!(outcome.out.matches(note).count(), 1, "{}", outcome.out);
    assert!(!outcome.out.contains("`LC_ALL`"), "{}", outcome.out);
    // Nothing is to be said where nothing runs, or where it is not set.
    assert!(!run_with(&project, &[("LR", "0.1")], &[]).out.contains("note:"));
}

#[test]
fn a_dry_run_says_what_is_withheld() {
    let project = stage("", "echo ${LR:-none} > ${{ outputs.o }}");
    assert!(run_with(&project, &[("LR", "0.1")], &["-n"]).out.contains("note: `LR` is set here"));
    assert!(!run_with(&project, &[], &["-n"]).out.contains("note:"));
}

#[test]
fn a_failure_names_what_was_withheld() {
    let project = stage("", "python3 tools/train.py || exit 3");
    project.write("tools/train.py", "import os\nprint(os.environ[\"WANDB_API_KEY_OF_TEST\"])\n");
    let outcome = run_with(&project, &[("WANDB_API_KEY_OF_TEST", "hunter2")], &[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    for sign in
        ["It does not get these variables, which are set here: WANDB_API_KEY_OF_TEST", "note: `WANDB_API_KEY_OF_TEST`"]
    {
        assert!(outcome.out.contains(sign), "{sign}: {}", outcome.out);
    }
    assert!(!outcome.out.contains("hunter2"));
}

#[test]
fn what_a_stage_sets_is_part_of_what_it_computes_from() {
    let project = stage(
        "    env: { LR: \"${{ vars.lr }}\", NAME: \"it's $HOME\", CPUS: \"${{ resources.cpus }}\" }\n    resources: { cpus: 1 }\n",
        "echo \"$LR $NAME $CPUS\" > ${{ outputs.o }}",
    );
    let outcome = run_with(&project, &[("LR", "0.1")], &[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(!outcome.out.contains("note:"), "{}", outcome.out);
    assert_eq!(project.read("results/p/o.txt"), "0.5 it's $HOME 1\n");
    project.edit("lr: 0.5", "lr: 0.25");
    let explained = project.athanor(&["explain", "p.yaml", "a"]).out;
    assert!(explained.contains("parameter `env.LR` changed from `0.5` to `0.25`"), "{explained}");
    assert_eq!(project.made(&[]), ["a"]);
    // Resources are no part of it.
    project.edit("cpus: 1 }", "cpus: 2 }");
    assert_eq!(project.made(&["-j", "2"]), [""; 0]);
}

#[test]
fn what_is_passed_on_is_not_and_is_masked() {
    let project = stage(
        "    env_passthrough: [WANDB_KEY, \"HF_*\"]\n",
        "echo key $WANDB_KEY/$HF_TOKEN $HF_SHORT\nprintf %s \"${WANDB_KEY%???}\"; sleep 0.05; echo er2\n\
         echo '{\"event\":\"progress\",\"done\":1,\"total\":2,\"unit\":\"'$WANDB_KEY'\"}' > $ATHANOR_EVENTS\n\
         echo $WANDB_KEY | wc -c > ${{ outputs.o }}\ntest ! -e $ATHANOR_PROJECT/fail",
    );
    let set = [("WANDB_KEY", "hunter2"), ("HF_TOKEN", "hf_s3cr3t"), ("HF_SHORT", "five5")];
    project.write("fail", "");
    for arguments in [&[][..], &["--json"]] {
        let failed = run_with(&project, &set, arguments);
        assert_eq!(failed.code, 1);
        assert!(!failed.out.contains("hunter2") && !failed.out.contains("s3cr3t"), "{}", failed.out);
        assert!(failed.out.contains("key ***/*** five5"), "{}", failed.out);
    }
    std::fs::remove_file(project.path("fail")).unwrap();
    let outcome = run_with(&project, &set, &["--json"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(!outcome.out.contains("hunter2") && outcome.out.contains("\"unit\":\"***\""), "{}", outcome.out);
    let log = project.athanor(&["logs", "p.yaml", "a"]).out;
    assert!(log.starts_with("key ***/*** five5\n") && !log.contains("hunter2"), "{log}");
    assert_eq!(project.read("results/p/o.txt").trim(), "8");
    // Another value reruns nothing, and neither does another list.
    let other = run_with(&project, &[("WANDB_KEY", "something else")], &["--json"]);
    assert!(support::events(&other.out, "finished").is_empty());
    project.edit("[WANDB_KEY, \"HF_*\"]", "WANDB_KEY");
    assert_eq!(project.made(&[]), [""; 0]);
}

#[test]
fn a_setting_passes_everything() {
    let project = stage("", "echo ${LR:-none} > ${{ outputs.o }}");
    project.write("athanor.config.yaml", "environment: inherit\n");
    let outcome = run_with(&project, &[("LR", "0.1")], &[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(!outcome.out.contains("note:"), "{}", outcome.out);
    assert_eq!(project.read("results/p/o.txt"), "0.1\n");
    let config = project.athanor(&["config"]).out;
    assert!(config.contains("environment") && config.contains("inherit"), "{config}");
}

#[test]
fn mistakes_about_variables_are_found_before_anything_runs() {
    for (keys, signs) in [
        ("    env: { A-B: x }\n", ["`A-B` is not the name of a variable for a stage", "p.yaml:7:12"]),
        ("    env: { ATHANOR_X: x }\n", ["`ATHANOR_X` is not the name of a variable for a stage", "p.yaml:7:12"]),
        ("    env: { X: [1, 2] }\n", ["expected text, not a list", "p.yaml:7:15"]),
        ("    env: { X: \"${{ [1, 2] }}\" }\n", ["a list cannot be put into a variable", "join(' ')"]),
        ("    env: { X: \"${{ vars.nothing }}\" }\n", ["unknown name `vars.nothing`", "p.yaml:7:16"]),
        ("    env_passthrough: [\"A B\"]\n", ["`A B` is not the name of a variable", "p.yaml:7:23"]),
        ("    versions: [[x]]\n", ["expected text, not a list", "p.yaml:7:16"]),
        ("    versions: [\" \"]\n", ["a version command is empty", "p.yaml:7:16"]),
        ("    versions: [\"true\"]\n", ["the version command `true` wrote nothing, so it tells no version", "p.yaml"]),
        ("    versions: [head -c 2000000 /dev/zero]\n", ["wrote more than 1 MiB", "sha256sum"]),
    ] {
        let outcome = stage(keys, "true").run(&[]);
        assert_eq!(outcome.code, 2, "{outcome:?}");
        for sign in signs {
            assert!(outcome.err.contains(sign), "{sign}: {}", outcome.err);
        }
    }
    for key in ["env: { X: x }", "env_passthrough: X", "versions: [x]", "shell: sh"] {
        let project = Project::new(&format!(
            "athanor: 1\nname: p\nstages: {{ t: {{ kind: synthetic_tables, params: {{ train: 20 }}, {key} }} }}\n"
        ));
        let outcome = project.run(&[]);
        assert_eq!(outcome.code, 2, "{key}: {outcome:?}");
        assert!(outcome.err.contains("is for commands"), "{}", outcome.err);
    }
}

/// A project whose version command says what is in a file, and counts how often it is asked.
fn versioned() -> Project {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    matrix: { n: [1, 2, 3] }\n    \
         versions: [\"echo x >> asked; cat tool-version\"]\n    run: P=$ATHANOR_PROJECT; cat $P/tool-version > ${{ outputs.o }}; echo ${{ matrix.n }}\n    \
         outputs: { o: o }\n  b: { kind: command, run: \"echo > ${{ outputs.o }}\", outputs: { o: o } }\n",
    );
    project.write("tool-version", "1.0\n");
    project
}

#[test]
fn versions_are_part_of_the_fingerprint_and_asked_once_a_run() {
    let project = versioned();
    assert_eq!(project.made(&[]).len(), 4);
    assert_eq!(project.read("asked"), "x\n");
    assert_eq!(project.made(&[]), [""; 0]);
    assert_eq!(project.read("asked"), "x\nx\n");
    project.write("tool-version", "2.0\n");
    // Commands that only look take the last answer, and say so.
    let note = "`versions` and images of containers are as the last run found them";
    for arguments in [&["status", "p.yaml"][..], &["explain", "p.yaml", "a"], &["run", "p.yaml", "-n"]] {
        let outcome = project.athanor(arguments);
        assert!(outcome.out.contains(note), "{outcome:?}");
        assert!(!outcome.out.contains("stale"), "{outcome:?}");
    }
    assert_eq!(project.read("asked"), "x\nx\n");
    assert_eq!(project.made(&[]).len(), 3);
    project.write("tool-version", "1.0\n");
    assert_eq!(project.made(&[]), [""; 0]);
    project.edit("    versions: [\"echo x >> asked; cat tool-version\"]\n", "");
    assert!(!project.athanor(&["status", "p.yaml"]).out.contains(note));
}

#[test]
fn a_version_command_that_fails_is_a_mistake() {
    let project = versioned();
    project.edit("cat tool-version\"", "echo no such tool >&2; exit 7\"");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    for sign in [
        "the version command `echo x >> asked; echo no such tool >&2; exit 7`",
        "exit status 7:",
        "no such tool",
        "p.yaml:4:3",
    ] {
        assert!(outcome.err.contains(sign), "{sign}: {}", outcome.err);
    }
}

#[test]
fn a_version_is_asked_with_the_variables_that_its_own_stage_gets() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  a: { kind: command, run: 'echo a > o', outputs: { o: o }, versions: ['echo v${MODEL:-}'] }\n  \
         b: { kind: command, run: 'echo b > o', outputs: { o: o }, versions: ['echo v${MODEL:-}'], env_passthrough: [MODEL] }\n",
    );
    let made = |model: &str| {
        let mut made = support::events(&run_with(&project, &[("MODEL", model)], &["--json"]).out, "finished");
        made.sort();
        made
    };
    assert_eq!(made("1"), ["a", "b"]);
    assert_eq!(made("1"), [""; 0]);
    assert_eq!(made("2"), ["b"], "its answer is another one");
}
