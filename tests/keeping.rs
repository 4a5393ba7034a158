//! What collections keep: results of earlier settings, and what is pinned; and what is noted about results.

mod support;

use support::Project;

const PIPELINE: &str = "athanor: 1\nname: p\nvars: { n: 1 }\nstages:\n  \
    a: { kind: command, run: 'echo ${{ vars.n }} > ${{ outputs.o }}', outputs: { o: o.txt } }\n  \
    b: { kind: command, inputs: { i: a }, run: 'cat ${{ inputs.i }} ${{ inputs.i }} > ${{ outputs.o }}', outputs: { o: o.txt } }\n\
    results: { a.txt: a, b.txt: b }\n";

fn gc(project: &Project, arguments: &[&str]) -> String {
    let outcome = project.athanor(&[&["cache", "gc"], arguments].concat());
    assert_eq!(outcome.code, 0, "{outcome:?}");
    outcome.out
}

#[test]
fn results_of_earlier_settings_stay_as_long_as_runs_are_kept() {
    let project = Project::new(PIPELINE);
    for n in ["n=2", "n=3", "n=1"] {
        assert_eq!(project.made(&["--set", n]), ["a", "b"]);
    }
    assert!(gc(&project, &[]).starts_with("dropped 0 results"));
    assert_eq!(project.made(&["--set", "n=2"]), [""; 0], "it is still there");
    // The last two runs: n=2 and, before it, n=1.
    let said = gc(&project, &["--keep-runs", "2", "-n"]);
    assert!(said.starts_with("would drop 2 results") && said.contains("; 4 kept\n"), "{said}");
    let lines: Vec<&str> = said.lines().skip(1).collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].starts_with("  b (") && lines[0].ends_with("none of a pipeline's last 2 runs used it"), "{said}");
    gc(&project, &["--keep-runs", "2"]);
    assert_eq!(project.made(&["--set", "n=1"]), [""; 0]);
    assert_eq!(project.made(&["--set", "n=3"]), ["a", "b"]);
    assert!(gc(&project, &["--older-than", "30d"]).starts_with("dropped 0 results"));
    let said = gc(&project, &["--older-than", "0s"]);
    assert!(said.starts_with("dropped 4 results") && said.contains("no pipeline used it since 2"), "{said}");
    assert_eq!(project.made(&["--set", "n=3"]), [""; 0], "the last run's results stay");
}

#[test]
fn a_pipeline_that_comes_to_nothing_uses_nothing_any_more() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.made(&[]), ["a", "b"]);
    let nothing = "athanor: 1\nname: p\nvars: { n: 1 }\nstages:\n  \
        a: { kind: command, when: \"${{ 1 != 1 }}\", run: 'echo 1 > ${{ outputs.o }}', outputs: { o: o.txt } }\n";
    project.write("p.yaml", nothing);
    assert_eq!(project.made(&[]), [""; 0]);
    let said = gc(&project, &["--keep-runs", "0"]);
    assert!(said.starts_with("dropped 2 results") && said.contains("; 0 kept"), "{said}");
}

#[test]
fn pinned_results_stay_whatever_is_collected() {
    let project = Project::new(PIPELINE);
    project.made(&["--set", "n=2"]);
    let wrong = project.athanor(&["cache", "pin", "c", "a[x=1]"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("no result of this cache is `a[x=1]`"), "{}", wrong.err);
    let pinned = project.athanor(&["cache", "pin", "a"]).out;
    assert!(pinned.starts_with("pinned a ("), "{pinned}");
    assert!(project.athanor(&["cache", "ls"]).out.contains(" (pinned)"));
    project.made(&[]);
    let said = gc(&project, &["--keep-runs", "1", "--max-size", "0"]);
    assert!(said.contains("; 1 kept\n") && said.contains("in use, and makes way for `--max-size`"), "{said}");
    assert_eq!(project.made(&["--set", "n=2"]), ["b"]);
    let digest = pinned.split(['(', ')']).nth(1).unwrap();
    assert!(project.athanor(&["cache", "unpin", digest]).out.starts_with("unpinned a ("));
    project.made(&[]);
    assert!(gc(&project, &["--keep-runs", "1", "--max-size", "0"]).contains("; 0 kept\n"));
    std::fs::write(project.path(".athanor/pipelines/pins.json"), "{\"pins\": 3").unwrap();
    let outcome = project.athanor(&["cache", "gc"]);
    assert_eq!(outcome.code, 1, "in doubt, nothing is removed: {outcome:?}");
    // A pipeline that is new to the cache needs no pins.
    project.write("q.yaml", &project.read("p.yaml").replace("name: p", "name: q"));
    let outcome = project.athanor(&["run", "q.yaml"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

#[test]
fn the_note_says_what_made_each_result() {
    let project = Project::new(PIPELINE);
    project.made(&["--set", "n=2"]);
    let note: serde_json::Value = serde_json::from_str(&project.read("results/p/.athanor.json")).unwrap();
    let entry = &note["results"]["a.txt"];
    assert_eq!((&note["pipeline"], &entry["instance"]), (&"p.yaml".into(), &"a".into()));
    assert_eq!(entry["fingerprint"].as_str().unwrap().len(), 64);
    let run = &note["runs"][entry["run"].as_str().unwrap()];
    assert_eq!(run["set"], serde_json::json!(["n=2"]));
    assert!(run["time"].is_string());
    project.made(&["--set", "n=3"]);
    let note: serde_json::Value = serde_json::from_str(&project.read("results/p/.athanor.json")).unwrap();
    assert_eq!(note["runs"].as_object().unwrap().len(), 1, "runs whose results are gone are forgotten");
}

#[test]
fn older_results_beside_new_ones_are_told() {
    let project = Project::new(PIPELINE);
    assert!(!project.run(&[]).out.contains("note:"));
    let outcome = project.run(&["--set", "n=2", "a"]);
    let note = "note: `results/p/b.txt` is of earlier runs: this one has not made it\n";
    assert!(outcome.out.contains(note), "{}", outcome.out);
    project.edit("run: 'cat ", "run: 'false; cat ");
    let outcome = project.run(&["--set", "n=4"]);
    assert_eq!((outcome.code, outcome.out.contains(note)), (1, true), "{outcome:?}");
    assert!(!project.run(&["--set", "n=4", "a"]).out.contains("note:"), "nothing new beside it");
    project.edit("run: 'echo ", "run: 'false; echo ");
    let outcome = project.run(&["--set", "n=4"]);
    let older = "note: `results/p/a.txt` and 1 more are of earlier runs: this one has not made them\n";
    assert_eq!(
        (outcome.code, outcome.out.contains(older)),
        (1, true),
        "nothing is new, and everything old: {outcome:?}"
    );
}

#[test]
fn pipelines_of_one_name_are_told_of_each_other() {
    let project = Project::new(PIPELINE);
    project.made(&[]);
    project.write("q.yaml", &PIPELINE.replace("n: 1", "n: 5"));
    let other = project.athanor(&["run", "q.yaml"]);
    let note = "note: `p.yaml` puts its results into `results/p`, too: give one of the two another `name`, or its own `--results`\n";
    assert!(other.out.contains(note), "{}", other.out);
    assert!(!project.athanor(&["run", "q.yaml", "--set", "n=6"]).out.contains("note:"), "it is said once");
    let elsewhere = project.run(&["--results", "mine"]);
    assert!(
        elsewhere.out.contains("result       mine/p/a.txt") && !elsewhere.out.contains("note:"),
        "{}",
        elsewhere.out
    );
    std::fs::remove_file(project.path("q.yaml")).unwrap();
    assert!(!project.run(&["--set", "n=7"]).out.contains("note:"), "the other one is gone");
}
