//! Pseudo labels against NumPy, and how they extend a split.

use athanor_stages::artifact::matrix::{Matrix, MatrixInput};

use super::errors::{complaint, problems};
use super::*;

/// Outputs of `pseudo_labels`.
const OUTPUTS: [(&str, &str); 3] = [("train", "train.csv"), ("soft_labels", "soft"), ("report", "report.csv")];

fn soft_labels(bench: &Bench) -> Matrix {
    MatrixInput(InputFile { path: bench.out("soft"), label: "soft".to_owned() }).read().unwrap()
}

#[test]
fn the_surest_rows_are_numpys() {
    for case in golden()["pseudo_labels"].as_array().unwrap() {
        let bench = Bench::new();
        let inputs = [("probabilities", vec![bench.matrix("probabilities", &case["values"])])];
        let mut params = json!({ "classes": ["A", "B", "C", "D"] });
        for name in ["threshold", "min_confidence", "top_share"] {
            params[name] = case[name].clone();
        }
        bench.run("pseudo_labels", params, 0, &inputs, &OUTPUTS).unwrap();
        let taken: Vec<usize> = serde_json::from_value(case["taken"].clone()).unwrap();
        let names: Vec<String> = taken.iter().map(|row| format!("id{row}")).collect();
        assert_eq!(column(&bench.out("train.csv"), 0), names);
        assert_eq!(json!(column(&bench.out("train.csv"), 1)), case["targets"]);
        let soft = soft_labels(&bench);
        assert_eq!(soft.ids.unwrap(), names);
        let values: Vec<f64> = taken.iter().flat_map(|row| floats(&case["values"][row])).collect();
        assert_eq!((soft.columns, soft.values), (4, values));
        assert_eq!(bench.metric("pseudo_rows"), taken.len() as f64);
        assert_eq!(bench.metric("rows_left_out"), 60.0 - taken.len() as f64);
    }
}

#[test]
fn a_split_is_extended_in_its_own_columns() {
    let bench = Bench::new();
    let inputs = [
        ("probabilities", vec![bench.matrix("probabilities", &json!([[0.9, 0.2], [0.45, 0.1], [0.6, 0.8]]))]),
        ("thresholds", vec![bench.file("thresholds.csv", "class,threshold\n1,0.1\n0,0.7\n")]),
        ("train", vec![bench.file("labelled.csv", "Id,Target,A,B,External,antibody\nx,1,0,1,False,12\n")]),
    ];
    let params = json!({ "classes": ["A", "B"], "min_confidence": 0.5, "external": true });
    bench.run("pseudo_labels", params, 0, &inputs, &OUTPUTS).unwrap();
    assert_eq!(
        std::fs::read_to_string(bench.out("train.csv")).unwrap(),
        "Id,Target,A,B,External,antibody,pseudo\nx,1,0,1,False,12,False\nid0,0 1,1,1,True,,True\nid2,1,0,1,True,,True\n"
    );
    let soft = soft_labels(&bench);
    assert_eq!(soft.ids.unwrap(), ["x", "id0", "id2"]);
    assert_eq!((soft.columns, soft.values), (2, vec![0.0, 1.0, 0.9, 0.2, 0.6, 0.8]));
    assert_eq!(std::fs::read_to_string(bench.out("report.csv")).unwrap(), "class,labelled,pseudo\n0,0,1\n1,1,2\n");
}

#[test]
fn without_a_split_the_columns_are_those_of_a_label_table() {
    let bench = Bench::new();
    let labels = bench.file("labels.csv", "Id,Target\nid0,1\n");
    let params = json!({ "classes": ["A", "B"] });
    bench.run("label_table", params.clone(), 0, &[("labels", vec![labels])], &[("table", "labels_out.csv")]).unwrap();
    let inputs = [("probabilities", vec![bench.matrix("probabilities", &json!([[0.0, 1.0]]))])];
    bench.run("pseudo_labels", params, 0, &inputs, &OUTPUTS).unwrap();
    let expected = std::fs::read_to_string(bench.out("labels_out.csv")).unwrap();
    let expected = expected.replacen("External\n", "External,pseudo\n", 1).replacen("False\n", "False,True\n", 1);
    assert_eq!(std::fs::read_to_string(bench.out("train.csv")).unwrap(), expected);
}

#[test]
fn a_split_stays_as_it_is_when_no_row_is_sure_enough() {
    let bench = Bench::new();
    let inputs = [
        ("probabilities", vec![bench.matrix("probabilities", &json!([[0.9, 0.2]]))]),
        ("train", vec![bench.file("labelled.csv", "Id,Target\nx,1\n")]),
    ];
    let params = json!({ "classes": ["A", "B"], "min_confidence": 0.95 });
    bench.run("pseudo_labels", params, 0, &inputs, &OUTPUTS).unwrap();
    assert_eq!(std::fs::read_to_string(bench.out("train.csv")).unwrap(), "Id,Target,pseudo\nx,1,False\n");
}

#[test]
fn predictions_that_do_not_fit_a_split() {
    let two = npy(2, 2, &[0.0, 1.0, 0.5, 0.5]);
    let ids = "Id\na\nb\n";
    for (values, ids, train, expected) in [
        (&two, ids, "Id,Target\nx,0\nb,1\n", "p.npy, row 2: the id `b` is in `t.csv` already"),
        (&two, ids, "Id,Target,pseudo\nx,0,True\n", "t.csv: has a column `pseudo` already"),
        (&two, ids, "Id,Target\nx,2\n", "t.csv, row 2: there is no class 2: classes go from 0 to 1"),
        (&two, "Id\na\n", "Id,Target\nx,0\n", "p.npy: the matrix has 2 rows, but there is 1 id"),
        (&two, "Id\na\na\n", "Id,Target\nx,0\n", "i.csv, row 3: the id `a` stands in row 2 already"),
        (&npy(2, 1, &[0.0, 1.0]), ids, "Id,Target\nx,0\n", "p.npy: has 1 column, but `classes` names 2"),
        (
            &npy(1, 2, &[0.0, 1.5]),
            ids,
            "Id,Target\nx,0\n",
            "p.npy, row 1: column 2 (at [0, 1]) holds 1.5, which is no probability",
        ),
    ] {
        let inputs = [
            ("probabilities", "p.npy", values.as_slice()),
            ("ids", "i.csv", ids.as_bytes()),
            ("train", "t.csv", train.as_bytes()),
        ];
        assert_eq!(complaint("pseudo_labels", json!({ "classes": ["A", "B"] }), &inputs, &OUTPUTS), expected);
    }
    let inputs = [("probabilities", "p.npy", npy(1, 2, &[0.1, 0.2])), ("ids", "i.csv", b"Id\na\n".to_vec())];
    let inputs: Vec<(&str, &str, &[u8])> =
        inputs.iter().map(|(port, name, bytes)| (*port, *name, bytes.as_slice())).collect();
    assert_eq!(
        complaint("pseudo_labels", json!({ "classes": ["A", "B"], "min_confidence": 0.5 }), &inputs, &OUTPUTS),
        "p.npy: no row has a class with a probability of 0.5 or more"
    );
}

#[test]
fn parameters_out_of_range() {
    for (params, expected) in [
        (json!({ "top_share": 0.0 }), "the top share must be above 0 and at most 1"),
        (json!({ "min_confidence": 1.1 }), "the min confidence must lie between 0 and 1"),
        (json!({ "classes": [] }), "there must be at least one class"),
    ] {
        assert_eq!(problems("pseudo_labels", &params), [expected]);
    }
}
