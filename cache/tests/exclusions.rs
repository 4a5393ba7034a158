//! Digests of folders without excluded files, from outside.

use std::fs;
use std::path::Path;

use athanor_cache::{Cache, Exclusions, StatSnapshot, Tree};

fn open() -> (tempfile::TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&folder.path().join("cache")).unwrap();
    (folder, cache)
}

fn write(root: &Path, path: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, path.file_name().unwrap().as_encoded_bytes()).unwrap();
}

/// Waits until files that were written are remembered, and lets a new cache remember them.
fn remembered(cache: &Cache, root: &Path, exclusions: &Exclusions) -> Cache {
    let written = cache.fs_now().unwrap();
    while cache.fs_now().unwrap() == written {
        std::thread::yield_now();
    }
    cache.content_of(root, exclusions).unwrap();
    cache.flush_stat_index().unwrap();
    Cache::open(cache.root()).unwrap()
}

#[test]
fn the_index_is_never_believed_across_a_change_of_what_is_excluded() {
    let (folder, cache) = open();
    let project = folder.path().join("project");
    for path in ["in/a.txt", "in/a.log", "in/deep/b.txt", "in/deep/er/c.log"] {
        write(&project, path);
    }
    let root = project.join("in");
    let whole = Tree::of_folder(&root).unwrap().artifact();
    let plain = Exclusions::of_project(&project, &[]).unwrap();
    assert_eq!(cache.content_of(&root, &plain).unwrap(), whole, "nothing is excluded");
    let cache = remembered(&cache, &root, &plain);
    fs::write(project.join(Exclusions::FILE), "*.log\n").unwrap();
    let listed = Exclusions::of_project(&project, &[]).unwrap();
    let less = cache.content_of(&root, &listed).unwrap();
    assert_eq!(less.files, 2);
    // As the folder would be without them: `er` is empty then, and an empty folder is content.
    let bare = folder.path().join("bare");
    for path in ["a.txt", "deep/b.txt"] {
        write(&bare, path);
    }
    fs::create_dir(bare.join("deep/er")).unwrap();
    assert_eq!(less.digest, Tree::of_folder(&bare).unwrap().artifact().digest);
    let cache = remembered(&cache, &root, &listed);
    assert_eq!(cache.content_of(&root, &plain).unwrap(), whole);
    assert_eq!(cache.content_of(&root, &listed).unwrap(), less);
    let cache = remembered(&cache, &root, &plain);
    assert_eq!(cache.content_of(&root, &listed).unwrap(), less);
    assert_eq!(cache.artifact_of(&root).unwrap(), whole);
}

#[test]
fn what_programs_leave_behind_changes_neither_digest_nor_snapshot() {
    let (folder, cache) = open();
    let root = folder.path().join("in");
    write(&root, "a.py");
    write(&root, "deep/b.py");
    let exclusions = Exclusions::of_project(folder.path(), &[]).unwrap();
    let before = cache.content_of(&root, &exclusions).unwrap();
    let trace = StatSnapshot::of_content(&root, &exclusions).unwrap();
    for path in ["__pycache__/a.pyc", "deep/.DS_Store", "deep/._b.py", "a.py~"] {
        write(&root, path);
    }
    std::os::unix::fs::symlink("nobody", root.join(".#a.py")).unwrap();
    assert_eq!(cache.content_of(&root, &exclusions).unwrap(), before);
    assert!(!trace.shows_change(&StatSnapshot::of_content(&root, &exclusions).unwrap(), None));
    let at = folder.path().join("copy");
    cache.copy_in(&root, &at, &exclusions).unwrap();
    assert_eq!(Tree::of_folder(&at).unwrap().artifact().digest, before.digest);
}

#[test]
fn files_of_a_folder_are_what_each_of_them_is_alone() {
    let (folder, cache) = open();
    let root = folder.path().join("in");
    for path in ["a", "b", "c"] {
        write(&root, path);
    }
    let alone = |name: &str| cache.artifact_of(&root.join(name)).unwrap();
    assert_eq!(cache.files_in(&root, &["a", "c"]).unwrap(), [alone("a"), alone("c")]);
    let cache = remembered(&cache, &root, &Exclusions::default());
    fs::write(root.join("b"), "changed").unwrap();
    let now = cache.files_in(&root, &["a", "b", "c"]).unwrap();
    assert_eq!(now[1].digest, athanor_cache::Digest::of(b"changed"));
    assert_eq!(now[2], cache.artifact_of(&root.join("c")).unwrap());
    assert!(cache.files_in(&root, &["a", "gone"]).is_err());
    assert!(cache.files_in(folder.path(), &["in"]).is_err(), "a folder is no file");
}
