//! Reports are written over earlier ones and over nothing else.

use super::support::Project;

const PIPELINE: &str =
    "athanor: 1\nname: p\nstages: { s: { kind: command, run: 'echo 1 > o', outputs: { o: o } } }\nresults: { r: s }\n";

#[test]
fn nothing_of_the_users_is_written_over() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.run(&["--junit", "out.xml"]).code, 0);
    for file in ["p.yaml", "results/p/r", ".athanor/format"] {
        let before = project.read(file);
        for arguments in [
            ["report", "p.yaml", "-o", file].as_slice(),
            &["report", "p.yaml", "--md", "-o", file],
            &["run", "p.yaml", "--junit", file],
        ] {
            let outcome = project.athanor(arguments);
            assert_eq!(outcome.code, 1, "{arguments:?}: {outcome:?}");
            assert!(outcome.err.contains(&format!("`{file}` is there and is no ")), "{arguments:?}: {outcome:?}");
            assert_eq!(project.read(file), before, "{arguments:?}");
        }
    }
    for arguments in [
        ["report", "p.yaml"].as_slice(),
        &["report", "p.yaml", "-o", "out.html"],
        &["report", "p.yaml", "--md", "-o", "out.md"],
        &["run", "p.yaml", "--junit", "out.xml"],
    ] {
        for _ in 0..2 {
            let outcome = project.athanor(arguments);
            assert_eq!(outcome.code, 0, "{arguments:?}: {outcome:?}");
        }
    }
    project.write("empty.html", "");
    assert_eq!(project.athanor(&["report", "p.yaml", "-o", "empty.html"]).code, 0);
}
