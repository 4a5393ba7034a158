//! What a command reads of the project without an input for it: files that its line names, modules that its scripts import,
//! and what it declares under `reads`.

mod support;

use std::process::Command;

use support::{Outcome, Project, wait_for};

/// A pipeline with one command `a`, whose result is `x.txt`.
fn project(line: &str, more: &str) -> Project {
    Project::new(&format!(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    run: {}\n    outputs: {{ x: x.txt }}\n{more}results: {{ x.txt: a }}\n",
        serde_json::to_string(line).unwrap()
    ))
}

/// Whether there is a Python to run scripts; says so if not.
fn has_python() -> bool {
    let there = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        support::skips("there is no python3");
    }
    there
}

fn explained(project: &Project) -> String {
    let outcome = project.athanor(&["explain", "p.yaml", "a"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    outcome.out
}

fn ran(outcome: &Outcome) {
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

#[test]
fn a_module_beside_a_script_counts_and_a_change_of_it_reruns_the_stage() {
    if !has_python() {
        return;
    }
    let project = project("python3 tools/plot.py > ${{ outputs.x }}", "");
    project.write("tools/plot.py", "import helper\nprint(helper.V)\n");
    project.write("tools/helper.py", "V = 1\n");
    project.write("tools/unused.py", "V = 1\n");
    assert_eq!((project.made(&[]), project.read("results/p/x.txt")), (vec!["a".to_owned()], "1\n".to_owned()));
    project.write("tools/helper.py", "V = 2\n");
    let why = explained(&project);
    assert!(why.contains("`tools/plot.py (imports)` changed") && why.contains("modified tools/helper.py"), "{why}");
    assert_eq!((project.made(&[]), project.read("results/p/x.txt")), (vec!["a".to_owned()], "2\n".to_owned()));
    project.write("tools/unused.py", "V = 2\n");
    assert!(project.made(&[]).is_empty());
    let fresh = explained(&project);
    assert!(fresh.contains("a is fresh: nothing that was declared has changed"), "{fresh}");
    // A module that hides another one is one more file to read.
    project.write("tools/helper/__init__.py", "V = 3\n");
    assert_eq!((project.made(&[]), project.read("results/p/x.txt")), (vec!["a".to_owned()], "3\n".to_owned()));
}

#[test]
fn a_named_file_is_one_of_the_stages_own_and_what_lies_beside_it_is_not_there() {
    let line = "test -f tools/say.sh && test ! -L tools/say.sh && test $(ls tools | wc -l) = 1 && sh tools/say.sh > ${{ outputs.x }} && echo >> tools/say.sh";
    let project = project(line, "");
    project.write("tools/say.sh", "echo said\n");
    project.write("tools/other.txt", "");
    let outcome = project.run(&[]);
    ran(&outcome);
    assert!(!outcome.out.contains("also wrote"), "{}", outcome.out);
    assert_eq!(project.read("tools/say.sh"), "echo said\n", "the stage wrote to its own");
    assert_eq!(project.read("results/p/x.txt"), "said\n");
}

#[test]
fn a_large_named_file_is_read_where_it_lies_and_a_hint_says_so() {
    let project = project("test -L big.bin && wc -c < big.bin > ${{ outputs.x }} # big.bin", "");
    let file = std::fs::File::create(project.path("big.bin")).unwrap();
    file.set_len((16 << 20) + 1).unwrap();
    let outcome = project.run(&[]);
    ran(&outcome);
    assert!(
        outcome.out.contains("`big.bin` is larger than 16 MiB") && outcome.out.contains("`inputs`"),
        "{}",
        outcome.out
    );
    assert_eq!(project.read("results/p/x.txt").trim(), "16777217");
}

#[test]
fn a_package_that_is_run_by_name_counts_with_all_that_it_imports() {
    if !has_python() {
        return;
    }
    let project = project("PYTHONPATH=src python3 -m pkg > ${{ outputs.x }}", "");
    project.write("src/pkg/__init__.py", "");
    project.write("src/pkg/__main__.py", "from . import deep\nprint(deep.value())\n");
    let deep = "def value():\n    try:\n        import importlib\n        return importlib.import_module('pkg.late').V\n    finally:\n        pass\n";
    project.write("src/pkg/deep.py", deep);
    project.write("src/pkg/late.py", "V = 1\n");
    assert_eq!((project.made(&[]).len(), project.read("results/p/x.txt")), (1, "1\n".to_owned()));
    project.write("src/pkg/late.py", "V = 2\n");
    assert_eq!((project.made(&[]).len(), project.read("results/p/x.txt")), (1, "2\n".to_owned()));
    assert!(project.made(&[]).is_empty());
}

#[test]
fn modules_that_a_script_in_the_pipeline_file_imports_count_and_are_found() {
    if !has_python() {
        return;
    }
    let script = "import os, helper\nhere = os.getcwd()\nos.chdir('/')\nfrom pkg import part\nopen(here + '/x.txt', 'w').write(helper.V + part.V)";
    let project = project(script, "    shell: python\n");
    project.write("helper.py", "import deeper\nV = deeper.V\n");
    project.write("deeper.py", "V = 'one '\n");
    project.write("src/pkg/__init__.py", "");
    project.write("src/pkg/part.py", "V = 'part'\n");
    project.write("unused.py", "");
    let made = || {
        let outcome = Outcome::of(project.sandboxed(&["run", "p.yaml", "--json"]));
        ran(&outcome);
        support::events(&outcome.out, "finished")
    };
    assert_eq!((made(), project.read("results/p/x.txt")), (vec!["a".to_owned()], "one part".to_owned()));
    assert!(made().is_empty());
    project.write("deeper.py", "V = 'two '\n");
    let why = explained(&project);
    assert!(why.contains("`run (imports)` changed") && why.contains("modified deeper.py"), "{why}");
    assert_eq!((made(), project.read("results/p/x.txt")), (vec!["a".to_owned()], "two part".to_owned()));
    project.write("unused.py", "V = 1\n");
    assert!(made().is_empty());
    project.write("src/pkg/part.py", "V = 'whole'\n");
    assert_eq!((made(), project.read("results/p/x.txt")), (vec!["a".to_owned()], "two whole".to_owned()));
}

#[test]
fn a_script_that_does_not_parse_counts_alone_and_a_note_says_so() {
    let project = project("cat odd.py > ${{ outputs.x }}", "");
    project.write("odd.py", "import beside\ndef broken(:\n");
    project.write("beside.py", "");
    let outcome = project.run(&[]);
    ran(&outcome);
    assert!(outcome.out.contains("`odd.py` is no valid Python (line 2)"), "{}", outcome.out);
    project.write("beside.py", "changed = 1\n");
    assert!(project.made(&[]).is_empty());
    project.write("odd.py", "import beside\n");
    assert_eq!(project.made(&[]), ["a"]);
    project.write("beside.py", "changed = 2\n");
    assert_eq!(project.made(&[]), ["a"]);
}

#[test]
fn full_paths_of_project_files_count() {
    for way in ["$ATHANOR_PROJECT/conf/a.txt", "\"${ATHANOR_PROJECT}/conf/a.txt\"", "ABSOLUTE/conf/a.txt"] {
        let project = project("", "");
        let way = way.replace("ABSOLUTE", project.path("").canonicalize().unwrap().to_str().unwrap());
        project.edit(
            "run: \"\"",
            &format!("run: {}", serde_json::to_string(&format!("cat {way} > ${{{{ outputs.x }}}}")).unwrap()),
        );
        project.write("conf/a.txt", "one\n");
        assert_eq!(project.made(&[]), ["a"], "{way}");
        assert!(project.made(&[]).is_empty(), "{way}");
        project.write("conf/a.txt", "two\n");
        assert_eq!(project.made(&[]), ["a"], "{way}");
        assert_eq!(project.read("results/p/x.txt"), "two\n", "{way}");
    }
}

/// A shell fits patterns to what lies in the stage's folder: nothing, or what the line names besides.
#[test]
fn a_pattern_that_fits_files_which_the_stage_does_not_get_is_told() {
    let told = |line: &str| {
        let project = project(line, "");
        for file in ["data/a.csv", "data/b.csv", "data/c.txt", "x/one.txt"] {
            project.write(file, "1\n");
        }
        let outcome = project.athanor(&["check", "p.yaml"]);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let text = outcome.err.split_whitespace().filter(|word| *word != "│").collect::<Vec<&str>>().join(" ");
        text.contains("which the stage does not get").then_some(text)
    };
    let text = told("cat data/a.csv data/*.csv > ${{ outputs.x }}").unwrap();
    assert!(text.contains("`data/*.csv` in the line of `a` fits `data/b.csv` of the project"), "{text}");
    assert!(text.contains("`inputs: { files: \"${{ files('data/*.csv') }}\" }`"), "{text}");
    assert!(told("for f in data/*; do cat $f; done > ${{ outputs.x }}").unwrap().contains("`data/a.csv` and 2 more"));
    for line in [
        "cat data/c.txt data/*.txt > ${{ outputs.x }}",
        "find . -path 'data/*.csv' > ${{ outputs.x }}",
        "mkdir data; touch data/q.csv; cat data/*.csv > ${{ outputs.x }}",
        "cat none/*.csv > ${{ outputs.x }} # data/*.csv",
        "case a in data/*) ;; esac; touch ${{ outputs.x }}",
        "case a in data/*|x/*) ;; esac; touch ${{ outputs.x }}",
        "[[ a == data/* ]] || touch ${{ outputs.x }}",
        "touch x.txt; cat x.txt/*",
    ] {
        assert_eq!(told(line), None, "{line}");
    }
}

/// The streams of a stage are its own, and not those of the run.
#[test]
fn streams_of_the_run_are_no_files_of_the_project() {
    let project = project("echo x | tee /dev/stderr > ${{ outputs.x }}", "");
    let run = || {
        let log = std::fs::File::create(project.path("run.log")).unwrap();
        let mut command = project.command(&["run", "p.yaml"]);
        let status = command.stderr(log.try_clone().unwrap()).stdout(log).status().unwrap();
        (status.code(), project.read("run.log"))
    };
    let (first, second) = (run(), run());
    assert!(first.0 == Some(0) && first.1.contains("started"), "{first:?}");
    assert!(second.0 == Some(0) && !second.1.contains("started"), "{second:?}");
}

/// On clusters the way to a home folder often leads through links.
#[test]
fn full_paths_by_a_link_to_the_project_or_from_the_home_folder_count() {
    let folder = tempfile::tempdir().unwrap();
    let links = folder.path().canonicalize().unwrap();
    for way in ["LINKS/alias/conf/a.txt", "LINKS/conf/a.txt", "~/alias/conf/a.txt", "\"$HOME/alias/conf/a.txt\""] {
        let project = project("", "");
        project.write("conf/a.txt", "one\n");
        for (name, target) in [("alias", ""), ("conf", "conf")] {
            let _ = std::fs::remove_file(links.join(name));
            std::os::unix::fs::symlink(project.path(target), links.join(name)).unwrap();
        }
        let line = format!("cat {} > ${{{{ outputs.x }}}}", way.replace("LINKS", links.to_str().unwrap()));
        project.edit("run: \"\"", &format!("run: {}", serde_json::to_string(&line).unwrap()));
        let run = || {
            Outcome::of({
                let mut command = project.command(&["run", "p.yaml"]);
                command.env("HOME", &links);
                command
            })
        };
        for content in ["one\n", "two\n"] {
            project.write("conf/a.txt", content);
            let outcome = run();
            assert!(outcome.code == 0 && outcome.out.contains("1 ran"), "{way}: {outcome:?}");
            assert_eq!(project.read("results/p/x.txt"), content, "{way}");
        }
        let outcome = run();
        assert!(outcome.code == 0 && outcome.out.contains("1 cached"), "{way}: {outcome:?}");
        project.edit("a.txt", "*.txt");
        let outcome = run();
        assert!(outcome.code == 2 && outcome.err.contains("names the folder `conf`"), "{way}: {outcome:?}");
    }
}

#[test]
fn a_folder_by_its_full_path_is_refused_unless_it_is_declared() {
    let project = project("cat $ATHANOR_PROJECT/conf/*.txt > ${{ outputs.x }}", "");
    project.write("conf/a.txt", "one\n");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.err.contains("p.yaml:4:3"), "{}", outcome.err);
    assert!(outcome.err.contains("names the folder `conf`"), "{}", outcome.err);
    assert!(outcome.err.contains("declare it under inputs or reads"), "{}", outcome.err);
    project.edit("results:", "    reads: [conf/]\nresults:");
    assert_eq!(project.made(&[]), ["a"]);
    project.write("conf/b.txt", "two\n");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(project.read("results/p/x.txt"), "one\ntwo\n");
    let why = {
        project.write("conf/b.txt", "three\n");
        explained(&project)
    };
    assert!(why.contains("`./conf` changed") && why.contains("modified b.txt"), "{why}");
}

/// The first run makes such a folder, so that the second one finds it there.
#[test]
fn a_folder_that_a_stage_may_write_to_is_no_input() {
    for writes in ["runs/", "./runs", "ABSOLUTE/runs"] {
        let project =
            project("touch ${{ outputs.x }} && cp ${{ outputs.x }} $ATHANOR_PROJECT/runs", "    writes: [PATH]\n");
        project.edit("PATH", &writes.replace("ABSOLUTE", project.path("").canonicalize().unwrap().to_str().unwrap()));
        std::fs::create_dir(project.path("runs")).unwrap();
        assert_eq!(project.made(&[]), ["a"], "{writes}");
        assert_eq!(project.made(&["--force", "a"]), ["a"], "{writes}");
        project.edit("writes:", "reads: [p.yaml]\n    sandbox: on #");
        let outcome = project.run(&[]);
        assert!(outcome.code == 2 && outcome.err.contains("or under writes if"), "{writes}: {outcome:?}");
    }
}

#[test]
fn declared_paths_are_read_in_place_and_their_content_counts() {
    let line = "N=params; test ! -e $N.yaml && P=$ATHANOR_PROJECT && cat $P/params.yaml $P/lib/* > ${{ outputs.x }}";
    let project = project(line, "    reads: [lib, ./params.yaml]\n");
    project.write("params.yaml", "a: 1\n");
    project.write("lib/one", "x\n");
    assert_eq!(project.made(&[]), ["a"]);
    assert!(project.made(&[]).is_empty());
    for (path, text) in [("params.yaml", "a: 2\n"), ("lib/two", "y\n")] {
        project.write(path, text);
        assert_eq!(project.made(&[]), ["a"], "{path}");
    }
    assert_eq!(project.read("results/p/x.txt"), "a: 2\nx\ny\n");
}

#[test]
fn of_a_file_with_keys_only_their_values_count() {
    let line = "P=$ATHANOR_PROJECT; cat $P/params.yaml > ${{ outputs.x }}";
    let project = project(line, "    reads: { params.yaml: [train.lr] }\n");
    project.write("params.yaml", "train: { lr: 0.5, epochs: 3 }\n");
    assert_eq!(project.made(&[]), ["a"]);
    project.write("params.yaml", "# less\ntrain: { lr: 0.5, epochs: 1 }\n");
    assert!(project.made(&[]).is_empty());
    project.write("params.yaml", "train: { lr: 0.25, epochs: 1 }\n");
    assert_eq!(project.made(&[]), ["a"]);
    project.write("params.yaml", "train: { epochs: 1 }\n");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains("`params.yaml` has no key `train.lr`"), "{}", outcome.out);
}

#[test]
fn keys_count_alone_of_a_file_that_the_line_names_too() {
    for named in ["params.yaml", "$ATHANOR_PROJECT/params.yaml"] {
        let line = format!("cat {named} > ${{{{ outputs.x }}}}");
        let project = project(&line, "    reads: { params.yaml: [train.lr] }\n");
        project.write("params.yaml", "train: { lr: 0.5, epochs: 3 }\nclip: .inf\n");
        assert_eq!(project.made(&[]), ["a"], "{named}");
        project.write("params.yaml", "train: { lr: 0.5, epochs: 4 }\nclip: .inf\n");
        assert!(project.made(&[]).is_empty(), "{named}");
        project.write("params.yaml", "train: { lr: 0.25, epochs: 4 }\nclip: .inf\n");
        assert_eq!(project.made(&[]), ["a"], "{named}");
        assert!(project.read("results/p/x.txt").contains("epochs: 4"), "{named}");
    }
}

#[test]
fn what_tools_keep_beside_sources_is_no_content() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  a: { kind: command, inputs: { c: code }, run: 'ls -A ${{ inputs.c }} > o', outputs: { o: o } }\n\
         results: { o: a }\n",
    );
    project.write("code/m.py", "1\n");
    assert_eq!(project.made(&[]), ["a"]);
    for name in
        [".pytest_cache/v", ".mypy_cache/v", ".ruff_cache/v", ".hypothesis/v", ".nfs0000000000a1", ".fuse_hidden0001"]
    {
        project.write(&format!("code/{name}"), "x");
        assert!(project.made(&[]).is_empty(), "{name}");
    }
    assert_eq!(project.read("results/p/o"), "m.py\n");
}

#[test]
fn modules_are_found_in_a_folder_with_a_colon_in_its_path() {
    if !has_python() {
        return;
    }
    let project = Project::new("");
    let pipeline = "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    shell: python\n    run: |\n      import helper, below\n      \
                    open('o', 'w').write(helper.V + below.V)\n    outputs: { o: o }\nresults: { o: a }\n";
    for (name, text) in [("p.yaml", pipeline), ("helper.py", "V = 'a'\n"), ("src/below.py", "V = 'b'\n")] {
        project.write(&format!("run_10:00:00/{name}"), text);
    }
    let mut command = project.command(&["run", "p.yaml"]);
    command.current_dir(project.path("run_10:00:00"));
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(project.read("run_10:00:00/results/p/o"), "ab");
}

#[test]
fn mistakes_in_reads_are_told_with_their_place() {
    let cases = [
        ("[nowhere]", "`nowhere` does not exist"),
        ("[../x]", "`../x` is a path with `..`"),
        ("[/x]", "`/x` is an absolute path"),
        ("[[x]]", "a path in `reads` is text, not a list"),
        ("{ p.yaml: [] }", "no key is listed, so that nothing of the file would count"),
        ("{ p.yaml: [[x]] }", "a key is text, with dots into mappings, not a list"),
    ];
    for (reads, message) in cases {
        let project = project("echo > ${{ outputs.x }}", &format!("    reads: {reads}\n"));
        let outcome = project.athanor(&["check", "p.yaml"]);
        assert_eq!(outcome.code, 2, "{reads}: {outcome:?}");
        assert!(outcome.err.contains(message) && outcome.err.contains("p.yaml:8:"), "{reads}: {}", outcome.err);
    }
    let built_in =
        Project::new("athanor: 1\nname: p\nstages: { a: { kind: rows, inputs: { table: t.csv }, reads: [x] } }\n");
    built_in.write("t.csv", "Id\n1\n");
    let outcome = built_in.athanor(&["check", "p.yaml"]);
    assert!(outcome.err.contains("`reads` is for commands"), "{}", outcome.err);
}

#[test]
fn a_module_that_changes_under_its_stage_is_not_recorded() {
    let line = "P=$ATHANOR_PROJECT; cat run.py > ${{ outputs.x }}; echo 'V = 2' > $P/helper.py";
    let project = project(line, "");
    project.write("run.py", "import helper\n");
    project.write("helper.py", "V = 1\n");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains("`helper.py` changed while the stage was running"), "{}", outcome.out);
}

#[test]
fn what_python_leaves_beside_modules_is_not_said_to_be_undeclared() {
    if !has_python() {
        return;
    }
    let project = project("python3 run.py > ${{ outputs.x }}", "");
    project.write("run.py", "import helper\nprint(1)\n");
    project.write("helper.py", "");
    let mut command = project.command(&["run", "p.yaml"]);
    let outcome = Outcome::of({
        command.env_remove("PYTHONDONTWRITEBYTECODE");
        command
    });
    ran(&outcome);
    assert!(!outcome.out.contains("also wrote"), "{}", outcome.out);
    assert!(!project.path("__pycache__").exists());
}

#[test]
fn a_program_of_an_environment_comes_with_all_of_it() {
    let line = "env/bin/tool > ${{ outputs.x }} && PATH=$ATHANOR_PROJECT/env/bin:$PATH tool >> ${{ outputs.x }}";
    let project = project(line, "");
    project.write("env/pyvenv.cfg", "of the environment\n");
    project.write("env/bin/tool", "#!/bin/sh\ncat $(dirname $0)/../pyvenv.cfg\n");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(project.path("env/bin/tool"), executable).unwrap();
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(project.read("results/p/x.txt"), "of the environment\n".repeat(2));
    assert!(project.made(&[]).is_empty());
}

/// A pipeline whose stage `s` reads the key `a` of `params.yaml` once `slow` has ended; both wait for a file in the project.
const KEYED: &str = "athanor: 1
name: p
stages:
  slow:
    kind: command
    sandbox: off
    run: P=$ATHANOR_PROJECT; touch $P/slow; until [ -e $P/go ]; do sleep 0.01; done; echo 1 > ${{ outputs.o }}
    outputs: { o: o }
  s:
    kind: command
    sandbox: off
    inputs: { s: slow }
    reads: { params.yaml: [a] }
    run: P=$ATHANOR_PROJECT; grep ^a $P/params.yaml > ${{ outputs.o }}; touch $P/s; until [ -e $P/end ]; do sleep 0.01; done
    outputs: { o: o.txt }
results: { o: s }
";

#[test]
fn a_key_that_changes_before_its_reader_begins_makes_no_result() {
    let project = Project::new(KEYED);
    project.write("params.yaml", "a: 1\nb: 1\n");
    let mut run = project.start(&[]);
    wait_for(&project.path("slow"), &mut run);
    project.write("params.yaml", "a: 2\nb: 1\n");
    project.write("end", "");
    project.write("go", "");
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("`params.yaml` has changed since the run began, so the stage was not started."), "{said}");
    project.write("params.yaml", "a: 1\nb: 1\n");
    assert_eq!(project.made(&[]), ["s"]);
    assert_eq!(project.read("results/p/o"), "a: 1\n");
}

#[test]
fn another_key_may_change_while_a_stage_works() {
    let project = Project::new(KEYED);
    project.write("params.yaml", "a: 1\nb: 1\n");
    project.write("go", "");
    let mut run = project.start(&[]);
    wait_for(&project.path("s"), &mut run);
    project.write("params.yaml", "a: 1\nb: 2\n");
    project.write("end", "");
    assert_eq!(run.wait_with_output().unwrap().status.code(), Some(0));
    assert!(project.run(&[]).out.contains("up to date: 2 cached"));
}
