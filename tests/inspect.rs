//! The commands that look: what they say, and with which exit code.

mod support;

use support::Project;

const PIPELINE: &str = "athanor: 1\nname: p\nvars: { n: 3, list: [x, y] }\nstages:\n  folds:\n    kind: folds\n    seed: 7\n    inputs: { train: train.csv }\n    params: { folds: \"${{ vars.n }}\", classes: 2 }\n  \
    show: { kind: command, matrix: { at: \"${{ vars.list }}\" }, inputs: { f: folds.train }, run: \"echo hello ${{ matrix.at }}; cp ${{ inputs.f }} ${{ outputs.o }}\", outputs: { o: o.csv } }\nresults: { folds.csv: folds.train, shown: show }\n";

fn project() -> Project {
    let project = Project::new(PIPELINE);
    project.write("train.csv", "Id,Target\na,0\nb,1\nc,0 1\nd,0\ne,1\nf,0\n");
    project
}

#[test]
fn explain_names_what_changed() {
    let project = project();
    let explain = |arguments: &[&str]| project.athanor(&[&["explain", "p.yaml", "folds"], arguments].concat()).out;
    assert!(explain(&[]).contains("  - never ran\n"));
    project.made(&[]);
    let fresh = explain(&[]);
    assert!(fresh.starts_with("folds is fresh: nothing that was declared has changed.\n  It took "), "{fresh}");
    assert!(fresh.contains(" of CPU time and up to ") && fresh.contains("; it read "), "{fresh}");
    assert!(explain(&["--set", "n=2"]).contains("  - parameter `folds` changed from 3 to 2\n"));
    project.edit("seed: 7", "seed: 8");
    assert!(explain(&[]).contains("  - its seed changed from 7 to 8\n"));
    project.edit("seed: 8", "seed: 7");
    project.write("train.csv", "Id,Target\na,0\nb,1\nc,1\n");
    assert!(explain(&[]).contains("  - input `train` changed: train.csv\n"));
    let downstream = project.athanor(&["explain", "p.yaml", "show[at=x]"]).out;
    assert!(
        downstream.contains("depends on instances that are not up to date") && downstream.contains("  - folds\n"),
        "{downstream}"
    );
}

#[test]
fn status_tells_fresh_stale_missing_and_waiting() {
    let project = project();
    project.made(&["folds"]);
    let status = project.athanor(&["status", "p.yaml"]);
    assert_eq!(status.code, 0);
    assert!(status.out.contains("folds       fresh"), "{}", status.out);
    assert!(status.out.contains("show[at=x]  missing: never ran"), "{}", status.out);
    let status = project.athanor(&["status", "p.yaml", "--set", "n=2"]).out;
    assert!(status.contains("stale: parameter `folds` changed from 3 to 2"), "{status}");
    assert!(status.contains("waits for folds"), "{status}");
    let json: serde_json::Value = serde_json::from_str(&project.athanor(&["status", "p.yaml", "--json"]).out).unwrap();
    assert_eq!(json[0]["state"]["standing"], "fresh");
}

#[test]
fn a_dry_run_says_what_would_run_and_runs_nothing() {
    let project = project();
    let outcome = project.run(&["-n"]);
    assert!(outcome.out.ends_with("3 instances would run or wait, 0 fresh\n"), "{}", outcome.out);
    assert!(!project.path("results").exists());
}

#[test]
fn logs_come_from_the_last_try_or_from_the_cache() {
    let project = project();
    assert!(project.athanor(&["logs", "p.yaml", "show[at=x]"]).err.contains("has no log"));
    project.made(&[]);
    assert_eq!(project.athanor(&["logs", "p.yaml", "show[at=x]"]).out, "hello x\n");
    assert_eq!(
        project.athanor(&["logs", "p.yaml", "show"]).out,
        "==> show[at=x] <==\nhello x\n==> show[at=y] <==\nhello y\n"
    );
}

#[test]
fn an_empty_log_is_told_from_none() {
    let project = project();
    project.made(&[]);
    let outcome = project.athanor(&["logs", "p.yaml", "folds"]);
    assert_eq!((outcome.out.as_str(), outcome.err.as_str()), ("", "folds printed nothing.\n"));
}

#[test]
fn the_figures_of_a_stage_are_shown_when_it_has_finished() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  t: { kind: synthetic_tables }\n  \
         s: { kind: submission, inputs: { probabilities: p, sample: t.sample } }\n  \
         p: { kind: synthetic_predictions, inputs: { labels: t.test_labels }, params: { noise: 0.5 } }\n  \
         r: { kind: classification_report, inputs: { probabilities: p, labels: t.test_labels } }\n",
    );
    let outcome = project.run(&[]);
    let finished = outcome.out.lines().find(|line| line.starts_with("finished     r in ")).unwrap();
    assert!(finished.contains(" ms: ") && finished.contains("macro_f1 = 0."), "{finished}");
}

#[test]
fn graphs_come_in_four_forms() {
    let project = project();
    let graph = |format| project.athanor(&["graph", "p.yaml", "--format", format]).out;
    assert_eq!(
        graph("text"),
        "folds  (folds)\n  └─ result folds.csv\nshow ×2  (command)\n  ├─ reads folds\n  └─ result shown\n"
    );
    project.edit(", shown: show", "");
    assert!(graph("text").ends_with("show ×2  (command)\n  └─ reads folds\n"));
    assert!(graph("dot").contains("s0 -> s1;"));
    assert!(graph("mermaid").contains("s0 --> s1"));
    let svg = graph("svg");
    assert!(svg.starts_with("<svg") && svg.contains("show ×2") && svg.ends_with("</svg>\n"));
}

#[test]
fn kinds_describe_themselves() {
    let project = project();
    let kinds = project.athanor(&["kinds"]).out;
    assert!(kinds.contains("folds") && kinds.contains("command"));
    assert!(
        kinds.contains("Overrides targets with newer ones, except for the classes in `keep`, whose old value stays.\n")
    );
    let folds = project.athanor(&["kinds", "folds"]).out;
    for piece in [
        "folds: integer, at least 2, default 5",
        "train: table",
        "external: table, optional",
        "external: table, not always written: external.csv",
    ] {
        assert!(folds.contains(piece), "{piece}: {folds}");
    }
    let unknown = project.athanor(&["kinds", "fold"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("unknown kind `fold`; did you mean `folds`?"));
}

#[test]
fn the_schema_is_json_and_knows_the_kinds() {
    let schema = project().athanor(&["schema"]).out;
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert!(schema.to_string().contains("classification_report"));
}

#[test]
fn events_stream_as_json_lines() {
    let outcome = project().run(&["--json"]);
    let events: Vec<serde_json::Value> = outcome.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["event"], "run_started");
    assert_eq!(events[0]["version"], 1);
    assert_eq!(events.last().unwrap()["event"], "run_finished");
    assert_eq!(events.last().unwrap()["counts"]["ran"], 3);
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_places() {
    let project = project();
    project.edit("folds: \"${{ vars.n }}\", classes: 2", "fold: 3, classes: two");
    project.edit("{ f: folds.train }", "{ f: folds.trian, g: missing.csv }");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 2);
    for piece in [
        "unknown parameter `fold`",
        "did you mean `folds`",
        "p.yaml:",
        "`trian`",
        "the text `two`",
        "`missing.csv` does not exist",
        "4 mistakes in p.yaml",
    ] {
        assert!(outcome.err.contains(piece), "{piece}: {}", outcome.err);
    }
    assert!(!project.path(".athanor").exists(), "nothing is made for a wrong pipeline");
}

#[test]
fn missing_files_and_misspelt_stages_are_told_apart() {
    let project = project();
    project.edit("train: train.csv", "train: tarin.csv");
    let outcome = project.athanor(&["check", "p.yaml"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.contains("`tarin.csv` does not exist"), "{}", outcome.err);
    assert!(outcome.err.contains("did you mean `train.csv` in the same folder?"), "{}", outcome.err);
    project.edit("train: tarin.csv", "train: train.csv");
    project.edit("f: folds.train", "f: fold");
    let outcome = project.athanor(&["check", "p.yaml"]);
    assert!(
        outcome.err.contains("unknown stage `fold`") && outcome.err.contains("did you mean `folds`?"),
        "{}",
        outcome.err
    );
}

#[test]
fn every_missing_file_of_a_list_is_named() {
    let project = project();
    project.edit(
        "{ f: folds.train }",
        "{ f: folds.train, g: \"${{ ['absent/1.csv', 'absent/2.csv'] }}\", h: /absent/3.csv }",
    );
    let outcome = project.athanor(&["check", "p.yaml"]);
    for piece in [
        "`absent` does not exist, where 2 files and folders that the pipeline reads belong: `1.csv`,",
        "`2.csv`",
        "`/` is as far as it exists",
    ] {
        assert!(outcome.err.contains(piece), "{piece}: {}", outcome.err);
    }
}

#[test]
fn every_wrong_selector_is_named() {
    let outcome = project().run(&["fold", "show[at=z]", "--force", "shown"]);
    assert_eq!(outcome.code, 2);
    for piece in ["unknown stage `fold`", "no value `z`", "unknown stage `shown`", "did you mean `show`?"] {
        assert!(outcome.err.contains(piece), "{piece}: {}", outcome.err);
    }
}

#[test]
fn wrong_command_lines_end_with_2() {
    let project = project();
    for arguments in [
        vec!["run"],
        vec!["dance"],
        vec!["run", "absent.yaml"],
        vec!["run", "p.yaml", "nothing"],
        vec!["run", "p.yaml", "show[at=z]"],
        vec!["run", "p.yaml", "--set", "nn=1"],
        vec!["run", "p.yaml", "--gpus", "0,0"],
        vec!["run", "p.yaml", "--profile", "none"],
        vec!["init", "p.yaml"],
    ] {
        let outcome = project.athanor(&arguments);
        assert_eq!(outcome.code, 2, "{arguments:?}: {outcome:?}");
        assert!(!outcome.err.is_empty());
    }
}

#[test]
fn devices_and_completions_are_there() {
    let project = project();
    let devices = project.athanor(&["devices", "--gpus", "0:24GiB,3", "-j", "5"]).out;
    assert!(
        devices.contains("CPUs      5") && devices.contains("24.0 GiB") && devices.contains("unknown"),
        "{devices}"
    );
    assert!(project.athanor(&["completions", "bash"]).out.contains("_athanor"));
}
