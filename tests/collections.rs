//! A collection removes nothing that a run without it would not make again: after kills, with damaged records of what is in
//! use, with several pipelines in one cache.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Outcome, Project, events, wait_for};

/// Stages say when they begin, and wait where the test wants to catch them.
const PIPELINE: &str = r#"
athanor: 1
name: p
vars: { word: one }
stages:
  first:
    kind: command
    run: "echo ${{ vars.word }} > ${{ outputs.o }}"
    outputs: { o: o.txt }
  many:
    kind: command
    matrix: { n: [1, 2, 3, 4] }
    inputs: { i: first }
    run: "cat ${{ inputs.i }} > ${{ outputs.o }}; echo ${{ matrix.n }} >> ${{ outputs.o }}; P=$ATHANOR_PROJECT; touch $P/at-${{ matrix.n }}; while [ -e $P/stop-${{ matrix.n }} ]; do sleep 0.01; done"
    outputs: { o: o.txt }
  last:
    kind: command
    inputs: { all: many }
    run: "mkdir d; cat ${{ inputs.all }} > d/all.txt; cp d/all.txt one.txt; P=$ATHANOR_PROJECT; touch $P/at-last; while [ -e $P/stop-last ]; do sleep 0.01; done"
    outputs: { d: d, one: one.txt }
results: { one.txt: last.one, d: last.d }
"#;

const PLACES: [&str; 5] = ["1", "2", "3", "4", "last"];

/// Runs one stage at a time and kills the run while the stage at `place` works.
fn kill_at(project: &Project, place: &str, arguments: &[&str]) {
    let (at, stop) = (project.path(&format!("at-{place}")), project.path(&format!("stop-{place}")));
    let _ = fs::remove_file(&at);
    fs::write(&stop, "").unwrap();
    let mut run = project.start(&[&["-j", "1"], arguments].concat());
    wait_for(&at, &mut run);
    run.kill().unwrap();
    run.wait().unwrap();
    fs::remove_file(stop).unwrap();
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// What a run makes from a copy of the cache as it is, to which `first` happens before. The cache stays as it is.
fn made_after(project: &Project, arguments: &[&str], first: impl FnOnce()) -> BTreeSet<String> {
    let (cache, aside) = (project.path(".athanor"), project.path("aside"));
    copy(&cache, &aside);
    first();
    let outcome = project.run(&[&["--json"], arguments].concat());
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(Command::new("chmod").args(["-R", "u+w"]).arg(&cache).status().unwrap().success());
    fs::remove_dir_all(&cache).unwrap();
    fs::rename(aside, cache).unwrap();
    events(&outcome.out, "finished").into_iter().collect()
}

/// Collects between a copy of the cache and a run, and compares with a run alone. Returns what the collection said.
fn collection_loses_nothing(project: &Project, arguments: &[&str]) -> Outcome {
    let alone = made_after(project, arguments, || {});
    let mut said = None;
    let after = made_after(project, arguments, || said = Some(project.athanor(&["cache", "gc", "--keep-runs=1"])));
    let said = said.unwrap();
    assert!(after.is_subset(&alone), "made {after:?} after a collection and {alone:?} without: {said:?}");
    said
}

/// The file of this name that the only pipeline keeps.
fn kept(project: &Project, name: &str) -> PathBuf {
    let pipelines = fs::read_dir(project.path(".athanor/pipelines")).unwrap();
    let mut found = pipelines.map(|entry| entry.unwrap().path().join(name)).filter(|path| path.exists());
    found.next().unwrap_or_else(|| panic!("no {name}"))
}

fn newest_log(project: &Project) -> PathBuf {
    let runs = fs::read_dir(kept(project, "runs")).unwrap().map(|run| run.unwrap().path().join("events.jsonl"));
    runs.max().unwrap()
}

fn records(project: &Project) -> usize {
    let shards = fs::read_dir(project.path(".athanor/actions")).unwrap();
    shards.map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
}

/// Asserts that a collection removes nothing and names `path`.
fn is_refused(project: &Project, path: &Path) {
    let before = records(project);
    let outcome = project.athanor(&["cache", "gc", "--keep-runs=1"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.err.contains(path.to_str().unwrap()), "{outcome:?}");
    assert!(outcome.err.contains("p.yaml in ") && outcome.err.contains("nothing was removed"), "{outcome:?}");
    // What a killed run had pending is recorded first.
    assert!(records(project) >= before);
}

#[test]
fn after_a_kill_at_any_stage_nothing_is_lost() {
    for place in PLACES {
        let project = Project::new(PIPELINE);
        kill_at(&project, place, &[]);
        let said = collection_loses_nothing(&project, &[]);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.out.contains("dropped 0 results"), "{said:?}");
    }
}

#[test]
fn after_a_kill_of_a_later_run_with_another_plan_nothing_is_lost() {
    for place in PLACES {
        let project = Project::new(PIPELINE);
        assert_eq!(project.made(&[]).len(), 6);
        project.edit("  last:\n", "  added: { kind: command, inputs: { i: first }, run: \"cp ${{ inputs.i }} o\", outputs: { o: o } }\n  last:\n");
        kill_at(&project, place, &["--set", "word=two"]);
        collection_loses_nothing(&project, &["--set", "word=two"]);
        // Nor are the results of the run that ended before.
        collection_loses_nothing(&project, &[]);
        kill_at(&project, place, &["--set", "word=three"]);
        collection_loses_nothing(&project, &["--set", "word=three"]);
        project.made(&["--set", "word=three"]);
        let said = collection_loses_nothing(&project, &["--set", "word=three"]);
        assert!(said.out.contains("; 7 kept"), "after a whole run exactly what it came to is kept: {said:?}");
    }
}

#[test]
fn what_was_only_found_again_before_a_kill_is_not_lost() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.made(&[]).len(), 6);
    assert_eq!(project.made(&["--set", "word=two"]).len(), 6);
    // Back to the first one, all of which is found, with one stage more.
    project.edit("mkdir d;", "mkdir d; true;");
    kill_at(&project, "last", &[]);
    let said = collection_loses_nothing(&project, &[]);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn a_run_of_targets_and_a_run_that_fails_keep_the_others() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.made(&[]).len(), 6);
    assert_eq!(project.made(&["--set", "word=two", "first"]), ["first"]);
    let said = collection_loses_nothing(&project, &["--set", "word=two", "first"]);
    assert!(said.out.contains("dropped 1 result") && said.out.contains("6 kept"), "{said:?}");
    project.made(&[]);
    project.edit("mkdir d;", "exit 3;");
    assert_eq!(project.run(&["-k"]).code, 1);
    assert!(project.athanor(&["cache", "gc", "--keep-runs=1"]).out.contains("6 kept"), "the last good result stays");
}

#[test]
fn what_a_run_that_ended_early_did_not_come_to_is_not_lost() {
    let project = Project::new(PIPELINE);
    for word in ["one", "two", "one"] {
        project.made(&["--set", &format!("word={word}")]);
    }
    // Back to the second value, of which only the first stage is found before a failure ends the run.
    let stages = project.read("p.yaml");
    project.edit("  many:\n", "  broken: { kind: command, run: \"exit 3\", outputs: { o: o } }\n  many:\n");
    project.edit("inputs: { i: first }", "inputs: { i: first, b: broken }");
    assert_eq!(project.run(&["--set", "word=two"]).code, 1);
    project.write("p.yaml", &stages);
    let said = collection_loses_nothing(&project, &["--set", "word=two"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(project.made(&["--set", "word=two"]).is_empty());
    assert!(project.athanor(&["cache", "gc", "--keep-runs=1"]).out.contains("; 6 kept"));
}

#[test]
fn unfinished_work_of_a_killed_run_stays_and_goes_when_it_is_finished() {
    let project = Project::new(PIPELINE);
    kill_at(&project, "last", &[]);
    let log = fs::read_to_string(newest_log(&project)).unwrap();
    let last = log.lines().rfind(|line| line.contains("\"event\":\"started\"")).unwrap();
    let event: serde_json::Value = serde_json::from_str(last).unwrap();
    let fingerprint = event["fingerprint"].as_str().unwrap();
    let state = format!(".athanor/unfinished/{}/{fingerprint}/state", &fingerprint[..1]);
    project.write(&state, "epoch 13");
    assert_eq!(project.athanor(&["cache", "gc", "--keep-runs=1"]).code, 0);
    assert_eq!(project.read(&state), "epoch 13");
    project.made(&[]);
    let other = "0".repeat(64);
    let abandoned = format!(".athanor/unfinished/0/{other}/state");
    project.write(&abandoned, "epoch 2");
    let said = project.athanor(&["cache", "gc", "--keep-runs=1"]).out;
    assert!(said.contains("freed 7 B of unfinished work that is not in use (1 item)"), "{said}");
    assert!(!project.path(&abandoned).exists() && !project.path(&state).exists());
}

/// Ways in which a file is damaged.
const DAMAGES: [fn(&mut Vec<u8>); 7] = [
    |bytes| bytes[0] ^= 0x20,
    |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    },
    |bytes| bytes.truncate(bytes.len() / 2),
    |bytes| bytes.fill(0),
    |bytes| bytes.extend(bytes.clone()),
    |bytes| bytes[20..24].fill(0xff),
    Vec::clear,
];

fn damage(path: &Path, change: fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_or_missing_list_is_made_again_from_logs_that_are_whole() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.made(&[]).len(), 6);
    kill_at(&project, "2", &["--set", "word=two"]);
    let list = kept(&project, "instances.json");
    let good = fs::read(&list).unwrap();
    let check = || {
        let said = collection_loses_nothing(&project, &["--set", "word=two"]);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.out.contains("kept all that p.yaml in ") && said.out.contains("instances.json` is "), "{said:?}");
        collection_loses_nothing(&project, &[]);
    };
    for change in DAMAGES {
        fs::write(&list, &good).unwrap();
        damage(&list, change);
        check();
    }
    fs::remove_file(&list).unwrap();
    check();
    // A whole run writes it again.
    project.made(&[]);
    let said = project.athanor(&["cache", "gc", "--keep-runs=1"]).out;
    assert!(!said.contains("ever made") && said.contains("; 6 kept"), "{said}");
}

#[test]
fn where_neither_list_nor_logs_are_whole_nothing_is_removed() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.made(&[]).len(), 6);
    assert_eq!(project.made(&["--set", "word=two"]).len(), 6);
    let list = kept(&project, "instances.json");
    damage(&list, Vec::clear);
    damage(&newest_log(&project), DAMAGES[1]);
    is_refused(&project, &list);
    // What cannot be told is not forgotten by a run that goes only part of the way …
    kill_at(&project, "3", &["--set", "word=three"]);
    project.run(&["--set", "word=three", "first"]);
    is_refused(&project, &list);
    // … but by one that settles every instance, also where there is nothing to do.
    project.made(&["--set", "word=two"]);
    assert!(project.athanor(&["cache", "gc", "--keep-runs=1"]).out.contains("; 6 kept"));
    damage(&list, DAMAGES[1]);
    is_refused(&project, &list);
    assert!(project.made(&["--set", "word=two"]).is_empty());
    assert!(project.athanor(&["cache", "gc", "--keep-runs=1"]).out.contains("; 6 kept"));
}

#[test]
fn a_damaged_log_that_the_list_does_not_cover_stops_a_collection() {
    let project = Project::new(PIPELINE);
    kill_at(&project, "3", &[]);
    let log = newest_log(&project);
    let good = fs::read(&log).unwrap();
    for change in [DAMAGES[0], DAMAGES[1], DAMAGES[3], DAMAGES[4], DAMAGES[5]] {
        fs::write(&log, &good).unwrap();
        damage(&log, change);
        is_refused(&project, &kept(&project, "instances.json"));
        assert_eq!(project.athanor(&["status", "p.yaml"]).code, 0);
        assert_eq!(project.athanor(&["explain", "p.yaml", "last"]).code, 0);
    }
    // One that ends early, or is not there, makes it keep more.
    for change in [DAMAGES[2], Vec::clear] {
        fs::write(&log, &good).unwrap();
        damage(&log, change);
        collection_loses_nothing(&project, &[]);
    }
    fs::remove_file(&log).unwrap();
    assert_eq!(collection_loses_nothing(&project, &[]).code, 0);
    project.made(&[]);
    assert!(project.athanor(&["cache", "gc", "--keep-runs=1"]).out.contains("; 6 kept"));
}

#[test]
fn random_damage_to_what_is_known_costs_nothing() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.made(&[]).len(), 6);
    kill_at(&project, "last", &["--set", "word=two"]);
    let mut files = Vec::new();
    list_files(&project.path(".athanor"), &mut files);
    files.retain(|path| !["objects", "trees"].iter().any(|area| path.starts_with(project.path(".athanor").join(area))));
    files.retain(|path| fs::metadata(path).unwrap().len() > 30 && !path.ends_with("format"));
    files.sort();
    let mut rng = fastrand::Rng::with_seed(11);
    let cases = std::env::var("ATHANOR_DAMAGES").map_or(20, |cases| cases.parse().unwrap());
    for case in 0..cases {
        let path = &files[rng.usize(0..files.len())];
        // What a killed run had pending is recorded by the first command.
        let Ok(good) = fs::read(path) else { continue };
        let mode = fs::metadata(path).unwrap().permissions();
        let mut bad = good.clone();
        match rng.u8(0..5) {
            0 => bad.truncate(rng.usize(0..good.len())),
            1 => bad.extend(&good),
            2 => bad.fill(0),
            _ => bad[rng.usize(0..good.len())] ^= 1 << rng.u8(0..8),
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(path, &bad).unwrap();
        for look in [&["status", "p.yaml"][..], &["explain", "p.yaml", "last"], &["cache", "ls"]] {
            let outcome = project.athanor(look);
            assert_eq!(outcome.code, 0, "case {case}, {}: {outcome:?}", path.display());
        }
        let said = collection_loses_nothing(&project, &["--set", "word=two"]);
        assert!(
            said.code == 0 || said.err.contains("nothing was removed"),
            "case {case}, {}: {said:?}",
            path.display()
        );
        fs::write(path, &good).unwrap();
        fs::set_permissions(path, mode).unwrap();
    }
}

fn list_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { list_files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn lists_and_logs_of_earlier_formats_are_read() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.made(&[]).len(), 6);
    let names = ["first", "many[n=1]", "many[n=2]", "many[n=3]", "many[n=4]", "last"];
    assert_eq!(project.made(&["--set", "word=two"]).len(), 6);
    let list = kept(&project, "instances.json");
    fs::write(&list, serde_json::to_vec(&names).unwrap()).unwrap();
    for (at, run) in [0, 1].iter().zip(sorted(kept(&project, "runs"))) {
        fs::rename(&run, run.with_file_name(format!("20200101-00000{at}.123456-7"))).unwrap();
    }
    let _ = fs::remove_file(kept(&project, "recall"));
    let said = collection_loses_nothing(&project, &["--set", "word=two"]);
    assert!(said.out.contains("dropped 6 results") && said.out.contains("; 6 kept"), "{said:?}");
    // The first run of this format takes over from them.
    kill_at(&project, "1", &["--set", "word=three"]);
    collection_loses_nothing(&project, &["--set", "word=three"]);
    collection_loses_nothing(&project, &["--set", "word=two"]);
    project.made(&["--set", "word=two"]);
    assert!(project.athanor(&["cache", "gc", "--keep-runs=1"]).out.contains("; 6 kept"));
}

fn sorted(folder: PathBuf) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn a_collection_waits_for_no_run_and_a_run_up_to_date_writes_nothing_but_its_number() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.made(&[]).len(), 6);
    fs::write(project.path("stop-1"), "").unwrap();
    fs::remove_file(project.path("at-1")).unwrap();
    let mut run = project.start(&["--set", "word=two"]);
    wait_for(&project.path("at-1"), &mut run);
    let outcome = project.athanor(&["cache", "gc", "--keep-runs=1"]);
    assert!(outcome.code == 1 && outcome.err.contains("A run is using this cache"), "{outcome:?}");
    assert_eq!(project.athanor(&["cache", "gc", "--keep-runs=1", "--dry-run"]).code, 0);
    fs::remove_file(project.path("stop-1")).unwrap();
    assert!(run.wait().unwrap().success());
    project.made(&[]);
    let look = || {
        let mut files = Vec::new();
        list_files(&project.path(".athanor"), &mut files);
        files.retain(|path| !path.ends_with("sequence"));
        files.sort();
        files.into_iter().map(|path| (fs::metadata(&path).unwrap().modified().unwrap(), path)).collect::<Vec<_>>()
    };
    // What was stored a moment before a run's end is noted as right by the next one.
    assert!(project.made(&[]).is_empty());
    let before = look();
    assert!(project.made(&[]).is_empty());
    assert_eq!(look(), before);
}
