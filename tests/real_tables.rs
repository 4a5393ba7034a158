//! The challenge's real tables, where they are at hand: every figure that the reference is known to give.

mod support;

use std::path::Path;
use std::process::Command;

use support::{Project, real_tables};

fn project_on(folder: &Path) -> (Project, String) {
    let project = Project::new(include_str!("../pipelines/hpa-tables.yaml"));
    (project, format!("raw={}", folder.display()))
}

fn fold_sizes(table: &str) -> [usize; 5] {
    let mut sizes = [0; 5];
    table.lines().skip(1).for_each(|line| sizes[line.rsplit(',').next().unwrap().parse::<usize>().unwrap()] += 1);
    sizes
}

fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn the_reference_figures_come_out() {
    let Some(folder) = real_tables() else { return };
    let (project, raw) = project_on(&folder);
    let outcome = project.run(&["--set", &raw, "--json"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let result = |name: &str| project.read(&format!("results/hpa-tables/{name}"));
    assert_eq!(fold_sizes(&result("folds_train.csv")), [6150, 6271, 6250, 6179, 6222]);
    assert_eq!(fold_sizes(&result("folds_external.csv")), [14941, 14844, 14943, 14911, 14967]);
    let thresholds: Vec<String> = result("thresholds.csv")
        .lines()
        .skip(1)
        .take(5)
        .map(|line| format!("{:.4}", line.split(',').nth(1).unwrap().parse::<f64>().unwrap()))
        .collect();
    assert_eq!(thresholds, ["0.5197", "0.3207", "0.4636", "0.1241", "0.0735"]);
    assert!(outcome.out.contains(r#""name":"leak_rows_changed","value":179.0"#));
    let digests = include_str!("golden/real_tables.txt");
    for line in digests.lines() {
        let (digest, name) = line.split_once("  ").unwrap();
        assert_eq!(sha256(&project.path(&format!("results/hpa-tables/{name}"))), digest, "{name}");
    }
    assert!(project.made(&["--set", &raw]).is_empty());
    let made = project.made(&["--set", &raw, "--set", "ensemble=maximum"]);
    assert_eq!(made, ["probabilities", "thresholds", "submission"]);
}
