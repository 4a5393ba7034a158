//! Scripts of commands: the shell that runs them, and what it makes of values and mistakes.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use support::{Outcome, Project};

fn stage(keys: &str) -> Project {
    Project::new(&format!(
        "athanor: 1\nname: p\nvars: {{ x: \"it's $HOME\", n: -2, yes: true, list: [a b, 'c\"d'], map: {{ k: [1, null] }} }}\n\
         stages:\n  a:\n    kind: command\n    outputs: {{ o: o.txt }}\n{keys}results: {{ o.txt: a }}\n"
    ))
}

/// A stage that runs `script`, whose lines are joined as they are.
fn script(more: &str, script: &str) -> Project {
    stage(&format!("{more}    run: |\n      {}\n", script.replace('\n', "\n      ")))
}

fn fails(project: &Project, signs: &[&str]) -> Outcome {
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(!project.path("results/p/o.txt").exists());
    for sign in signs {
        assert!(outcome.out.contains(sign), "{sign}: {}", outcome.out);
    }
    outcome
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        support::skips(&format!("there is no {program}"));
    }
    found
}

#[test]
fn the_first_mistake_ends_a_script() {
    for line in ["cat no-such-file > ${{ outputs.o }}\necho finished", "echo $NOT_SET_ANYWHERE > ${{ outputs.o }}"] {
        for shell in ["", "    shell: sh\n", "    shell: bash\n"] {
            fails(&script(shell, line), &["failed"]);
        }
    }
    fails(&script("", "false | cat > ${{ outputs.o }}"), &["It ended with exit status 1."]);
    // `sh` has no such option everywhere.
    assert_eq!(script("    shell: sh\n", "false | cat > ${{ outputs.o }}").run(&[]).code, 0);
}

#[test]
fn a_shell_without_bash_is_strict_too() {
    let project = script("", "false\necho late > ${{ outputs.o }}");
    std::fs::create_dir(project.path("bin")).unwrap();
    for program in ["sh", "cat"] {
        std::os::unix::fs::symlink(format!("/bin/{program}"), project.path("bin").join(program)).unwrap();
    }
    let mut command = project.command(&["run", "p.yaml"]);
    let outcome = Outcome::of({
        command.env("PATH", project.path("bin"));
        command
    });
    assert_eq!(outcome.code, 1, "{outcome:?}");
    project.edit("false", "[ -z \"${BASH_VERSION:-}\" ]");
    let outcome = Outcome::of({
        let mut command = project.command(&["run", "p.yaml"]);
        command.env("PATH", project.path("bin"));
        command
    });
    assert_eq!(outcome.code, 0, "{outcome:?}");
    // Which program answers to the default is no part of the fingerprint: the result stays.
    assert_eq!(project.made(&[]), [""; 0]);
}

#[test]
fn another_shell_reruns_a_stage() {
    let project = script("", "echo x > ${{ outputs.o }}");
    assert_eq!(project.made(&[]), ["a"]);
    project.edit("    run", "    shell: bash\n    run");
    let explained = project.athanor(&["explain", "p.yaml", "a"]).out;
    assert!(explained.contains("parameter `shell`"), "{explained}");
    assert_eq!(project.made(&[]), ["a"]);
    project.edit("shell: bash", "shell: sh");
    assert_eq!(project.made(&[]), ["a"]);
    project.edit("    shell: sh\n", "");
    assert_eq!(project.made(&[]), [""; 0]);
}

#[test]
fn scripts_that_set_up_an_environment_get_a_hint() {
    let project = script("", ". env/bin/activate\necho x > ${{ outputs.o }}");
    project.write("env/bin/activate", "PS1=\"(env) $PS1_NOT_SET\"\n");
    fails(&project, &["write `set +u` before the line that does so"]);
    project.edit(". env", "set +u; . env");
    assert_eq!(project.run(&[]).code, 0);
    fails(&script("", "echo $NOT_SET_ANYWHERE"), &["`${NAME:-}`"]);
    fails(&script("    shell: sh\n", "echo $NOT_SET_ANYWHERE"), &["`${NAME:-}`"]);
}

#[test]
fn a_broken_pipe_is_explained() {
    fails(
        &script("", "yes | head -n 1 > ${{ outputs.o }}"),
        &["exit status 141", "(SIGPIPE)", "It wrote into a pipe whose reader", "`set +o pipefail`"],
    );
}

#[test]
fn the_script_lies_in_a_file_beside_the_folder() {
    let project = script("", "cat \"$0\" > ${{ outputs.o }}\nls -A >> ${{ outputs.o }}\n# ${{ vars.x }}");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(!outcome.out.contains("undeclared") && !outcome.out.contains("left"), "{}", outcome.out);
    assert_eq!(
        project.read("results/p/o.txt"),
        "cat \"$0\" > o.txt\nls -A >> o.txt\n# it's $HOME\n.tmp\ninputs\no.txt\n"
    );
}

#[test]
fn seven_thousand_paths_work_in_a_line() {
    let files: Vec<String> =
        (0..7000).map(|number| format!("data/a-file-with-quite-a-long-name-{number}.txt")).collect();
    let project = Project::new(&format!(
        "athanor: 1\nname: p\nstages:\n  \
         b:\n    kind: command\n    inputs: {{ parts: [{0}] }}\n    \
         run: \"for f in ${{{{ inputs.parts }}}}; do echo $f; done | wc -l > ${{{{ outputs.o }}}}\"\n    outputs: {{ o: o }}\n  \
         c:\n    kind: command\n    inputs: {{ parts: [{0}] }}\n    \
         run: \"/bin/cat ${{{{ inputs.parts }}}} | wc -l > o\"\n    outputs: {{ o: o }}\nresults: {{ n: b, m: c }}\n",
        files.join(", ")
    ));
    files.iter().for_each(|file| project.write(file, "x\n"));
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    assert_eq!(project.read("results/p/n").trim(), "7000");
    assert_eq!(project.read("results/p/m").trim(), "7000");
}

#[test]
fn python_scripts_get_literals() {
    if !has("python3") {
        return;
    }
    let project = script(
        "    shell: python\n    inputs: { f: data.csv }\n",
        "# it's ${{ vars.x }}\nvalues = [${{ vars.x }}, ${{ vars.n }} ** 2, ${{ vars.yes }}, ${{ vars.list }}, ${{ vars.map }}]\n\
         with open(${{ outputs.o }}, 'w') as out:\n    print(values, open(${{ inputs.f }}).read(), file=out)",
    );
    project.write("data.csv", "rows");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(project.read("results/p/o.txt"), "[\"it's $HOME\", 4, True, ['a b', 'c\"d'], {'k': [1, None]}] rows\n");
    // A file of the project that a text in quotes names is an input.
    let project = script("    shell: python\n", "open(${{ outputs.o }}, 'w').write(open('data/x.csv').read())");
    project.write("data/x.csv", "one\n");
    assert_eq!(project.made(&[]), ["a"]);
    project.write("data/x.csv", "two\n");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(project.read("results/p/o.txt"), "two\n");
    // The first mistake ends it.
    fails(&script("    shell: python\n", "open(${{ outputs.o }}, 'w')\n1 / 0"), &["ZeroDivisionError"]);
}

#[test]
fn a_value_inside_a_text_of_python_is_a_mistake() {
    let project = script("    shell: python\n", "print(\"${{ vars.x }}\")");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 2);
    for sign in ["a value cannot stand inside a quoted text of Python", "p.yaml:10:14", "take the quotes away"] {
        assert!(outcome.err.contains(sign), "{sign}: {}", outcome.err);
    }
}

#[test]
fn other_programs_read_values_from_a_file() {
    if !has("python3") {
        return;
    }
    let text = "    shell: python3 -B {0}\n    matrix: { m: { big: { width: 7 } }, fold: [3] }\n    inputs: { f: \"${{ vars.list[0] }}\" }\n";
    let project = script(
        text,
        "import json, os, sys\ncontext = json.load(open(os.environ['ATHANOR_CONTEXT']))\n\
         open(context['outputs']['o'], 'w').write(json.dumps(context, sort_keys=True))",
    );
    project.write("a b", "x");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let path = "results/p/o.txt/m=big,fold=3.txt";
    let context: serde_json::Value = serde_json::from_str(&project.read(path)).unwrap();
    assert_eq!(context["matrix"], serde_json::json!({ "m": { "width": 7 }, "fold": 3 }));
    assert_eq!(context["labels"], serde_json::json!({ "m": "big", "fold": 3 }));
    assert_eq!(context["vars"], serde_json::json!({ "list": ["a b", "c\"d"] }));
    assert_eq!(context["outputs"]["o"], "o.txt");
    // These values are what it computes from.
    project.edit("width: 7", "width: 8");
    assert_eq!(project.made(&[]).len(), 1);
}

#[test]
fn a_script_that_names_the_context_computes_from_it() {
    let line = "    matrix: { fold: [3] }\n    run: \"grep -o '.fold.:[0-9]*' $ATHANOR_CONTEXT > ${{ outputs.o }}\"\n";
    let project = stage(line);
    assert_eq!(project.made(&[]).len(), 1);
    assert!(project.read("results/p/o.txt/fold=3.txt").starts_with("\"fold\":3\n"));
    let plain = stage("    matrix: { fold: [3] }\n    run: \"echo > ${{ outputs.o }}\"\n");
    assert_eq!(plain.made(&[]).len(), 1);
    plain.edit("fold: [3]", "fold: [4]");
    assert_eq!(plain.made(&[]), [""; 0], "who does not ask for them does not compute from them");
}

#[test]
fn mistakes_about_shells_are_found_before_anything_runs() {
    for (keys, signs) in [
        ("    shell: bsh\n    run: x\n", ["`bsh` is none of", "did you mean `bash`?"]),
        ("    shell: perl\n    run: x\n", ["`perl` is none of", "such as `perl {0}`"]),
        ("    shell: [sh]\n    run: x\n", ["a shell is a name or a command line", "p.yaml:8:12"]),
        (
            "    shell: perl {0}\n    run: print ${{ vars.x }}\n",
            ["an expression cannot stand in `run` here", "ATHANOR_CONTEXT"],
        ),
    ] {
        let outcome = stage(keys).run(&[]);
        assert_eq!(outcome.code, 2, "{outcome:?}");
        for sign in signs {
            assert!(outcome.err.contains(sign), "{sign}: {}", outcome.err);
        }
    }
    fails(
        &stage("    shell: no-such-shell {0}\n    run: x\n"),
        &["`no-such-shell`, which is to run its script, is not on the PATH"],
    );
}

#[test]
fn a_shell_of_the_projects_own_is_found() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  a: { kind: command, shell: './mysh {0}', run: 'echo 1 > o', outputs: { o: o } }\nresults: { o: a }\n",
    );
    project.write("mysh", "#!/bin/sh\nexec sh \"$@\"\n");
    fs::set_permissions(project.path("mysh"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(project.read("results/p/o"), "1\n");
    project.write("mysh", "#!/bin/sh\n# Another.\nexec sh \"$@\"\n");
    assert_eq!(project.made(&[]), ["a"], "it counts as read");
}
