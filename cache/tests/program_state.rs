//! Folders that programs keep from one attempt to the next.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use athanor_cache::{Cache, CacheError, Digest, GcRequest};
use tempfile::TempDir;

fn open() -> (TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&folder.path().join("cache")).unwrap();
    (folder, cache)
}

fn work() -> Digest {
    Digest::of(b"work")
}

#[test]
fn a_folder_is_kept_for_the_same_work_until_it_is_removed() {
    let (_folder, cache) = open();
    let state = cache.hold_program_state(&work()).unwrap();
    assert_eq!(state.folder(), cache.program_state_path(&work()));
    fs::write(state.folder().join("checkpoint"), "3").unwrap();
    state.add_report(b"one").unwrap();
    state.add_report(b"two").unwrap();
    drop(state);
    let state = cache.hold_program_state(&work()).unwrap();
    assert_eq!(fs::read_to_string(state.folder().join("checkpoint")).unwrap(), "3");
    assert_eq!(state.reports(), b"one\ntwo\n");
    let other = cache.hold_program_state(&Digest::of(b"other work")).unwrap();
    assert_eq!(fs::read_dir(other.folder()).unwrap().count(), 0);
    assert!(other.reports().is_empty());
    drop(state);
    cache.remove_resume_state(&work()).unwrap();
    let state = cache.hold_program_state(&work()).unwrap();
    assert_eq!(fs::read_dir(state.folder()).unwrap().count(), 0);
    assert!(state.reports().is_empty());
}

#[test]
fn one_has_it_at_a_time_and_whoever_inherits_the_lock() {
    let (_folder, cache) = open();
    assert!(!cache.is_program_state_held(&work()));
    let state = cache.hold_program_state(&work()).unwrap();
    assert!(cache.is_program_state_held(&work()));
    match cache.hold_program_state(&work()) {
        Err(CacheError::Io { source, .. }) => assert_eq!(source.kind(), ErrorKind::WouldBlock),
        other => panic!("{other:?}"),
    }
    let inherited = state.lock().unwrap().try_clone_to_owned().unwrap();
    drop(state);
    assert!(cache.is_program_state_held(&work()));
    drop(inherited);
    assert!(!cache.is_program_state_held(&work()));
    cache.hold_program_state(&work()).unwrap();
}

#[test]
fn a_copy_is_another_folder() {
    let (folder, cache) = open();
    cache.copy_program_state(&work(), &folder.path().join("none")).unwrap();
    assert_eq!(fs::read_dir(folder.path().join("none")).unwrap().count(), 0);
    let state = cache.hold_program_state(&work()).unwrap();
    fs::create_dir(state.folder().join("deep")).unwrap();
    fs::write(state.folder().join("deep/checkpoint"), "3").unwrap();
    fs::create_dir(state.folder().join("empty")).unwrap();
    fs::write(state.folder().join("tool"), "").unwrap();
    fs::set_permissions(state.folder().join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    state.add_report(b"one").unwrap();
    let links = [("latest", "deep/checkpoint"), ("deep/circle", ".."), ("elsewhere", "/etc"), ("dangling", "nowhere")];
    for (link, target) in links {
        symlink(target, state.folder().join(link)).unwrap();
    }
    let copy = folder.path().join("copy");
    cache.copy_program_state(&work(), &copy).unwrap();
    for (link, target) in links {
        assert_eq!(fs::read_link(copy.join(link)).unwrap(), Path::new(target));
    }
    assert!(copy.join("empty").is_dir() && !copy.join("reports").exists());
    let is_executable = |name: &str| fs::metadata(copy.join(name)).unwrap().permissions().mode() & 0o100 != 0;
    assert!(is_executable("tool") && !is_executable("latest"));
    fs::write(copy.join("deep/checkpoint"), "4").unwrap();
    assert_eq!(fs::read_to_string(state.folder().join("deep/checkpoint")).unwrap(), "3");
}

#[test]
fn collections_keep_what_is_wanted_and_remove_the_rest_whatever_its_permission_bits() {
    let (_folder, cache) = open();
    let wanted = cache.hold_program_state(&work()).unwrap();
    fs::write(wanted.folder().join("checkpoint"), "3").unwrap();
    let other = cache.hold_program_state(&Digest::of(b"other work")).unwrap();
    fs::create_dir(other.folder().join("deep")).unwrap();
    fs::write(other.folder().join("deep/checkpoint"), "3").unwrap();
    fs::set_permissions(other.folder().join("deep"), fs::Permissions::from_mode(0o500)).unwrap();
    let request = GcRequest { keep_resume_states: HashSet::from([work()]), ..GcRequest::default() };
    let report = cache.collect(&request, None).unwrap();
    assert_eq!(report.resume_states.items, 1);
    assert!(wanted.folder().join("checkpoint").exists());
    assert!(!other.folder().exists());
}
