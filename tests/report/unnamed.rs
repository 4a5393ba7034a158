//! `top` and `watch` without the name of a pipeline file.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::PIPELINE;
use crate::support::{self, Project};

#[test]
fn the_pipeline_that_runs_or_ran_last_is_shown_where_none_is_named() {
    let project = Project::new(PIPELINE);
    project.write("q.yaml", &PIPELINE.replace("name: p", "name: q\nprofiles: { small: { vars: { epochs: 2 } } }"));
    project.write("settings.yaml", "name: no pipeline\n");
    let none = project.athanor(&["top"]);
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.err.contains("no pipeline of this project runs or has run"), "{}", none.err);
    assert!(none.err.contains("`p.yaml`, `q.yaml` are in this folder"), "{}", none.err);

    assert_eq!(project.athanor(&["run", "q.yaml", "--profile", "small"]).code, 0);
    assert_eq!(project.run(&["--set", "epochs=1"]).code, 0);
    let last = project.athanor(&["top"]);
    assert!(last.err.contains("note: the pipeline is `p.yaml`, which ran last"), "{last:?}");
    assert!(last.out.starts_with("p  run "), "{last:?}");
    let of_profile = project.athanor(&["top", "--profile", "small"]);
    assert!(of_profile.err.contains("`q.yaml with profile small`, which ran last"), "{of_profile:?}");

    // One that runs comes before one that ran later.
    let signs = tempfile::tempdir().unwrap();
    let sign = |name: &str| signs.path().join(name);
    let (up, go) = (sign("up").display().to_string(), sign("go").display().to_string());
    let waits = format!("echo > {up}; while [ ! -e {go} ]; do sleep 0.05; done; seq 3");
    project.write("q.yaml", &project.read("q.yaml").replace("run: seq 3", &format!("run: {waits}")));
    let mut run = project.command(&["run", "q.yaml"]).stdout(Stdio::null()).spawn().unwrap();
    support::wait_for(&sign("up"), &mut run);
    assert_eq!(project.run(&["--set", "epochs=6"]).code, 0);
    let mut watch = project.command(&["watch"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(watch.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("http://127.0.0.1:"), "{line}");
    watch.kill().unwrap();
    let said = support::Outcome::of_child(watch).err;
    assert!(said.contains("note: the pipeline is `q.yaml`, which runs"), "{said}");
    std::fs::write(sign("go"), "").unwrap();
    assert!(run.wait().unwrap().success());
}
