//! What is no content of a project's folders: what programs leave behind, what `.athanorignore` lists, the cache and results.

mod support;

use std::os::unix::fs::symlink;

use support::Project;

/// Shows what is in the input, relative to it.
const SHOW: &str = "(cd ${{ inputs.code }} && find -L . | LC_ALL=C sort) > ${{ outputs.x }}";

fn project(input: &str) -> Project {
    Project::new(&format!(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    inputs: {{ code: {input} }}\n    run: {}\n    outputs: {{ x: x.txt }}\nresults: {{ x.txt: a }}\n",
        serde_json::to_string(SHOW).unwrap()
    ))
}

#[test]
fn what_programs_leave_behind_neither_counts_nor_is_shown() {
    let left = [
        "__pycache__/m.cpython-311.pyc",
        ".DS_Store",
        "._m.py",
        "Thumbs.db",
        ".ipynb_checkpoints/n.ipynb",
        ".m.py.swp",
        "#m.py#",
        "m.py~",
        ".~lock.t.odt#",
        "m.py___jb_tmp___",
        "deep/er/.DS_Store",
        "deep/__pycache__/x.pyc",
    ];
    let project = project("code");
    project.write("code/m.py", "1\n");
    project.write("code/deep/er/n.py", "1\n");
    assert_eq!(project.made(&[]), ["a"]);
    let shown = ".\n./deep\n./deep/er\n./deep/er/n.py\n./m.py\n";
    assert_eq!(project.read("results/p/x.txt"), shown);
    for path in left {
        project.write(&format!("code/{path}"), "left\n");
    }
    symlink("nobody@nowhere.1", project.path("code/.#m.py")).unwrap();
    assert!(project.made(&[]).is_empty(), "nothing of it is content");
    assert_eq!(project.made(&["--force", "a"]), ["a"]);
    assert_eq!(project.read("results/p/x.txt"), shown, "nor shown to the stage");
    project.write("code/new.py", "1\n");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(project.read("results/p/x.txt"), shown.to_owned() + "./new.py\n");
}

#[test]
fn a_writable_copy_has_none_of_it_either() {
    let project = project("{ from: code, writable: true }");
    project.write("code/m.py", "1\n");
    project.write("code/__pycache__/m.pyc", "1\n");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(project.read("results/p/x.txt"), ".\n./m.py\n");
}

#[test]
fn a_stage_that_leaves_such_files_beside_its_input_succeeds_and_stays_fresh() {
    let project = project("code");
    let line = "real=$(readlink -f ${{ inputs.code }}/m.py); mkdir -p $(dirname $real)/__pycache__; echo > $(dirname $real)/__pycache__/m.pyc; ls ${{ inputs.code }} > ${{ outputs.x }}";
    project.edit(&serde_json::to_string(SHOW).unwrap(), &serde_json::to_string(line).unwrap());
    project.write("code/m.py", "1\n");
    assert_eq!(project.made(&[]), ["a"]);
    assert!(project.path("code/__pycache__/m.pyc").exists());
    assert!(project.made(&[]).is_empty());
    // Stages of one run that follow each other are not shown what the first one left.
    let two = Project::new(&format!(
        "athanor: 1\nname: p\nstages:\n  a: {{ kind: command, inputs: {{ code: code }}, run: {}, outputs: {{ x: x.txt }} }}\n  b: {{ kind: command, inputs: {{ code: code, x: a }}, run: 'ls -A ${{{{ inputs.code }}}} > ${{{{ outputs.y }}}}', outputs: {{ y: y.txt }} }}\nresults: {{ y.txt: b }}\n",
        serde_json::to_string(line).unwrap()
    ));
    two.write("code/m.py", "1\n");
    assert_eq!(two.made(&[]), ["a", "b"]);
    assert_eq!(two.read("results/p/y.txt"), "m.py\n");
}

#[test]
fn athanorignore_adds_to_it_and_a_change_of_it_counts() {
    let project = project("code");
    project.write("code/m.py", "1\n");
    project.write("code/m.log", "1\n");
    project.write("code/keep.log", "1\n");
    project.write("code/build/out", "1\n");
    project.write("code/.DS_Store", "1\n");
    let shown = |project: &Project| project.read("results/p/x.txt").lines().skip(1).collect::<Vec<_>>().join(" ");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(shown(&project), "./build ./build/out ./keep.log ./m.log ./m.py");
    project.write(".athanorignore", "# logs\n*.log\n!keep.log\nbuild/\n");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(shown(&project), "./keep.log ./m.py");
    project.write("code/other.log", "1\n");
    project.write("code/build/more", "1\n");
    assert!(project.made(&[]).is_empty());
    project.write(".athanorignore", "/code/m.*\n!.DS_Store\n");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(shown(&project), "./.DS_Store ./build ./build/more ./build/out ./keep.log ./other.log");
    std::fs::remove_file(project.path(".athanorignore")).unwrap();
    project.write("code/.DS_Store", "2\n");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(shown(&project), "./build ./build/more ./build/out ./keep.log ./m.log ./m.py ./other.log");
    project.write(".athanorignore", "*.log\n[z-a]\n");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.err.contains(".athanorignore:2: this is no pattern"), "{}", outcome.err);
}

#[test]
fn the_project_folder_can_be_an_input_without_the_cache_and_results() {
    for input in [".", "./"] {
        let project = project(&format!("{input:?}"));
        project.write("m.py", "1\n");
        assert_eq!(project.made(&[]), ["a"], "{input}");
        assert_eq!(project.read("results/p/x.txt"), ".\n./m.py\n./p.yaml\n");
        assert!(project.made(&[]).is_empty(), "{input}");
        project.write("m.py", "2\n");
        assert_eq!(project.made(&[]), ["a"], "{input}");
        assert_eq!(project.made(&["--force", "a"]), ["a"], "{input}");
    }
    let elsewhere = project(".");
    elsewhere.write("m.py", "1\n");
    assert_eq!(elsewhere.made(&["--cache", "my/cache"]), ["a"]);
    assert_eq!(elsewhere.read("results/p/x.txt"), ".\n./m.py\n./my\n./p.yaml\n");
    assert!(elsewhere.made(&["--cache", "my/cache"]).is_empty());
}

#[test]
fn a_result_of_another_pipeline_can_still_be_an_input() {
    let project = project("results/other");
    project.write("results/other/t.csv", "1\n");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(project.read("results/p/x.txt"), ".\n./t.csv\n");
}

#[test]
fn with_keep_going_a_bad_input_stops_only_those_who_read_it() {
    let project = Project::new(
        "athanor: 1
name: p
stages:
  bad: { kind: command, inputs: { code: bad-code }, run: 'ls ${{ inputs.code }} > ${{ outputs.x }}', outputs: { x: x.txt } }
  after: { kind: command, inputs: { x: bad }, run: 'cat ${{ inputs.x }} > ${{ outputs.x }}', outputs: { x: x.txt } }
  good: { kind: command, inputs: { code: good-code }, run: 'ls ${{ inputs.code }} > ${{ outputs.x }}', outputs: { x: x.txt } }
results: { good.txt: good }
",
    );
    project.write("good-code/m.py", "1\n");
    project.write("bad-code/m.py", "1\n");
    symlink("nowhere", project.path("bad-code/dangling")).unwrap();
    let outcome = project.run(&["-k"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains("bad-code/dangling` is a symbolic link to nothing"), "{}", outcome.out);
    assert!(outcome.out.contains("skipped      after"), "{}", outcome.out);
    assert_eq!(project.read("results/p/good.txt"), "m.py\n");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains("is a symbolic link to nothing"), "{}", outcome.out);
    let status = project.athanor(&["status", "p.yaml"]);
    assert_eq!(status.code, 0, "{status:?}");
    assert!(
        status.out.contains("is a symbolic link to nothing") && status.out.contains("1 of 3 fresh"),
        "{}",
        status.out
    );
    std::fs::remove_file(project.path("bad-code/dangling")).unwrap();
    assert_eq!(project.made(&[]), ["bad", "after"]);
}

#[test]
fn programs_that_follow_no_links_find_the_same_whether_anything_is_left_out_or_not() {
    let project = project("code");
    let line = "find ${{ inputs.code }}/ -type f | LC_ALL=C sort > ${{ outputs.x }}; stat -c %Y ${{ inputs.code }}/deep/b >> ${{ outputs.x }}";
    project.edit(&serde_json::to_string(SHOW).unwrap(), &serde_json::to_string(line).unwrap());
    project.write("code/a", "1\n");
    project.write("code/deep/b", "1\n");
    assert_eq!(project.made(&[]), ["a"]);
    let whole = project.read("results/p/x.txt");
    assert!(whole.contains("inputs/code/code/a\ninputs/code/code/deep/b\n"), "{whole}");
    for left in ["code/.DS_Store", "code/deep/__pycache__/x.pyc"] {
        project.write(left, "left\n");
        assert_eq!(project.made(&["--force", "a"]), ["a"]);
        assert_eq!(project.read("results/p/x.txt"), whole);
    }
}
