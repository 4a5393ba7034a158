//! The kinds against NumPy, scikit-learn and iterative-stratification (see `tests/golden/*.py`).

mod neighbours;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use athanor_stages::artifact::matrix::MatrixInput;
use athanor_stages::artifact::matrix_rows::MatrixRows;
use athanor_stages::context::{Reporter, StageContext, StageReport};
use athanor_stages::kind::{RunError, Runner};
use athanor_stages::ports::{BoundInputs, BoundOutputs, InputFile};
use athanor_stages::registry;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../tests/golden/stages.json")).unwrap()
}

#[derive(Default)]
struct Heard(Mutex<Vec<StageReport>>);

impl Reporter for Heard {
    fn report(&self, report: StageReport) {
        self.0.lock().unwrap().push(report);
    }
    fn should_stop(&self) -> bool {
        false
    }
}

/// A folder to run a kind in.
struct Bench {
    folder: TempDir,
    heard: Heard,
}

impl Bench {
    fn new() -> Bench {
        Bench { folder: tempfile::tempdir().unwrap(), heard: Heard::default() }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> InputFile {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        InputFile { path, label: name.to_owned() }
    }

    fn labels(&self, name: &str, targets: &Value) -> InputFile {
        let rows = targets.as_array().unwrap().iter().enumerate();
        let rows: String = rows.map(|(row, target)| format!("id{row},{}\n", target.as_str().unwrap())).collect();
        self.file(name, format!("Id,Target\n{rows}"))
    }

    /// A matrix of named rows, as the kinds exchange them.
    fn matrix(&self, name: &str, values: &Value) -> InputFile {
        let rows: Vec<Vec<f64>> = serde_json::from_value(values.clone()).unwrap();
        let ids: String = (0..rows.len()).map(|row| format!("id{row}\n")).collect();
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("ids.csv"), format!("Id\n{ids}")).unwrap();
        std::fs::write(folder.join("values.npy"), npy(rows.len(), rows[0].len(), &rows.concat())).unwrap();
        InputFile { path: folder, label: name.to_owned() }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(
        &self,
        kind: &str,
        params: Value,
        seed: u64,
        inputs: &[(&str, Vec<InputFile>)],
        outputs: &[(&str, &str)],
    ) -> Result<(), RunError> {
        let kind = registry::find(kind).unwrap();
        let params = kind.check_params(&params).unwrap();
        let Runner::Worker(work) = kind.runner() else { panic!("not a built-in kind") };
        let inputs: BoundInputs = inputs.iter().map(|(port, files)| ((*port).to_owned(), files.clone())).collect();
        let outputs: BoundOutputs = outputs.iter().map(|(port, name)| ((*port).to_owned(), self.out(name))).collect();
        let context = StageContext::new(seed, 1, self.out("scratch"), &self.heard);
        work.run(&params, inputs, outputs, &context)
    }

    fn metric(&self, wanted: &str) -> f64 {
        let heard = self.heard.0.lock().unwrap();
        let found = heard.iter().find_map(|report| match report {
            StageReport::Metric { name, value, .. } if name == wanted => Some(*value),
            _ => None,
        });
        found.unwrap()
    }
}

/// A `.npy` file of float64 as NumPy writes it.
fn npy(rows: usize, columns: usize, values: &[f64]) -> Vec<u8> {
    typed_npy("<f8", rows, columns, values, f64::to_le_bytes)
}

/// A `.npy` file of the type `descr`, whose values `encode` writes.
fn typed_npy<const N: usize>(
    descr: &str,
    rows: usize,
    columns: usize,
    values: &[f64],
    encode: fn(f64) -> [u8; N],
) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    values.iter().for_each(|value| bytes.extend(encode(*value)));
    bytes
}

fn column(path: &Path, column: usize) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(|line| line.split(',').nth(column).unwrap().to_owned()).collect()
}

fn numbers(path: &Path, at: usize) -> Vec<f64> {
    column(path, at).iter().map(|cell| cell.parse().unwrap()).collect()
}

fn floats(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn random_numbers_are_numpys() {
    use athanor_random::RandomState;
    for case in golden()["random_state"].as_array().unwrap() {
        let seed = case["seed"].as_u64().unwrap();
        let mut random = RandomState::new(seed).unwrap();
        assert_eq!(json!(random.permutation(20)), case["permutation"]);
        assert_eq!(json!([2, 3, 7, 28, 1000].map(|count| random.choice(count))), case["choices"]);
        let permuted = RandomState::new(seed).unwrap().permutation(50);
        assert_eq!(json!(permuted[..10]), case["held_out"]);
        let permuted = RandomState::new(seed).unwrap().permutation(13);
        assert_eq!(json!(permuted[..3]), case["validation"]);
        assert_eq!(json!(permuted[3..]), case["train"]);
    }
    assert!(RandomState::new(1 << 32).is_err());
}

#[test]
fn folds_are_the_references_row_for_row() {
    for case in golden()["folds"].as_array().unwrap() {
        let bench = Bench::new();
        let params = json!({ "folds": case["folds"], "classes": case["classes"] });
        let train = bench.labels("train.csv", &case["targets"]);
        let outputs = [("train", "folds.csv"), ("external", "external.csv")];
        bench.run("folds", params, case["seed"].as_u64().unwrap(), &[("train", vec![train])], &outputs).unwrap();
        assert_eq!(
            json!(numbers(&bench.out("folds.csv"), 1).iter().map(|fold| *fold as u64).collect::<Vec<_>>()),
            case["fold"]
        );
        assert!(!bench.out("external.csv").exists());
    }
}

#[test]
fn antibody_splits_are_the_references() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../tests/golden/antibody.json")).unwrap();
    for case in cases {
        let bench = Bench::new();
        let table = |name: &str| -> String {
            let ids = case[name].as_array().unwrap().iter().map(|id| format!("{},0\n", id.as_str().unwrap()));
            format!("Id,Target\n{}", ids.collect::<String>())
        };
        let external = vec![bench.file("external.csv", table("external"))];
        let labelled = [("table", "external_labels.csv")];
        bench.run("label_table", json!({ "external": true }), 0, &[("labels", external)], &labelled).unwrap();
        let external = bench.file("e.csv", std::fs::read(bench.out("external_labels.csv")).unwrap());
        let pairs = case["pairs"].as_array().unwrap().iter();
        let pairs = pairs.map(|pair| format!("{},{}\n", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));
        let inputs = [
            ("external", vec![external]),
            ("train", vec![bench.file("train.csv", table("train"))]),
            ("pairs", vec![bench.file("pairs.csv", format!("Train,Extra\n{}", pairs.collect::<String>()))]),
        ];
        let outputs = [("train", "t.csv"), ("validation", "v.csv"), ("held_out", "h.csv")];
        bench.run("antibody_split", json!({ "hold_out": case["hold_out"] }), 100, &inputs, &outputs).unwrap();
        for (part, file) in [("train", "t.csv"), ("validation", "v.csv"), ("held_out", "h.csv")] {
            let columns = [0, 2, 3, 4].map(|at| column(&bench.out(file), at));
            let rows = (0..columns[0].len()).map(|row| columns.each_ref().map(|cells| cells[row].as_str()).join(","));
            assert_eq!(json!(rows.collect::<Vec<_>>()), case["parts"][part], "{part}");
        }
        assert_eq!(bench.metric("matched_train_rows"), case["matched"].as_f64().unwrap());
    }
}

#[test]
fn pairs_of_images_that_no_table_has_are_told() {
    for (train, extra, expected) in [
        ("b", "7_1", "pairs.csv, row 2: the train id `b` is not in `train.csv`"),
        ("a", "8_1", "pairs.csv, row 2: the external id `8_1` is not in `external.csv`"),
    ] {
        let bench = Bench::new();
        let inputs = [
            ("external", vec![bench.file("external.csv", "Id,Target,antibody,antibody_code\n7_1,0,7,0\n")]),
            ("train", vec![bench.file("train.csv", "Id,Target\na,0\n")]),
            ("pairs", vec![bench.file("pairs.csv", format!("Train,Extra\n{train},{extra}\n"))]),
        ];
        let outputs = [("train", "t.csv"), ("validation", "v.csv"), ("held_out", "h.csv")];
        let error = bench.run("antibody_split", json!({ "hold_out": 0 }), 100, &inputs, &outputs).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn thresholds_by_ratio_are_numpys() {
    for case in golden()["thresholds"].as_array().unwrap() {
        let bench = Bench::new();
        let values: Vec<Vec<f64>> = floats(&case["values"]).into_iter().map(|value| vec![value]).collect();
        let probabilities = bench.matrix("probabilities", &json!(values));
        let labels = bench.labels("labels.csv", &json!(["0", "0"]));
        let inputs = [("probabilities", vec![probabilities]), ("labels", vec![labels])];
        let params = json!({ "ratios": [case["ratio"]] });
        bench.run("thresholds", params, 0, &inputs, &[("thresholds", "thresholds.csv")]).unwrap();
        assert_eq!(json!(numbers(&bench.out("thresholds.csv"), 1)[0]), case["threshold"]);
    }
}

#[test]
fn soft_f1_thresholds_are_as_good_as_an_exhaustive_search() {
    for case in golden()["soft_f1"].as_array().unwrap() {
        let bench = Bench::new();
        let values: Vec<Vec<f64>> = floats(&case["values"]).into_iter().map(|value| vec![value, 0.0]).collect();
        let positive: Vec<bool> = serde_json::from_value(case["positive"].clone()).unwrap();
        let targets: Vec<&str> = positive.iter().map(|positive| if *positive { "0" } else { "1" }).collect();
        let probabilities = bench.matrix("probabilities", &json!(values));
        let inputs =
            [("probabilities", vec![probabilities]), ("labels", vec![bench.labels("labels.csv", &json!(targets))])];
        bench
            .run("thresholds", json!({ "method": "soft_f1" }), 0, &inputs, &[("thresholds", "thresholds.csv")])
            .unwrap();
        let found = numbers(&bench.out("thresholds.csv"), 1)[0];
        assert!((found - case["threshold"].as_f64().unwrap()).abs() < 1e-4, "{found} is not {}", case["threshold"]);
    }
}

#[test]
fn the_report_is_scikit_learns() {
    let case = &golden()["report"];
    let bench = Bench::new();
    let inputs = [
        ("probabilities", vec![bench.matrix("probabilities", &case["values"])]),
        ("labels", vec![bench.labels("labels.csv", &case["targets"])]),
    ];
    let outputs = [("report", "report.csv"), ("summary", "summary.csv")];
    bench.run("classification_report", json!({}), 0, &inputs, &outputs).unwrap();
    for (at, name) in [(1, "f1"), (2, "precision"), (3, "recall")] {
        for (ours, theirs) in numbers(&bench.out("report.csv"), at).iter().zip(floats(&case[name])) {
            assert!((ours - theirs).abs() < 1e-12, "{name}: {ours} is not {theirs}");
        }
    }
    for name in ["accuracy", "macro_f1", "focal_loss"] {
        assert!((bench.metric(name) - case[name].as_f64().unwrap()).abs() < 1e-12, "{name}");
    }
}

#[test]
fn means_and_maxima_are_numpys_to_the_last_bit() {
    let case = &golden()["ensembles"];
    for method in ["mean", "maximum"] {
        let bench = Bench::new();
        let stack = case["stack"].as_array().unwrap().iter().enumerate();
        let matrices = stack.map(|(number, values)| bench.matrix(&number.to_string(), values)).collect();
        bench.run("ensemble", json!({ "method": method }), 0, &[("matrices", matrices)], &[("matrix", "out")]).unwrap();
        let bytes = std::fs::read(bench.out("out/values.npy")).unwrap();
        let expected: Vec<Vec<f64>> = serde_json::from_value(case[method].clone()).unwrap();
        let expected: Vec<u8> = expected.concat().iter().flat_map(|value| value.to_le_bytes()).collect();
        assert!(bytes.ends_with(&expected), "{method}");
    }
}

/// The error of `folds` for a table.
fn complaint(content: &[u8]) -> String {
    let bench = Bench::new();
    let train = bench.file("train.csv", content);
    let outputs = [("train", "folds.csv"), ("external", "external.csv")];
    let error = bench.run("folds", json!({ "folds": 2 }), 0, &[("train", vec![train])], &outputs).unwrap_err();
    error.to_string()
}

#[test]
fn bad_tables_are_named_with_file_and_row() {
    for (content, expected) in [
        ("Id,Target\na,0\nb,0,1\n", "train.csv, row 3: the row has 3 cells, but the header has 2"),
        ("Id,Target\na,28\nb,0\n", "train.csv, row 2: there is no class 28: classes go from 0 to 27"),
        ("Id,Target\na,x\n", "train.csv, row 2: `x` is no class number: a target is class numbers separated by spaces"),
        ("Id,Target\na,0\nb,1\na,0\n", "train.csv, row 4: the id `a` stands in row 2 already"),
        ("Id,Target\n,0\n", "train.csv, row 2: `Id` is empty"),
        ("Id,Target\na,0\nb ,1\n", "train.csv, row 3: the id `b ` has blanks around it"),
        ("Id;Target\na;0\n", "train.csv, row 1: there is no column `Id`"),
        ("id,target\na,0\n", "train.csv, row 1: there is no column `Id`"),
        ("Id,Target,Id\na,0,b\n", "train.csv, row 1: the column `Id` is there more than once"),
        ("Id,Target\n", "train.csv: the table has no rows"),
        ("", "train.csv: the file is empty"),
        ("Id,Target\na,0\n", "train.csv: 1 row cannot be split into 2 folds"),
    ] {
        assert_eq!(complaint(content.as_bytes()), expected);
    }
    assert_eq!(complaint(b"Id,Target\na,0\n\xff,0\n"), "train.csv, row 3: the row is not UTF-8 text");
}

#[test]
fn an_empty_target_is_a_row_without_a_class() {
    let bench = Bench::new();
    let train = bench.file("train.csv", "Id,Target\na,0\nb,\nc,0\nd,\n");
    let outputs = [("train", "folds.csv"), ("external", "external.csv")];
    bench.run("folds", json!({ "folds": 2 }), 0, &[("train", vec![train])], &outputs).unwrap();
    let folds = numbers(&bench.out("folds.csv"), 1);
    assert!(folds[0] != folds[2] && folds[1] != folds[3], "each fold has one of each: {folds:?}");
}

#[test]
fn byte_order_marks_and_crlf_are_taken_in_stride() {
    let bench = Bench::new();
    let train = bench.file("train.csv", "\u{feff}Id,Target\r\na,0\r\nb,1\r\n");
    let outputs = [("train", "folds.csv"), ("external", "external.csv")];
    bench.run("folds", json!({ "folds": 2 }), 0, &[("train", vec![train])], &outputs).unwrap();
    assert_eq!(column(&bench.out("folds.csv"), 0), ["a", "b"]);
}

/// The error of `ensemble` for a bare matrix.
fn matrix_complaint(content: &[u8]) -> String {
    let bench = Bench::new();
    let inputs = [("matrices", vec![bench.file("m.npy", content)]), ("ids", vec![bench.file("ids.csv", "Id\na\nb\n")])];
    let error = bench.run("ensemble", json!({ "method": "mean" }), 0, &inputs, &[("matrix", "out")]).unwrap_err();
    error.to_string()
}

#[test]
fn bad_matrices_are_named_with_file_and_row() {
    assert_eq!(
        matrix_complaint(&npy(2, 2, &[0.0, 0.5, f64::NAN, 1.0])),
        "m.npy, row 2: column 1 (at [1, 0]) holds NaN"
    );
    assert_eq!(matrix_complaint(&npy(3, 1, &[0.0, 0.5, 1.0])), "m.npy: the matrix has 3 rows, but there are 2 ids");
    assert_eq!(
        matrix_complaint(&npy(1 << 40, 1 << 20, &[0.0])),
        format!("m.npy: the header promises {} x {} values, but the file is shorter", 1_u64 << 40, 1 << 20)
    );
    assert!(matrix_complaint(b"junk").starts_with("m.npy: "));
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bench = Bench::new();
        let mut near = npy(1, 1, &[0.0]);
        let at = bytes.len() % near.len();
        near.splice(at..at, bytes.iter().copied().take(3));
        for content in [bytes.clone(), near, [b"Id,Target\n", bytes.as_slice()].concat()] {
            let inputs = [("matrices", vec![bench.file("m", &content)]), ("ids", vec![bench.file("i", &content)])];
            let _ = bench.run("ensemble", json!({ "method": "mean" }), 0, &inputs, &[("matrix", "out")]);
            let outputs = [("train", "folds.csv"), ("external", "external.csv")];
            let _ = bench.run("folds", json!({}), 0, &[("train", vec![bench.file("t", &content)])], &outputs);
        }
    }
}

#[test]
fn arrays_of_every_type_are_read_as_numpy_reads_them() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../tests/golden/arrays.json")).unwrap();
    assert!(cases.len() > 20);
    let folder = tempfile::tempdir().unwrap();
    for case in cases {
        let (path, name) = (folder.path().join("array.npy"), case["name"].as_str().unwrap());
        std::fs::write(&path, STANDARD.decode(case["file"].as_str().unwrap()).unwrap()).unwrap();
        let rows = case["values"].as_array().unwrap();
        let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
        let expected: Vec<f64> = rows.iter().flat_map(|row| row.as_array().unwrap()).map(number).collect();
        let read = MatrixInput(InputFile { path: path.clone(), label: name.to_owned() }).read().unwrap();
        assert_eq!((read.rows(), read.values), (rows.len(), expected.clone()), "{name}");
        // A block of rows is the same as those rows of all.
        let mut some = Vec::new();
        MatrixRows::open(&path, name).unwrap().read(1..rows.len(), &mut some).unwrap();
        assert_eq!(some, expected[expected.len() / rows.len()..], "{name}");
    }
}
