//! Results of earlier runs, put in place again.

mod support;

use support::Project;

const PIPELINE: &str = "athanor: 1\nname: p\nvars: { n: 1, double: \"${{ vars.n * 2 }}\" }\nstages:\n  \
    a: { kind: command, matrix: { m: [x, y] }, run: 'echo ${{ vars.n }} ${{ matrix.m }} > ${{ outputs.o }}', outputs: { o: o.txt } }\n  \
    b: { kind: command, inputs: { i: a }, run: 'cat ${{ inputs.i }} > ${{ outputs.o }}', outputs: { o: o.txt } }\n\
    results: { each: a, \"of-${{ vars.n }}.txt\": b }\n";

/// A project after runs with these values of `n`.
fn project(runs: &[&str]) -> Project {
    let project = Project::new(PIPELINE);
    for n in runs {
        assert_eq!(project.run(&["--set", &format!("n={n}")]).code, 0);
    }
    project
}

fn note(project: &Project, folder: &str) -> serde_json::Value {
    serde_json::from_str(&project.read(&format!("{folder}/.athanor.json"))).unwrap()
}

#[test]
fn an_earlier_run_s_results_have_its_names_and_variables() {
    let project = project(&["4", "6"]);
    std::fs::remove_file(project.path("results/p/of-4.txt")).unwrap();
    // What the pipeline is now does not matter.
    project.write("p.yaml", "no pipeline any more");
    let outcome = project.athanor(&["restore", "p.yaml", "--run", "last~1"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let lines: Vec<&str> = outcome.out.lines().collect();
    let put = ["each/m=x.txt", "each/m=y.txt", "of-4.txt"].map(|path| format!("result       results/p/{path}"));
    assert_eq!(lines[..3], put);
    assert!(lines[3].starts_with("run 00") && lines[3].ends_with(": 3 results put in place"), "{}", outcome.out);
    assert_eq!(project.read("results/p/each/m=x.txt"), "4 x\n");
    assert_eq!(project.read("results/p/of-4.txt"), "4 x\n4 y\n");
    assert_eq!(project.read("results/p/of-6.txt"), "6 x\n6 y\n", "nothing is taken away");
    let note = note(&project, "results/p");
    let of = |path: &str| note["runs"][note["results"][path]["run"].as_str().unwrap()].clone();
    assert_eq!(of("of-4.txt")["variables"], serde_json::json!({ "n": 4, "double": 8 }));
    assert_eq!(of("of-4.txt")["set"], serde_json::json!(["n=4"]));
    assert_eq!(of("of-6.txt")["variables"], serde_json::json!({ "n": 6, "double": 12 }));
    let again = project.athanor(&["restore", "p.yaml", "--run", "last~1"]);
    assert!(again.out.ends_with(": 0 results put in place, 3 there already\n"), "{}", again.out);
    // The next run puts its own there.
    project.write("p.yaml", PIPELINE);
    assert_eq!(project.made(&["--set", "n=6"]), [""; 0]);
    assert_eq!(project.read("results/p/each/m=x.txt"), "6 x\n");
}

#[test]
fn edited_files_are_never_overwritten() {
    let project = project(&["4", "6"]);
    project.write("results/p/each/m=x.txt", "mine");
    project.write("elsewhere/of-4.txt", "mine, too");
    let outcome = project.athanor(&["restore", "p.yaml", "--run", "last~1"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let aside = "results/p/each/m=x.txt is new; the edited one that was there is now results/p/each/m=x.txt.edited";
    assert!(outcome.out.contains(aside), "{}", outcome.out);
    assert_eq!(project.read("results/p/each/m=x.txt.edited"), "mine");
    let outcome = project.athanor(&["restore", "p.yaml", "--run", "1", "--to", "elsewhere"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.out.contains("elsewhere/of-4.txt.edited\n"), "{}", outcome.out);
    assert_eq!(project.read("elsewhere/of-4.txt") + &project.read("elsewhere/of-4.txt.edited"), "4 x\n4 y\nmine, too");
}

#[test]
fn what_was_collected_is_named_with_the_command_that_makes_it() {
    let project = project(&["4", "6", "8"]);
    project.athanor(&["cache", "gc", "--keep-runs", "1"]);
    let outcome = project.athanor(&["restore", "p.yaml", "--run", "1", "--to", "old"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(
        outcome.out.contains("gone         each/m=x.txt: the cache no longer has what `a[m=x]` made in that run\n"),
        "{}",
        outcome.out
    );
    assert!(outcome.out.contains(": 0 results put in place, 3 gone\n"), "{}", outcome.out);
    let help =
        "help: `athanor run p.yaml --set 'n=4'` makes them again, if the pipeline and its files are as they were\n";
    assert!(outcome.out.contains(help), "{}", outcome.out);
    assert!(!project.path("old").exists());
    assert_eq!(project.made(&["--set", "n=4"]).len(), 3);
    assert_eq!(project.athanor(&["restore", "p.yaml", "--run", "1", "--to", "old"]).code, 0);
    assert_eq!(project.read("old/of-4.txt"), "4 x\n4 y\n");
}

#[test]
fn what_a_run_did_not_make_is_told_and_is_not_taken_from_another_one() {
    let project = project(&["4"]);
    assert_eq!(project.run(&["--set", "n=6", "a"]).code, 0);
    let outcome = project.athanor(&["restore", "p.yaml", "--run", "last", "--to", "new"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains("not made     of-6.txt: that run did not make it\n"), "{}", outcome.out);
    assert!(outcome.out.contains(": 2 results put in place, 1 not made\n"), "{}", outcome.out);
    assert_eq!(project.read("new/each/m=y.txt"), "6 y\n");
    assert!(!project.path("new/of-6.txt").exists() && !project.path("new/of-4.txt").exists());
}

#[test]
fn runs_and_folders_that_cannot_be_are_refused_by_name() {
    let project = project(&["4"]);
    let outcome = project.athanor(&["restore", "p.yaml", "--run", "17"]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.err.contains("there is no run `17` of this pipeline; the last one is `00"), "{}", outcome.err);
    let outcome = project.athanor(&["restore", "q.yaml", "--run", "last"]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.err.contains("error: `q.yaml` is not there, and has no runs\n"), "{}", outcome.err);
    let outcome = project.athanor(&["restore", "p.yaml", "--run", "last", "--to", ".athanor/x"]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.err.contains("error: `.athanor/x` is in the cache"), "{}", outcome.err);
    project.write("file", "in the way");
    let outcome = project.athanor(&["restore", "p.yaml", "--run", "last", "--to", "file"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains("file/of-4.txt cannot be put in place"), "{}", outcome.out);
    assert!(outcome.out.contains("/file` away and run again."), "{}", outcome.out);
    assert_eq!(project.read("file"), "in the way");
}

#[test]
fn a_cache_that_can_only_be_read_restores_elsewhere() {
    let project = project(&["4"]);
    let writable = |writable: bool| {
        let mode = if writable { "u+w" } else { "a-w" };
        let changed = std::process::Command::new("chmod").args(["-R", mode]).arg(project.path(".athanor")).status();
        assert!(changed.unwrap().success());
    };
    writable(false);
    let outcome = project.athanor(&["restore", "p.yaml", "--run", "last", "--to", "copies"]);
    writable(true);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(project.path("copies/of-4.txt").exists());
}
