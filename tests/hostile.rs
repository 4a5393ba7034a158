//! Pipeline files made to do harm are refused within bounds: half a minute of CPU and two gigabytes of address space, which
//! the operating system enforces.

mod support;

use std::process::Command;

use support::Project;

/// Checks a pipeline within bounds; returns exit code and what was said.
fn check(pipeline: &str) -> (Option<i32>, String) {
    let project = Project::new(pipeline);
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg("ulimit -t 30; ulimit -v 2000000; exec \"$0\" check p.yaml")
        .arg(env!("CARGO_BIN_EXE_athanor"));
    let output = command.current_dir(project.path("")).env("NO_COLOR", "1").output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn is_refused(what: &str, pipeline: &str) {
    let (code, said) = check(pipeline);
    assert_eq!(code, Some(2), "{what}: {}", said.chars().take(2000).collect::<String>());
    assert!(said.contains("p.yaml"), "{what}: {said}");
    assert!(said.len() < 1 << 20, "{what}: {} bytes of complaint", said.len());
}

/// A pipeline with this in its variables.
fn with_vars(vars: &str) -> String {
    format!("athanor: 1\nname: p\nvars: {vars}\nstages: {{ a: {{ kind: command, run: x }} }}\n")
}

#[test]
fn a_bomb_of_aliases() {
    let mut levels = String::from("\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let alias = format!("*a{}", level - 1);
        levels += &format!("  a{level}: &a{level} [{}]\n", vec![alias; 10].join(", "));
    }
    is_refused("lists", &with_vars(&levels));
}

#[test]
fn an_alias_of_what_it_lies_in() {
    is_refused("a list in itself", &with_vars("{ a: &a [*a] }"));
    is_refused("a mapping merged into itself", &with_vars("\n  a: &a { b: 1, <<: *a }\n"));
}

#[test]
fn deep_nesting() {
    let depth = 200_000;
    is_refused("lists", &with_vars(&("[".repeat(depth) + &"]".repeat(depth))));
    is_refused("lists that do not end", &with_vars(&"[".repeat(depth)));
    is_refused("mappings", &with_vars(&("{ a: ".repeat(depth) + &"}".repeat(depth))));
    is_refused("lists in lines", &format!("athanor: 1\n{}", "- ".repeat(depth)));
    let blocks: String = (0..3_000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    is_refused("mappings in lines", &blocks);
    is_refused(
        "an expression",
        &with_vars(&format!("{{ a: \"${{{{ {}1{} }}}}\" }}", "(".repeat(depth), ")".repeat(depth))),
    );
    is_refused("another", &with_vars(&format!("{{ a: \"${{{{ {}1 }}}}\" }}", "not ".repeat(depth))));
}

#[test]
fn huge_keys_and_texts() {
    let huge = "k".repeat(10 << 20);
    is_refused("a key", &format!("athanor: 1\nname: p\n{huge}: 1\nstages: {{ a: {{ kind: command, run: x }} }}\n"));
    is_refused("a stage's name", &format!("athanor: 1\nname: p\nstages: {{ {huge} : {{ kind: command, run: x }} }}\n"));
    is_refused("a kind", &format!("athanor: 1\nname: p\nstages: {{ a: {{ kind: {huge}, run: x }} }}\n"));
    is_refused(
        "a selector",
        &format!("athanor: 1\nname: p\nstages: {{ a: {{ kind: command, run: x, inputs: {{ i: \"a[{huge}\" }} }} }}\n"),
    );
}

#[test]
fn what_leads_in_circles_or_out_of_the_file() {
    is_refused("variables", &with_vars("{ a: \"${{ vars.b }}\", b: \"${{ vars.a }}\" }"));
    is_refused("an include", "!include p.yaml\n");
    is_refused("an include of vars", &with_vars("!include p.yaml"));
    is_refused("a long expression's value", &with_vars("{ a: \"${{ [0] * 10 ** 9 }}\" }"));
    is_refused(
        "a huge matrix",
        "athanor: 1\nname: p\nstages: { a: { kind: command, run: x, matrix: { m: \"${{ range(99999) }}\", n: \"${{ range(99999) }}\" } } }\n",
    );
}

#[test]
fn what_is_written_out_is_read_however_much_it_is() {
    let mut stages = String::from("athanor: 1\nname: p\nstages:\n");
    for number in 0..30_000 {
        stages += &format!(
            "  s{number}: {{ kind: command, run: \"echo {number} > ${{{{ outputs.o }}}}\", outputs: {{ o: o.txt }} }}\n"
        );
    }
    let (code, said) = check(&stages);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = check(&with_vars(&format!("{{ a: [{}0] }}", "[],".repeat(500_000))));
    assert_eq!(code, Some(0), "{said}");
    // As many aliases of one mapping as stages use it.
    let mut merged = String::from("athanor: 1\nname: p\nvars:\n  base: &base { a: 1, b: 2 }\n  all:\n");
    (0..5_000).for_each(|_| merged += "    - { <<: *base, c: 3 }\n");
    let (code, said) = check(&(merged + "stages: { a: { kind: command, run: x } }\n"));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn ten_thousand_mistakes_take_no_longer_than_ten_thousand_stages() {
    let reading = |source: &str| {
        let mut stages =
            String::from("athanor: 1\nname: p\nstages:\n  base: { kind: command, run: x, outputs: { o: o } }\n");
        for number in 0..5_000 {
            stages += &format!(
                "  s{number}: {{ kind: command, inputs: {{ x: {source}{number} }}, run: \"cat ${{{{ inputs.x }}}}\" }}\n"
            );
        }
        check(&stages)
    };
    let (code, said) = reading("base.q");
    assert_eq!(code, Some(2));
    assert!(said.ends_with("5000 mistakes in p.yaml\n"), "{}", said.len());
    // Files that are missing are one mistake, but for those that a stage may be meant with.
    let (code, said) = reading("t");
    assert_eq!(code, Some(2));
    assert!(said.ends_with("201 mistakes in p.yaml\n") && said.contains("lacks 4800 files"), "{}", said.len());
}

#[test]
fn a_bomb_of_merges_and_of_anchors() {
    let mut levels = String::from("\n  a0: &a0 { x: 1 }\n");
    for level in 1..30 {
        let last = level - 1;
        levels += &format!("  a{level}: &a{level} {{ l: *a{last}, r: *a{last}, m: {{ <<: *a{last} }} }}\n");
    }
    is_refused("mappings", &with_vars(&levels));
    let text = "x".repeat(1 << 20);
    let aliases = vec!["*a"; 3_000].join(", ");
    is_refused("a long text", &with_vars(&format!("{{ a: &a {text}, b: [{aliases}] }}")));
}
