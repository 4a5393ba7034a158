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
