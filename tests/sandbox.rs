//! The sandbox of commands, from outside: files that a stage may read and write, those that it may not, and the words for that.

mod support;

use std::path::PathBuf;

use support::{Outcome, Project, skips};

/// Whether the kernel has a sandbox; if not, says that the calling test skips.
fn has_sandbox() -> bool {
    let project = pipeline("a", "true", "");
    let outcome = run(&project, &[]);
    let has_none = outcome.out.contains("run without a sandbox");
    if has_none {
        assert_eq!(outcome.out.matches("run without a sandbox").count(), 1, "{}", outcome.out);
        skips("this kernel has no Landlock of version 3");
    }
    !has_none
}

fn pipeline(stage: &str, line: &str, more: &str) -> Project {
    let line = serde_json::to_string(line).unwrap();
    Project::new(&format!(
        "athanor: 1\nname: p\nstages:\n  {stage}:\n    kind: command\n    run: {line}\n    outputs: {{}}\n{more}"
    ))
}

fn run(project: &Project, arguments: &[&str]) -> Outcome {
    Outcome::of(project.sandboxed(&[&["run", "p.yaml"], arguments].concat()))
}

/// The outcome of a stage with this line and these further keys, in a project with a few files.
fn outcome_of(line: &str, more: &str) -> (Project, Outcome) {
    let project = pipeline("a", line, more);
    project.write("data/secret.csv", "secret\n");
    project.write(".venv/pyvenv.cfg", "home = /usr\n");
    project.write(".venv/bin/tool", "echo tool\n");
    project.write("results/other/r.txt", "r\n");
    let outcome = run(&project, &[]);
    (project, outcome)
}

#[test]
fn the_rest_of_the_project_results_and_the_cache_cannot_be_read() {
    if !has_sandbox() {
        return;
    }
    for (path, help) in [
        ("data/secret.csv", "`inputs: { secret: data/secret.csv }`"),
        ("results/other/r.txt", "which is a result"),
        (".athanor/format", "which is in the cache"),
    ] {
        let (_project, outcome) = outcome_of(&format!("P=$ATHANOR_PROJECT; cat $P/{path} > x"), "");
        assert_eq!(outcome.code, 1, "{path}: {outcome:?}");
        assert!(outcome.out.contains(&format!("The sandbox keeps it from `{path}`")), "{}", outcome.out);
        assert!(outcome.out.contains(help), "{}", outcome.out);
    }
}

#[test]
fn nothing_outside_of_its_folder_can_be_written() {
    if !has_sandbox() {
        return;
    }
    for (line, path) in [
        ("echo x > $ATHANOR_PROJECT/new.txt", "new.txt"),
        ("echo x > $ATHANOR_PROJECT/data/secret.csv", "data/secret.csv"),
        ("mkdir $ATHANOR_PROJECT/folder", "folder"),
    ] {
        let (project, outcome) = outcome_of(line, "");
        assert_eq!(outcome.code, 1, "{line}: {outcome:?}");
        let allows = format!("`writes: [{path}]` in the stage allows that");
        assert!(outcome.out.contains(&allows), "{line}: {}", outcome.out);
        assert!(!project.path("new.txt").exists() && !project.path("folder").exists());
        assert_eq!(project.read("data/secret.csv"), "secret\n");
    }
    let (project, outcome) = outcome_of("P=$ATHANOR_PROJECT; rm -f $P/data/secret.csv || mv $P/p.yaml . || true", "");
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(project.path("data/secret.csv").exists() && project.path("p.yaml").exists());
}

#[test]
fn who_writes_to_an_input_is_told_of_a_copy_and_not_how_to_change_the_file() {
    if !has_sandbox() {
        return;
    }
    for line in
        ["cp /dev/null inputs/f/secret.csv", "echo x > inputs/f/secret.csv", "echo x >> $PWD/inputs/f/secret.csv"]
    {
        let (project, outcome) = outcome_of(line, "    inputs: { f: data/secret.csv }\n");
        assert_eq!(outcome.code, 1, "{line}: {outcome:?}");
        assert!(outcome.out.contains("belongs to an input, which a stage only reads"), "{line}: {}", outcome.out);
        assert!(
            outcome.out.contains("writable: true") && !outcome.out.contains("`writes: ["),
            "{line}: {}",
            outcome.out
        );
        assert_eq!(project.read("data/secret.csv"), "secret\n", "{line}");
    }
}

#[test]
fn what_a_stage_needs_is_open_to_it() {
    if !has_sandbox() {
        return;
    }
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("there.txt"), "there\n").unwrap();
    let there = elsewhere.path().display();
    for line in [
        format!("cat {there}/there.txt; ls / /tmp > /dev/null; head -c 1 /proc/self/status > /dev/null"),
        "sh $ATHANOR_PROJECT/.venv/bin/tool | grep tool".to_owned(),
        "echo x > $(mktemp); echo x > /dev/null; echo x > /dev/shm/athanor-test; rm /dev/shm/athanor-test".to_owned(),
        format!("echo x >> {there}/written; mkdir d; echo x > d/x; mv d e; ln e/x y; mv e/x .; : > x; rm y"),
        "echo '{\"type\": \"progress\"}' > $ATHANOR_EVENTS; echo x > /dev/stdout; echo x > /dev/stderr".to_owned(),
        "stat $ATHANOR_PROJECT/data/secret.csv > /dev/null; ls $ATHANOR_PROJECT > /dev/null".to_owned(),
    ] {
        let (_project, outcome) = outcome_of(&line, "");
        assert_eq!(outcome.code, 0, "{line}: {outcome:?}");
    }
}

#[test]
fn inputs_of_every_sort_are_open_and_their_neighbours_in_the_cache_are_not() {
    if !has_sandbox() {
        return;
    }
    let project = Project::new(
        "athanor: 1
name: p
stages:
  make:
    kind: command
    run: mkdir -p ${{ outputs.folder }}/below; echo 1 > ${{ outputs.file }}; echo 2 > ${{ outputs.folder }}/below/x; echo 3 > ${{ outputs.other }}
    outputs: { file: f.txt, folder: d, other: o.txt }
  read:
    kind: command
    inputs:
      file: make.file
      folder: make.folder
      mine: { from: make.other, writable: true }
      raw: data/raw
      one: data/one.txt
    run: |
      cat ${{ inputs.file }} ${{ inputs.folder }}/below/x ${{ inputs.raw }}/link ${{ inputs.raw }}/far/y ${{ inputs.one }} tools/script.sh > ${{ outputs.all }}
      echo mine > ${{ inputs.mine }}
      P=$ATHANOR_PROJECT; cat $P/data/one.txt
      other=$(find $P/.athanor/objects -type f | while read f; do cat $f 2> /dev/null || true; done | sort | tr '\\n' ' ')
      echo readable: $other >> ${{ outputs.all }}
      if echo spoilt > ${{ inputs.one }}; then exit 1; fi
      if echo spoilt > $(readlink -f ${{ inputs.file }}); then exit 1; fi
    outputs: { all: all.txt }
results: { all.txt: read.all }
",
    );
    project.write("data/one.txt", "5\n");
    project.write("data/raw/x", "0\n");
    project.write("stock/link.txt", "4\n");
    project.write("stock/far/y", "y\n");
    project.write("tools/script.sh", "echo script\n");
    std::os::unix::fs::symlink("../../stock/link.txt", project.path("data/raw/link")).unwrap();
    std::os::unix::fs::symlink("../../stock/far", project.path("data/raw/far")).unwrap();
    let outcome = run(&project, &[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let all = project.read("results/p/all.txt");
    assert!(all.starts_with("1\n2\n4\ny\n5\necho script\n"), "{all}");
    assert!(all.contains("readable: 1"), "{all}");
    assert!(!all.contains('3'), "an output that it does not read was open to it: {all}");
    assert_eq!(project.read("data/one.txt"), "5\n");
}

#[test]
fn writes_and_settings_open_more_and_rerun_nothing() {
    if !has_sandbox() {
        return;
    }
    let line = "P=$ATHANOR_PROJECT; cat $P/data/secret.csv && echo x >> $P/runs/log";
    let (project, outcome) = outcome_of(line, "    writes: [runs]\n");
    assert_eq!(outcome.code, 1, "{outcome:?}");
    project.write("athanor.config.yaml", "sandbox.reads: [data]\n");
    assert_eq!(run(&project, &[]).code, 0);
    assert_eq!(project.read("runs/log"), "x\n");
    for (from, to) in [
        ("    writes: [runs]\n", "    sandbox: off\n"),
        ("    sandbox: off\n", "    writes: ~/nothing\n    sandbox: on\n"),
    ] {
        project.edit(from, to);
        let outcome = run(&project, &["--json"]);
        assert_eq!(support::events(&outcome.out, "finished"), [""; 0], "{outcome:?}");
    }
    project.write("athanor.config.yaml", "sandbox: { writes: [runs], reads: data }\n");
    project.edit("    writes: ~/nothing\n", "");
    assert_eq!(run(&project, &["--force", "a"]).code, 0);
    assert_eq!(project.read("runs/log"), "x\nx\n");
}

#[test]
fn the_sandbox_can_be_off_for_a_stage_and_for_all() {
    let line = "P=$ATHANOR_PROJECT; cat $P/data/secret.csv && echo x > $P/new";
    let (project, outcome) = outcome_of(line, "    sandbox: off\n");
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(project.path("new").exists());
    let (project, _) = outcome_of("true", "");
    project.write("athanor.config.yaml", "sandbox: off\n");
    project.edit("\"true\"", &serde_json::to_string(line).unwrap());
    let outcome = run(&project, &[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

#[test]
fn mistakes_in_the_keys_are_told_where_they_are() {
    let (_, outcome) = outcome_of("true", "    sandbox: maybe\n    writes: { a: b }\n");
    assert_eq!(outcome.code, 2);
    for piece in
        ["`maybe` is neither `on` nor `off`", "`writes` is a path or a list of paths, not a mapping", "p.yaml:8:"]
    {
        assert!(outcome.err.contains(piece), "{piece}: {}", outcome.err);
    }
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  r: { kind: rows, inputs: { table: t.csv }, params: { rows: 1 }, sandbox: off, writes: x }\n",
    );
    let outcome = project.run(&[]);
    for key in ["sandbox", "writes"] {
        assert!(outcome.err.contains(&format!("`{key}` is for commands; the kind `rows`")), "{}", outcome.err);
    }
}

#[test]
fn container_engines_start_outside() {
    let project = pipeline("a", "podman run image > /dev/null; cat $ATHANOR_PROJECT/sign", "");
    project.write("bin/podman", "#!/bin/sh\necho outside > $ATHANOR_PROJECT/sign\n");
    let podman = project.path("bin/podman");
    std::fs::set_permissions(&podman, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = project.sandboxed(&["run", "p.yaml"]);
    let path = std::env::join_paths([project.path("bin"), PathBuf::from("/usr/bin"), PathBuf::from("/bin")]).unwrap();
    command.env("PATH", path);
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(project.read("sign"), "outside\n");
}

#[test]
fn a_project_that_holds_the_home_folder_says_what_stays_open() {
    if !has_sandbox() {
        return;
    }
    let project = pipeline("a", "H=$HOME; cat $HOME/.tool/settings; greet; ! cat $H/thesis.txt", "");
    project.write(".tool/settings", "set\n");
    project.write("thesis.txt", "thesis\n");
    project.write("tools/bin/greet", "#!/bin/sh\ncat $ATHANOR_PROJECT/tools/lib/greeting\n");
    project.write("tools/lib/greeting", "hello\n");
    let greet = project.path("tools/bin/greet");
    std::fs::set_permissions(&greet, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = project.sandboxed(&["run", "p.yaml"]);
    let path = std::env::join_paths([project.path("tools/bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
    command.env("PATH", path).env("HOME", project.path("")).env_remove("XDG_CACHE_HOME");
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let notes: Vec<&str> = outcome.out.lines().filter(|line| line.starts_with("note: ")).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("holds the home folder") && notes[0].contains("/tools`"), "{notes:?}");
}

#[test]
fn a_run_within_a_stage_works_in_its_folder_and_is_told_what_is_in_the_way_elsewhere() {
    if !has_sandbox() {
        return;
    }
    let program = env!("CARGO_BIN_EXE_athanor");
    let inner = "athanor: 1\\nname: i\\nstages: { i: { kind: command, run: 'echo x > o; P=$ATHANOR_PROJECT; ! cat $P/secret', outputs: { o: o } } }\\n";
    let inside = format!("mkdir in; cd in; echo secret > secret; printf \"{inner}\" > i.yaml; {program} run i.yaml");
    let inside = inside.replace('$', "\\$");
    let (_project, outcome) = outcome_of(&inside, "");
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let (_project, outcome) = outcome_of(&format!("P=$ATHANOR_PROJECT; cd $P/data; {program} run ../p.yaml"), "");
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(
        outcome.out.contains("part of another run's stage") || outcome.out.contains("cannot be read"),
        "{}",
        outcome.out
    );
}

#[test]
fn a_failed_attempt_is_kept_where_that_is_asked_for() {
    let project = pipeline("a", "echo half > half.txt; exit 1", "");
    let plain = project.run(&[]);
    assert!(!plain.out.contains("is kept"), "{}", plain.out);
    let outcome = project.run(&["--keep-scratch"]);
    let kept = |outcome: &Outcome| {
        let line = outcome.out.lines().find(|line| line.contains("is kept for a week: ")).expect("it says where");
        PathBuf::from(line.rsplit_once(": ").unwrap().1)
    };
    let folder = kept(&outcome);
    assert_eq!(std::fs::read_to_string(folder.join("work/half.txt")).unwrap(), "half\n");
    project.edit("exit 1", "true");
    assert_eq!(project.run(&[]).code, 0);
    let collected = project.athanor(&["cache", "gc", "--keep-runs=1"]);
    assert_eq!(collected.code, 0, "{collected:?}");
    assert!(folder.join("work/half.txt").exists(), "later runs and collections leave it");
    let list = folder.parent().unwrap().join("kept");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(8 * 24 * 3600);
    std::fs::File::options().write(true).open(list).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(project.athanor(&["cache", "gc", "--keep-runs=1"]).code, 0);
    assert!(!folder.exists());
    // An output that was not written is a failure, too.
    project.edit("outputs: {}", "outputs: { o: o.txt }");
    assert!(kept(&project.run(&["--keep-scratch"])).join("work/half.txt").exists());
}

#[test]
fn what_is_read_in_place_is_open_and_a_project_as_input_opens_neither_cache_nor_results() {
    if !has_sandbox() {
        return;
    }
    let line = "P=$ATHANOR_PROJECT; cat $P/lib/x $P/params.yaml params.yaml $ATHANOR_PROJECT/named.txt named.txt; head -c 1 large.bin; ! cat $P/data/secret.csv";
    let (project, outcome) = outcome_of("true", "    reads: [lib, params.yaml]\n");
    assert_eq!(outcome.code, 2, "nothing of it is there: {outcome:?}");
    project.edit("\"true\"", &serde_json::to_string(line).unwrap());
    for (path, text) in [("lib/x", "x\n"), ("params.yaml", "a: 1\n"), ("named.txt", "named\n")] {
        project.write(path, text);
    }
    std::fs::File::create(project.path("large.bin")).unwrap().set_len((16 << 20) + 1).unwrap();
    let outcome = run(&project, &[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let line = "cat ${{ inputs.all }}/data/secret.csv; P=$ATHANOR_PROJECT; ! cat $P/results/other/r.txt; ! cat $P/.athanor/format";
    let (_project, outcome) = outcome_of(line, "    inputs: { all: . }\n");
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

#[test]
fn modules_of_a_script_that_is_run_in_place_are_open() {
    if !has_sandbox()
        || !std::process::Command::new("python3").arg("--version").output().is_ok_and(|it| it.status.success())
    {
        return;
    }
    let (project, _) = outcome_of("true", "");
    project.edit("\"true\"", "python3 $ATHANOR_PROJECT/tools/run.py");
    project.write("tools/run.py", "import helper\n");
    project.write("tools/helper.py", "import sys; sys.path.append('nowhere')\n");
    let outcome = run(&project, &[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

#[test]
fn each_attempt_has_events_of_its_own_whatever_the_one_before_it_left_of_the_pipe() {
    if !has_sandbox() {
        return;
    }
    let mess = [
        "true",
        "rm ../events",
        "rm ../events; echo > ../events",
        "rm ../events; mkdir ../events",
        "chmod 644 ../events",
        "true",
    ];
    let mut text = "athanor: 1\nname: p\nstages:\n".to_owned();
    for (number, mess) in mess.iter().enumerate() {
        let inputs = if number == 0 { String::new() } else { format!("    inputs: {{ i: s{} }}\n", number - 1) };
        let metric = format!(r#"echo '{{"event":"metric","name":"m","value":{number}}}' > "$ATHANOR_EVENTS""#);
        text += &format!(
            "  s{number}:\n    kind: command\n{inputs}    run: |\n      {metric}\n      {mess}\n      echo {number} > o\n    outputs: {{ o: o }}\n"
        );
    }
    let project = Project::new(&text);
    let outcome = run(&project, &["-j", "1", "--json"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    for number in 0..mess.len() {
        let is_metric =
            |line: &&str| line.contains("\"metric\"") && line.contains(&format!("\"instance\":\"s{number}\""));
        let metrics: Vec<&str> = outcome.out.lines().filter(is_metric).collect();
        assert!(matches!(metrics.as_slice(), [one] if one.contains(&format!("\"value\":{number}"))), "{metrics:?}");
    }
}

#[test]
fn no_output_leads_to_what_is_closed() {
    if !has_sandbox() {
        return;
    }
    let outcome_of = |line: &str, more: &str| {
        let project = pipeline("a", &format!("P=$ATHANOR_PROJECT; {line}"), more);
        project.edit("outputs: {}", "outputs: { o: o }");
        project.write("data/secret.csv", "secret\n");
        let outcome = run(&project, &[]);
        (project, outcome)
    };
    for line in [
        "ln -s $P/data/secret.csv o",
        "ln -s $P/data o",
        "mkdir o; ln -s $P/data o/d",
        "mkdir o o2; ln -s $P/data/secret.csv o2/s; ln -s ../o2 o/d",
        "ln -s ../../../../../data/secret.csv o",
    ] {
        let (project, outcome) = outcome_of(line, "");
        assert_eq!(outcome.code, 1, "{line}: {outcome:?}");
        assert!(outcome.out.contains("Its output `o` has a symbolic link to `"), "{line}: {}", outcome.out);
        assert!(project.athanor(&["cache", "ls"]).out.contains("0 results"));
    }
    for (line, more) in [
        ("ln -s $P/data/secret.csv o", "    reads: [data/secret.csv]\n"),
        ("ln -s $PWD/inputs/s/secret.csv o", "    inputs: { s: data/secret.csv }\n"),
        ("mkdir o; ln -s ../inputs/s/data o/d", "    inputs: { s: data }\n"),
        ("echo x > x; ln -s x o", ""),
        ("ln -s /etc/hostname o", ""),
        ("ln -s $P/data/secret.csv o", "    sandbox: off\n"),
    ] {
        let (_project, outcome) = outcome_of(line, more);
        assert_eq!(outcome.code, 0, "{line} {more}: {outcome:?}");
    }
}
