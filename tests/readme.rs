//! Every command of the README runs as written.

mod support;

use std::path::Path;
use std::process::Command;

/// Commands of the fenced `sh` blocks.
fn commands(text: &str) -> Vec<&str> {
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).collect()
}

#[test]
fn every_command_of_the_readme_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let commands = commands(include_str!("../README.md"));
    assert!(commands.len() > 15);
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root.join("pipelines"), folder.path().join("pipelines")).unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_athanor")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let real = support::real_tables();
    for line in commands {
        // The build is the one under test, and the tests are what runs here.
        let line = line.replace("cargo run --release -- ", "athanor ");
        if line.starts_with("cargo test") {
            continue;
        }
        let line = match &real {
            None if line.contains("hpa-tables") => continue,
            Some(real) => line.replace("../shared/data/hpa-meta", &real.display().to_string()),
            None => line,
        };
        let mut shell = Command::new("sh");
        shell.arg("-ec").arg(&line).current_dir(folder.path()).env("PATH", &path).env_remove("ATHANOR_CACHE");
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let summary = std::fs::read_to_string(folder.path().join("results/demo/summary.csv")).unwrap();
    assert!(macro_f1(&summary) >= LEARNED, "{summary}");
}

/// What the demo's networks reach at least on images that they have not seen. Without learning it is under 0.2.
const LEARNED: f64 = 0.85;

fn macro_f1(summary: &str) -> f64 {
    summary.lines().find_map(|line| line.strip_prefix("macro_f1,")).unwrap().parse().unwrap()
}
