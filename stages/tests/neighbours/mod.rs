//! Neighbours and pseudo labels (see `tests/golden/neighbours.py`).

mod errors;
mod pseudo_labels;
mod search;

use super::*;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../../tests/golden/neighbours.json")).unwrap()
}

/// Outputs of `neighbours`.
const FOUND: [(&str, &str); 2] = [("neighbours", "neighbours.csv"), ("report", "report.csv")];
/// Outputs of `apply_neighbours`.
const APPLIED: [(&str, &str); 2] = [("submission", "final.csv"), ("report", "changes.csv")];

/// Features of one side of a golden case, and its table.
fn side(bench: &Bench, case: &Value, side: usize) -> [InputFile; 2] {
    let rows: Vec<Vec<f64>> = serde_json::from_value(case["features"][side].clone()).unwrap();
    let (columns, values) = (rows[0].len(), rows.concat());
    let content = match case["dtype"].as_str().unwrap() {
        "<f8" => npy(rows.len(), columns, &values),
        "<f4" => typed_npy("<f4", rows.len(), columns, &values, |value| (value as f32).to_le_bytes()),
        ">f4" => typed_npy(">f4", rows.len(), columns, &values, |value| (value as f32).to_be_bytes()),
        other => panic!("{other}"),
    };
    let facts = case["targets"][side].as_array().unwrap().iter().zip(case["antibodies"][side].as_array().unwrap());
    let table: String = facts
        .enumerate()
        .map(|(row, (target, antibody))| format!("{side}-{row},{},{antibody}\n", target.as_str().unwrap()))
        .collect();
    [
        bench.file(&format!("{side}.npy"), content),
        bench.file(&format!("{side}.csv"), format!("Id,Target,antibody\n{table}")),
    ]
}

#[test]
fn neighbours_are_scikit_learns() {
    for case in golden()["neighbours"].as_array().unwrap() {
        let bench = Bench::new();
        let ([queries, query_table], [references, reference_table]) = (side(&bench, case, 0), side(&bench, case, 1));
        let inputs = [
            ("queries", vec![queries]),
            ("references", vec![references]),
            ("query_table", vec![query_table]),
            ("reference_table", vec![reference_table]),
        ];
        bench.run("neighbours", json!({ "top": case["top"] }), 0, &inputs, &FOUND).unwrap();
        let nearest: Vec<Vec<usize>> = serde_json::from_value(case["nearest"].clone()).unwrap();
        let names: Vec<String> = nearest.concat().iter().map(|row| format!("1-{row}")).collect();
        assert_eq!(column(&bench.out("neighbours.csv"), 2), names);
        let cosines: Vec<Vec<f64>> = serde_json::from_value(case["cosines"].clone()).unwrap();
        for (ours, theirs) in numbers(&bench.out("neighbours.csv"), 3).iter().zip(cosines.concat()) {
            assert!((ours - theirs).abs() < 1e-12, "{ours} is not {theirs}");
        }
        let top = case["top"].as_u64().unwrap() as usize;
        let asked: Vec<(String, String)> = (0..nearest.len())
            .flat_map(|row| (1..=top).map(move |rank| (format!("0-{row}"), rank.to_string())))
            .collect();
        let written = column(&bench.out("neighbours.csv"), 0).into_iter().zip(column(&bench.out("neighbours.csv"), 1));
        assert_eq!(written.collect::<Vec<_>>(), asked);
        let report = std::fs::read_to_string(bench.out("report.csv")).unwrap();
        let expected = case["report"].as_array().unwrap().iter().enumerate().map(|(step, counts)| {
            let [rows, antibody, target] = [0, 1, 2].map(|at| counts[at].as_u64().unwrap());
            format!("{},{rows},{antibody},{target},{rows}\n", (60 + step) as f64 / 100.0)
        });
        assert_eq!(report, format!("threshold,rows,same_antibody,same_target,known\n{}", expected.collect::<String>()));
    }
}

#[test]
fn rows_take_the_labels_of_what_they_resemble() {
    let bench = Bench::new();
    let inputs = [
        ("submission", vec![bench.file("submission.csv", "Id,Predicted\na,0\nb,2 1\nc,0 1\nd,3\n")]),
        (
            "neighbours",
            vec![bench.file(
                "neighbours.csv",
                "Id,rank,neighbour,cosine\nd,1,y,0.65\na,2,y,0.7\na,1,x,0.9\nb,1,y,0.6500001\nc,1,z,0.2\n",
            )],
        ),
        ("targets", vec![bench.file("targets.csv", "Id,Target\ny,2 1\nx,1 3\n")]),
    ];
    bench.run("apply_neighbours", json!({ "classes": 4 }), 0, &inputs, &APPLIED).unwrap();
    assert_eq!(std::fs::read_to_string(bench.out("final.csv")).unwrap(), "Id,Predicted\na,1 3\nb,1 2\nc,0 1\nd,3\n");
    assert_eq!(
        std::fs::read_to_string(bench.out("changes.csv")).unwrap(),
        "class,before,after,added,removed\n0,2,1,0,1\n1,2,3,1,0\n2,1,1,0,0\n3,1,2,1,0\n"
    );
    assert_eq!((bench.metric("rows_above"), bench.metric("rows_changed")), (2.0, 1.0));
}

#[test]
fn a_number_of_rows_takes_labels_nearest_first() {
    let bench = Bench::new();
    let inputs = [
        ("submission", vec![bench.file("submission.csv", "Id,Predicted\na,0\nb,0\nc,0\nd,0\n")]),
        (
            "neighbours",
            vec![
                bench.file("neighbours.csv", "Id,rank,neighbour,cosine\na,1,x,0.1\nb,1,x,0.5\nc,1,x,0.5\nd,1,x,0.7\n"),
            ],
        ),
        ("targets", vec![bench.file("targets.csv", "Id,Target\nx,3\n")]),
    ];
    for (count, expected) in [(0, "0000"), (1, "0003"), (2, "0303"), (3, "0333"), (9, "3333")] {
        bench.run("apply_neighbours", json!({ "count": count }), 0, &inputs, &APPLIED).unwrap();
        assert_eq!(column(&bench.out("final.csv"), 1).concat(), expected);
    }
    assert_eq!(bench.metric("lowest_cosine"), 0.7);
}

#[test]
fn a_partial_table_says_of_how_many_it_knows() {
    let bench = Bench::new();
    let features = bench.matrix("features", &json!([[1.0, 0.0], [0.0, 1.0], [0.9, 0.0], [0.0, 0.8]]));
    let references = bench.matrix("references", &json!([[1.0, 0.1], [0.1, 1.0]]));
    let inputs = [
        ("queries", vec![features]),
        ("references", vec![references]),
        ("query_table", vec![bench.file("q.csv", "Id,antibody,Target\nid3,9,1\nid0,7,0 1\n")]),
        ("reference_table", vec![bench.file("r.csv", "Id,Target,antibody\nid0,0,7\nid1,1,9\n")]),
    ];
    let params = json!({ "top": 1, "thresholds": [-1.0], "partial": true, "itself": true });
    bench.run("neighbours", params, 0, &inputs, &FOUND).unwrap();
    let report = std::fs::read_to_string(bench.out("report.csv")).unwrap();
    assert_eq!(report, "threshold,rows,same_antibody,same_target,known\n-1,4,2,1,2\n");
}

#[test]
fn what_is_not_known_stays_empty_in_the_report() {
    let bench = Bench::new();
    let features = bench.matrix("features", &json!([[1.0, 0.0], [0.0, 1.0], [0.9, 0.0]]));
    let inputs = [
        ("queries", vec![features.clone()]),
        ("references", vec![features]),
        ("query_table", vec![bench.file("q.csv", "Id,Target\nid0,0\nid1,\nid2,0\n")]),
        ("reference_table", vec![bench.file("r.csv", "Id,Target,antibody\nid2,0,7\nid1,,7\nid0,0,7\n")]),
    ];
    let params = json!({ "top": 1, "thresholds": [0.5, -1.0] });
    bench.run("neighbours", params.clone(), 0, &inputs, &FOUND).unwrap();
    let report = std::fs::read_to_string(bench.out("report.csv")).unwrap();
    assert_eq!(report, "threshold,rows,same_antibody,same_target,known\n0.5,2,,2,2\n-1,3,,2,2\n");
    assert_eq!(column(&bench.out("neighbours.csv"), 2)[0], "id2");
    let with_itself = json!({ "top": 1, "itself": true });
    bench.run("neighbours", with_itself, 0, &inputs, &FOUND).unwrap();
    assert_eq!(column(&bench.out("neighbours.csv"), 2), ["id0", "id1", "id2"]);
    assert!(numbers(&bench.out("neighbours.csv"), 3).iter().all(|cosine| (cosine - 1.0).abs() < 1e-15));
}
