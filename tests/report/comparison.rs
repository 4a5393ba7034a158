//! The page that compares two runs.

use serde_json::{Value, json};

use crate::support::Project;
use crate::{PIPELINE, ok, page_data};

#[test]
fn two_runs_stand_side_by_side_on_a_page() {
    let project = Project::new(&PIPELINE.replace("    matrix:", "    seed: ${{ vars.epochs }}\n    matrix:"));
    ok(project.run(&[]));
    ok(project.run(&["--set", "epochs=5"]));
    let said = ok(project.athanor(&["compare", "p.yaml", "last~1", "last", "--html", "both.html"]));
    assert_eq!(said.out, "both.html\n");
    let page = page_data(&project, "both.html");
    assert_eq!((&page["comparison"], &page["other"]["set"]), (&json!(true), &json!([])));
    assert_eq!(page["run"]["set"], json!(["epochs=5"]));
    let of_model = page["changes"].as_array().unwrap().iter().find(|each| each["instance"] == "model[fold=0]").unwrap();
    let seed = &of_model["parameters"][0];
    assert_eq!((&seed["name"], &seed["before"], &seed["now"]), (&json!("seed"), &json!(3), &json!(5)));
    let said = of_model["what"].as_array().unwrap();
    assert_eq!(of_model["parameters"].as_array().unwrap().len(), 1, "a script is told line by line, in words");
    assert!(said.len() == 2 && said.iter().any(|text| text.as_str().unwrap().contains("`run` changed")), "{said:?}");
    let f1 = page["metric_changes"].as_array().unwrap().iter().find(|each| each["metric"] == "f1").unwrap();
    assert_eq!((&f1["before"], &f1["now"]), (&json!(0.3), &json!(0.5)));
    let lengths = |is_other: bool| -> Vec<usize> {
        let of = page["curves"].as_array().unwrap().iter().filter(|curve| (curve["other"] == true) == is_other);
        of.map(|curve| curve["x"].as_array().unwrap().len()).collect()
    };
    assert_eq!((lengths(true), lengths(false)), (vec![3, 3], vec![5, 5]), "the curves of both runs");
    assert_eq!((&page["timeline"], &page["figures"]), (&Value::Null, &json!([])), "and nothing else");
    let refused = project.athanor(&["compare", "p.yaml", "1", "2", "--html", "x.html", "--json"]);
    assert_eq!(refused.code, 2, "{refused:?}");
}

/// How long was waited for data differs from run to run, and is of no account beside what came out.
#[test]
fn scores_stand_before_how_the_work_was_done() {
    let stage = |name: &str| {
        let event = |metric: &str, value: &str| format!(r#"{{"event":"metric","name":"{metric}","value":{value}}}"#);
        let events = [event("share_waiting_for_data", "0.${{ vars.n }}"), event("f1", "0.5${{ vars.n }}")];
        let lines: String = events.iter().map(|event| format!("      echo '{event}' >> $ATHANOR_EVENTS\n")).collect();
        format!(
            "  {name}:\n    kind: command\n    run: |\n{lines}      echo > ${{{{ outputs.o }}}}\n    outputs: {{ o: o }}\n"
        )
    };
    let project =
        Project::new(&format!("athanor: 1\nname: p\nvars: {{ n: 1 }}\nstages:\n{}{}", stage("a"), stage("b")));
    ok(project.run(&[]));
    ok(project.run(&["--set", "n=2"]));
    let shown = ok(project.athanor(&["compare", "p.yaml", "last~1", "last"])).out;
    let names: Vec<&str> = shown.split_whitespace().filter(|word| *word == "f1" || word.starts_with("share")).collect();
    assert_eq!(names, ["f1", "f1", "share_waiting_for_data", "share_waiting_for_data"], "{shown}");
}
