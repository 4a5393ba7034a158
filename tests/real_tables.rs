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

/// Five thousand pairs of a train and an external row, in which 3,630 train rows match; `tests/golden/antibody.py` makes them
/// up by the same rule.
fn made_up_pairs(folder: &Path) -> String {
    let ids = |name: &str| -> Vec<String> {
        let table = std::fs::read_to_string(folder.join(name)).unwrap();
        table.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect()
    };
    let (train, external) = (ids("train.csv"), ids("HPAv18RBGY_wodpl.csv"));
    let pair = |number: usize| {
        let (ours, theirs) = (&train[number * 7919 % 3630 * 8], &external[number * 104_729 % external.len()]);
        format!("{ours},{theirs}\n")
    };
    format!("Train,Extra\n{}", (0..5000).map(pair).collect::<String>())
}

#[test]
fn antibody_splits_with_pairs_are_the_references() {
    let Some(folder) = real_tables() else { return };
    let (project, raw) = project_on(&folder);
    project.edit(
        "inputs: { external: external_labels }\n",
        "inputs: { external: external_labels, train: labels, pairs: pairs.csv }\n",
    );
    project
        .edit("  splits/antibody_train.csv:", "  held_out.csv: antibody_split.held_out\n  splits/antibody_train.csv:");
    project.write("pairs.csv", &made_up_pairs(&folder));
    let outcome = project.run(&["--set", &raw, "antibody_split"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let digests = include_str!("golden/real_antibody.txt");
    for (line, result) in
        digests.lines().zip(["splits/antibody_train.csv", "splits/antibody_validation.csv", "held_out.csv"])
    {
        let parts: Vec<&str> = line.split_whitespace().collect();
        // All columns but `Target`, which the reference takes from another image of the antibody.
        let table = project.read(&format!("results/hpa-tables/{result}"));
        let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(rows.len() - 1, parts[2].parse::<usize>().unwrap(), "{result}");
        let kept: String = rows.iter().map(|row| [row[0], row[2], row[3], row[4]].join(",") + "\n").collect();
        project.write("kept.csv", &kept);
        assert_eq!(sha256(&project.path("kept.csv")), parts[0], "{result}");
    }
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
