//! Curves as TensorBoard reads them.

use std::process::Command;

use crate::support::{self, Project};
use crate::{PIPELINE, ok};

/// A program that prints each run of a folder, and its curves, as TensorBoard's own reader has them.
const READ_EVENTS: &str = r#"
import os, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
for run in sorted(os.listdir(sys.argv[1])):
    events = EventAccumulator(os.path.join(sys.argv[1], run))
    events.Reload()
    curves = {tag: [(e.step, round(e.value, 6)) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    print(run, curves)
"#;

#[test]
fn tensorboard_reads_the_curves_of_all_results() {
    let Some(python) = support::python_with("tensorboard") else { return };
    let project = Project::new(PIPELINE);
    ok(project.run(&["--tensorboard", "events"]));
    let read = Command::new(python).args(["-c", READ_EVENTS]).arg(project.path("events")).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
    assert!(read.status.success(), "{out}{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "model[fold=0] {'loss': [(1, 0.1), (2, 0.2), (3, 0.3)]}");
    assert_eq!(lines[1], "model[fold=1] {'loss': [(1, 0.11), (2, 0.21), (3, 0.31)]}");
    // The stage `report` has a number and no curve.
    assert_eq!(lines.len(), 2, "{out}");
}
