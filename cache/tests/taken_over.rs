//! A collection that another process takes over, where leases take the place of locks.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use athanor_cache::{Cache, CacheError, Digest, DiskHook, GcRequest, Operation};

/// Lets another process take the lease over just before something in `area` is removed for the first time.
struct Thief {
    root: PathBuf,
    area: Mutex<&'static str>,
    is_done: AtomicBool,
}

impl DiskHook for Thief {
    fn intercept(&self, operation: Operation<'_>, act: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        let (Operation::Remove(path) | Operation::RemoveFolder(path) | Operation::Rename { from: path, .. }) =
            operation
        else {
            return act();
        };
        let area = self.root.join(*self.area.lock().unwrap());
        if path.starts_with(area) && !self.is_done.swap(true, Ordering::Relaxed) {
            let other = format!("athanor lease 1 somebody elsewhere:1:1:1 {:020}\n", 0);
            fs::write(self.root.join("leases/in-use.alone"), other).unwrap();
        }
        act()
    }
}

/// Number of files in an area and its shards.
fn count(root: &Path, area: &str) -> usize {
    let files = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files(root.join(area)).map(|path| if path.is_dir() { files(path).count() } else { 1 }).sum()
}

#[test]
fn a_collection_that_was_taken_over_removes_nothing_more() {
    for area in ["tmp", "items", "objects", "manifests", "unfinished"] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        drop(Cache::open(&root).unwrap());
        // A file system without locks.
        fs::write(root.join("abilities"), "athanor abilities 1\n1 elsewhere hsm-\n").unwrap();
        let thief =
            Arc::new(Thief { root: root.clone(), area: Mutex::new("nowhere"), is_done: AtomicBool::new(false) });
        let cache = Cache::open_hooked(&root, Some(Arc::clone(&thief) as _)).unwrap();
        for number in 0..3 {
            fs::write(root.join(format!("tmp/athanor-abcde{number}")), "x").unwrap();
            let digest = Digest::of(&[number]);
            cache.items(&format!("scope {number}"), &cache.resume_state_path(&digest)).unwrap();
            fs::create_dir_all(cache.resume_state_path(&digest)).unwrap();
            for (kind, name) in [("file", root.join("scratch/file")), ("folder", root.join("scratch/folder/file"))] {
                fs::create_dir_all(name.parent().unwrap()).unwrap();
                fs::write(&name, format!("{kind} {number}")).unwrap();
            }
            cache.ingest(&root.join("scratch/file")).unwrap();
            cache.ingest(&root.join("scratch/folder")).unwrap();
        }
        let before: usize = count(&root, area);
        *thief.area.lock().unwrap() = area;
        let guard = cache.try_use_exclusive().unwrap().unwrap();
        let request = GcRequest { keep: HashSet::new(), ..GcRequest::default() };
        let outcome = cache.collect(&request, Some(&guard));
        assert!(matches!(outcome, Err(CacheError::TakenOver { .. })), "{area}: {outcome:?}");
        assert!(guard.is_lost());
        assert_eq!(count(&root, area), before - 1, "{area}: only what was being removed is gone");
        if area != "unfinished" {
            assert_eq!(count(&root, "unfinished"), 3, "{area}: nothing that comes later is gone");
        }
    }
}
