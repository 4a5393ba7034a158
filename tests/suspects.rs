//! Damage that is found late: what may have been computed from it is named, and made again if that is asked for.

mod support;

use std::fs::{self, FileTimes, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::Project;

const PIPELINE: &str = "athanor: 1
name: p
vars: { v: 1 }
stages:
  a: { kind: command, run: 'echo GOOD > ${{ outputs.o }}', outputs: { o: o.txt } }
  b: { kind: command, inputs: { o: a }, run: 'cat ${{ inputs.o }} > ${{ outputs.o }}; echo ${{ vars.v }} >> ${{ outputs.o }}', outputs: { o: b.txt } }
  c: { kind: command, inputs: { o: b }, run: 'cat ${{ inputs.o }} > ${{ outputs.o }}', outputs: { o: c.txt } }
results: { c.txt: c }
";

/// The stored file with this content.
fn object(project: &Project, content: &str) -> PathBuf {
    let shards = fs::read_dir(project.path(".athanor/objects")).unwrap().map(|shard| shard.unwrap().path());
    let mut files = shards.flat_map(|shard| fs::read_dir(shard).unwrap()).map(|file| file.unwrap().path());
    files.find(|path| fs::read(path).unwrap() == content.as_bytes()).unwrap()
}

/// Changes a stored file, and puts its times back.
fn rot(path: &Path) {
    let metadata = fs::metadata(path).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    let content = fs::read_to_string(path).unwrap().replace("GOOD", "EVIL");
    fs::write(path, content).unwrap();
    let times = FileTimes::new().set_modified(metadata.modified().unwrap());
    fs::File::options().write(true).open(path).unwrap().set_times(times).unwrap();
    fs::set_permissions(path, metadata.permissions()).unwrap();
}

#[test]
fn a_stored_file_that_was_changed_is_not_served_though_its_times_were_put_back() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.run(&[]).code, 0);
    rot(&object(&project, "GOOD\n"));
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(project.read("results/p/c.txt"), "GOOD\n1\n");
    rot(&object(&project, "GOOD\n1\n"));
    fs::remove_dir_all(project.path("results")).unwrap();
    project.made(&[]);
    assert_eq!(project.read("results/p/c.txt"), "GOOD\n1\n");
}

#[test]
fn results_that_read_damaged_content_after_it_was_last_right_are_named_until_they_are_made_again() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.run(&[]).code, 0);
    // Those that are recorded by now read what was right then.
    assert_eq!(project.athanor(&["cache", "verify"]).code, 0);
    assert_eq!(project.run(&["--set", "v=2"]).code, 0);
    rot(&object(&project, "GOOD\n"));
    for _ in 0..2 {
        let verified = project.athanor(&["cache", "verify"]);
        assert!(
            verified.out.contains("suspect result: b (") && verified.out.contains("read a.o after"),
            "{verified:?}"
        );
        assert!(
            verified.out.contains("suspect result: c (") && verified.out.contains("read b.o after"),
            "{verified:?}"
        );
        assert_eq!(verified.out.matches("suspect result").count(), 2, "{verified:?}");
    }
    let repaired = project.athanor(&["cache", "verify", "--repair"]);
    assert!(repaired.out.contains("the next run makes 3 results again"), "{repaired:?}");
    assert_eq!(project.made(&["--set", "v=2"]), ["a", "b", "c"]);
    assert_eq!(project.made(&[]), [""; 0], "these had read what was right");
    assert!(!project.athanor(&["cache", "verify"]).out.contains("suspect"), "made again, nothing is suspect");
}

#[test]
fn content_is_read_before_it_is_used_where_that_is_asked_for() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.run(&[]).code, 0);
    for (setting, runs) in [("never", "up to date: 3 cached"), ("always", "up to date: 3 cached")] {
        let mut command = project.command(&["run", "p.yaml"]);
        let output = command.env("ATHANOR_CACHE_VERIFY_ON_USE", setting).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(out.contains(runs), "{setting}: {out}");
    }
    let mut command = project.command(&["run", "p.yaml"]);
    let output = command.env("ATHANOR_CACHE_VERIFY_ON_USE", "now and then").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
