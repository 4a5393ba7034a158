//! Outputs that are, or lie behind, links: what others own stays as it is, and what a link leads to is what is stored.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use support::{Outcome, Project};

fn pipeline(stages: &str, results: &str) -> Project {
    Project::new(&format!("athanor: 1\nname: p\nstages:\n{stages}results: {results}\n"))
}

fn verified(project: &Project) {
    let outcome = Outcome::of(project.command(&["cache", "verify"]));
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

#[test]
fn a_folder_behind_an_output_stays_the_users() {
    let project = pipeline(
        "  passes:
    kind: command
    inputs: { i: data }
    run: ln -s ${{ inputs.i }} o
    outputs: { o: o }
  latest:
    kind: command
    run: mkdir run_003; echo 3 > run_003/f; ln -s run_003 latest
    outputs: { o: latest }
",
        "{ passes: passes, latest: latest }",
    );
    std::fs::create_dir(project.path("data")).unwrap();
    project.write("data/f", "1\n");
    let before = std::fs::metadata(project.path("data/f")).unwrap();
    let outcome = project.run(&["-k"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let after = std::fs::metadata(project.path("data/f")).unwrap();
    assert_eq!((after.mode(), after.nlink(), after.ino()), (before.mode(), 1, before.ino()));
    assert_eq!(project.read("results/p/passes/f"), "1\n");
    assert_eq!(project.read("results/p/latest/f"), "3\n");
    verified(&project);
    // An edit of the user's is an edit of the user's.
    project.write("data/f", "2\n");
    assert_eq!(project.run(&[]).code, 0);
    assert_eq!(project.read("results/p/passes/f"), "2\n");
    verified(&project);
}

#[test]
fn a_file_below_a_linked_folder_is_copied() {
    let project = pipeline(
        "  c:
    kind: command
    inputs: { i: data }
    run: rmdir x; ln -s ${{ inputs.i }} x
    outputs: { o: x/f }
",
        "{ c: c }",
    );
    std::fs::create_dir(project.path("data")).unwrap();
    project.write("data/f", "mine\n");
    let outcome = project.run(&["-k"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(project.read("data/f"), "mine\n");
    assert_eq!(project.read("results/p/c"), "mine\n");
    verified(&project);
}

#[test]
fn outputs_that_link_to_each_other_are_all_stored() {
    let project = pipeline(
        "  folder_first:
    kind: command
    run: mkdir checkpoints; echo 3 > checkpoints/epoch3.ckpt; ln -s checkpoints/epoch3.ckpt best.ckpt
    outputs: { checkpoints: checkpoints, best: best.ckpt }
  last_in_folder:
    kind: command
    run: mkdir checkpoints; echo 4 > best.ckpt; ln -s ../best.ckpt checkpoints/last.ckpt
    outputs: { best: best.ckpt, checkpoints: checkpoints }
  two_files:
    kind: command
    run: echo 5 > model-003.bin; ln -s model-003.bin model.bin
    outputs: { all: model-003.bin, latest: model.bin }
  two_folders:
    kind: command
    run: mkdir a; echo 6 > a/f; ln -s a b
    outputs: { a: a, b: b }
",
        "{ a: folder_first.best, c: last_in_folder.checkpoints, d: two_files.latest, e: two_folders.b }",
    );
    let outcome = project.run(&["-k"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let read = |path: &str| project.read(&format!("results/p/{path}"));
    assert_eq!([read("a"), read("c/last.ckpt"), read("d"), read("e/f")], ["3\n", "4\n", "5\n", "6\n"]);
    verified(&project);
}

#[test]
fn permissions_that_a_stage_took_away_keep_nothing_from_being_stored() {
    let project = pipeline(
        "  readonly_folder:
    kind: command
    run: mkdir o; echo 1 > o/f; chmod -R a-w o
    outputs: { o: o }
  readonly_inside:
    kind: command
    run: mkdir -p o/d; echo 2 > o/d/f; chmod a-w o/d
    outputs: { o: o }
  unreadable:
    kind: command
    run: echo 3 > o; chmod 000 o
    outputs: { o: o }
",
        "{ a: readonly_folder, b: readonly_inside, c: unreadable }",
    );
    let outcome = project.run(&["-k"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let read = |path: &str| project.read(&format!("results/p/{path}"));
    assert_eq!([read("a/f"), read("b/d/f"), read("c")], ["1\n", "2\n", "3\n"]);
    verified(&project);
}

#[test]
fn what_still_writes_an_output_is_waited_for() {
    let project = pipeline(
        "  substitution:
    kind: command
    run: seq 1 300000 > >(sleep 0.1; cat > ${{ outputs.o }}; echo end >> ${{ outputs.o }})
    outputs: { o: o.txt }
  background:
    kind: command
    run: |
      (sleep 0.2; echo tail >> ${{ outputs.o }}) &
      echo head > ${{ outputs.o }}
    outputs: { o: o.txt }
",
        "{ s.txt: substitution, b.txt: background }",
    );
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let text = project.read("results/p/s.txt");
    assert_eq!((text.lines().count(), text.lines().last()), (300_001, Some("end")));
    assert_eq!(project.read("results/p/b.txt"), "head\ntail\n");
}

#[test]
fn a_hangup_that_is_ignored_stays_ignored() {
    let project = pipeline(
        "  a:
    kind: command
    run: touch $ATHANOR_PROJECT/up; until [ -e $ATHANOR_PROJECT/go ]; do sleep 0.01; done; echo 1 > o
    sandbox: off
    outputs: { o: o }
",
        "{ a: a }",
    );
    let mut command = std::process::Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_athanor")).args(["run", "p.yaml"]).current_dir(project.path(""));
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut run = command.spawn().unwrap();
    support::wait_for(&project.path("up"), &mut run);
    let process = nix::unistd::Pid::from_raw(run.id().cast_signed());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGHUP).unwrap();
    project.write("go", "");
    assert!(run.wait().unwrap().success());
    assert_eq!(project.read("results/p/a"), "1\n");
}

#[test]
fn a_result_that_gets_a_matrix_or_loses_it_gives_way() {
    let plain = "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    run: echo 1 > o\n    outputs: { o: o }\nresults: { r: a }\n";
    let matrix = plain.replace("    run:", "    matrix: { m: [1, 2] }\n    run:");
    let project = Project::new(plain);
    for (pipeline, there) in [(plain, "r"), (&matrix, "r/m=2"), (plain, "r"), (&matrix, "r/m=1")] {
        project.write("p.yaml", pipeline);
        let outcome = project.run(&[]);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        assert!(!outcome.out.contains("edited"), "{}", outcome.out);
        assert_eq!(project.read(&format!("results/p/{there}")), "1\n");
    }
    // With a file of the user's in it, the folder is the user's.
    project.write("results/p/r/mine", "mine");
    project.write("p.yaml", plain);
    let outcome = project.run(&[]);
    assert_eq!((outcome.code, project.read("results/p/r")), (0, "1\n".to_owned()), "{outcome:?}");
    assert_eq!(project.read("results/p/r.edited/mine"), "mine");
}

#[test]
fn results_that_nothing_makes_any_more_are_named() {
    let project = pipeline(
        "  a: { kind: command, matrix: { m: \"${{ vars.ms }}\" }, run: \"echo ${{ matrix.m }} ${{ vars.v }} > o\", outputs: { o: o } }\n",
        "{ a: a }\nvars: { ms: [x, y, z], v: 1 }",
    );
    assert_eq!(project.run(&[]).code, 0);
    let outcome = project.run(&["--set", "ms=[x, y]", "--set", "v=2"]);
    let told = "`results/p/a/m=z` is of earlier runs: the pipeline, as it was run, no longer makes it";
    assert!(outcome.out.contains(told), "{}", outcome.out);
    // Also where nothing is new; such a run is no run of the list.
    let runs = || project.athanor(&["runs", "p.yaml"]).out;
    let before = runs();
    let outcome = project.run(&["--set", "ms=[x, y]", "--set", "v=2"]);
    assert!(outcome.out.contains(told) && outcome.out.contains("up to date"), "{}", outcome.out);
    assert_eq!(runs(), before);
}

#[test]
fn a_missing_neighbour_is_told_although_the_stage_succeeds() {
    let project = pipeline(
        "  a:
    kind: command
    run: bash tools/m.sh > ${{ outputs.o }}
    outputs: { o: o }
",
        "{ a: a }",
    );
    std::fs::create_dir(project.path("tools")).unwrap();
    // A name that only the shell knows.
    project.write("tools/m.sh", "L=lib\n. \"$(dirname \"$0\")/$L.sh\"\necho \"threshold=$T\"\n");
    project.write("tools/lib.sh", "T=5\n");
    let outcome = project.run(&[]);
    assert!(
        outcome.out.contains("a has ended well, though its log tells of a missing file: `tools/lib.sh`"),
        "{}",
        outcome.out
    );
}

#[test]
fn a_script_that_may_not_be_executed_is_told_by_name() {
    let project = pipeline("  a: { kind: command, run: \"./t.sh > o\", outputs: { o: o } }\n", "{ a: a }");
    project.write("t.sh", "#!/bin/sh\necho 1\n");
    std::fs::set_permissions(project.path("t.sh"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let outcome = project.run(&[]);
    assert!(outcome.out.contains("`t.sh` may not be executed: `chmod +x t.sh` allows that"), "{}", outcome.out);
    assert!(!outcome.out.contains("does not declare"), "{}", outcome.out);
}
