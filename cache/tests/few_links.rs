//! Folders with more equal files than a file may have hard links.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use athanor_cache::{Artifact, Cache, DiskHook, Operation, Presence};

/// Links that a file may have.
const LIMIT: u64 = 5;
/// Equal files in a folder: as many as it takes to sync copies together.
const FILES: usize = 40;

/// A file system with a low limit of links per file; it has the operations in their order.
#[derive(Default)]
struct FewLinks {
    log: Mutex<Vec<Done>>,
}

#[derive(Debug, PartialEq)]
enum Done {
    Copy(PathBuf),
    Sync(PathBuf),
    SyncAll,
    Rename(PathBuf, PathBuf),
}

impl DiskHook for FewLinks {
    fn intercept(&self, operation: Operation<'_>, act: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        if let Operation::Link { from, .. } = operation
            && fs::symlink_metadata(from)?.nlink() >= LIMIT
        {
            return Err(io::Error::from_raw_os_error(nix::libc::EMLINK));
        }
        act()?;
        let done = match operation {
            Operation::Copy { to, .. } => Done::Copy(to.to_owned()),
            Operation::Sync(path) => Done::Sync(path.to_owned()),
            Operation::SyncAll(_) => Done::SyncAll,
            Operation::Rename { from, to } => Done::Rename(from.to_owned(), to.to_owned()),
            _ => return Ok(()),
        };
        self.log.lock().unwrap().push(done);
        Ok(())
    }
}

impl FewLinks {
    fn take(&self) -> Vec<Done> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

fn ingest(cache: &Cache, files: usize) -> Artifact {
    let folder = cache.scratch_root().join("output");
    fs::create_dir(&folder).unwrap();
    (0..files).for_each(|number| fs::write(folder.join(number.to_string()), "same").unwrap());
    cache.ingest(&folder).unwrap()
}

#[test]
fn copies_beyond_the_limit_are_on_disk_before_the_folder_is_stored_and_wait_for_it_together() {
    let root = tempfile::tempdir().unwrap();
    let disk = Arc::new(FewLinks::default());
    let cache = Cache::open_hooked(root.path(), Some(Arc::clone(&disk) as _)).unwrap();
    let stored = cache.root().join("trees");
    for files in [8, FILES] {
        disk.take();
        let artifact = ingest(&cache, files);
        assert_eq!(cache.presence(&artifact), Presence::Present);
        let log = disk.take();
        let links = |path: PathBuf| fs::metadata(path).unwrap().nlink();
        let alone = fs::read_dir(cache.path_of(&artifact)).unwrap().map(|entry| links(entry.unwrap().path()));
        let copies = alone.filter(|links| *links == 1).count();
        assert!(copies >= files - LIMIT as usize, "{copies} copies");
        let is_stored = |done: &Done| matches!(done, Done::Rename(_, to) if to.starts_with(&stored));
        let at = log.iter().position(is_stored).unwrap();
        let last = log[..at].iter().rposition(|done| matches!(done, Done::Copy(_))).unwrap_or(0);
        let synced = log[last..at].iter().filter(|done| matches!(done, Done::Sync(path) if !path.is_dir())).count();
        let all = log[last..at].contains(&Done::SyncAll);
        assert!(all || synced >= copies, "{files} files: {synced} synced of {copies}");
        let alone = log.iter().filter(|done| matches!(done, Done::Sync(path) if !path.is_dir())).count();
        assert!(alone <= 2 * 16, "{files} files: {alone} synced one by one");

        // The folder that is stored already stays, and the copies that are thrown away wait for nothing.
        assert_eq!(ingest(&cache, files), artifact);
        let again = disk.take();
        assert!(!again.iter().any(is_stored));
        let alone = again.iter().filter(|done| matches!(done, Done::Sync(path) if !path.is_dir())).count();
        assert!(alone <= 16, "{files} files again: {alone} synced one by one");
        assert_eq!(fs::read_dir(cache.root().join("quarantine")).unwrap().count(), 0);
    }
}

#[test]
fn a_folder_of_copies_is_repaired() {
    let root = tempfile::tempdir().unwrap();
    let disk = Arc::new(FewLinks::default());
    let cache = Cache::open_hooked(root.path(), Some(Arc::clone(&disk) as _)).unwrap();
    let artifact = ingest(&cache, FILES);
    let folder = cache.path_of(&artifact);
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    (20..FILES).for_each(|number| fs::remove_file(folder.join(number.to_string())).unwrap());
    disk.take();
    assert_eq!(cache.presence(&artifact), Presence::Present);
    assert!((0..FILES).all(|number| fs::read(folder.join(number.to_string())).unwrap() == b"same"));
    let log = disk.take();
    let into_place = |done: &Done| matches!(done, Done::Rename(_, to) if to.starts_with(&folder));
    let first = log.iter().position(into_place).unwrap();
    assert!(log[..first].contains(&Done::SyncAll), "copies are on disk before they are in the folder");
}
