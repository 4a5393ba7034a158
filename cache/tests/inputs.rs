//! Stored inputs that a stage writes to, as the user who owns them or as the superuser.

use std::cell::Cell;
use std::fs::{self, FileTimes, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use athanor_cache::{Artifact, Cache, CacheError, FsTime, InputState, Presence, StatSnapshot};
use rayon::prelude::*;

struct Fixture {
    folder: tempfile::TempDir,
    cache: Cache,
    began: Cell<FsTime>,
}

impl Drop for Fixture {
    /// Lets an ordinary user remove the folders of stored results.
    fn drop(&mut self) {
        athanor_cache::remove_tree(self.folder.path()).unwrap();
    }
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        let began = Cell::new(cache.fs_now().unwrap());
        Fixture { folder, cache, began }
    }

    fn folder(&self) -> Artifact {
        let output = self.cache.scratch_root().join("out");
        fs::create_dir_all(output.join("sub")).unwrap();
        for (name, content) in [("x", "BBBB"), ("y", "CCCC"), ("sub/z", "DDDD")] {
            fs::write(output.join(name), content).unwrap();
        }
        self.cache.ingest(&output).unwrap()
    }

    fn file(&self) -> Artifact {
        let output = self.cache.scratch_root().join("out.txt");
        fs::write(&output, "AAAA").unwrap();
        self.cache.ingest(&output).unwrap()
    }

    /// Begins another attempt.
    fn begin(&self) {
        self.began.set(self.cache.fs_now().unwrap());
    }

    fn check(&self, artifact: &Artifact) -> InputState {
        self.cache.check_input(artifact, self.began.get()).unwrap()
    }

    fn content(&self, artifact: &Artifact) -> Vec<(String, String)> {
        let root = self.cache.path_of(artifact);
        let mut found = Vec::new();
        list(&root, &root, &mut found);
        found.sort();
        found
    }

    fn as_made(&self) -> Vec<(String, String)> {
        [("sub/z", "DDDD"), ("x", "BBBB"), ("y", "CCCC")].map(|(path, text)| (path.to_owned(), text.to_owned())).into()
    }
}

fn list(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

fn unlock(path: &Path) -> PathBuf {
    let mode = if path.is_dir() { 0o755 } else { 0o644 };
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    path.to_owned()
}

/// Writes other content of the same length and puts the times back, as `touch -r` does.
fn rewrite_unseen(path: &Path, content: &str) {
    let metadata = fs::metadata(path).unwrap();
    let times = FileTimes::new().set_modified(metadata.modified().unwrap()).set_accessed(metadata.accessed().unwrap());
    fs::write(unlock(path), content).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_times(times).unwrap();
    fs::set_permissions(path, metadata.permissions()).unwrap();
}

#[test]
fn inputs_that_nobody_touched_are_intact_in_any_process() {
    let fixture = Fixture::new();
    let (file, folder) = (fixture.file(), fixture.folder());
    fixture.begin();
    assert_eq!((fixture.check(&file), fixture.check(&folder)), (InputState::Intact, InputState::Intact));
    let evidence = fixture.cache.content_stamp(&folder).unwrap();
    fixture.cache.flush_integrity();
    let other = Cache::open(fixture.cache.root()).unwrap();
    assert!(other.is_present(&folder, &evidence));
    assert_eq!(other.check_input(&folder, other.fs_now().unwrap()).unwrap(), InputState::Intact);
    assert_eq!(fixture.cache.incident_mark(), 0);
}

#[test]
fn inputs_that_are_stored_again_meanwhile_are_intact() {
    let fixture = Fixture::new();
    let empty = || {
        let output = fixture.cache.scratch_root().join("empty");
        fs::create_dir(&output).unwrap();
        fixture.cache.ingest(&output).unwrap()
    };
    let stored = [fixture.file(), fixture.folder(), empty()];
    fixture.begin();
    assert_eq!([fixture.file(), fixture.folder(), empty()], stored, "another stage makes the same");
    assert!(stored.iter().all(|artifact| fixture.check(artifact) == InputState::Intact));
    assert_eq!(fixture.cache.incident_mark(), 0);
    // Several at once, of which only one can be first.
    let cache = &fixture.cache;
    for round in 0..20 {
        let store = |_| {
            let output = tempfile::tempdir_in(cache.scratch_root()).unwrap().keep();
            fs::create_dir(output.join(round.to_string())).unwrap();
            let artifact = cache.ingest(&output).unwrap();
            let began = cache.fs_now().unwrap();
            (artifact, began)
        };
        let readers: Vec<_> = (0..4).into_par_iter().map(store).collect();
        for (artifact, began) in readers {
            assert_eq!(cache.check_input(&artifact, began).unwrap(), InputState::Intact, "{round}");
        }
    }
}

#[test]
fn a_stored_file_that_was_rewritten_is_set_aside_though_its_times_were_put_back() {
    let fixture = Fixture::new();
    let file = fixture.file();
    rewrite_unseen(&fixture.cache.path_of(&file), "ZZZZ");
    assert_eq!(fixture.check(&file), InputState::Changed { paths: Vec::new(), lost: true });
    assert_eq!(fixture.cache.presence(&file), Presence::Missing);
    assert_eq!(fixture.cache.incidents_since(0).unwrap(), [file.digest]);
    assert_eq!(fixture.file(), file);
    assert_eq!(fixture.check(&file), InputState::Intact);
}

#[test]
fn readers_are_told_of_what_another_stage_found_put_back() {
    let fixture = Fixture::new();
    let (file, folder) = (fixture.file(), fixture.folder());
    let are_present = || [&file, &folder].iter().all(|artifact| fixture.cache.presence(artifact) == Presence::Present);
    assert!(are_present());
    fixture.begin();
    let stored = [(fixture.cache.path_of(&file), "AAAA"), (fixture.cache.path_of(&folder).join("x"), "BBBB")];
    for (path, content) in stored {
        let bits = fs::metadata(&path).unwrap().permissions();
        fs::write(unlock(&path), "ZZZZ").unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, bits).unwrap();
    }
    // Another stage looks at its inputs before the reader does.
    assert!(are_present());
    assert_eq!(fixture.cache.incidents_since(0).unwrap(), [file.digest, folder.digest]);
    let mark = fixture.cache.incident_mark();
    assert!(are_present());
    assert_eq!(fixture.cache.incident_mark(), mark, "once");
}

#[test]
fn bits_of_a_stored_file_that_were_changed_are_put_back() {
    let fixture = Fixture::new();
    let file = fixture.file();
    let path = fixture.cache.path_of(&file);
    for mode in [0o644, 0o777, 0o000] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        assert_eq!(fixture.check(&file), InputState::Intact, "{mode:o}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o444);
    }
    let folder = fixture.folder();
    fixture.begin();
    let inner = fixture.cache.path_of(&folder).join("x");
    for mode in [0o644, 0o777, 0o000] {
        fs::set_permissions(&inner, Permissions::from_mode(mode)).unwrap();
        assert_eq!(fixture.check(&folder), InputState::Intact, "{mode:o}");
        assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o444);
    }
}

#[test]
fn files_added_to_a_stored_folder_are_gone_and_named() {
    let fixture = Fixture::new();
    let folder = fixture.folder();
    let root = unlock(&fixture.cache.path_of(&folder));
    fs::write(root.join("labels.cache"), "index").unwrap();
    fs::create_dir(root.join("__pycache__")).unwrap();
    fs::write(root.join("__pycache__/pkg.pyc"), "code").unwrap();
    fs::create_dir(unlock(&root.join("sub")).join("empty")).unwrap();
    std::os::unix::fs::symlink("/", root.join("everything")).unwrap();
    let names = ["__pycache__", "everything", "labels.cache", "sub/empty"].map(str::to_owned).to_vec();
    assert_eq!(fixture.check(&folder), InputState::Added(names));
    assert_eq!(fixture.content(&folder), fixture.as_made());
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o555);
    assert_eq!(fixture.cache.incidents_since(0).unwrap(), [folder.digest]);
    fixture.begin();
    assert_eq!(fixture.check(&folder), InputState::Intact);
}

#[test]
fn names_changed_in_a_stored_folder_are_put_back() {
    type Change = (&'static str, fn(&Path));
    let changes: [Change; 4] = [
        ("deleted", |root| fs::remove_file(root.join("x")).unwrap()),
        ("swapped", |root| {
            fs::rename(root.join("x"), root.join("t")).unwrap();
            fs::rename(root.join("y"), root.join("x")).unwrap();
            fs::rename(root.join("t"), root.join("y")).unwrap();
        }),
        ("written by way of another file", |root| {
            fs::write(root.join("t"), "ZZZZ").unwrap();
            fs::rename(root.join("t"), root.join("x")).unwrap();
        }),
        ("a folder instead of a file", |root| {
            fs::remove_file(root.join("x")).unwrap();
            fs::create_dir(root.join("x")).unwrap();
        }),
    ];
    for (what, change) in changes {
        let fixture = Fixture::new();
        let folder = fixture.folder();
        change(&unlock(&fixture.cache.path_of(&folder)));
        let InputState::Changed { paths, lost: false } = fixture.check(&folder) else { panic!("{what}") };
        assert!(paths.contains(&"x".to_owned()), "{what}: {paths:?}");
        assert_eq!(fixture.content(&folder), fixture.as_made(), "{what}");
        fixture.begin();
        assert_eq!(fixture.check(&folder), InputState::Intact, "{what}");
    }
}

#[test]
fn content_changed_in_a_stored_folder_is_lost_and_made_again() {
    let fixture = Fixture::new();
    let folder = fixture.folder();
    rewrite_unseen(&fixture.cache.path_of(&folder).join("sub/z"), "ZZZZ");
    assert_eq!(fixture.cache.presence(&folder), Presence::Damaged);
    let fixture = Fixture::new();
    let folder = fixture.folder();
    rewrite_unseen(&fixture.cache.path_of(&folder).join("sub/z"), "ZZZZ");
    assert_eq!(fixture.check(&folder), InputState::Changed { paths: vec!["sub/z".to_owned()], lost: true });
    assert_eq!(fixture.cache.presence(&folder), Presence::Missing);
    assert_eq!(fixture.folder(), folder);
    assert_eq!(fixture.content(&folder), fixture.as_made());
}

#[test]
fn an_output_that_somebody_may_still_write_to_is_copied() {
    use std::io::Write;
    let fixture = Fixture::new();
    let output = fixture.cache.scratch_root().join("out.txt");
    fs::write(&output, "GOOD").unwrap();
    let mut late = fs::File::options().write(true).open(&output).unwrap();
    let artifact = fixture.cache.ingest(&output).unwrap();
    late.write_all(b"EVIL").unwrap();
    assert_eq!(fs::read_to_string(fixture.cache.path_of(&artifact)).unwrap(), "GOOD");
    assert_eq!(fixture.cache.presence(&artifact), Presence::Present);
    let folder = fixture.cache.scratch_root().join("out");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("x"), "FINE").unwrap();
    let mut late = fs::File::options().write(true).open(folder.join("x")).unwrap();
    let artifact = fixture.cache.ingest(&folder).unwrap();
    late.write_all(b"EVIL").unwrap();
    assert_eq!(fs::read_to_string(fixture.cache.path_of(&artifact).join("x")).unwrap(), "FINE");
}

#[test]
fn what_takes_the_place_of_a_changed_input_does_not_hide_that_it_was_changed() {
    let fixture = Fixture::new();
    let (file, folder) = (fixture.file(), fixture.folder());
    rewrite_unseen(&fixture.cache.path_of(&file), "ZZZZ");
    fs::remove_file(unlock(&fixture.cache.path_of(&folder)).join("x")).unwrap();
    assert_eq!((fixture.file(), fixture.folder()), (file.clone(), folder.clone()));
    assert_eq!(fixture.cache.incidents_since(0).unwrap(), [file.digest, folder.digest]);
    // The folder is another one than when the attempt began.
    assert_eq!((fixture.check(&file), fixture.check(&folder)), (InputState::Intact, InputState::Touched));
}

#[test]
fn content_that_was_changed_and_changed_back_is_told_from_content_that_was_not() {
    let fixture = Fixture::new();
    let (file, folder) = (fixture.file(), fixture.folder());
    let later = || {
        // Until the file system's clock has moved on.
        let mark = fixture.cache.scratch_root().join("mark");
        let time = || fs::write(&mark, "").and_then(|()| fs::metadata(&mark)?.modified()).unwrap();
        let now = time();
        while time() == now {}
    };
    later();
    let began = fixture.cache.fs_now().unwrap();
    later();
    let path = unlock(&fixture.cache.path_of(&file));
    fs::write(&path, "ZZZZ").unwrap();
    fs::write(&path, "AAAA").unwrap();
    let root = unlock(&fixture.cache.path_of(&folder));
    fs::rename(root.join("x"), root.join("t")).unwrap();
    fs::rename(root.join("t"), root.join("x")).unwrap();
    for artifact in [&file, &folder] {
        assert_eq!(fixture.cache.check_input(artifact, began).unwrap(), InputState::Touched);
        let later = fixture.cache.fs_now().unwrap();
        assert_eq!(fixture.cache.check_input(artifact, later).unwrap(), InputState::Intact);
    }
    assert_eq!(fixture.cache.incidents_since(0).unwrap(), [file.digest, folder.digest]);
}

#[test]
fn bits_of_a_copy_are_no_content() {
    let fixture = Fixture::new();
    let (folder, file) = (fixture.folder(), fixture.file());
    for artifact in [folder, file] {
        let copy = fixture.cache.scratch_root().join(format!("copy-{}", artifact.digest.short()));
        fixture.cache.copy_for_stage(&artifact, &copy).unwrap();
        let before = StatSnapshot::of(&copy).unwrap();
        let state = || fixture.cache.check_copy(&artifact, &copy, &before).unwrap();
        assert_eq!(state(), InputState::Intact);
        let within = if copy.is_dir() { copy.join("x") } else { copy.clone() };
        fs::set_permissions(&within, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(state(), InputState::Intact);
        fs::write(&within, "ZZZZ").unwrap();
        assert!(matches!(state(), InputState::Changed { lost: false, .. }));
    }
}

#[test]
fn a_copy_for_a_stage_holds_what_was_stored_or_is_none() {
    let fixture = Fixture::new();
    let copy = fixture.cache.scratch_root().join("copy");
    let (file, folder) = (fixture.file(), fixture.folder());
    fs::write(unlock(&fixture.cache.path_of(&folder)).join("added"), "").unwrap();
    fs::remove_file(fixture.cache.path_of(&folder).join("y")).unwrap();
    fixture.cache.copy_for_stage(&folder, &copy).unwrap();
    let mut found = Vec::new();
    list(&copy, &copy, &mut found);
    found.sort();
    assert_eq!(found, fixture.as_made());
    fs::remove_dir_all(&copy).unwrap();
    for (artifact, path) in [(&file, fixture.cache.path_of(&file)), (&folder, fixture.cache.path_of(&folder).join("x"))]
    {
        rewrite_unseen(&path, "ZZZZ");
        let refused = fixture.cache.copy_for_stage(artifact, &copy);
        assert!(matches!(refused, Err(CacheError::Gone { .. })), "{refused:?}");
        let _ = fs::remove_file(&copy).or_else(|_| fs::remove_dir_all(&copy));
        assert_eq!(fixture.cache.presence(artifact), Presence::Missing);
    }
}
