//! Expressions over the rows of a table say what pandas says, or are refused with what to write in their place.

mod support;

use support::Project;

const COMPARED: &str = "athanor: 1\nname: p\nstages:\n  kept: { kind: filter_rows, inputs: { table: t.csv }, params: { keep: KEEP } }\n\
                        results: { kept.csv: kept }\n";

fn kept(keep: &str, table: &str) -> Result<String, String> {
    let project = Project::new(&COMPARED.replace("KEEP", &format!("'{}'", keep.replace('\'', "''"))));
    project.write("t.csv", table);
    let outcome = project.run(&[]);
    if outcome.code == 0 {
        let table = project.read("results/p/kept.csv");
        return Ok(table.lines().skip(1).map(|line| line.split(',').next().unwrap_or_default()).collect());
    }
    assert!(!project.path("results/p/kept.csv").exists());
    Err(outcome.out + &outcome.err)
}

/// The rows of pandas' `query`, where that takes the expression.
#[test]
fn columns_of_numbers_are_compared_as_numbers() {
    let table = "Id,score,year,Target,a b\na,0.1,2018,0,1\nb,0.9,2019,3 25,2\nc,0.2,2018,25,-3\nd,10,2018,,0.5\n";
    for (keep, expected) in [
        ("score > 0.5", "bd"),
        ("score < 0.5", "ac"),
        ("year == 2019", "b"),
        ("year in [2018, 2020]", "acd"),
        ("0.15 < score <= 0.9", "bc"),
        ("row[\"a b\"] < 1", "cd"),
        ("score + year > 2019", "bd"),
        ("score|float > 0.5", "bd"),
        ("year|string == \"2019\"", "b"),
        ("year|string|last == \"9\"", "b"),
        ("\"25\" in Target|split", "bc"),
        ("\"2018\" in year|split", "acd"),
        ("Target == \"25\"", "c"),
        ("Id != \"nobody\" and year != \"none\"", "abcd"),
        ("(Id == \"a\") == true", "a"),
        ("true if year == 2019 else Id == \"a\"", "ab"),
        ("Target|length or Id == \"d\"", "abcd"),
        ("gone is undefined or gone == 1", "abcd"),
        ("gone|default(\"x\") == \"x\" and range(2)|length == 2", "abcd"),
    ] {
        assert_eq!(kept(keep, table).as_deref(), Ok(expected), "{keep}");
    }
}

#[test]
fn a_comparison_of_text_with_numbers_is_an_error() {
    let table = "Id,score,year,code,note\na,0.1,2018,007,x\nb,,2019,008,3\n";
    for (keep, expected, advice) in [
        (
            "score > 0.5",
            "column `score`, which holds text (the cell in row 3 is empty), with a number",
            "score != \"\" and score|float",
        ),
        ("code == 7", "column `code`, which holds text (row 2 has `007`), with a number", "`code|float`"),
        ("note in [3]", "column `note`, which holds text (row 2 has `x`), with a number", "`note|float`"),
        ("0.5 <= row.score < 1", "column `score`, which holds text", "|float"),
        ("year == \"2019\"", "column `year`, which holds numbers, with text", "Write `2019` without quotes"),
        ("year > \"x\"", "column `year`, which holds numbers, with text", "`year|string`"),
        ("Id == \"a\" or year in [\"2018\"]", "column `year`, which holds numbers, with text", "without quotes"),
        ("note == year", "column `note`, which holds text", "|float"),
        ("year is gt(\"2018\")", "column `year`, which holds numbers, with text", "Write `2018` without quotes"),
        ("note is eq(3)", "column `note`, which holds text (row 2 has `x`), with a number", "`note|float`"),
        ("year is in([\"2018\"])", "column `year`, which holds numbers, with text", "without quotes"),
        ("not 3 in note|split", "compares a number with text of the column `note`", "quotes"),
        ("year|int == \"2019\"", "compares a number with text of the column `year`", "quotes"),
        ("\"20\" in year", "column `year` holds numbers, in which nothing is `in`", "`year|string`"),
        ("year", "column `year` holds numbers, which are neither true nor false", "`year != 0`"),
        ("year and note", "column `year` holds numbers, which are neither true nor false", "`year != 0`"),
    ] {
        let said = kept(keep, table).unwrap_err().replace("\n        ", " ");
        assert!(said.contains(expected) && said.contains(advice), "{keep}: {said}");
    }
}

#[test]
fn names_that_expressions_do_not_know_are_found_before() {
    for (keep, expected) in [
        ("x|nosuch == 1", "there is no filter `nosuch`"),
        ("x is nosuch", "there is no test `nosuch`"),
        ("nosuch(x) == 1", "there is no function `nosuch`"),
        ("Id == \"a\" or (x|default(1)|nosuch)", "there is no filter `nosuch`"),
    ] {
        let project = Project::new(&COMPARED.replace("KEEP", &format!("'{keep}'")));
        project.write("t.csv", "Id,x\na,1\n");
        let outcome = project.athanor(&["check", "p.yaml"]);
        assert!(outcome.code == 2 && outcome.err.contains(expected), "{keep}: {outcome:?}");
    }
}

/// For pandas NaN is a cell without a value, and compares with nothing.
#[test]
fn texts_that_are_no_numbers_are_told_or_replaced() {
    let table = "Id,score,note\na,nan,x\nb,0.7,12\nc,NaN,-inf\nd,,0.5\ne,1e3,inf\n";
    for (keep, expected) in [
        ("score|float(0) > 0.5", "be"),
        ("score|float(0) <= 0.5", "acd"),
        ("score|float(default=-1) == -1", "acd"),
        ("note|float(0) > 1", "be"),
        ("note|float(1) < 0", "c"),
        ("note|int(7) == 7", "ace"),
        ("score == \"nan\" or score == \"NaN\"", "ac"),
        ("note is in([\"x\", \"12\"])", "ab"),
    ] {
        assert_eq!(kept(keep, table).as_deref(), Ok(expected), "{keep}");
    }
    for (keep, row, expected) in [
        ("score|float > 0.5", 2, "`nan` is no number; `|float(0)` takes 0 in its place"),
        ("score == \"nan\" or score == \"NaN\" or score|float > 0.5", 5, "an empty cell is no number; `|float(0)`"),
        ("note|int > 1", 2, "`x` is no number; `|int(0)` takes 0 in its place"),
        ("note == \"x\" or note|int > 1", 4, "`-inf` is no number; `|int(0)` takes 0 in its place"),
        ("[note]|first|bool", 2, "`x` is text, which is neither true nor false"),
    ] {
        let said = kept(keep, table).unwrap_err().replace("\n        ", " ");
        assert!(said.contains(&format!("row {row}: ")) && said.contains(expected), "{keep}: {said}");
    }
}

/// The name `row` is that of the whole row, whether or not a column has it.
#[test]
fn the_row_is_none_of_its_cells() {
    for (table, advice) in [("Id,row\na,7\nb,8\n", "`row[\"row\"]`"), ("Id,x\na,7\nb,8\n", "`row[\"a name\"]`")] {
        for keep in ["row > 7", "7 < row", "row", "not row", "row == 8", "row in [8]", "Id == \"a\" or row is gt(7)"] {
            let said = kept(keep, table).unwrap_err().replace("\n        ", " ");
            assert!(said.contains("`row` is the whole row") && said.contains(advice), "{keep}: {said}");
        }
    }
    let table = "Id,row\na,7\nb,8\n";
    assert_eq!(kept("row[\"row\"] > 7", table).as_deref(), Ok("b"));
    assert_eq!(kept("row.row > 7 and \"row\" in row", table).as_deref(), Ok("b"));
    let said = kept("row[\"row\"]", table).unwrap_err();
    assert!(said.contains("`row[\"row\"] != 0`"), "{said}");
}

/// A column of `True` and `False`, as `label_table` writes one.
const EXTERNAL: &str = "Id,External,flag\na,False,0\nb,True,1\nc,,0\n";

#[test]
fn columns_of_words_for_true_are_text() {
    for (keep, expected) in [
        ("External == \"True\"", "b"),
        ("External != \"True\"", "ac"),
        ("External|lower == \"false\"", "a"),
        ("flag == true", "b"),
        ("flag|bool", "b"),
        ("External in [\"True\", \"\"]", "bc"),
    ] {
        assert_eq!(kept(keep, EXTERNAL).as_deref(), Ok(expected), "{keep}");
    }
    let truth = "column `External` holds text such as `True`, and any text counts as true";
    let advice = "`External == \"True\"`, or `External != \"True\"` for the others";
    for (keep, expected, advice) in [
        ("External", truth, advice),
        ("not External", truth, advice),
        ("row.External or Id == \"a\"", truth, advice),
        ("Id == \"a\" and (flag == 1 or not External)", truth, advice),
        ("true if External else false", truth, advice),
        ("External == true", truth, advice),
        ("External != (flag == 1)", truth, advice),
        ("External is true", truth, advice),
        ("External in [true]", truth, advice),
        ("External|bool", truth, advice),
        ("flag == 1 and not External|bool", truth, advice),
        ("External|trim|bool", "text stands in the place of a condition", "Compare it"),
        ("Id", "column `Id` holds text, which is neither true nor false", "`Id != \"\"`"),
        ("Id == true", "the column `Id` holds text or numbers, which are no truth values", "in quotes"),
        ("External|lower", "text stands in the place of a condition", "Compare it"),
        ("Id == \"a\" or \"b\"", "stands by itself in the place of a condition", "`x in [1, 2]`"),
        ("flag == 0 or 1", "stands by itself in the place of a condition", "`x in [1, 2]`"),
        ("External == none", "the column `External` holds text or numbers, and never none", "`External == \"\"`"),
        ("flag is not none", "the column `flag` holds text or numbers, and never none", "empty text"),
    ] {
        let said = kept(keep, EXTERNAL).unwrap_err().replace("\n        ", " ");
        assert!(said.contains(expected) && said.contains(advice), "{keep}: {said}");
    }
}

#[test]
fn and_and_or_choose_among_texts() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  set: { kind: filter_rows, inputs: { table: t.csv }, params: { set: { External: 'External or \"none\"', Id: 'Id or \"none\"' } } }\n\
         results: { set.csv: set }\n",
    );
    project.write("t.csv", "Id,External\n,x\nb,\n");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 0, "{}", outcome.out);
    assert_eq!(project.read("results/p/set.csv"), "Id,External\nnone,x\nb,none\n");
    project.write("t.csv", EXTERNAL);
    let outcome = project.run(&[]);
    assert!(outcome.code == 1 && outcome.out.contains("any text counts as true"), "{}", outcome.out);
}

/// pandas writes `None` and NaN so.
#[test]
fn cells_without_a_value_are_empty_and_lists_are_no_cells() {
    let set = |expression: &str| {
        let project = Project::new(&format!(
            "athanor: 1\nname: p\nstages:\n  set: {{ kind: filter_rows, inputs: {{ table: t.csv }}, params: {{ set: {{ x: '{expression}' }} }} }}\n\
             results: {{ set.csv: set }}\n"
        ));
        project.write("t.csv", "Id,x\na,1 2\nb,3\n");
        let outcome = project.run(&[]);
        if outcome.code == 0 {
            Ok(project.read("results/p/set.csv"))
        } else {
            Err(outcome.out.replace("\n        ", " "))
        }
    };
    assert_eq!(set("x if Id == \"a\" else none").as_deref(), Ok("Id,x\na,1 2\nb,\n"));
    assert_eq!(set("x if Id == \"a\"").as_deref(), Ok("Id,x\na,1 2\nb,\n"));
    assert_eq!(set("Id == \"a\"").as_deref(), Ok("Id,x\na,True\nb,False\n"));
    assert_eq!(set("x|split|first").as_deref(), Ok("Id,x\na,1\nb,3\n"));
    for (expression, what) in [("x|split", "a list"), ("{\"a\": x}", "a mapping")] {
        let said = set(expression).unwrap_err();
        let expected = format!("t.csv, row 2: `x` is set to {what}");
        assert!(said.contains(&expected) && said.contains("|join"), "{expression}: {said}");
    }
}

/// Whether or not a row comes to it.
#[test]
fn columns_that_are_not_there_are_told() {
    for table in ["Id,split\n1,train\n", "Id,split\n"] {
        for keep in [
            "Targt == \"1\"",
            "split == \"test\" and Targt == \"1\"",
            "split == \"train\" or row.Targt == \"1\"",
            "split == \"train\" or row[\"Targt\"] == \"1\"",
            "(1 if split == \"train\" else Targt) == 1",
            "split in [\"train\", Targt]",
        ] {
            let said = kept(keep, table).unwrap_err();
            let expected = "t.csv, row 1: there is no column `Targt`";
            assert!(said.contains(expected) && said.contains("The header has `Id`, `split`"), "{keep}: {said}");
        }
    }
    let said = kept("Id == \"1\"", "Id,Id\n1,2\n").unwrap_err();
    assert!(said.contains("the column `Id` is there more than once"), "{said}");
}
