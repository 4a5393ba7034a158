//! Kinds for tables do what text tools cannot: quotes, line ends, byte-order marks, columns in another order.

mod support;

use support::Project;

const PIPELINE: &str = r#"athanor: 1
name: p
stages:
  both: { kind: concat_tables, inputs: { tables: [a.csv, b.csv] } }
  one_of:
    kind: filter_rows
    inputs: { table: both }
    params:
      keep: ("0" in Target|split) != ("25" in Target|split) and row["of weight"]|float > 0.5
      set: { Target: '1 if "25" in Target|split else 0', note: Id|upper }
results: { both.csv: both, rows.csv: one_of }
"#;

fn project(second: &str) -> Project {
    let project = Project::new(PIPELINE);
    project
        .write("a.csv", "\u{feff}Id,Target,of weight\r\n\"a, with\r\na line\",0 25,1\r\nb,25 3,0.7\r\nc,\"0\",0.2\r\n");
    project.write("b.csv", second);
    project
}

#[test]
fn tables_are_joined_and_filtered_as_csv() {
    let project = project("of weight,Id,Target\n0.9,d,0 2\n1,e,\n0.8,f,25");
    let outcome = project.athanor(&["run", "p.yaml"]);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    assert_eq!(
        project.read("results/p/both.csv"),
        "Id,Target,of weight\n\"a, with\r\na line\",0 25,1\nb,25 3,0.7\nc,0,0.2\nd,0 2,0.9\ne,,1\nf,25,0.8\n"
    );
    assert_eq!(project.read("results/p/rows.csv"), "Id,Target,of weight,note\nb,1,0.7,B\nd,0,0.9,D\nf,1,0.8,F\n");
}

#[test]
fn tables_that_do_not_fit_are_told() {
    for (second, expected) in [
        ("Id,Target\nd,0\n", "b.csv, row 1: there is no column `of weight`"),
        ("Id,Target,of weight,more\nd,0,1,x\n", "b.csv, row 1: the column `more` is not in the first table"),
        ("Id,Target,of weight\nd,0\n", "b.csv, row 2: the row has 2 cells, but the header has 3"),
    ] {
        let outcome = project(second).athanor(&["run", "p.yaml"]);
        assert_eq!(outcome.code, 1, "{}", outcome.err);
        assert!(outcome.out.contains(expected), "{expected}\n{}", outcome.out);
    }
}

#[test]
fn expressions_are_checked_before_and_rows_named_after() {
    let project = project("Id,Target,of weight\nd,0,1\n");
    project.write("p.yaml", &PIPELINE.replace("> 0.5", "> "));
    let outcome = project.athanor(&["check", "p.yaml"]);
    assert_eq!(outcome.code, 2, "{}", outcome.err);
    assert!(outcome.err.contains("p.yaml:9:"), "{}", outcome.err);
    project.write("p.yaml", &PIPELINE.replace("Id|upper", "Name|upper"));
    let outcome = project.athanor(&["run", "p.yaml"]);
    let names_row = outcome.out.contains("row 4") && outcome.out.contains("`Id`, `Target`, `of weight`");
    assert!(outcome.code == 1 && names_row, "{}", outcome.out);
}
