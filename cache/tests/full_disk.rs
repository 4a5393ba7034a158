//! A collection on a disk that is full: it is what makes room there.

mod fixture;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use athanor_cache::{Cache, DiskHook, GcRequest, Lookup, Operation};
use fixture::{described, put};

/// A disk without room, once it is full.
#[derive(Default)]
struct Full(AtomicBool);

impl DiskHook for Full {
    fn intercept(&self, operation: Operation<'_>, act: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        let takes_room = matches!(operation, Operation::Append { .. } | Operation::Copy { .. });
        if takes_room && self.0.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(nix::libc::ENOSPC));
        }
        act()
    }
}

#[test]
fn notes_that_have_no_room_to_be_rewritten_go_and_the_collection_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Arc::new(Full::default());
    let open = || Cache::open_hooked(folder.path(), Some(Arc::clone(&hook) as _)).unwrap();
    let kept = {
        let cache = open();
        let record = described("kept", put(&cache, "output", "content"), 1);
        cache.record(&record).unwrap();
        cache.flush_integrity();
        record.fingerprint
    };
    // A note that was made twice, as by two processes at once, stays once.
    let notes = || fs::read_dir(folder.path().join("integrity")).unwrap().map(|shard| shard.unwrap().path());
    for shard in notes() {
        let bytes = fs::read(&shard).unwrap();
        fs::write(&shard, bytes.repeat(2)).unwrap();
    }
    assert_eq!(notes().count(), 1);
    let cache = open();
    hook.0.store(true, Ordering::Relaxed);
    let request = GcRequest { keep: HashSet::from([kept]), ..GcRequest::default() };
    let report = cache.collect(&request, None).unwrap();
    assert_eq!((report.kept, report.bytes_freed), (1, 0));
    assert_eq!(notes().count(), 0);
    hook.0.store(false, Ordering::Relaxed);
    assert!(matches!(cache.lookup(&kept), Ok(Lookup::Hit(_))));
    assert!(cache.verify(&|_, _| {}).unwrap().damaged.is_empty());
}
