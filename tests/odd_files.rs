//! Files that are not what is expected where they lie: pipes that nobody writes to, links into `/proc`, folders that a stage has closed; and paths
//! and values that mean the same as others, or seem to.

mod support;

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use support::{Outcome, Project, skips};

/// A stage `a` that runs `line`, with further keys.
fn stage(line: &str, more: &str) -> Project {
    let line = serde_json::to_string(line).unwrap();
    Project::new(&format!(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    run: {line}\n    outputs: {{ x: x.txt }}\n{more}results: {{ x.txt: a }}\n"
    ))
}

/// Outcome of a run that has to end by itself.
fn ended(project: &Project, arguments: &[&str], sandboxed: bool) -> Outcome {
    let arguments: Vec<&str> = ["run", "p.yaml"].iter().chain(arguments).copied().collect();
    let mut command = if sandboxed { project.sandboxed(&arguments) } else { project.command(&arguments) };
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Outcome::of_child(child)
}

fn pipe(project: &Project, name: &str) {
    mkfifo(&project.path(name), Mode::from_bits_truncate(0o600)).unwrap();
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_named_and_not_waited_for() {
    let project = stage("echo 1 > ${{ outputs.x }}", "    reads: { k.yaml: [a] }\n");
    pipe(&project, "k.yaml");
    let outcome = ended(&project, &[], false);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains("k.yaml` is neither a file nor a folder"), "{}", outcome.out);

    let project = stage("ls -L ${{ inputs.d }} > ${{ outputs.x }}", "    inputs: { d: d }\n");
    project.write("d/f", "1\n");
    pipe(&project, ".athanorignore");
    let outcome = ended(&project, &[], false);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.err.contains(".athanorignore`: it is not a file. Move it out of the way"), "{}", outcome.err);
    std::fs::remove_file(project.path(".athanorignore")).unwrap();
    // As in git, nothing is listed there.
    symlink("/dev/null", project.path(".athanorignore")).unwrap();
    assert_eq!(ended(&project, &[], false).code, 0);
}

#[test]
fn a_pipe_that_nobody_reads_is_no_place_for_an_outcome() {
    let project = stage("echo 1 > ${{ outputs.x }}", "");
    pipe(&project, "pipe");
    let outcome = ended(&project, &["--junit", "pipe"], false);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.err.contains("`pipe` cannot be written: it is a pipe, and nobody reads it"), "{}", outcome.err);
    let path = project.path("pipe");
    let reader = std::thread::spawn(move || std::fs::read_to_string(path).unwrap());
    assert_eq!(ended(&project, &["--junit", "pipe"], false).code, 0);
    assert!(reader.join().unwrap().starts_with("<?xml"));
}

/// In `/proc` each process finds itself: the run would store its own variables.
#[test]
fn an_output_is_nothing_that_the_kernel_tells_of_a_process() {
    for line in ["ln -s /proc/self/environ x.txt", "mkdir x.txt; ln -s /proc/self/status x.txt/s"] {
        let project = stage(line, "");
        let outcome = ended(&project, &[], true);
        if outcome.out.contains("commands run without a sandbox") {
            return skips("this kernel has no Landlock of version 3");
        }
        assert_eq!(outcome.code, 1, "{line}: {outcome:?}");
        assert!(outcome.out.contains("has a symbolic link to `/proc/"), "{}", outcome.out);
    }
}

/// It goes wrong for ordinary users: the superuser may move files out of any folder.
#[test]
fn outputs_are_taken_out_of_folders_that_their_stage_has_closed() {
    for (line, outputs) in [
        ("echo 1 > x.txt; chmod 500 .", "{ x: x.txt }"),
        ("mkdir -p o/p; echo 1 > o/p/x.txt; chmod 555 o/p o", "{ x: o/p/x.txt }"),
        ("mkdir -p o/p; echo 1 > o/p/x.txt; chmod 000 o/p o .", "{ x: o/p/x.txt }"),
        ("echo 1 > x.txt; echo 2 > y.txt; chmod 500 .", "{ x: { files: [x.txt, y.txt] } }"),
    ] {
        let project = stage(line, "");
        project.edit("outputs: { x: x.txt }", &format!("outputs: {outputs}"));
        let outcome = project.run(&[]);
        assert_eq!(outcome.code, 0, "{line}: {outcome:?}");
        let place = if line.contains("y.txt") { "results/p/x.txt/x.txt" } else { "results/p/x.txt" };
        assert_eq!(project.read(place), "1\n", "{line}");
        let left = std::fs::read_dir(project.path(".athanor/scratch")).unwrap().count();
        assert_eq!(left, 0, "{line}");
    }
}

#[test]
fn full_paths_count_however_they_are_written() {
    for way in [
        "$ATHANOR_PROJECT/conf/../a.txt",
        "\"$ATHANOR_PROJECT\"/./conf//../a.txt",
        "$ATHANOR_PROJECT/linked/../a.txt",
        "${ATHANOR_PROJECT:-.}/a.txt",
        "\"${ATHANOR_PROJECT:?is not set}/a.txt\"",
        "ABSOLUTE/conf/inner/../../a.txt",
        "ABSOLUTE/../NAME/a.txt",
    ] {
        let project = stage("", "");
        let folder = project.path("").canonicalize().unwrap();
        project.write("conf/inner/b.txt", "");
        std::fs::create_dir(project.path("other")).unwrap();
        symlink("conf", project.path("linked")).unwrap();
        let line = way
            .replace("ABSOLUTE", folder.to_str().unwrap())
            .replace("NAME", folder.file_name().unwrap().to_str().unwrap());
        let line = format!("cat {line} > ${{{{ outputs.x }}}}");
        project.edit("run: \"\"", &format!("run: {}", serde_json::to_string(&line).unwrap()));
        project.write("a.txt", "one\n");
        assert_eq!(project.made(&[]), ["a"], "{way}");
        assert!(project.made(&[]).is_empty(), "{way}");
        project.write("a.txt", "two\n");
        assert_eq!(project.made(&[]), ["a"], "{way}");
        assert_eq!(project.read("results/p/x.txt"), "two\n", "{way}");
    }
}

#[test]
fn a_zero_with_a_sign_is_another_value_of_a_key() {
    for (file, with, without) in [
        ("k.json", "{ \"a\": -0.0 }", "{ \"a\": 0.0 }"),
        ("k.toml", "a = -0.0\n", "a = 0.0\n"),
        ("k.yaml", "a: -0.0\n", "a: 0.0\n"),
    ] {
        let project = stage("echo $RANDOM > ${{ outputs.x }}", &format!("    reads: {{ {file}: [a] }}\n"));
        project.write(file, with);
        assert_eq!(project.made(&[]), ["a"], "{file}");
        project.write(file, without);
        assert_eq!(project.made(&[]), ["a"], "{file}");
        project.write(file, with);
        assert!(project.made(&[]).is_empty(), "{file}");
    }
}

/// An input is a link to the user's file, and programs look for what belongs to a script where that lies.
#[test]
fn what_a_script_imports_counts_also_where_the_script_is_an_input() {
    if Command::new("python3").arg("-V").output().is_err() {
        return skips("there is no python3");
    }
    let python = "import sys\nfrom helper import V\nopen(sys.argv[1], 'w').write(V)\n";
    let shell = ". \"$(dirname \"$(realpath \"$0\")\")/helper.sh\"\nprintf %s $V > $1\n";
    for (script, text, helper, program) in [
        ("tools/main.py", python, "tools/helper.py", "python3"),
        ("tools/linked.py", python, "tools/helper.py", "python3"),
        ("tools/main.sh", shell, "tools/helper.sh", "sh"),
    ] {
        for sandboxed in [false, true] {
            let line = format!("{program} ${{{{ inputs.s }}}} ${{{{ outputs.x }}}}");
            let project = stage(&line, &format!("    inputs: {{ s: {script} }}\n"));
            project.write(helper, "V='one'\n");
            if script.contains("linked") {
                project.write("tools/main.py", text);
                symlink("main.py", project.path(script)).unwrap();
            } else {
                project.write(script, text);
            }
            let outcome = ended(&project, &[], sandboxed);
            assert_eq!((outcome.code, project.read("results/p/x.txt")), (0, "one".to_owned()), "{outcome:?}");
            assert!(ended(&project, &[], sandboxed).out.contains("1 cached"));
            project.write(helper, "V='two'\n");
            let outcome = ended(&project, &[], sandboxed);
            assert_eq!((outcome.code, project.read("results/p/x.txt")), (0, "two".to_owned()), "{outcome:?}");
        }
    }
}
