//! Kinds for tables do what text tools cannot: quotes, line ends, byte-order marks, columns in another order.

mod support;

use athanor_stages::images::encode;
use athanor_stages::images::pixels::Pixels;
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

const SHAPES: &str = r#"athanor: 1
name: p
vars: { id: Id, target: Target, separator: " ", one_hot: false, delimiter: auto, strip_extension: false, classes: [cat, dog, big bird] }
stages:
  read:
    kind: label_table
    inputs: { labels: labels.csv }
    params:
      id: "${{ vars.id }}"
      target: "${{ vars.target }}"
      separator: "${{ vars.separator }}"
      one_hot: "${{ vars.one_hot }}"
      delimiter: "${{ vars.delimiter }}"
      strip_extension: "${{ vars.strip_extension }}"
      classes: "${{ vars.classes }}"
results: { labels.csv: read }
"#;

const CANONICAL: &str = "Id,Target,cat,dog,big bird,External\na,0 2,1,0,1,False\nb,1,0,1,0,False\nc,,0,0,0,False\n";

#[test]
fn labels_are_read_in_the_shapes_in_which_they_come() {
    for (table, settings) in [
        ("Id,Target\na,2 0\nb,1\nc,\n", &[][..]),
        ("Id,Target\n a ,2 cat\nb\t,dog\nc,\n", &[]),
        ("Id,Target\na,cat 2\nb,dog\nc, \n", &["separator=' '"]),
        (
            "\u{feff}filename,label\r\na,cat|big bird\r\nb,1\r\nc,\r\n",
            &["id=filename", "target=label", "separator='|'"],
        ),
        (
            "filename;label\na .png;cat,big bird\nb.tif;dog\nc.jpg;\n",
            &["id=filename", "target=label", "separator=','", "strip_extension=true"],
        ),
        ("Id\tTarget\na\tcat/2\nb\tdog\nc\t\n", &["separator=/"]),
        ("Id\tTarget\na\tcat/2\nb\tdog\nc\t\n", &["separator=/", r#"delimiter="\t""#]),
        ("Id,first,second\na,cat,big bird\nb,dog,dog\nc,,\n", &["target=[first, second]", "separator=''"]),
        ("dog,Id,cat,big bird\n0,a,1,1\n1.0,b,,False\n0,c,0,0\n", &["one_hot=true"]),
        ("Id,Target\na,big bird;cat\nb,dog\nc,\n", &["separator=;", "classes=[cat, dog, big bird]"]),
        // As pandas writes numbers of a column in which cells are empty.
        ("Id,Target,second\na,0.0,2\nb,1.0,\nc,nan,NaN\n", &["target=[Target, second]", "separator=''"]),
        ("Id,cat,dog,big bird\na,1.0,nan,1.0\nb,0.0,1.0,\nc,,,\n", &["one_hot=true"]),
    ] {
        let project = Project::new(SHAPES);
        project.write("labels.csv", table);
        let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        let outcome = project.run(&settings);
        assert_eq!(outcome.code, 0, "{table}: {} {}", outcome.out, outcome.err);
        assert_eq!(project.read("results/p/labels.csv"), CANONICAL, "{table}");
    }
}

#[test]
fn classes_are_found_in_the_table() {
    for (table, setting, header) in [
        ("Id,Target\na,10\nb,9 10\n", "separator=' '", "Id,Target,9,10,External\na,1,0,1,False\nb,0 1,1,1,False\n"),
        ("Id,Target\na,owl\nb,elk\n", "separator=' '", "Id,Target,elk,owl,External\na,1,0,1,False\nb,0,1,0,False\n"),
        (
            "Id,Target\na,10.0\nb,9.0\nc,nan\n",
            "separator=''",
            "Id,Target,9,10,External\na,1,0,1,False\nb,0,1,0,False\nc,,0,0,False\n",
        ),
        ("Id,Target\na,10.0\nb,9.5\n", "separator=''", "Id,Target,10.0,9.5,External\na,0,1,0,False\nb,1,0,1,False\n"),
        ("elk,Id,owl\n0,a,1\n1,b,0\n", "one_hot=true", "Id,Target,elk,owl,External\na,1,0,1,False\nb,0,1,0,False\n"),
    ] {
        let project = Project::new(SHAPES);
        project.write("labels.csv", table);
        let outcome = project.run(&["--set", "classes=from_table", "--set", setting]);
        assert_eq!(outcome.code, 0, "{table}: {} {}", outcome.out, outcome.err);
        assert_eq!(project.read("results/p/labels.csv"), header);
    }
}

/// A name with a blank in it would silently be two classes.
#[test]
fn names_that_blanks_cut_apart_are_warned_of() {
    let project = Project::new(SHAPES);
    project.write("labels.csv", "Id,Target\na,Golden Retriever\nb,Tabby\nc,Golden Retriever\n");
    let outcome = project.run(&["--set", "classes=from_table", "--set", "separator=' '"]);
    let told = "the classes `Golden` and `Retriever` stand only beside each other";
    assert!(outcome.code == 0 && outcome.out.contains(told), "{outcome:?}");
    let status = project.athanor(&["status", "p.yaml", "--set", "classes=from_table", "--set", "separator=' '"]);
    assert!(status.out.contains("fresh; warning: ") && status.out.contains(told), "{}", status.out);
    let outcome = project.run(&["--set", "classes=from_table", "--set", "separator=''"]);
    assert!(outcome.code == 0 && !outcome.out.contains(told), "{outcome:?}");
    let rows: String = (0..120).map(|row| format!("i{row},c{row}\n")).collect();
    project.write("labels.csv", &format!("Id,Target\n{rows}"));
    let outcome = project.run(&["--set", "classes=from_table"]);
    assert!(outcome.out.contains("120 classes in 120 rows: does `Target` hold classes?"), "{outcome:?}");
}

/// pandas counts so, too: "Expected 2 fields in line 4, saw 3".
#[test]
fn rows_are_counted_as_editors_do() {
    for (lines, expected) in [
        (&["Id,Target", "a,0", "b,0", "b,1"][..], "row 4: the id `b` stands in row 3 already"),
        (&["Id,Target", "", "", "a,0", "", "a,1"], "row 6: the id `a` stands in row 4 already"),
        (&["Id,Target", "\"a", "a\",0", "b,0,1"], "row 4: the row has 3 cells"),
        (&["", "Id,Target", "", "", "a,0,x"], "row 5: the row has 3 cells"),
        (&["Id,Target", "a,0", "", "b,\u{e4}"], "row 4: the row is not UTF-8 text"),
        (
            &["Id,Target", "a,0", "\"b,0", "\"c\",0"],
            "row 3: the quote that opens here is closed in the middle of a cell of row 4",
        ),
        (&["Id,Target", "a,0", "", "\"b,0", ""], "row 4: the quote that opens here is never closed"),
    ] {
        for end in ["\n", "\r\n", "\r"] {
            let project = Project::new(SHAPES);
            // In Latin-1, of which all but one character are ASCII.
            let bytes: Vec<u8> = lines.join(end).chars().map(|letter| letter as u8).collect();
            std::fs::write(project.path("labels.csv"), bytes).unwrap();
            let outcome = project.run(&[]);
            let (expected, said) = (format!("labels.csv, {expected}"), outcome.out.replace("\n        ", " "));
            assert!(outcome.code == 1 && said.contains(&expected), "{expected} {end:?}\n{said}");
        }
    }
}

#[test]
fn labels_that_fit_no_shape_are_told() {
    for (table, setting, expected) in [
        (
            "Id,Target\na,cow\n",
            "separator=' '",
            "labels.csv, row 2: `cow` is no class: neither a name of `classes` nor a number from 0 to 2",
        ),
        ("Id,Target\na,big bird\n", "separator=' '", "names with blanks in them need another `separator`"),
        ("Id,Target\na,3\n", "separator=' '", "labels.csv, row 2: there is no class 3: classes go from 0 to 2"),
        ("Id,Target\na,0\n a,1\n", "separator=' '", "labels.csv, row 3: the id `a` stands in row 2 already"),
        (
            "Id,cat,dog,big bird\na,0,2,0\n",
            "one_hot=true",
            "labels.csv, row 2: `2` in the column `dog` is neither 0 nor 1",
        ),
        ("Id,Target\na,0\n", "id=name", "labels.csv, row 1: there is no column `name`"),
        ("Id,Target\na,External\n", "classes=from_table", "a class cannot be called `External`"),
        ("Id,Target\na,9.0\n", "separator=''", "labels.csv, row 2: there is no class 9.0: classes go from 0 to 2"),
        (
            "Id,Target\na,cat\nb,NA\n",
            "separator=' '",
            "Empty the cells of rows without a class, or add it to `classes`",
        ),
        (
            "Id,Target\na,cat\nb,NA\n",
            "classes=from_table",
            "labels.csv, row 3: `NA` may be a class that is missing, or a class of that name",
        ),
        (
            "Id,Target\na,\"[1, 2]\"\n",
            "classes=from_table",
            "labels.csv, row 2: `[1,` looks like the beginning of a list",
        ),
        ("Id,Target\na,5\nb,1\n", "classes=['3', '5', '7']", "labels.csv, row 3: `1` is no class"),
    ] {
        let project = Project::new(SHAPES);
        project.write("labels.csv", table);
        let outcome = project.run(&["--set", setting]);
        let said = outcome.out.replace("\n        ", " ");
        assert!(outcome.code == 1 && said.contains(expected), "{expected}\n{said}");
    }
    let project = Project::new(SHAPES);
    for (setting, expected) in [
        ("classes=some", "expected a list of names, or `from_table`"),
        ("classes=[a, a]", "the class `a` is there twice"),
        ("target=[]", "name at least one column"),
        ("delimiter='|'", "delimiter"),
    ] {
        let outcome = project.athanor(&["check", "p.yaml", "--set", setting]);
        assert!(outcome.code == 2 && outcome.err.contains(expected), "{expected}\n{}", outcome.err);
    }
}

const JOIN: &str = r#"athanor: 1
name: p
vars: { on: { Extra: Id }, how: left, columns: null, several: error }
stages:
  joined:
    kind: join_tables
    inputs: { table: a.csv, other: b.csv }
    params: { on: "${{ vars.on }}", how: "${{ vars.how }}", columns: "${{ vars.columns }}", several: "${{ vars.several }}" }
results: { joined.csv: joined }
"#;

#[test]
fn tables_are_joined_as_in_sql() {
    let other = "\u{feff}antibody,Id,note\r\n7,x ,\"one, two\"\r\n8,y,\r\n";
    let (header, x, y, z) = ("Id,Extra,antibody,note\n", "a,x,7,\"one, two\"\n", "c,y,8,\n", "b,z,,\n");
    for (how, expected) in [
        ("left", [header, x, z, y].concat()),
        ("inner", [header, x, y].concat()),
        ("semi", "Id,Extra\na,x\nc,y\n".to_owned()),
        ("anti", "Id,Extra\nb,z\n".to_owned()),
    ] {
        let project = Project::new(JOIN);
        project.write("a.csv", "Id,Extra\na,x\nb,z\nc,y\n");
        project.write("b.csv", other);
        let outcome = project.run(&["--set", &format!("how={how}")]);
        assert_eq!(outcome.code, 0, "{} {}", outcome.out, outcome.err);
        assert_eq!(project.read("results/p/joined.csv"), expected, "{how}");
    }
}

#[test]
fn rows_that_several_rows_match_are_a_choice() {
    let project = Project::new(JOIN);
    project.write("a.csv", "Id,Extra\na,x\nb,z\n");
    project.write("b.csv", "Id,antibody\nx,7\nx,8\nz,9\n");
    let outcome = project.run(&[]);
    let said = outcome.out.replace("\n        ", " ");
    let expected = "b.csv, row 3: `x` stands in row 2 already, and row 2 of `a.csv` matches both";
    assert!(outcome.code == 1 && said.contains(expected), "{said}");
    for (several, expected) in [("first", "a,x,7\nb,z,9\n"), ("all", "a,x,7\na,x,8\nb,z,9\n")] {
        let outcome = project.run(&["--set", &format!("several={several}")]);
        assert_eq!(outcome.code, 0, "{}", outcome.out);
        assert_eq!(project.read("results/p/joined.csv"), format!("Id,Extra,antibody\n{expected}"));
    }
    for (settings, expected) in [
        (["on={Extra: Id}", "columns=[gene]"], "b.csv, row 1: there is no column `gene`"),
        (["on={Extra: Id}", "columns=[Id]"], "b.csv, row 1: the column `Id` is in `a.csv` too"),
        (["on=name", "columns=null"], "a.csv, row 1: there is no column `name`"),
    ] {
        let outcome = project.run(&["--set", settings[0], "--set", settings[1], "--set", "several=first"]);
        assert!(outcome.code == 1 && outcome.out.contains(expected), "{expected}\n{}", outcome.out);
    }
    for setting in ["on=[]", "how=semi"] {
        let outcome = project.athanor(&["check", "p.yaml", "--set", setting, "--set", "columns=[antibody]"]);
        assert_eq!(outcome.code, 2, "{setting}: {}", outcome.err);
    }
}

/// As in SQL's `EXISTS` and pandas' `isin`; and rows that nothing matches are nobody's choice.
#[test]
fn rows_that_are_there_twice_matter_where_they_match() {
    for (how, other, expected) in [
        ("inner", "Id,antibody\nx,7\ny,8\ny,9\n", "Id,Extra,antibody\na,x,7\n"),
        ("left", "Id,antibody\ny,8\ny,9\n", "Id,Extra,antibody\na,x,\nb,z,\n"),
        ("semi", "Id\nx\nx\n", "Id,Extra\na,x\n"),
        ("anti", "Id\nx\nx\n", "Id,Extra\nb,z\n"),
    ] {
        let project = Project::new(JOIN);
        project.write("a.csv", "Id,Extra\na,x\nb,z\n");
        project.write("b.csv", other);
        let outcome = project.run(&["--set", &format!("how={how}")]);
        assert_eq!(outcome.code, 0, "{how}: {}", outcome.out);
        assert_eq!(project.read("results/p/joined.csv"), expected, "{how}");
    }
}

#[test]
fn class_names_reach_reports_and_submissions() {
    let project = Project::new(
        r#"athanor: 1
name: p
vars: { separator: "|" }
stages:
  read: { kind: label_table, inputs: { labels: labels.csv }, params: { classes: [cat, big bird] } }
  report: { kind: classification_report, inputs: { probabilities: p.npy, labels: read, ids: read } }
  submission:
    kind: submission
    inputs: { probabilities: p.npy, sample: read, classes: read }
    params: { separator: "${{ vars.separator }}" }
results: { report.csv: report.report, submission.csv: submission }
"#,
    );
    project.write("labels.csv", "Id,Target\na,0\nb,1\n");
    let mut npy = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    npy.extend(format!("{:117}\n", "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }").into_bytes());
    npy.extend([0.9_f64, 0.8, 0.1, 0.7].into_iter().flat_map(f64::to_le_bytes));
    std::fs::write(project.path("p.npy"), npy).unwrap();
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 0, "{} {}", outcome.out, outcome.err);
    assert_eq!(project.read("results/p/submission.csv"), "Id,Predicted\na,cat|big bird\nb,big bird\n");
    let report = project.read("results/p/report.csv");
    let names: Vec<&str> = report.lines().map(|line| line.rsplit(',').next().unwrap()).collect();
    assert_eq!(names, ["name", "cat", "big bird"]);
    let outcome = project.run(&["--set", "separator=' '"]);
    let expected = "the name `big bird` holds the text between labels";
    assert!(outcome.code == 1 && outcome.out.contains(expected), "{}", outcome.out);
}

#[test]
fn rows_without_images_are_left_out_and_counted() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  known: { kind: rows_with_images, inputs: { table: all.csv, images: im } }\n\
         results: { known.csv: known.table, left_out.csv: known.left_out }\n",
    );
    project.write("all.csv", "Id,note\nb,\"x, y\"\na,1\nc,\n");
    std::fs::create_dir(project.path("im")).unwrap();
    for id in ["a", "c"] {
        let image = encode::png(&Pixels::grey8(2, 2, vec![1, 2, 3, 4])).unwrap();
        std::fs::write(project.path(&format!("im/{id}_red.png")), image).unwrap();
    }
    let outcome = project.run(&[]);
    assert!(outcome.code == 0 && outcome.out.contains("rows_left_out = 1"), "{} {}", outcome.out, outcome.err);
    assert_eq!(project.read("results/p/known.csv"), "Id,note\na,1\nc,\n");
    assert_eq!(project.read("results/p/left_out.csv"), "Id,note\nb,\"x, y\"\n");
    let log = project.athanor(&["logs", "p.yaml", "known"]).out;
    assert!(log.contains("1 of 3 rows have no images and are left out (b)"), "{log}");
    project.write("all.csv", "Id\nx\ny\n");
    let outcome = project.run(&[]);
    let expected = "all.csv: none of its 2 ids has images in `im`";
    assert!(outcome.code == 1 && outcome.out.contains(expected), "{}", outcome.out);
}

#[test]
fn ids_with_blanks_around_them_are_lost_nowhere() {
    for (stage, table) in [
        ("clean_split, inputs: { train: a.csv, validation: a.csv, pairs: b.csv }", "Train,Extra\nx,y\nx, y\n"),
        ("clean_split, inputs: { train: a.csv, validation: b.csv, pairs: c.csv }", "Id,Target\nz,0\n y,0\n"),
        ("corrected_targets, inputs: { labels: a.csv, corrections: b.csv }", "Id,Target\nz,0\n y,0\n"),
        ("leak_rows, inputs: { leak: b.csv, external: a.csv }", "Test,Extra\nz,x\n y,y\n"),
    ] {
        let project = Project::new(&format!("athanor: 1\nname: p\nstages:\n  s: {{ kind: {stage} }}\n"));
        let tables = [("a.csv", "Id,Target\nx,0\ny,1\n"), ("b.csv", table), ("c.csv", "Train,Extra\nx,y\n")];
        tables.iter().for_each(|(name, table)| project.write(name, table));
        let outcome = project.run(&[]);
        let told = "b.csv, row 3: the id ` y` has blanks around it";
        assert!(outcome.code == 1 && outcome.out.contains(told), "{stage}: {}", outcome.out);
    }
}

#[test]
fn corrections_that_change_nothing_are_a_warning() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  corrected: { kind: corrected_targets, inputs: { labels: a.csv, corrections: b.csv } }\n",
    );
    project.write("a.csv", "Id,Target\nx_1,0\nx_2,8\n");
    project.write("b.csv", "Id,Target\nx/1,0\nx/2,9\n");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    let warning = "`b.csv` changes 0 of 2 rows, so that the result is the same as without it";
    assert!(outcome.out.contains(&format!("warning      corrected: {warning}\n")), "{}", outcome.out);
    let said = |arguments: &[&str]| project.athanor(arguments).out;
    let log = said(&["logs", "p.yaml", "corrected"]);
    assert!(log.contains(&format!("warning: {warning}\n")), "{log}");
    // It is kept with the result.
    assert!(said(&["status", "p.yaml"]).contains(&format!("fresh; warning: {warning}\n")));
    let status: serde_json::Value = serde_json::from_str(&said(&["status", "p.yaml", "--json"])).unwrap();
    assert_eq!(status[0]["warnings"], serde_json::json!([warning]));
    assert!(said(&["explain", "p.yaml", "corrected"]).contains(&format!("It warned: {warning}.")));
    let report = said(&["report", "p.yaml", "--md"]);
    assert!(report.contains("- warning: corrected: ") && report.contains(" changes 0 of 2 rows"), "{report}");
    assert!(project.run(&["-q", "--force", "corrected"]).out.contains(warning));
    project.write("b.csv", "Id,Target\nx/1,1\n");
    assert_eq!(project.run(&[]).code, 0);
    assert!(!said(&["status", "p.yaml"]).contains("warning"));
}

#[test]
fn expressions_are_checked_before_and_rows_named_after() {
    let project = project("Id,Target,of weight\nd,0,1\n");
    project.write("p.yaml", &PIPELINE.replace("> 0.5", "> "));
    let outcome = project.athanor(&["check", "p.yaml"]);
    assert_eq!(outcome.code, 2, "{}", outcome.err);
    assert!(outcome.err.contains("p.yaml:9:"), "{}", outcome.err);
    project.write("p.yaml", &PIPELINE.replace("Id|upper", "Id|int"));
    let outcome = project.athanor(&["run", "p.yaml"]);
    let names_row = outcome.out.contains("row 4") && outcome.out.contains("`Id`, `Target`, `of weight`");
    assert!(outcome.code == 1 && names_row, "{}", outcome.out);
}

#[test]
fn a_quote_that_stays_open_is_told_with_its_row() {
    let project = project("Id,Target,of weight\nd,\"0 2,0.9\ne,,1\nf,25,0.8\n");
    let outcome = project.run(&[]);
    assert!(
        outcome.code == 1 && outcome.out.contains("b.csv, row 2: the quote that opens here is never closed"),
        "{outcome:?}"
    );
    assert!(!project.path("results/p/both.csv").exists());
}

#[test]
fn tables_in_other_types_of_files_are_named() {
    for (content, expected) in [
        (&b"\x1f\x8b\x08\0\0\0\0\0\0\xff"[..], "b.csv: is compressed by gzip"),
        (b"PK\x03\x04\xff\xfe", "b.csv: is a zip archive, as spreadsheets (.xlsx, .ods) are"),
        (b"\xff\xfeI\0d\0\n\0", "b.csv: is UTF-16 text"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
            "b.csv: is the pointer that Git LFS leaves",
        ),
    ] {
        let project = project("");
        std::fs::write(project.path("b.csv"), content).unwrap();
        let outcome = project.run(&[]);
        assert!(outcome.code == 1 && outcome.out.contains(expected), "{expected}: {outcome:?}");
    }
}

#[test]
fn a_matrix_that_is_cut_short_is_told() {
    let pipeline = "athanor: 1\nname: p\nstages:\n  mean: { kind: ensemble, inputs: { matrices: m.npy, ids: t.csv }, params: { method: mean } }\n";
    let npy = |shape: &str, values: &[f64]| -> Vec<u8> {
        let header = format!("{:117}\n", format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"));
        let values = values.iter().flat_map(|value| value.to_le_bytes());
        b"\x93NUMPY\x01\x00v\x00".iter().copied().chain(header.into_bytes()).chain(values).collect()
    };
    let whole = npy("(2, 2)", &[0.9, 0.8, 0.1, 0.7]);
    let of_type = |kind: &str| {
        let header = format!("{:117}\n", format!("{{'descr': {kind}, 'fortran_order': False, 'shape': (1,), }}"));
        [&b"\x93NUMPY\x01\x00v\x00"[..], header.as_bytes(), &[0; 16]].concat()
    };
    let (with_fields, texts) = (of_type("[('a', '<f8'), ('b', '<f8')]"), of_type("'|S16'"));
    for (content, expected, advice) in [
        (
            &whole[..whole.len() - 8],
            "the header promises 2 x 2 values, but the file is shorter",
            "cut short; make it again",
        ),
        (&whole[..60], "the file ends within its header", "cut short; make it again"),
        (b"", "the file is empty", "cut short; make it again"),
        (&npy("()", &[1.0]), "the array has 0 dimensions", "array.reshape(1, 1)"),
        (b"Id,x\na,1,2,3,4,5,6\n", "is no .npy file, but the text `Id,x a,1,2,3,4,5,6`", "numpy.save"),
        (b"PK\x03\x04\x14\0\0\0\0\0", "is no .npy file, but a zip archive, as .npz files are", "numpy.load("),
        (&with_fields, "the array has fields, as of a table", "structured_to_unstructured(array)"),
        (&texts, "the array holds text", "array.astype(float)"),
    ] {
        let project = Project::new(pipeline);
        std::fs::write(project.path("m.npy"), content).unwrap();
        project.write("t.csv", "Id\na\nb\n");
        let outcome = project.run(&[]);
        let said = outcome.out.replace("\n        ", " ");
        assert!(outcome.code == 1 && said.contains(expected) && said.contains(advice), "{expected}: {said}");
    }
}
