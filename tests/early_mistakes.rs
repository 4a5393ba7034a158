//! Mistakes that are said before anything runs, in words that say what to do, and output that cannot be written.

mod support;

use std::fs::File;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use support::{Outcome, Project};

/// A pipeline with these stages, and no more.
fn pipeline(stages: &str) -> Project {
    Project::new(&format!("athanor: 1\nname: p\nstages:\n{stages}"))
}

/// A pipeline whose stage `a` has a result.
fn with_result(more: &str) -> Project {
    let stage = "  a: { kind: command, run: 'echo new > o', outputs: { o: o } }\n";
    pipeline(&format!("{stage}{more}results: {{ a.txt: a }}\n"))
}

fn refused(project: &Project, message: &str) -> String {
    let outcome = project.run(&[]);
    let shown = in_one_line(&outcome.err);
    assert!(outcome.code != 0 && shown.contains(message), "{message}: {outcome:?}");
    assert!(!project.path(".athanor/pipelines").exists(), "nothing has run");
    shown
}

/// A message without the ends of its lines.
fn in_one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c == '│').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_own_result_is_no_input() {
    let read = |more: &str| with_result(&format!("  b: {{ kind: command, {more}, outputs: {{ o: o }} }}\n"));
    let copied = "run: 'cp ${{ inputs.i }} o'";
    for path in ["results/p/a.txt", "./results/x/../p/a.txt"] {
        let project = read(&format!("inputs: {{ i: {path} }}, {copied}"));
        project.write("results/p/a.txt", "old\n");
        let shown = refused(&project, "is the result of `a`");
        assert!(shown.contains("write `a` as the input"), "{shown}");
    }
    for folder in ["results", "results/p"] {
        let project = read(&format!("inputs: {{ i: {folder} }}, {copied}"));
        project.write("results/p/a.txt", "old\n");
        refused(&project, "holds results of this pipeline, such as that of `a`");
    }
    let declared = read("reads: [results/p/a.txt], run: 'cat $ATHANOR_PROJECT/results/p/a.txt > o'");
    declared.write("results/p/a.txt", "old\n");
    refused(&declared, "is the result of `a`");
    let named = read("run: 'cat results/p/a.txt > o'");
    named.write("results/p/a.txt", "old\n");
    let warned = named.athanor(&["check", "p.yaml"]);
    assert!(warned.code == 0 && in_one_line(&warned.err).contains("names a result of this pipeline"), "{warned:?}");
    // Those of another pipeline, and the project around them, may be read.
    for fine in ["results/other/a.txt", "."] {
        let project = read(&format!("inputs: {{ i: {fine} }}, run: 'ls ${{{{ inputs.i }}}} > o'"));
        project.write("results/other/a.txt", "theirs\n");
        assert_eq!(project.run(&[]).code, 0, "{fine}");
    }
}

#[test]
fn the_cache_is_no_input() {
    for path in [".athanor", "[.athanor]", "./.athanor/objects", "x/../.athanor"] {
        let read = format!("inputs: {{ i: {path} }}, run: 'ls ${{{{ inputs.i }}}} > o', outputs: {{ o: o }}");
        let project = pipeline(&format!("  b: {{ kind: command, {read} }}\n"));
        project.write(".athanor/objects/x", "");
        let shown = refused(&project, "is the cache or lies in it, which changes with every run");
        assert!(shown.contains("name the stages whose outputs are meant"), "{shown}");
    }
}

#[test]
fn texts_with_a_nul_are_found_before_anything_runs() {
    let cases = [
        ("run: \"echo ${{ vars.v }} > o\"", "a value with a NUL character cannot be put into a shell line"),
        ("run: \"echo a\\0b > o\"", "the script has a NUL character"),
        ("env: { V: \"${{ vars.v }}\" }, run: 'echo 1 > o'", "a variable cannot hold a NUL character"),
        ("matrix: { m: [\"${{ vars.v }}\"] }, run: 'echo 1 > o'", "a value of this matrix has a NUL character"),
        ("inputs: { i: \"${{ vars.v }}\" }, run: 'echo 1 > o'", "a path cannot hold a NUL character"),
        ("versions: [\"echo a\\0b\"], run: 'echo 1 > o'", "a version command cannot hold a NUL character"),
    ];
    for (keys, message) in cases {
        let stage = format!("  a: {{ kind: command, {keys}, outputs: {{ o: o }} }}\nvars: {{ v: \"a\\0b\" }}\n");
        let shown = refused(&pipeline(&stage), message);
        assert!(shown.contains("take it out") || shown.contains("leave it out"), "{shown}");
    }
}

#[test]
fn messages_have_no_words_of_libraries() {
    let check = |text: &str| in_one_line(&Project::new(text).athanor(&["check", "p.yaml"]).err);
    let null = check("athanor: 1\nname: p\nvars: { null: x }\nstages: {}\n");
    assert!(null.contains("a key is nothing: `null` and `~` are that unless they are quoted"), "{null}");
    let huge = check("athanor: 1\nname: p\nvars: { v: '${{ 2 ** 100 }}', w: '${{ 1e308 * 10 }}' }\nstages: {}\n");
    assert_eq!(huge.matches("its value is a number too large to be written").count(), 2, "{huge}");
    let empty = check(
        "athanor: 1\nname: p\nstages:\n  a: { kind: command, run: 'echo 1 > o', outputs: { o: o }, matrix: { m: [1, 2], exclude: [{}] } }\n",
    );
    assert!(empty.contains("an entry of `exclude` is empty") && empty.contains("name axes in it"), "{empty}");
    let project = with_result("");
    let gc = project.athanor(&["cache", "gc", "--keep-runs=-1"]);
    assert!(gc.code == 2 && gc.err.contains("it is a whole number, from 0 to"), "{gc:?}");
    let report = project.athanor(&["report", "p.yaml", "-o", "nowhere/x.html"]);
    assert!(report.code == 1 && report.err.contains("there is no folder `nowhere`. Make it"), "{report:?}");
}

#[test]
fn texts_that_yaml_takes_for_something_else_are_told_how_to_write_them() {
    for (value, message, remedy) in [
        ("* x", "did not find expected alphabetic", "a text that begins with `*` or `&` is quoted"),
        ("*.txt", "unknown anchor", "a text that begins with `*` is quoted"),
        ("@x", "unexpected character", "a text that begins with `@`, `%` or a backtick is quoted"),
        ("%x", "unexpected character", "a text that begins with `@`, `%` or a backtick is quoted"),
        ("{{ vars.w }}", "a key is a mapping or a list", "an expression is written `${{ … }}`"),
        ("x\n  \tw: 1", "found a tab", "indent with spaces"),
        ("&a [*a]", "lies within the value that it stands for", ""),
    ] {
        let project = Project::new(&format!("athanor: 1\nname: p\nvars:\n  v: {value}\n  w: 1\nstages: {{}}\n"));
        let shown = refused(&project, message);
        assert!(shown.contains(remedy) && !shown.contains("weak"), "{value}: {shown}");
    }
}

#[test]
fn names_that_make_no_folder_or_file_are_found_before_anything_runs() {
    let named = |name: &str, result: &str| {
        let stage = "stages:\n  a: { kind: command, run: 'echo new > o', outputs: { o: o } }\n";
        Project::new(&format!("athanor: 1\nname: {name}\n{stage}results: {{ {result}: a }}\n"))
    };
    let long = "x".repeat(256);
    refused(&named(&long, "a"), "the pipeline's name has 256 bytes; names of folders have at most 255");
    assert!(named(&long[1..], "a").run(&[]).code == 0);
    for (name, noun) in [("2024", "a number"), ("1.5", "a number"), ("true", "a truth value")] {
        let shown = refused(&named(name, "a"), &format!("the pipeline's name is text, not {noun}"));
        assert!(shown.contains("quote it"), "{shown}");
    }
    let shown = refused(&named("p", &long), "256 bytes long; names of files have at most 255");
    assert!(shown.contains("shorten it") && !shown.contains("axes"), "{shown}");
}

#[test]
fn a_place_for_results_that_is_none_is_found_before_anything_runs() {
    let dangling = with_result("");
    symlink("nowhere", dangling.path("results")).unwrap();
    let shown = refused(&dangling, "`results`, where results belong, is a symbolic link to nothing (`nowhere`)");
    assert!(shown.contains("--results DIR"), "{shown}");
    let file = with_result("");
    file.write("results/p", "");
    refused(&file, "`results/p`, where results belong, is a file");
    for folder in [".athanor", ".athanor/objects", "./x/../.athanor"] {
        let project = with_result("");
        let outcome = project.run(&["--results", folder]);
        let says = outcome.err.contains("is in the cache") && outcome.err.contains("--results DIR");
        assert!(outcome.code == 1 && says, "{folder}: {outcome:?}");
        assert!(!project.path(".athanor").exists());
    }
}

#[test]
fn a_file_is_no_place_for_a_cache() {
    let project = with_result("");
    project.write("file", "mine");
    for cache in ["file", "file/x"] {
        for command in ["run", "status"] {
            let outcome = project.athanor(&[command, "p.yaml", "--cache", cache]);
            assert_eq!(outcome.code, 1, "{outcome:?}");
            assert!(outcome.err.contains("/file` is a file. Name a folder with `--cache`."), "{}", outcome.err);
        }
    }
    assert_eq!(project.read("file"), "mine");
}

#[test]
fn paths_that_were_meant_as_something_else_are_no_folders() {
    for (path, help) in [
        ("$HOME/wandb", "write `~` for the home folder"),
        ("\"runs/${RUN}\"", "write `~` for the home folder"),
        ("\"https://example.org/x\"", "the network is open to every command"),
        ("~user/x", "write the path of that user's folder"),
    ] {
        let project = pipeline(&format!("  a: {{ kind: command, run: 'true', writes: [{path}] }}\n"));
        let shown = refused(&project, "which is no path of a file or folder");
        assert!(shown.contains(help), "{shown}");
        let left: Vec<_> = std::fs::read_dir(project.path(".")).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}

/// Outcome of a command whose standard output is on a full disk.
fn on_full_disk(project: &Project, arguments: &[&str]) -> Outcome {
    let mut command = project.command(arguments);
    command.stdout(File::options().write(true).open("/dev/full").unwrap()).stderr(Stdio::piped());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Outcome { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

#[test]
fn output_that_a_full_disk_does_not_take_is_an_error_and_a_closed_pipe_is_none() {
    let project = with_result("");
    let commands: [&[&str]; 5] = [
        &["run", "p.yaml"],
        &["run", "--json", "--force", "a", "p.yaml"],
        &["status", "p.yaml"],
        &["graph", "p.yaml"],
        &["--help"],
    ];
    for arguments in commands {
        let outcome = on_full_disk(&project, arguments);
        let says = outcome.err.contains("Standard output cannot be written: No space left on device");
        assert!(outcome.code == 1 && says, "{arguments:?}: {outcome:?}");
    }
    assert_eq!(project.read("results/p/a.txt"), "new\n", "the run itself goes well");
    for arguments in [&["run", "--force", "a", "p.yaml"][..], &["status", "p.yaml"]] {
        let mut child = project.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn words_of_other_tools_are_told_what_takes_their_place() {
    let stage = |keys: &str| pipeline(&format!("  a: {{ kind: command, {keys} }}\n"));
    let run = "run: 'echo > o'";
    for (keys, help) in [
        (format!("{run}, outputs: {{ o: o }}, needs: b"), "`inputs` says what a stage reads and so waits for"),
        (format!("{run}, outputs: {{ o: o }}, threads: 4"), "write `resources: { cpus: N }`"),
        (format!("{run}, outputs: {{ o: o }}, resources: {{ mem_mb: 4 }}"), "write `memory: 4GiB`"),
        (format!("{run}, outputs: [o.csv]"), "give it a name, by which it is called elsewhere: `{ NAME: o.csv }`"),
        (format!("{run}, outputs: {{ o: o }}, env: [LR=1]"), "`{ LR: 1 }`"),
        ("run: [echo, ls], outputs: { o: o }".to_owned(), "after `run: |`"),
        (format!("{run}, outputs: {{ o: o }}, matrix: {{ s: 'data/*' }}"), "write `s: \"${{ files('data/*') }}\"`"),
        (
            format!("{run}, outputs: {{ o: o }}, inputs: {{ f: 'data/*' }}"),
            "a pattern is written `${{ files('data/*') }}`",
        ),
        (format!("{run}, outputs: {{ o: o }}, matrix: {{ s: ${{{{ vars.l }}}} }}"), "an expression is quoted"),
        ("run: 'echo ${{ lr }}', outputs: { o: o }".to_owned(), "a variable is read as `vars.NAME`"),
        (
            "run: 'echo ${{ env.HOME }}', outputs: { o: o }".to_owned(),
            "the script reads a variable of the environment itself",
        ),
        (
            format!("{run}, outputs: {{ o: o }}, params: {{ lr: 1 }}"),
            "command takes none: a script has values written into it",
        ),
    ] {
        refused(&stage(&keys), help);
    }
    let project = stage(&format!("{run}, outputs: {{ o: o }}"));
    for (words, help) in [
        (&["gc"][..], "`athanor cache gc` is that"),
        (&["p.yaml"], "`athanor run p.yaml` runs the pipeline"),
        (&["run", "p.yaml", "--cores", "4"], "`-j N` sets how many CPUs a run uses"),
        (&["run", "p.yaml", "--config", "x=1"], "`--set NAME=VALUE` sets a variable"),
    ] {
        let outcome = project.athanor(words);
        assert!(outcome.code == 2 && in_one_line(&outcome.err).contains(help), "{words:?}: {outcome:?}");
    }
}

#[test]
fn programs_that_do_not_follow_the_links_of_inputs_are_warned_of() {
    let warned = |line: &str| {
        let project = pipeline(&format!(
            "  a: {{ kind: command, inputs: {{ i: data, f: file }}, run: '{line} > o', outputs: {{ o: o }} }}\n"
        ));
        project.write("data/x", "x\n");
        project.write("file", "x\n");
        let outcome = project.athanor(&["check", "p.yaml"]);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        in_one_line(&outcome.err).contains("inputs are symbolic links")
    };
    for line in
        ["find ${{ inputs.i }} -type f", "ls | tar czf - \"${{ inputs.f }}\"", "du -s ${{ inputs.i }}", "tar c inputs"]
    {
        assert!(warned(line), "{line}");
    }
    for line in [
        "find -L ${{ inputs.i }} -type f",
        "find ${{ inputs.i }}/ -type f",
        "find ${{ inputs.f }} -newer o",
        "tar xf ${{ inputs.f }}",
        "tar chf - ${{ inputs.i }}",
        "cat ${{ inputs.f }}",
    ] {
        assert!(!warned(line), "{line}");
    }
}
