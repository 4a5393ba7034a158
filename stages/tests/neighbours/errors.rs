//! Problems of the inputs are reported with file and row.

use super::*;

/// The error of a kind for its inputs, a port and a file each. Files called `….npy` are bare matrices, the others text.
pub(crate) fn complaint(kind: &str, params: Value, inputs: &[(&str, &str, &[u8])], outputs: &[(&str, &str)]) -> String {
    let bench = Bench::new();
    let inputs: Vec<(&str, Vec<InputFile>)> =
        inputs.iter().map(|(port, name, content)| (*port, vec![bench.file(name, content)])).collect();
    bench.run(kind, params, 0, &inputs, outputs).unwrap_err().to_string()
}

/// The error of `neighbours` for queries and references.
fn of_features(queries: &[u8], references: &[u8], query_ids: &str, reference_ids: &str) -> String {
    let inputs = [
        ("queries", "q.npy", queries),
        ("references", "r.npy", references),
        ("query_table", "q.csv", query_ids.as_bytes()),
        ("reference_table", "r.csv", reference_ids.as_bytes()),
    ];
    complaint("neighbours", json!({ "top": 2 }), &inputs, &FOUND)
}

#[test]
fn features_that_cannot_be_compared() {
    let good = npy(3, 2, &[0.0, 1.0, 2.0, 5.0, 4.0, 3.0]);
    let (abc, ab) = ("Id\na\nb\nc\n", "Id\na\nb\n");
    let nan = npy(3, 2, &[0.0, 1.0, 2.0, 5.0, f64::NAN, 3.0]);
    let infinite =
        typed_npy("<f4", 3, 2, &[0.0, 1.0, f64::INFINITY, 5.0, 1.0, 3.0], |value| (value as f32).to_le_bytes());
    let huge = npy(3, 2, &[0.0, 1.0, 2.0, 1e300, 4.0, -1e300]);
    let text = typed_npy("|S1", 3, 2, &[0.0; 6], |_| [b'x']);
    for (queries, references, query_ids, reference_ids, expected) in [
        (&nan, &good, abc, abc, "q.npy, row 3: column 1 (at [2, 0]) holds NaN"),
        (&good, &infinite, abc, abc, "r.npy, row 2: column 1 (at [1, 0]) holds inf"),
        (&good, &huge, abc, abc, "r.npy: the values of column 1 are too large to be standardised"),
        (&good, &good, ab, abc, "q.npy: the matrix has 3 rows, but there are 2 ids"),
        (&good, &good, abc, "Id\na\nb\na\n", "r.csv, row 4: the id `a` stands in row 2 already"),
        (
            &good,
            &good,
            abc,
            "Id,Target\na,0\nb,x\nc,1\n",
            "r.csv, row 3: `x` is no class number: a target is class numbers separated by spaces",
        ),
        (&npy(3, 1, &[0.0, 1.0, 2.0]), &good, abc, abc, "q.npy: has 1 column, but `r.npy` has 2"),
        (
            &npy(2, 2, &[3.0, 4.0, 3.0, 4.0]),
            &good,
            ab,
            abc,
            "q.npy: every column holds one value only, so that no row differs from another",
        ),
        (&npy(0, 2, &[]), &good, "Id\n", abc, "q.npy: the array is empty: 0 x 2"),
        (&good, &text, abc, abc, "r.npy: the array holds text (`|S1`)"),
        (&good, &npy(2, 2, &[0.0, 1.0, 2.0, 5.0]), abc, ab, "r.npy: 2 rows are too few to find 2 neighbours"),
    ] {
        assert_eq!(of_features(queries, references, query_ids, reference_ids), expected);
    }
    let cut = &good[..good.len() - 8];
    assert_eq!(of_features(cut, &good, abc, abc), "q.npy: the header promises 3 x 2 values, but the file is shorter");
    let inputs = [("queries", "q.npy", good.as_slice()), ("references", "r.npy", good.as_slice())];
    assert_eq!(complaint("neighbours", json!({}), &inputs, &FOUND), "q.npy: the matrix has no ids");
}

#[test]
fn an_id_that_its_table_does_not_know() {
    let bench = Bench::new();
    let features = bench.matrix("features", &json!([[1.0, 0.0], [0.0, 1.0]]));
    let table = bench.file("table.csv", "Id,Target\nid0,0\nid2,0\n");
    let inputs = [("queries", vec![features.clone()]), ("references", vec![features]), ("query_table", vec![table])];
    let error = bench.run("neighbours", json!({}), 0, &inputs, &FOUND).unwrap_err();
    assert_eq!(error.to_string(), "features, row 2: the id `id1` is not in `table.csv`");
}

#[test]
fn a_partial_table_that_knows_no_row_is_another_table() {
    let bench = Bench::new();
    let features = bench.matrix("features", &json!([[1.0, 0.0], [0.0, 1.0]]));
    let table = bench.file("table.csv", "Id,Target\nid7,0\nid8,0\n");
    let inputs = [("queries", vec![features.clone()]), ("references", vec![features]), ("query_table", vec![table])];
    let error = bench.run("neighbours", json!({ "partial": true }), 0, &inputs, &FOUND).unwrap_err();
    assert_eq!(error.to_string(), "features, row 1: the id `id0` is not in `table.csv`");
}

#[test]
fn neighbours_that_do_not_fit_a_submission() {
    let header = "Id,rank,neighbour,cosine\n";
    for (submission, neighbours, targets, expected) in [
        ("a,0\nb,1\n", "a,1,x,0.9\n", "x,0\n", "s.csv, row 3: the id `b` has no neighbour in `n.csv`"),
        ("a,0\n", "a,2,x,0.9\n", "x,0\n", "s.csv, row 2: the id `a` has no neighbour in `n.csv`"),
        ("a,0\n", "a,1,x,0.9\nc,1,x,0.9\nb,1,x,0.9\n", "x,0\n", "n.csv, row 3: the id `c` is not in `s.csv`"),
        ("a,0\na,0\n", "a,1,x,0.9\n", "x,0\n", "s.csv, row 3: the id `a` stands in row 2 already"),
        ("a,0\n", "a,1,x,0.9\na,1,x,0.8\n", "x,0\n", "n.csv, row 3: the id `a` has a neighbour of rank 1 already"),
        ("a,0\n", "a,1,y,0.9\n", "x,0\n", "n.csv, row 2: the neighbour `y` has no target in `t.csv`"),
        ("a,0\n", "a,0,x,0.9\n", "x,0\n", "n.csv, row 2: `0` is no rank: ranks count from 1"),
        ("a,0\n", "a,1,x,NaN\n", "x,0\n", "n.csv, row 2: `NaN` is no cosine between -1 and 1"),
        ("a,0\n", "a,1,,0.9\n", "x,0\n", "n.csv, row 2: an id is empty"),
        ("a,0\n", "a,1,x,0.9\n", "x,\n", "n.csv, row 2: the neighbour `x` has no class in `t.csv`"),
        ("a,28\n", "a,1,x,0.9\n", "x,0\n", "s.csv, row 2: there is no class 28: classes go from 0 to 27"),
        ("", "a,1,x,0.9\n", "x,0\n", "s.csv: the table has no rows"),
        ("a,0\n", "", "x,0\n", "n.csv: the table has no rows"),
    ] {
        let submission = format!("Id,Predicted\n{submission}");
        let (neighbours, targets) = (format!("{header}{neighbours}"), format!("Id,Target\n{targets}"));
        let inputs = [
            ("submission", "s.csv", submission.as_bytes()),
            ("neighbours", "n.csv", neighbours.as_bytes()),
            ("targets", "t.csv", targets.as_bytes()),
        ];
        assert_eq!(complaint("apply_neighbours", json!({}), &inputs, &APPLIED), expected);
    }
}

#[test]
fn parameters_out_of_range() {
    for (kind, params, expected) in [
        ("neighbours", json!({ "top": 0 }), "there must be at least one neighbour"),
        ("neighbours", json!({ "thresholds": [2.0] }), "a cosine lies between -1 and 1"),
        ("apply_neighbours", json!({ "threshold": 1.5 }), "a cosine lies between -1 and 1"),
        ("apply_neighbours", json!({ "classes": 0 }), "there must be at least one class"),
    ] {
        assert_eq!(problems(kind, &params), [expected]);
    }
}

/// Problems of the parameters of a kind.
pub(crate) fn problems(kind: &str, params: &Value) -> Vec<String> {
    let problems = registry::find(kind).unwrap().check_params(params).unwrap_err();
    problems.into_iter().map(|problem| problem.message).collect()
}
