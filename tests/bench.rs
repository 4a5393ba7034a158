//! `athanor bench` from outside.

mod support;

use serde_json::Value;
use support::Project;

const TINY: [&str; 9] = ["--arch", "resnet18", "--size", "16", "--batch", "2", "--steps", "3", "--json"];

#[test]
fn training_and_prediction_are_measured() {
    let project = Project::new("");
    for work in ["train", "predict"] {
        let outcome = project.athanor(&[&["bench", work, "--threads", "1"], TINY.as_slice()].concat());
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let figures: Value = serde_json::from_str(&outcome.out).unwrap();
        let figures = &figures.as_array().unwrap()[0];
        for (key, value) in [("work", work), ("arch", "resnet18"), ("precision", "f32")] {
            assert_eq!(figures[key], value);
        }
        let number = |key: &str| figures[key].as_f64().unwrap_or_else(|| panic!("{key} in {figures}"));
        assert_eq!(["size", "batch", "steps", "threads"].map(number), [16.0, 2.0, 3.0, 1.0]);
        let speed = number("images_per_second");
        assert!(speed > 0.0 && (speed * number("seconds_per_step") - 2.0).abs() < 1e-6);
        assert!((0.0..1.0).contains(&number("share_waiting_for_data")));
        assert!(number("peak_memory") > 1e6);
    }
}

#[test]
fn a_table_has_a_row_for_each_network() {
    let project = Project::new("");
    let arguments = ["bench", "predict", "--arch", "resnet18", "--arch", "resnet34", "--size", "8", "--steps", "1"];
    let outcome = project.athanor(&[&arguments, ["--batch", "1"].as_slice()].concat());
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let lines: Vec<&str> = outcome.out.lines().collect();
    let networks: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(networks, ["NETWORK", "resnet18", "resnet34"]);
}

#[test]
fn what_cannot_be_measured_is_said() {
    let project = Project::new("");
    let says = |arguments: &[&str], code: i32, wanted: &str| {
        let outcome = project.athanor(&[&["bench"], arguments].concat());
        assert_eq!(outcome.code, code, "{outcome:?}");
        assert!(outcome.err.contains(wanted), "{} lacks {wanted}", outcome.err);
        assert_eq!(outcome.out, "");
    };
    says(&["train", "--arch", "resnet81"], 2, "did you mean `resnet18`?");
    says(&["train", "--precision", "fp16"], 2, "`f32`, `f32_ieee` or `bf16`");
    says(&["train", "--arch", "densenet121", "--size", "20"], 1, "at least 29 x 29 pixels, not 20 x 20");
    says(&["train", "--arch", "densenet121", "--size", "20"], 1, "Give `--size 29` or more.");
    says(&["train", "--arch", "resnet18", "--size", "8", "--batch", "1"], 1, "at least 2 images");
    says(&["predict", "--threads", "0"], 2, "--threads");
    says(&["predict", "--steps", "0"], 1, "at least one step");
}

#[test]
fn an_instruction_set_that_there_is_not_is_refused() {
    let project = Project::new("");
    let with = |set: &str| {
        let mut command = project.command(&["bench", "predict", "--arch", "resnet18", "--size", "8", "--steps", "1"]);
        command.env("ATHANOR_INSTRUCTION_SET", set).output().unwrap()
    };
    let refused = with("avx9");
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("ATHANOR_INSTRUCTION_SET is `avx9`") && said.contains("`avx2`, `neon`, `none`"), "{said}");
    for set in ["avx512", "avx2", "neon", "none"] {
        assert_eq!(with(set).status.code(), Some(0), "{set}");
    }
}

#[test]
fn a_device_is_held_to_golden_values_and_to_the_cpu() {
    let project = Project::new("");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let check = |arguments: &[&str]| project.athanor(&[&["bench", "check"], arguments].concat());
    for subject in ["losses", "adam"] {
        let outcome = check(&[subject, "--golden", golden, "--json"]);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let report: Value = serde_json::from_str(&outcome.out).unwrap();
        assert_eq!((&report["subject"], &report["agrees"]), (&Value::from(subject), &Value::from(true)));
        assert!(report["comparisons"].as_array().unwrap().len() > 8, "{report}");
    }
    let outcome = check(&["gradients", "--size", "32", "--batch", "2", "--precision", "bf16"]);
    assert!(outcome.code == 0 && outcome.out.contains("all gradients"), "{outcome:?}");

    let says = |arguments: &[&str], code: i32, wanted: &str| {
        let outcome = check(arguments);
        assert_eq!(outcome.code, code, "{outcome:?}");
        assert!(outcome.err.contains(wanted), "{} lacks {wanted}", outcome.err);
    };
    says(&["weather"], 2, "a subject is `losses`, `adam`, `golden` or `gradients`");
    says(&["losses", "--golden", "/nowhere"], 1, "/nowhere/learn-losses.json: ");
    says(&["gradients", "--arch", "densenet121", "--size", "20"], 1, "29 x 29 pixels or more");
    project.write("learn-optim.json", "[{}]");
    says(&["adam", "--golden", "."], 1, "these are not the golden values that are expected: missing field `rate`");
    project.write(
        "learn-losses.json",
        r#"{"bce":[{"logits":[[1],[1,2]],"targets":[[1],[1]],"value":1,"gradient":[[1]]}]}"#,
    );
    says(&["losses", "--golden", "."], 1, "a matrix whose rows differ in length");
}

#[test]
fn an_answer_that_differs_is_a_failure() {
    let project = Project::new("");
    project.write(
        "learn-optim.json",
        r#"[{"rate":0.01,"scale":5,"norm":1,"after":{"weight":[0,0,0,0,0,0,0,0,0,0,0,0],"bias":[0,0,0]}}]"#,
    );
    let outcome = project.athanor(&["bench", "check", "adam", "--golden", "."]);
    assert!(outcome.code == 1 && outcome.out.contains("does not agree"), "{outcome:?}");
}
