//! The language as users meet it: lists of files, included files, variables from files, what `--set` adds and takes away, and the
//! reference.

mod support;

use std::path::Path;

use support::{Outcome, Project};

/// A project with two files in `raw`, and a pipeline with an instance for each.
fn listing() -> Project {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  count:\n    kind: command\n    matrix: { file: \"${{ files('raw/*.txt') }}\" }\n    \
         inputs: { text: \"${{ matrix.file }}\" }\n    run: wc -w < ${{ inputs.text }} > ${{ outputs.words }}\n    \
         outputs: { words: words.txt }\nresults: { words: count }\n",
    );
    project.write("raw/b.txt", "one two\n");
    project.write("raw/a.txt", "one\n");
    project.write("raw/c.csv", "");
    project
}

#[test]
fn an_axis_over_files_follows_the_folder() {
    let project = listing();
    let mut made = project.made(&[]);
    made.sort();
    assert_eq!(made, ["count[file=raw/a.txt]", "count[file=raw/b.txt]"]);
    assert_eq!(project.made(&[]), [""; 0]);
    project.write("raw/c.txt", "one two three\n");
    assert_eq!(project.made(&[]), ["count[file=raw/c.txt]"]);
    std::fs::remove_file(project.path("raw/a.txt")).unwrap();
    let outcome = project.run(&[]);
    assert!(outcome.out.contains("up to date: 2 cached"), "{}", outcome.out);
    assert_eq!(project.read("results/p/words/file=raw%2Fc.txt.txt").trim(), "3");
}

#[test]
fn a_pattern_that_nothing_fits_is_a_mistake() {
    let project = listing();
    std::fs::remove_dir_all(project.path("raw")).unwrap();
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 2);
    insta::assert_snapshot!(outcome.err);
    assert!(!project.path(".athanor").exists());
    let unlooked = project.athanor(&["check", "--no-files", "p.yaml"]);
    assert_eq!(unlooked.out, "p.yaml: 1 stage, 1 instance, no mistakes\n");
}

#[test]
fn files_takes_one_pattern() {
    let project = listing();
    let pipeline = project.read("p.yaml");
    for call in ["files()", "files(1)", "files('raw/*.txt', 'x')"] {
        project.write("p.yaml", &pipeline.replace("files('raw/*.txt')", call));
        let outcome = project.run(&[]);
        let told = "`files()` takes one pattern, as text, such as `files('raw/*.txt')`";
        let message = outcome.err.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(outcome.code == 2 && message.contains(told), "{call}: {outcome:?}");
    }
}

#[test]
fn a_link_to_nothing_that_fits_a_pattern_is_a_mistake() {
    let project = listing();
    std::os::unix::fs::symlink("../annex/d", project.path("raw/d.txt")).unwrap();
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    let message = outcome.err.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(message.contains("`raw/d.txt` fits `raw/*.txt` and is a symbolic link to nothing"), "{message}");
}

#[test]
fn numbers_that_versions_of_yaml_read_in_different_ways_are_refused_in_settings_too() {
    let project = Project::new("athanor: 1\nname: p\nvars: { v: 1 }\nstages: {}\n");
    for (set, message) in [
        ("v=[2024_01]", "`2024_01` can be meant as text or as a number"),
        ("v=1:30", "`1:30` can be meant as text or as a number"),
        ("v=18446744073709551617", "`18446744073709551617` has more digits than a whole number holds here"),
    ] {
        let outcome = project.athanor(&["check", "p.yaml", "--set", set]);
        assert!(outcome.code == 2 && outcome.err.contains(message) && outcome.err.contains("quote it"), "{outcome:?}");
    }
    let quoted = project.athanor(&["check", "p.yaml", "--set", "v=['2024_01']"]);
    assert!(!quoted.err.contains("2024_01"), "{quoted:?}");
}

/// A pipeline in a sub-folder that includes two files.
fn including() -> Project {
    let project = Project::new("");
    project.write(
        "sub/main.yaml",
        "athanor: 1\nname: p\ninclude: [parts/first.yaml]\nvars: { word: { en: main } }\nstages:\n  last:\n    kind: command\n    \
         inputs: { x: second }\n    run: cat ${{ inputs.x }} > ${{ outputs.o }}; echo ${{ vars.word.en }} ${{ vars.word.de }} >> ${{ outputs.o }}\n    \
         outputs: { o: o.txt }\nresults: { o.txt: last }\n",
    );
    project.write("sub/parts/first.yaml", "include: ../second.yaml\nvars: { word: { en: first, de: erstes } }\n");
    project.write(
        "sub/second.yaml",
        "stages:\n  second: { kind: command, run: 'echo ${{ vars.word.de }} > ${{ outputs.o }}', outputs: { o: o.txt } }\n",
    );
    project
}

#[test]
fn included_files_count_as_if_they_were_written_in_place() {
    let project = including();
    let run = || project.athanor(&["run", "sub/main.yaml", "--json"]);
    assert_eq!(support::events(&run().out, "finished"), ["second", "last"]);
    assert_eq!(project.read("results/p/o.txt"), "erstes\nmain erstes\n");
    assert_eq!(support::events(&run().out, "finished"), [""; 0]);
    project.write("sub/parts/first.yaml", "include: ../second.yaml\nvars: { word: { en: first, de: eins } }\n");
    assert_eq!(support::events(&run().out, "finished"), ["second", "last"], "a change two files away");
    assert_eq!(project.read("results/p/o.txt"), "eins\nmain eins\n");
}

#[test]
fn mistakes_of_included_files_name_them() {
    let project = including();
    project.write(
        "sub/second.yaml",
        "stages:\n  last: { kind: command, run: 'true' }\n  second: { kind: comand }\nresults: {}\n",
    );
    project.write("sub/parts/first.yaml", "include: [../second.yaml, ../third.yaml, ../main.yaml]\nvars: 3\n");
    let outcome = project.athanor(&["check", "sub/main.yaml"]);
    assert_eq!(outcome.code, 2);
    insta::assert_snapshot!(outcome.err);
}

const VARS: &str = "athanor: 1\nname: p\nvars: { n: 1, models: { a: { size: 1 }, b: { size: 2 } } }\nprofiles: { small: { vars: { n: 5 } } }\nstages:\n  \
    resized: { kind: command, matrix: { size: [1, 2, 3] }, run: 'echo ${{ matrix.size }} > ${{ outputs.o }}', outputs: { o: o.txt } }\n  \
    model:\n    kind: command\n    matrix: { model: \"${{ vars.models }}\" }\n    inputs: { i: \"resized[size=${{ matrix.model.size }}]\" }\n    \
    run: cat ${{ inputs.i }} > ${{ outputs.o }}; echo ${{ vars.n }} >> ${{ outputs.o }}\n    outputs: { o: o.txt }\n  \
    all: { kind: command, inputs: { m: model }, run: 'cat ${{ inputs.m }} > ${{ outputs.o }}', outputs: { o: o.txt } }\nresults: { all.txt: all }\n";

fn checked(project: &Project, arguments: &[&str]) -> Outcome {
    project.athanor(&[&["run", "-n", "p.yaml"], arguments].concat())
}

#[test]
fn a_model_is_taken_away_with_what_only_it_needed() {
    let project = Project::new(VARS);
    let planned = |arguments: &[&str]| -> Vec<String> {
        let json = checked(&project, &[&["--json"], arguments].concat());
        let list: serde_json::Value = serde_json::from_str(&json.out).unwrap_or_else(|_| panic!("{json:?}"));
        list.as_array().unwrap().iter().map(|entry| entry["instance"].as_str().unwrap().to_owned()).collect()
    };
    let all = ["resized[size=1]", "resized[size=2]", "resized[size=3]", "model[model=a]", "model[model=b]", "all"];
    assert_eq!(planned(&[]), all);
    // Nobody ever read the third size: it is there for itself.
    assert_eq!(planned(&["--set", "models.b=null"]), [all[0], all[2], all[3], all[5]]);
    assert_eq!(
        planned(&["--set", "models.b=null", "--set", "+models.c={size: 3}"]),
        [all[0], all[2], all[3], "model[model=c]", all[5]]
    );
    project.made(&["--set", "models.a=null"]);
    assert_eq!(project.read("results/p/all.txt"), "2\n1\n");
}

#[test]
fn files_of_variables_lie_between_profiles_and_settings() {
    let project = Project::new(VARS);
    project.write("more.yaml", "n: 7\nmodels: { b: { size: 3 } }\n");
    project.write("even.json", "{\"n\": 8}");
    let result = |arguments: &[&str]| {
        project.made(arguments);
        project.read("results/p/all.txt")
    };
    assert_eq!(result(&["--profile", "small", "--vars", "more.yaml"]), "1\n7\n3\n7\n");
    assert_eq!(result(&["--vars", "more.yaml", "--vars", "even.json"]), "1\n8\n3\n8\n");
    assert_eq!(result(&["--vars", "more.yaml", "--set", "n=9"]), "1\n9\n3\n9\n");
    project.write("more.yaml", "n: 6\n");
    assert_eq!(result(&["--vars", "more.yaml"]), "1\n6\n2\n6\n", "the file has changed");
    project.write("more.yaml", "m: 6\nn: [\n");
    project.write("even.json", "{\"m\": 8}");
    let outcome = checked(&project, &["--vars", "more.yaml", "--vars", "even.json"]);
    assert_eq!(outcome.code, 2);
    insta::assert_snapshot!(outcome.err);
    assert!(checked(&project, &["--vars", "none.yaml"]).err.contains("there is no file `none.yaml`"));
}

#[test]
fn the_reference_is_as_it_is_generated_and_its_pipelines_are_right() {
    let project = Project::new("");
    let reference = project.athanor(&["help", "language"]).out;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/language.md");
    let document = std::fs::read_to_string(path).unwrap_or_default();
    assert!(document == reference, "write it again: athanor help language > docs/language.md");
    let blocks = reference.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let pipelines: Vec<&str> = blocks.map(|(block, _)| block).filter(|block| block.starts_with("athanor: 1")).collect();
    assert!(pipelines.len() >= 4);
    for pipeline in pipelines {
        project.write("p.yaml", pipeline);
        let outcome = project.athanor(&["check", "--no-files", "p.yaml"]);
        assert_eq!((outcome.code, outcome.err.as_str()), (0, ""), "{pipeline}");
    }
}

#[test]
fn help_is_there_for_commands_too() {
    let project = Project::new("");
    assert!(project.athanor(&["help", "cache", "gc"]).out.contains("--max-size"));
    assert!(project.athanor(&["help"]).out.contains("Usage: athanor"));
    let wrong = project.athanor(&["help", "nothing"]);
    assert_eq!((wrong.code, wrong.err.contains("there is no command `nothing`")), (2, true));
}
