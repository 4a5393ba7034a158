//! Every command of the README runs as written, and says what the README shows. The demo's networks train for an epoch each, and for
//! as long as the file says, which takes minutes, with `ATHANOR_README=whole`.

mod support;

use std::path::Path;
use std::process::Command;

/// A fenced block.
struct Block<'t> {
    language: &'t str,
    text: &'t str,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let fenced = text.split("```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).map(|(language, text)| Block { language, text }).collect()
}

const README: &str = include_str!("../README.md");

#[test]
fn every_command_of_the_readme_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let is_whole = std::env::var("ATHANOR_README").is_ok_and(|runs| runs == "whole");
    copy_pipelines(&root.join("pipelines"), &folder.path().join("pipelines"), is_whole);
    let mut printed = String::new();
    let (mut commands, mut shown) = (0, 0);
    for block in blocks(README) {
        match block.language {
            "sh" => {
                for line in block.text.lines() {
                    printed = run(line, folder.path()).unwrap_or_default();
                    commands += 1;
                }
            }
            "text" => {
                assert_eq!(lasting_lines(&printed), lasting_lines(block.text), "the README shows:\n{}", block.text);
                shown += 1;
            }
            _ => {}
        }
    }
    assert!(commands > 15 && shown == 2, "{commands} commands, {shown} outputs");
    let summary = std::fs::read_to_string(folder.path().join("results/demo/summary.csv")).unwrap();
    assert!(macro_f1(&summary) >= if is_whole { LEARNED } else { 0.0 }, "{summary}");
    // With the read-only folders of stored results in it.
    athanor_cache::remove_tree(folder.path()).unwrap();
}

/// Copies the pipelines; the demo's is cut short unless all of it `is_whole`.
fn copy_pipelines(from: &Path, to: &Path, is_whole: bool) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let mut text = std::fs::read_to_string(entry.path()).unwrap();
        if entry.file_name() == "demo.yaml" && !is_whole {
            for epochs in ["epochs: 30", "epochs: 22"] {
                assert_eq!(text.matches(epochs).count(), 1, "a network of the demo is trained in {epochs}");
                text = text.replace(epochs, "epochs: 1");
            }
        }
        std::fs::write(to.join(entry.file_name()), text).unwrap();
    }
}

/// Runs a command, unless it is that of the tests, and returns what it prints.
fn run(line: &str, folder: &Path) -> Option<String> {
    // The build is the one under test, and the tests are what runs here.
    let line = line.replace("cargo run --release -- ", "athanor ");
    if line.starts_with("cargo test") {
        return None;
    }
    let bin = Path::new(env!("CARGO_BIN_EXE_athanor")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.arg("-ec").arg(&line).current_dir(folder).env("PATH", &path).env_remove("ATHANOR_CACHE");
    let output = shell.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{line}\n{printed}{}", String::from_utf8_lossy(&output.stderr));
    Some(printed)
}

/// The lines that stay on a terminal, in an order that does not depend on how long each stage took, without times and figures.
fn lasting_lines(output: &str) -> Vec<&str> {
    let passes = |line: &&str| ["started ", "progress "].iter().any(|word| line.starts_with(word));
    let mut lines: Vec<_> = output.lines().filter(|line| !passes(line)).collect();
    lines.iter_mut().for_each(|line| *line = line.split(" in ").next().unwrap_or(line));
    lines.sort_unstable();
    lines
}

/// Macro F1 that the demo's networks reach at least on images that they have not seen. Without learning it is under 0.2.
const LEARNED: f64 = 0.85;

fn macro_f1(summary: &str) -> f64 {
    summary.lines().find_map(|line| line.strip_prefix("macro_f1,")).unwrap().parse().unwrap()
}

#[test]
fn the_first_pipeline_is_the_one_that_runs() {
    let blocks = blocks(README);
    assert_eq!(blocks[0].language, "yaml");
    assert_eq!(blocks[0].text, include_str!("../pipelines/quickstart.yaml"));
    assert!(blocks[0].text.lines().count() <= 12 && README.lines().count() <= 150);
}
