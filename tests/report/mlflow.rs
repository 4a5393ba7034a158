//! Results as runs of MLflow.

use crate::support::{self, Project};
use crate::{PIPELINE, ok};

/// A program that reads an `mlruns` folder with MLflow's own client.
const READ_MLFLOW: &str = r#"
import os, sys
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
from mlflow.tracking import MlflowClient
client = MlflowClient(tracking_uri=sys.argv[1])
experiment = client.get_experiment_by_name("p")
for run in sorted(client.search_runs([experiment.experiment_id]), key=lambda run: run.info.run_name):
    curve = [(point.step, point.value) for name in run.data.metrics for point in client.get_metric_history(run.info.run_id, name)]
    print(run.info.run_name, run.info.status, run.data.tags["athanor.stage"], dict(run.data.metrics), curve, "run" in run.data.params)
"#;

/// Texts of the files that a path with `*` for folders names.
pub(crate) fn texts(root: &std::path::Path, path: &str) -> Vec<String> {
    let mut found = vec![root.to_owned()];
    for part in path.split('/') {
        let inside = |folder: &std::path::PathBuf| match part {
            "*" => std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect(),
            name => vec![folder.join(name)],
        };
        found = found.iter().flat_map(inside).collect();
    }
    found.sort();
    found.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

#[test]
fn results_become_runs_of_mlflow() {
    let project = Project::new(PIPELINE);
    ok(project.run(&[]));
    let exported = ok(project.athanor(&["export", "mlflow", "mlruns", "p.yaml"]));
    assert_eq!(exported.out, "mlruns: 3 runs written\n");
    let root = project.path("mlruns");
    let experiment = texts(&root, "*/meta.yaml");
    assert!(experiment.len() == 1 && experiment[0].contains("\nname: \"p\"\n"), "{experiment:?}");
    let names = texts(&root, "*/*/tags/mlflow.runName");
    assert_eq!(names.iter().filter(|name| name.starts_with("model[fold=")).count(), 2, "{names:?}");
    let curves = texts(&root, "*/*/metrics/loss");
    let without_time = |text: &String| -> Vec<String> {
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    };
    assert!(curves.iter().map(without_time).any(|lines| lines == ["0.1 1", "0.2 2", "0.3 3"]), "{curves:?}");
    assert!(texts(&root, "*/*/params/run").iter().any(|run| run.starts_with("for epoch in")));
    assert!(texts(&root, "*/*/meta.yaml").iter().all(|run| run.contains("\nstatus: 3\n")));
    let again = ok(project.athanor(&["export", "mlflow", "mlruns", "p.yaml"]));
    assert_eq!(again.out, "mlruns: 0 runs written, 3 there already\n");
    let Some(python) = support::python_with("mlflow") else { return };
    let read = std::process::Command::new(python).args(["-c", READ_MLFLOW]).arg(&root).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
    let lines: Vec<&str> = out.lines().collect();
    assert!(read.status.success() && lines.len() == 3, "{out}{err}");
    assert_eq!(lines[0], "model[fold=0] FINISHED model {'loss': 0.3} [(1, 0.1), (2, 0.2), (3, 0.3)] True");
    assert!(lines[2].starts_with("report FINISHED report {'f1': 0.3}"), "{out}");
}
