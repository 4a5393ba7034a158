//! The program on file systems that lack something: locks, links, permission bits, or writing.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::{Outcome, Project, events, wait_for};

const PIPELINE: &str = r#"
athanor: 1
name: p
vars: { v: 1 }
stages:
  folder: { kind: command, run: "mkdir -p d/e; echo ${{ vars.v }} > d/x; echo 2 > d/e/y", outputs: { d: d } }
  whole: { kind: command, inputs: { d: folder }, run: "cat ${{ inputs.d }}/x ${{ inputs.d }}/e/y > ${{ outputs.o }}", outputs: { o: o.txt } }
  tables: { kind: synthetic_tables, params: { train: 50 } }
  labels: { kind: label_table, inputs: { labels: tables.train } }
results: { o.txt: whole, d: folder, l: labels }
"#;

/// A project on a file system without some operations.
struct Lacking {
    project: Project,
    library: PathBuf,
    refused: &'static str,
    _shim: tempfile::TempDir,
}

impl Lacking {
    fn new(refused: &'static str) -> Option<Lacking> {
        let (shim, library) = support::library("tests/support/shim.c")?;
        Some(Lacking { project: Project::new(PIPELINE), library, refused, _shim: shim })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.project.command(arguments);
        command.env("LD_PRELOAD", &self.library).env("REFUSED", self.refused).env("REFUSED_BELOW", "/.athanor/");
        command
    }

    fn athanor(&self, arguments: &[&str]) -> Outcome {
        let output = self.command(arguments).output().unwrap();
        Outcome {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn made(&self, arguments: &[&str]) -> usize {
        let outcome = self.athanor(&[&["run", "p.yaml", "--json"], arguments].concat());
        assert_eq!(outcome.code, 0, "without {}: {outcome:?}", self.refused);
        events(&outcome.out, "finished").len()
    }

    fn start(&self) -> Child {
        let mut command = self.command(&["run", "p.yaml"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

fn works_without(refused: &'static str, notice: &str) {
    let Some(lacking) = Lacking::new(refused) else { return };
    assert_eq!(lacking.made(&[]), 4);
    assert_eq!(lacking.project.read("results/p/o.txt"), "1\n2\n");
    assert_eq!(lacking.made(&[]), 0, "without {refused}: all is up to date");
    let status = lacking.athanor(&["status", "p.yaml"]);
    assert!(status.err.contains(notice), "without {refused}: {status:?}");
    assert_eq!(status.err.lines().count(), usize::from(!notice.is_empty()), "one line: {status:?}");
    assert_eq!(lacking.made(&["--set", "v=7"]), 2);
    assert_eq!(lacking.project.read("results/p/o.txt"), "7\n2\n");
    let collected = lacking.athanor(&["cache", "gc", "--keep-runs=1"]);
    assert_eq!(collected.code, 0, "without {refused}: {collected:?}");
    let verified = lacking.athanor(&["cache", "verify"]);
    assert!(verified.out.contains(" 0 damaged"), "without {refused}: {verified:?}");
    assert_eq!(lacking.made(&["--set", "v=7"]), 0);
    assert!(!lacking.project.path(".athanor/quarantine").read_dir().unwrap().any(|_| true));
    let left = lacking.project.path(".athanor/leases").read_dir().unwrap();
    assert_eq!(left.count(), 0, "without {refused}: no lease is left");
}

#[test]
fn locks_give_way_to_leases() {
    works_without("flock record", "has no locks: Athanor works with leases");
    works_without("flock", "has no locks");
    works_without("record", "has no locks");
}

#[test]
fn hard_links_give_way_to_copies() {
    works_without("hardlink", "has no hard links");
    works_without("hardlink renameat2", "has no hard links");
    works_without("renameat2", "");
}

#[test]
fn permission_bits_are_not_needed() {
    works_without("chmod", "has no permission bits");
}

#[test]
fn a_killed_run_on_a_file_system_without_locks_keeps_nobody_waiting() {
    let Some(lacking) = Lacking::new("flock record") else { return };
    let begun = lacking.project.path("begun");
    let slow = format!("touch {}; sleep 1000; mkdir -p d", begun.display());
    lacking.project.edit("mkdir -p d/e", &slow);
    let mut run = lacking.start();
    wait_for(&begun, &mut run);
    let busy = lacking.athanor(&["cache", "gc", "--keep-runs=1"]);
    assert_eq!(busy.code, 1, "{busy:?}");
    run.kill().unwrap();
    run.wait().unwrap();
    lacking.project.edit(&slow, "mkdir -p d/e");
    assert!(lacking.made(&[]) >= 2, "nobody waits for a process that is gone");
    assert_eq!(lacking.athanor(&["cache", "gc", "--keep-runs=1"]).code, 0);
    assert_eq!(lacking.project.path(".athanor/leases").read_dir().unwrap().count(), 0);
}

#[test]
fn a_cache_whose_locks_fail_later_goes_on_with_leases() {
    let Some(lacking) = Lacking::new("flock record") else { return };
    assert_eq!(lacking.project.made(&[]).len(), 4);
    assert_eq!(lacking.made(&["--set", "v=2"]), 2);
    let later = lacking.project.athanor(&["status", "p.yaml"]);
    assert!(later.err.contains("leases"), "all processes agree: {later:?}");
}

/// Takes the right to write from a folder, for everybody; given back when this is dropped.
struct ReadOnly {
    folder: PathBuf,
    is_mount: bool,
}

impl ReadOnly {
    /// The superuser may write anyway, and needs a file system that is mounted so.
    fn new(folder: &Path) -> Option<ReadOnly> {
        let read_only = |is_mount| ReadOnly { folder: folder.to_owned(), is_mount };
        let mode = std::fs::Permissions::from_mode(0o555);
        let changed = set_folders(folder, 0o555);
        if std::fs::File::create(folder.join("probe")).is_err() {
            return changed.then(|| read_only(false));
        }
        let _ = (std::fs::remove_file(folder.join("probe")), set_folders(folder, 0o755), mode);
        let mount = |arguments: &[&str]| {
            let mut command = Command::new("mount");
            command
                .args(arguments)
                .arg(folder)
                .arg(folder)
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|done| done.success())
        };
        if !mount(&["--bind"]) {
            support::skips("as the superuser this needs the right to mount");
            return None;
        }
        let bound = read_only(true);
        let again = ["-o", "remount,bind,ro"];
        mount(&again).then_some(bound)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        if self.is_mount {
            let _ = Command::new("umount").arg(&self.folder).status();
        }
        set_folders(&self.folder, 0o755);
    }
}

/// Sets the mode of a folder of the cache and of everything at its top.
fn set_folders(folder: &Path, mode: u32) -> bool {
    let permissions = || std::fs::Permissions::from_mode(mode);
    let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755));
    for entry in folder.read_dir().unwrap().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let mode = if is_folder { permissions() } else { std::fs::Permissions::from_mode(mode & 0o666) };
        let _ = std::fs::set_permissions(entry.path(), mode);
    }
    std::fs::set_permissions(folder, permissions()).is_ok()
}

#[test]
fn a_cache_that_cannot_be_changed_can_be_looked_at() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.made(&[]).len(), 4);
    let Some(_read_only) = ReadOnly::new(&project.path(".athanor")) else { return };
    for arguments in [
        &["status", "p.yaml"][..],
        &["explain", "p.yaml", "whole"],
        &["logs", "p.yaml", "whole"],
        &["cache", "ls"],
        &["cache", "verify"],
        &["cache", "gc", "--keep-runs=1", "--dry-run"],
        &["run", "p.yaml", "-n"],
        &["check", "p.yaml"],
    ] {
        let outcome = project.athanor(arguments);
        assert_eq!(outcome.code, 0, "{arguments:?}: {outcome:?}");
    }
    let looked = project.athanor(&["status", "p.yaml"]);
    assert!(looked.out.contains("4 of 4 fresh"), "{looked:?}");
    for arguments in [&["run", "p.yaml", "--set", "v=2"][..], &["cache", "gc", "--keep-runs=1"]] {
        let refused = project.athanor(arguments);
        assert!(refused.code == 1 && refused.err.contains("can only be looked at"), "{arguments:?}: {refused:?}");
        assert!(refused.err.contains("--cache"), "it says what to do: {refused:?}");
    }
}

#[test]
fn a_project_that_cannot_be_changed_and_never_ran_can_be_looked_at() {
    let project = Project::new(PIPELINE);
    let Some(_read_only) = ReadOnly::new(&project.path("")) else { return };
    for arguments in
        [&["status", "p.yaml"][..], &["explain", "p.yaml", "whole"], &["cache", "ls"], &["run", "p.yaml", "-n"]]
    {
        let outcome = project.athanor(arguments);
        assert_eq!(outcome.code, 0, "{arguments:?}: {outcome:?}");
    }
    let looked = project.athanor(&["status", "p.yaml"]);
    assert!(looked.out.contains("0 of 4 fresh"), "{looked:?}");
    let refused = project.run(&[]);
    assert!(refused.code == 1 && refused.err.contains("--cache"), "it says what to do: {refused:?}");
}

#[test]
fn an_ordinary_users_scratch_folders_and_collections_leave_nothing_behind() {
    let project = Project::new(PIPELINE);
    project.edit("cat ${{ inputs.d }}/x", "cp -rL ${{ inputs.d }} copy; chmod -R a-w copy; cat ${{ inputs.d }}/x");
    assert_eq!(project.made(&[]).len(), 4);
    assert_eq!(project.made(&["--set", "v=2"]).len(), 2);
    let left: Vec<_> = project.path(".athanor/scratch").read_dir().unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    let trees =
        || Command::new("find").arg(project.path(".athanor/trees")).args(["-name", "x"]).output().unwrap().stdout;
    let rotten = String::from_utf8(trees()).unwrap();
    let rotten = Path::new(rotten.lines().next().unwrap());
    std::fs::set_permissions(rotten, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(rotten, "Z\n").unwrap();
    let verified = project.athanor(&["cache", "verify"]);
    assert!(verified.out.contains("damaged folder"), "{verified:?}");
    assert!(project.athanor(&["cache", "verify"]).out.contains(" 0 damaged"));
    project.made(&[]);
    assert_eq!(project.read("results/p/o.txt"), "1\n2\n");
    assert_eq!(project.athanor(&["cache", "gc", "--keep-runs=1"]).code, 0);
    assert!(project.athanor(&["cache", "verify"]).out.contains(" 0 damaged"));
    for folder in ["tmp", "scratch"] {
        assert_eq!(project.path(".athanor").join(folder).read_dir().unwrap().count(), 0, "{folder}");
    }
    // A stored folder in quarantine is locked, and would keep an ordinary user from removing the project of this test.
    let _ = Command::new("chmod").args(["-R", "u+w"]).arg(project.path(".athanor")).status();
}
