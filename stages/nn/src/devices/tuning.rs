//! First steps, taken by one process at a time: what starts together on GPUs with nothing compiled or tuned yet does that once.
//!
//! The first step of a network compiles its kernels and times candidates for each, which takes minutes, and all of that is kept for the
//! processes after it. A lock in the folder where it is kept, one for each piece of work, has the others wait for the first; a
//! file beside it says that the work is known, so that later nobody waits.

use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use std::time::Duration;

/// Pause between two looks at a lock that another process holds.
const PAUSE: Duration = Duration::from_millis(100);

/// Folder of kernels, in which the locks are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TuningFolder(PathBuf);

/// First steps that this process takes. Others wait until this is dropped, or [`Tuning::finish`]ed.
#[derive(Debug)]
pub struct Tuning {
    known: PathBuf,
    _lock: File,
}

/// A wait that the wish to stop has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl TuningFolder {
    /// The locks in `folder`, which need not be there.
    pub fn new(folder: PathBuf) -> TuningFolder {
        TuningFolder(folder)
    }

    /// The first steps of `work`: a name of the network and of all that decides on its kernels. `None` if they are known, also
    /// because another process has taken them while this one waited, for which `waits` is called once; and where no lock can be
    /// had, as then there is nothing to share either.
    ///
    /// # Errors
    /// If `should_stop` says so during the wait.
    pub fn begin(
        &self,
        work: &str,
        should_stop: impl Fn() -> bool,
        waits: impl FnOnce(),
    ) -> Result<Option<Tuning>, Stopped> {
        let name: String = work.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
        let known = self.0.join(format!("{name}.known"));
        if known.exists() || fs::create_dir_all(&self.0).is_err() {
            return Ok(None);
        }
        let Ok(lock) = File::options().create(true).append(true).open(self.0.join(format!("{name}.lock"))) else {
            return Ok(None);
        };
        let mut waits = Some(waits);
        loop {
            match lock.try_lock() {
                // It may have become known before the lock was free.
                Ok(()) => return Ok((!known.exists()).then_some(Tuning { known, _lock: lock })),
                Err(TryLockError::Error(_)) => return Ok(None),
                Err(TryLockError::WouldBlock) => {}
            }
            if should_stop() {
                return Err(Stopped);
            }
            if let Some(waits) = waits.take() {
                waits();
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Tuning {
    /// Makes the work known: from now on nobody waits for it.
    pub fn finish(self) {
        // A folder that cannot be written any more makes others wait for nothing but each other.
        let _ = File::create(&self.known);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn never() -> bool {
        false
    }

    #[test]
    fn work_that_is_known_is_waited_for_by_nobody() {
        let root = tempfile::tempdir().unwrap();
        let folder = TuningFolder::new(root.path().join("kernels"));
        let first = folder.begin("train net 96", never, || panic!("nobody else is there")).unwrap().unwrap();
        assert!(folder.begin("predict net 96", never, || panic!("another work")).unwrap().is_some());
        first.finish();
        assert!(folder.begin("train net 96", || true, || panic!("it is known")).unwrap().is_none());
    }

    #[test]
    fn others_wait_for_the_first_and_take_over_where_it_failed() {
        let root = tempfile::tempdir().unwrap();
        let folder = TuningFolder::new(root.path().to_owned());
        for succeeds in [false, true] {
            let first = folder.begin("work", never, || ()).unwrap().unwrap();
            let (waits, waited) = channel();
            let other = std::thread::spawn({
                let folder = folder.clone();
                move || folder.begin("work", never, || waits.send(()).unwrap()).unwrap().is_some()
            });
            waited.recv().unwrap();
            if succeeds {
                first.finish();
            } else {
                drop(first);
            }
            assert_eq!(other.join().unwrap(), !succeeds);
        }
    }

    #[test]
    fn a_wait_ends_with_the_wish_to_stop() {
        let root = tempfile::tempdir().unwrap();
        let folder = TuningFolder::new(root.path().to_owned());
        let _first = folder.begin("work", never, || ()).unwrap();
        assert_eq!(folder.begin("work", || true, || ()).unwrap_err(), Stopped);
    }

    #[test]
    fn without_a_folder_there_is_nothing_to_wait_for() {
        let root = tempfile::NamedTempFile::new().unwrap();
        assert!(TuningFolder::new(root.path().join("below")).begin("work", never, || ()).unwrap().is_none());
    }
}
