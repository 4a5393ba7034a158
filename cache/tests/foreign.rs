//! Whose folder it is: caches are opened, everything else is left alone.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use athanor_cache::{Cache, CacheError, Digest, DiskHook, GcRequest, Operation};
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("folder");
    fs::create_dir(&inner).unwrap();
    (folder, inner)
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Everything below a folder, with the content of files and the targets of links.
fn all(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        let content = match () {
            () if kind.is_dir() => {
                found.extend(all(&path));
                "folder".to_owned()
            }
            () if kind.is_symlink() => fs::read_link(&path).unwrap().display().to_string(),
            () => fs::read_to_string(&path).unwrap(),
        };
        found.insert(path, content);
    }
    found
}

#[test]
fn a_folder_of_somebody_elses_is_refused_and_stays_as_it_is() {
    let foreign: [&[(&str, &str)]; 8] = [
        &[("thesis.tex", "x")],
        &[(".hidden", "x")],
        &[("scratch/thesis.tex", "x"), ("objects/a/model.bin", "x"), ("actions/ci/build.json", "x")],
        &[("format", "2\n"), ("db/current", "1")],
        &[("format", "2\n"), ("objects/a", "1"), ("notes", "")],
        &[("format", "PNG\n"), ("picture", "1")],
        &[("format/of/things", "x")],
        &[("athanor-notes", "x")],
    ];
    for files in foreign {
        let (_folder, root) = folder();
        files.iter().for_each(|(name, content)| write(&root.join(name), content));
        let before = all(&root);
        let error = Cache::open(&root).err().unwrap_or_else(|| panic!("{files:?} was taken for a cache"));
        assert!(matches!(error, CacheError::Foreign { .. }), "{files:?}: {error}");
        assert!(error.to_string().contains("empty folder"), "{error}");
        assert_eq!(all(&root), before);
    }
    let (_folder, root) = folder();
    symlink("/etc/hostname", root.join("format")).unwrap();
    assert!(matches!(Cache::open(&root), Err(CacheError::Foreign { .. })));
    assert!(Cache::open(Path::new("/etc/hostname")).is_err());
}

#[test]
fn what_is_left_of_a_cache_that_was_deleted_is_said_with_what_deletes_the_rest() {
    let digest = "0".repeat(64);
    let left: [&[String]; 2] = [
        &[format!("trees/0/{digest}/f")],
        &[format!("trees/0/{digest}/d/f"), format!("objects/0/{digest}.x"), "CACHEDIR.TAG".to_owned()],
    ];
    for files in left {
        let (_folder, root) = folder();
        files.iter().for_each(|name| write(&root.join(name), "x"));
        let before = all(&root);
        let error = Cache::open(&root).err().unwrap().to_string();
        assert!(error.contains(&format!("`chmod -R u+w {0} && rm -rf {0}`", root.display())), "{error}");
        assert_eq!(all(&root), before);
    }
    // Nobody is told to delete files that may be the user's.
    let others: [&[String]; 4] = [
        &["trees/oak/leaf".to_owned()],
        &[format!("trees/0/{digest}/f"), "notes".to_owned()],
        &[format!("trees/0/{digest}/f"), "tmp/mine".to_owned()],
        &["tmp/mine".to_owned()],
    ];
    for files in others {
        let (_folder, root) = folder();
        files.iter().for_each(|name| write(&root.join(name), "x"));
        assert!(matches!(Cache::open(&root), Err(CacheError::Foreign { .. })), "{files:?}");
    }
}

#[test]
fn an_empty_folder_becomes_a_cache_and_what_is_missing_in_one_is_made_again() {
    let (_folder, root) = folder();
    fs::create_dir(root.join("lost+found")).unwrap();
    drop(Cache::open(&root).unwrap());
    for area in ["objects", "actions", "scratch", "quarantine", "leases"] {
        fs::remove_dir(root.join(area)).unwrap();
        drop(Cache::open(&root).unwrap());
        assert!(root.join(area).is_dir());
    }
    let link = root.parent().unwrap().join("link");
    symlink(&root, &link).unwrap();
    assert_eq!(Cache::open(&link).unwrap().root(), root.canonicalize().unwrap());
    assert!(Cache::open(&root.parent().unwrap().join("new/one")).is_ok());
}

/// Lets a number of operations pass, then none.
struct Killed {
    left: usize,
    done: AtomicUsize,
}

impl DiskHook for Killed {
    fn intercept(&self, _: Operation<'_>, act: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        if self.done.fetch_add(1, Ordering::Relaxed) < self.left { act() } else { Err(io::Error::other("killed")) }
    }
}

#[test]
fn an_opening_that_was_cut_off_anywhere_is_taken_up_by_the_next() {
    for left in 0.. {
        let (_folder, root) = folder();
        let killed = Arc::new(Killed { left, done: AtomicUsize::new(0) });
        let opened = Cache::open_hooked(&root, Some(Arc::clone(&killed) as _));
        drop(Cache::open(&root).unwrap_or_else(|error| panic!("after {left} operations: {error}")));
        assert!(root.join("objects").is_dir() && root.join("format").is_file());
        if opened.is_ok() && killed.done.load(Ordering::Relaxed) <= left {
            assert!(left > 10, "{left} operations");
            return;
        }
    }
}

#[test]
fn an_area_that_is_a_symbolic_link_is_refused() {
    for area in ["objects", "trees", "scratch", "tmp", "quarantine", "pipelines", "leases", "locks"] {
        let (_folder, root) = folder();
        drop(Cache::open(&root).unwrap());
        let (path, elsewhere) = (root.join(area), root.parent().unwrap().join("mine"));
        write(&elsewhere.join("f"), "v");
        let _ = fs::remove_dir(&path).or_else(|_| fs::remove_file(&path));
        symlink(&elsewhere, &path).unwrap();
        let error = Cache::open(&root).err().unwrap_or_else(|| panic!("{area} is followed"));
        assert!(matches!(&error, CacheError::Area { path } if path.ends_with(area)), "{area}: {error}");
        assert_eq!(all(&elsewhere).len(), 1);
    }
}

#[test]
fn nothing_with_another_name_than_a_cache_gives_is_listed_moved_or_removed() {
    let (_folder, root) = folder();
    let cache = Cache::open(&root).unwrap();
    let root = cache.root();
    let mine = root.parent().unwrap().join("mine");
    let digest = Digest::of(b"x").to_string();
    write(&mine.join(&digest), "mine");
    let foreign = [
        "scratch/thesis.tex",
        "tmp/keep.txt",
        "tmp/athanor/notes",
        "pending/notes",
        "objects/a/model.bin",
        "objects/model/weights",
        "trees/notes.txt",
        "trees/a/oak/leaf",
        "actions/ci/build.json",
        "actions/c/build.json",
        "manifests/a/list.json",
        "items/a/mine/x.log",
        "unfinished/a/work/state",
        "gaps/a/gap",
        "quarantine/notes.1",
    ];
    foreign.iter().for_each(|name| write(&root.join(name), "mine"));
    symlink(&mine, root.join("objects/b")).unwrap();
    symlink(&mine, root.join("items/a").join(&digest)).unwrap();
    symlink(&mine, root.join("unfinished/a").join(&digest)).unwrap();
    symlink(&mine, root.join("tmp/athanor-abcdef")).unwrap();
    for own in ["tmp/athanor-a1b2c3/tree", "tmp/.tmpa1b2c3", "scratch/20261126-215848.123456-4711/1/x"] {
        write(&root.join(own), "ours");
    }
    let report = cache.verify(&|_, _| {}).unwrap();
    assert_eq!((report.checked, report.damaged), (0, Vec::new()));
    assert_eq!(cache.usage().unwrap().objects, 0);
    cache.recover_wal().unwrap();
    let _alone = cache.try_use_exclusive().unwrap().unwrap();
    cache.collect(&GcRequest { keep_items: HashSet::new(), ..GcRequest::default() }, None).unwrap();
    for name in foreign {
        assert_eq!(fs::read_to_string(root.join(name)).unwrap(), "mine", "{name}");
    }
    assert_eq!(fs::read_to_string(mine.join(&digest)).unwrap(), "mine");
    for own in ["tmp/athanor-a1b2c3", "tmp/.tmpa1b2c3", "scratch/20261126-215848.123456-4711"] {
        assert!(!root.join(own).exists(), "{own} is swept");
    }
}

#[test]
fn nothing_is_stored_through_a_link_in_the_place_of_a_folder() {
    let (_folder, root) = folder();
    let cache = Cache::open(&root).unwrap();
    let mine = root.parent().unwrap().join("mine");
    fs::create_dir(&mine).unwrap();
    let first = Digest::of(b"content").to_string()[..1].to_owned();
    symlink(&mine, root.join("objects").join(first)).unwrap();
    let path = cache.scratch_root().join("file");
    fs::write(&path, "content").unwrap();
    let error = cache.ingest(&path).expect_err("a link is not followed");
    assert!(error.to_string().contains("symbolic link"), "{error}");
    assert_eq!(fs::read_dir(&mine).unwrap().count(), 0);
}

#[test]
fn a_cache_that_was_deleted_in_part_says_what_is_missing_and_serves_the_rest() {
    let (_folder, root) = folder();
    assert!(Cache::open(&root).unwrap().notices().is_empty(), "a new one");
    assert!(Cache::open(&root).unwrap().notices().is_empty());
    fs::remove_dir(root.join("trees")).unwrap();
    assert!(Cache::open(&root).unwrap().notices().is_empty(), "nothing was in it");
    let output = root.join("tmp/.tmpoutput");
    write(&output, "kept");
    let kept = Cache::open(&root).unwrap().ingest(&output).unwrap();
    for area in ["trees", "actions"] {
        fs::remove_dir_all(root.join(area)).unwrap();
    }
    let cache = Cache::open(&root).unwrap();
    let notices = cache.notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("lacks `trees` and `actions`, as if its deletion"), "{notices:?}");
    assert_eq!(fs::read_to_string(cache.path_of(&kept)).unwrap(), "kept");
    assert!(Cache::open(&root).unwrap().notices().is_empty(), "it is said once");
}
