//! A collection that is killed anywhere, in the middle of removing a folder, too.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use athanor_cache::{Cache, DiskHook, GcRequest, Operation};

/// Lets a number of operations pass, then kills the process: of a folder that is being removed then, one file is gone.
struct Killed {
    left: usize,
    done: AtomicUsize,
}

impl DiskHook for Killed {
    fn intercept(&self, operation: Operation<'_>, act: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        let number = self.done.fetch_add(1, Ordering::Relaxed);
        if number < self.left {
            return act();
        }
        if let Operation::RemoveFolder(path) = operation
            && number == self.left
        {
            remove_a_file(path);
        }
        Err(io::Error::other("killed"))
    }
}

fn remove_a_file(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let mut entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.is_file()).map(fs::remove_file).unwrap().unwrap();
}

#[test]
fn nothing_looks_damaged_after_a_collection_that_was_killed() {
    let mut in_folders = 0;
    for left in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("cache");
        let cache = Cache::open(&root).unwrap();
        let made = cache.scratch_root().join("made");
        fs::create_dir_all(made.join("inner")).unwrap();
        for name in ["a", "b", "inner/c"] {
            fs::write(made.join(name), name).unwrap();
        }
        cache.ingest(&made).unwrap();
        let killed = Arc::new(Killed { left, done: AtomicUsize::new(0) });
        let watched = Cache::open_hooked(&root, Some(Arc::clone(&killed) as _)).unwrap();
        let collected = watched.collect(&GcRequest::default(), None);
        in_folders += usize::from(fs::read_dir(root.join("tmp")).unwrap().count() > 0);
        let report = cache.verify(&|_, _| {}).unwrap();
        assert!(report.damaged.is_empty(), "killed after {left} operations: {report:?}");
        cache.collect(&GcRequest::default(), None).unwrap();
        assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0, "the next collection sweeps what is left");
        assert_eq!(fs::read_dir(root.join("quarantine")).unwrap().count(), 0);
        if collected.is_ok() {
            assert!(in_folders > 0, "a folder was being removed");
            return;
        }
    }
}
