//! Whatever users, stages and files are called or say: no escape, no override, nothing unseen reaches who reads it.

mod support;

use std::process::Command;

use athanor::escape::{escape_json, is_unprintable};
use serde_json::{Value, json};
use support::Project;

const NASTY: [&str; 7] =
    ["\u{1b}]0;pwned\u{7}", "\u{1b}[2J\u{1b}[31mred", "a\rb", "\u{202e}evil", "a\nb", "\u{9b}31m", "x\u{200b}"];

/// A value as a pipeline file: JSON is YAML, but for characters that YAML wants written as escapes.
fn yaml(value: &Value) -> String {
    escape_json(&value.to_string()).into_owned()
}

/// A pipeline whose labels, description and output are nasty.
fn pipeline() -> String {
    let line = "printf '\\033]0;pwn\\007\\033[2J\\302\\233\\342\\200\\256\\r\\n'; touch \"$(printf 'x\\033[31m')\"; ";
    yaml(&json!({
        "athanor": 1,
        "name": "p",
        "stages": {
            "good": {
                "kind": "command",
                "description": "d\u{1b}[31md",
                "matrix": { "k": NASTY },
                "run": format!("{line}echo ${{{{ matrix.k }}}} > ${{{{ outputs.o }}}}"),
                "outputs": { "o": "o.txt" },
            },
            "bad": {
                "kind": "command",
                "matrix": { "k": NASTY },
                "run": format!("{line}exit 3"),
                "outputs": { "o": "o.txt" },
            },
        },
        "results": { "out": "good" },
    }))
}

fn is_seen(what: &str, text: &str) {
    let found = text.chars().find(|c| !matches!(c, '\n' | '\t') && is_unprintable(*c));
    assert!(found.is_none(), "{what}: {found:?} in {text:?}");
}

#[test]
fn every_command_prints_what_is_seen() {
    let project = Project::new(&pipeline());
    let stage = json!({ "kind": "com\u{1b}[33mmand", "run": "x\u{7}" });
    project.write("q.yaml", &yaml(&json!({ "athanor": 1, "name": "p\u{1b}[31m", "stages": { "s\u{1b}[32m": stage } })));
    project.write("r.yaml", "athanor: 1\nname: p\nstages: # \u{202e}x\u{ad}\n  a: { kind: comand, run: x }\n");
    project.write("n\u{1b}[31m.yaml", "athanor: 1\n");
    let commands: [&[&str]; 20] = [
        &["check", "p.yaml"],
        &["run", "p.yaml", "-k"],
        &["run", "p.yaml", "-k", "-n"],
        &["run", "p.yaml", "--json", "-k"],
        &["status", "p.yaml"],
        &["status", "p.yaml", "--json"],
        &["explain", "p.yaml", "good"],
        &["explain", "p.yaml", "bad"],
        &["explain", "p.yaml", "good[k=\u{1b}[31m]"],
        &["run", "p.yaml", "go\u{9b}od", "--json"],
        &["run", "p.yaml", "--set", "x\u{1b}=1"],
        &["graph", "p.yaml"],
        &["graph", "p.yaml", "--format", "svg"],
        &["graph", "p.yaml", "--format", "dot"],
        &["graph", "p.yaml", "--format", "mermaid"],
        &["cache", "ls"],
        &["cache", "ls", "--json"],
        &["check", "q.yaml"],
        &["check", "r.yaml"],
        &["check", "n\u{1b}[31m.yaml"],
    ];
    for arguments in
        commands.iter().chain([&["check", "absent\u{1b}[31m"][..], &["dance\u{1b}[31m"], &["kinds", "x\u{1b}"]].iter())
    {
        let outcome = project.athanor(arguments);
        is_seen(&format!("{arguments:?}"), &(outcome.out + &outcome.err));
    }
    let run = project.athanor(&["run", "p.yaml", "-k", "--force", "good"]).out;
    assert!(run.contains(r#"k="\u{1b}]0;pwned\u{7}""#), "{run}");
    assert!(run.contains(r"| \u{1b}]0;pwn\u{7}\u{1b}[2J\u{9b}\u{202e}"), "{run}");
    assert!(run.contains(r"it also wrote `x\u{1b}[31m`"), "{run}");
    let check = project.athanor(&["check", "r.yaml"]).err;
    assert!(check.contains(r"stages: # \u{202e}x\u{ad}") && check.contains("r.yaml:4:14"), "{check}");
}

#[test]
fn programs_read_the_names_as_they_are() {
    let project = Project::new(&pipeline());
    let status: Value = serde_json::from_str(&project.athanor(&["status", "p.yaml", "--json"]).out).unwrap();
    let names: Vec<&str> = status.as_array().unwrap().iter().map(|entry| entry["instance"].as_str().unwrap()).collect();
    assert!(names.iter().any(|name| name.contains("\u{202e}evil")), "{names:?}");
    assert!(names.iter().any(|name| name.contains("\u{9b}31m")), "{names:?}");
}

/// U+FFFE is no character, and a document that has it is neither XML nor YAML.
#[test]
fn files_for_other_programs_have_characters_alone_and_a_folder_for_each_instance() {
    let line = r#"echo '{"event": "metric", "name": "loss", "value": 1, "step": 0}' >> "$ATHANOR_EVENTS"; "#;
    let labels = ["\u{fffe}", "x/y", "x:y", "x_y"];
    let project = Project::new(&yaml(&json!({
        "athanor": 1,
        "name": "p",
        "stages": { "s": {
            "kind": "command",
            "matrix": { "k": labels },
            "run": format!("{line}echo ${{{{ matrix.k }}}} > ${{{{ outputs.o }}}}"),
            "outputs": { "o": "o.txt" },
        } },
    })));
    let run = project.run(&["--junit", "junit.xml", "--tensorboard", "curves"]);
    assert_eq!(run.code, 0, "{run:?}");
    is_seen("JUnit XML", &project.read("junit.xml"));
    assert!(project.read("junit.xml").contains(r"s[k=\u{fffe}]"));
    assert_eq!(std::fs::read_dir(project.path("curves")).unwrap().count(), labels.len());
    let exported = project.athanor(&["export", "mlflow", "runs", "p.yaml"]);
    assert_eq!(exported.code, 0, "{exported:?}");
    let mut metas = 0;
    for experiment in std::fs::read_dir(project.path("runs")).unwrap().flatten() {
        for run in std::fs::read_dir(experiment.path()).into_iter().flatten().flatten() {
            let Ok(meta) = std::fs::read_to_string(run.path().join("meta.yaml")) else { continue };
            is_seen("MLflow's note", &meta);
            metas += 1;
        }
    }
    assert_eq!(metas, labels.len());
}

#[test]
fn a_log_is_what_the_stage_wrote_unless_a_terminal_shows_it() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  a: { kind: command, run: \"printf 'a\\\\tb\\\\033[31m\\\\n'; echo x > ${{ outputs.o }}\", outputs: { o: o } }\n",
    );
    project.made(&[]);
    assert_eq!(project.athanor(&["logs", "p.yaml", "a"]).out, "a\tb\u{1b}[31m\n");
    let line = format!("{} logs p.yaml a", env!("CARGO_BIN_EXE_athanor"));
    let shown = Command::new("script").args(["-qec", &line, "/dev/null"]).current_dir(project.path("")).output();
    match shown {
        Ok(shown) if shown.status.success() => {
            let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
            assert!(shown.contains(r"b\u{1b}[31m"), "{shown:?}");
        }
        _ => support::skips("there is no `script` to make a terminal with"),
    }
}
