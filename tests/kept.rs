//! What is kept between runs to be quick never changes what a run does.

mod support;

use std::path::PathBuf;

use support::Project;

const PIPELINE: &str = r#"
athanor: 1
name: kept
vars: { word: one }
stages:
  first:
    kind: command
    inputs: { i: in.txt }
    run: "cat ${{ inputs.i }} > ${{ outputs.o }}; echo ${{ vars.word }} >> ${{ outputs.o }}"
    outputs: { o: o.txt }
  second:
    kind: command
    matrix: { n: [1, 2] }
    inputs: { i: first }
    run: "cat ${{ inputs.i }} tool.txt > ${{ outputs.o }}; echo ${{ matrix.n }} >> ${{ outputs.o }}"
    outputs: { o: o.txt }
  folds:
    kind: command
    inputs: { all: second }
    run: "cat ${{ inputs.all }} > ${{ outputs.o }}"
    outputs: { o: o.txt }
results: { all.txt: folds }
"#;

/// All instances, sorted.
const ALL: [&str; 4] = ["first", "folds", "second[n=1]", "second[n=2]"];

/// The instances that a run makes, sorted: their order depends on how long they took before.
fn made(project: &Project, arguments: &[&str]) -> Vec<String> {
    let mut made = project.made(arguments);
    made.sort();
    made
}

fn project() -> Project {
    let project = Project::new(PIPELINE);
    project.write("in.txt", "in\n");
    project.write("tool.txt", "tool\n");
    assert_eq!(made(&project, &[]), ALL);
    assert!(project.made(&[]).is_empty());
    project
}

/// The files called `name` that are kept for pipelines.
fn kept(project: &Project, name: &str) -> Vec<PathBuf> {
    let pipelines = std::fs::read_dir(project.path(".athanor/pipelines")).unwrap();
    pipelines.map(|entry| entry.unwrap().path().join(name)).filter(|path| path.exists()).collect()
}

fn objects(project: &Project) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(project.path(".athanor/objects")).unwrap();
    shards
        .flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().map(|file| file.unwrap().path()))
        .collect()
}

#[test]
fn every_change_is_seen_although_a_plan_is_kept() {
    let project = project();
    assert_eq!(kept(&project, "plan").len(), 1);
    assert_eq!(made(&project, &["--set", "word=two"]), ALL);
    assert!(project.made(&[]).is_empty(), "the results of before are still there");
    project.edit("word: one", "word: six");
    assert_eq!(made(&project, &[]), ALL);
    project.write("tool.txt", "other\n");
    assert_eq!(made(&project, &[]), ALL[1..]);
    project.write("in.txt", "news\n");
    assert_eq!(made(&project, &[]), ALL);
    std::fs::remove_file(project.path("in.txt")).unwrap();
    assert_eq!(project.run(&[]).code, 2, "a missing input is a mistake, also where the plan is kept");
}

#[test]
fn damaged_files_count_as_absent() {
    let project = project();
    for name in ["plan", "recall", "ledger", "instances.json"] {
        for path in kept(&project, name) {
            let bytes = std::fs::read(&path).unwrap();
            for damaged in [Vec::new(), bytes[..bytes.len() / 2].to_vec(), bytes.iter().map(|byte| !byte).collect()] {
                std::fs::write(&path, damaged).unwrap();
                assert!(project.made(&[]).is_empty(), "{name}");
                assert!(project.athanor(&["status", "p.yaml"]).out.contains("4 of 4 fresh"), "{name}");
            }
        }
    }
}

#[test]
fn what_is_lost_from_the_store_is_made_again_although_it_is_remembered() {
    let project = project();
    for object in objects(&project) {
        std::fs::remove_file(object).unwrap();
        assert!(!made(&project, &[]).is_empty());
        assert!(project.made(&[]).is_empty());
    }
    for object in objects(&project) {
        std::fs::remove_file(&object).unwrap();
        std::fs::write(&object, "of another size altogether").unwrap();
        assert!(!made(&project, &[]).is_empty());
        assert!(project.made(&[]).is_empty());
    }
    let records = project.path(".athanor/actions");
    std::fs::remove_dir_all(&records).unwrap();
    assert_eq!(made(&project, &[]), ALL);
}

#[test]
fn runs_in_which_nothing_happens_leave_no_log_and_push_none_out() {
    let project = project();
    let logs = || {
        let histories = kept(&project, "runs");
        histories.iter().map(|runs| std::fs::read_dir(runs).unwrap().count()).sum::<usize>()
    };
    let before = logs();
    for _ in 0..3 {
        assert!(project.made(&[]).is_empty());
    }
    assert_eq!(logs(), before);
    assert!(project.athanor(&["logs", "p.yaml", "first"]).err.contains("printed nothing"));
}

/// More results than are looked at one by one.
#[test]
fn records_that_go_are_missed_also_where_only_their_folders_are_looked_at() {
    let project = Project::new(
        r#"
athanor: 1
name: many
stages:
  one:
    kind: command
    shell: sh
    sandbox: off
    matrix: { n: "${{ range(600) }}" }
    run: "echo ${{ matrix.n }} > ${{ outputs.o }}"
    outputs: { o: o.txt }
"#,
    );
    assert_eq!(project.made(&[]).len(), 600);
    let records = || {
        let shards = std::fs::read_dir(project.path(".athanor/actions")).unwrap();
        let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
        let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        paths
    };
    for _ in 0..3 {
        // The first of these notes the folders, and the others go by them.
        assert!(project.made(&[]).is_empty());
    }
    std::fs::remove_file(&records()[17]).unwrap();
    assert_eq!(project.made(&[]).len(), 1);
    for _ in 0..2 {
        assert!(project.made(&[]).is_empty());
    }
    let gone = &records()[400];
    let folder = gone.parent().unwrap();
    let modified = folder.metadata().unwrap().modified().unwrap();
    std::fs::remove_file(gone).unwrap();
    std::fs::File::open(folder).unwrap().set_modified(modified).unwrap();
    assert!(project.athanor(&["status", "p.yaml"]).out.contains("599 of 600 fresh"));
    assert_eq!(project.made(&[]).len(), 1);
    assert!(project.made(&[]).is_empty());
    let object = &objects(&project)[300];
    std::fs::remove_file(object).unwrap();
    assert_eq!(project.made(&[]).len(), 1);
}
