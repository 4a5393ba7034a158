//! Reports of runs whose instances the pipeline file has lost.

use serde_json::{Value, json};

use crate::support::Project;
use crate::{PIPELINE, data, ok};

#[test]
fn a_run_is_shown_with_what_the_file_has_lost_since() {
    let project = Project::new(PIPELINE);
    ok(project.run(&[]));
    // Another name, one fold less, and no last stage.
    let (kept, _) = PIPELINE.split_once("  report:\n").unwrap();
    project.write(
        "p.yaml",
        &kept.replace("  data:", "  numbers:").replace("i: data", "i: numbers").replace("[0, 1]", "[0]"),
    );
    let page = data(&project, &["--run", "1"]);
    let names = page["instances"]["name"].as_array().unwrap();
    assert_eq!(names, &["numbers", "model[fold=0]", "data", "model[fold=1]", "report"].map(Value::from));
    assert_eq!(page["instances"]["state"], json!(["waiting", "done", "done", "done", "done"]));
    let stages = page["stages"].as_array().unwrap();
    let of = |name: &str| stages.iter().find(|stage| stage["name"] == name).unwrap();
    let place = |name: &str| stages.iter().position(|stage| stage["name"] == name).unwrap();
    assert_eq!((&of("report")["kind"], &of("report")["reads"]), (&json!("command"), &json!([place("model")])));
    assert_eq!(of("report")["description"], "no longer in the pipeline file");
    assert!(of("model")["reads"].as_array().unwrap().contains(&json!(place("data"))), "{stages:?}");
    assert_eq!(page["graph"]["wide"]["boxes"].as_array().unwrap().len(), 4, "all stages are drawn");
    assert_eq!(page["headline"][0]["metric"], "f1", "with the metrics of then");
    assert_eq!(page["timeline"]["spans"]["i"].as_array().unwrap().len(), 4);
    let curves = page["curves"].as_array().unwrap().len();
    assert_eq!((curves, &page["figures"][0]["figure"]["title"]), (2, &json!("T")));
    let now = data(&project, &[]);
    assert_eq!(now["instances"]["name"], json!(["numbers", "model[fold=0]"]), "the pipeline as it is has them no more");
}
