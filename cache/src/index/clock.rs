//! Clocks of file systems: only they tell whether a file can still change without its times showing it.
//!
//! A file that was last touched in an earlier tick of its file system's clock than the present one shows every later
//! change: a change gets the present tick or a later one. The present tick is read off a file that is touched now on
//! the same file system: in its own granularity, be that a nanosecond or two seconds, and whatever the machine's clock
//! says.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, Timespec, Timestamps, UTIME_NOW};

use crate::fs::stat::{Moment, Stat};

/// Longest tick of a file system's clock: that of FAT, with some room for network file systems.
const LONGEST_TICK: Duration = Duration::from_millis(2_500);

/// Clocks of the file systems that one process reads from.
pub(crate) struct FileSystemClock {
    /// A folder of the cache.
    folder: PathBuf,
    touch_file: Mutex<TouchFile>,
    /// Latest known time per device. A tick that is over stays over.
    latest: Mutex<HashMap<u64, Moment>>,
    /// Whether every file counts as settled, for tests that look for changes that the index misses.
    #[cfg(test)]
    pub everything_is_settled: bool,
}

/// The file in the cache's folder that shows the time of its file system.
enum TouchFile {
    Unknown,
    /// An unnamed file, touched whenever the time is asked for, and its device.
    Open(File, u64),
    /// No such file can be created.
    None,
}

/// Present times of the file systems of a batch of files, asked for as needed.
pub(crate) struct Ticks<'c> {
    clock: &'c FileSystemClock,
    /// Present time per device, asked for once; `None` where it cannot be known.
    now: HashMap<u64, Option<Moment>>,
}

impl FileSystemClock {
    /// Clock that creates its file in `folder`.
    pub(crate) fn new(folder: PathBuf) -> FileSystemClock {
        FileSystemClock {
            folder,
            touch_file: Mutex::new(TouchFile::Unknown),
            latest: Mutex::default(),
            #[cfg(test)]
            everything_is_settled: false,
        }
    }

    /// Present time of the cache's file system.
    pub(crate) fn now(&self) -> io::Result<Moment> {
        match self.touch() {
            Some((_, now)) => Ok(now),
            None => time_in(&self.folder),
        }
    }

    /// Times for a batch of files that are about to be read: each file system is asked once, and only if one of its
    /// files needs it.
    pub(crate) fn ticks(&self) -> Ticks<'_> {
        Ticks { clock: self, now: HashMap::new() }
    }

    /// Device and present time of the cache's own file.
    fn touch(&self) -> Option<(u64, Moment)> {
        let mut own = self.touch_file.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*own, TouchFile::Unknown) {
            let opened = unnamed_in(&self.folder).and_then(|file| Ok((stat_of(&file)?.device, file)));
            *own = opened.map_or(TouchFile::None, |(device, file)| TouchFile::Open(file, device));
        }
        let TouchFile::Open(file, device) = &*own else { return None };
        // By a system call: libraries such as faketime, preloaded before the C library, make times up.
        let now = || Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        rustix::fs::futimens(file, &Timestamps { last_access: now(), last_modification: now() }).ok()?;
        Some((*device, changed_of(file).ok()?))
    }

    /// Present time of the device of the file at `path`; `None` where no file can be touched.
    fn of_device(&self, device: u64, path: &Path) -> Option<Moment> {
        if let Some((own, now)) = self.touch()
            && own == device
        {
            return Some(now);
        }
        // The file may be reached through a link.
        let place = fs::canonicalize(path).ok()?;
        let folder = place.parent()?;
        let (found, now) = unnamed_in(folder).and_then(|file| Ok((stat_of(&file)?.device, changed_of(&file)?))).ok()?;
        (found == device).then_some(now)
    }

    fn note(&self, device: u64, time: Moment) -> Moment {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let known = latest.entry(device).or_insert(time);
        *known = (*known).max(time);
        *known
    }

    fn latest(&self, device: u64) -> Option<Moment> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).get(&device).copied()
    }
}

impl Ticks<'_> {
    /// Whether a file is settled: every later change of it shows in its times. To be asked before the file is read.
    pub(crate) fn is_settled(&mut self, path: &Path, stat: &Stat) -> bool {
        #[cfg(test)]
        if self.clock.everything_is_settled {
            return true;
        }
        let touched = stat.modified.max(stat.changed);
        if self.clock.latest(stat.device).is_some_and(|latest| touched < latest) {
            return true;
        }
        let clock = self.clock;
        let now = self.now.entry(stat.device).or_insert_with(|| clock.of_device(stat.device, path));
        match now {
            Some(now) => touched < clock.note(stat.device, *now),
            None => self.is_settled_by_others(stat),
        }
    }

    /// The same, where no file can be touched: in a folder of somebody else on another file system. No program can set
    /// a time of change, so the clock there has reached the latest one seen, and is past it once the longest tick is
    /// over by this process's own clock. Files whose modification time lies after their time of change are never
    /// settled, and read again each time.
    fn is_settled_by_others(&self, stat: &Stat) -> bool {
        if stat.modified > stat.changed {
            return false;
        }
        if stat.changed >= self.clock.note(stat.device, stat.changed) {
            std::thread::sleep(LONGEST_TICK);
            self.clock.note(stat.device, stat.changed.next());
        }
        true
    }
}

/// Present time of the file system of `folder`, by its own clock: the time of a new file there, comparable with the
/// times that `stat` returns. The file is unnamed where the file system allows it, else it has a name for a moment.
pub(crate) fn time_in(folder: &Path) -> io::Result<Moment> {
    match unnamed_in(folder) {
        Ok(file) => changed_of(&file),
        Err(_) => {
            let file = tempfile::Builder::new().prefix(crate::fs::names::TEMPORARY).tempfile_in(folder)?;
            changed_of(file.as_file())
        }
    }
}

/// Creates a file without a name.
fn unnamed_in(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR)?))
}

fn stat_of(file: &File) -> io::Result<Stat> {
    Ok(Stat::from(rustix::fs::fstat(file)?))
}

fn changed_of(file: &File) -> io::Result<Moment> {
    Ok(stat_of(file)?.changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> (tempfile::TempDir, FileSystemClock) {
        let folder = tempfile::tempdir().unwrap();
        let clock = FileSystemClock::new(folder.path().to_owned());
        (folder, clock)
    }

    #[test]
    fn a_file_rests_once_the_clock_of_its_file_system_has_moved_on() {
        let (folder, clock) = clock();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        let stat = Stat::of(&path).unwrap();
        while clock.now().unwrap() <= stat.changed {
            std::thread::yield_now();
        }
        assert!(clock.ticks().is_settled(&path, &stat));
        let mut to_come = stat;
        to_come.modified.seconds += 1_000;
        assert!(!clock.ticks().is_settled(&path, &to_come), "times to come are in no tick that is over");
        let now = clock.now().unwrap();
        let touched_now = Stat { changed: now, ..stat };
        assert!(clock.latest(stat.device).is_some_and(|latest| latest <= now));
        let mut whole_seconds = clock.ticks();
        whole_seconds.now.insert(7, Some(Moment { seconds: now.seconds, nanoseconds: 0 }));
        let on_another =
            Stat { device: 7, changed: Moment { nanoseconds: 0, ..now }, modified: stat.modified, ..touched_now };
        assert!(!whole_seconds.is_settled(&path, &on_another), "in the same second");
        let earlier = Moment { seconds: now.seconds - 1, nanoseconds: 0 };
        assert!(whole_seconds.is_settled(&path, &Stat { changed: earlier, modified: earlier, ..on_another }));
    }

    #[test]
    fn where_nothing_can_be_touched_other_files_tell_the_time() {
        let (folder, clock) = clock();
        let at = |seconds| Moment { seconds, nanoseconds: 0 };
        let stat = Stat { device: 7, modified: at(5), changed: at(5), ..Stat::of(folder.path()).unwrap() };
        let unknown = || Ticks { clock: &clock, now: HashMap::from([(7, None)]) };
        clock.note(7, at(9));
        assert!(unknown().is_settled(folder.path(), &stat), "something was touched later");
        assert!(!unknown().is_settled(folder.path(), &Stat { modified: at(10), ..stat }));
        let last = Stat { modified: at(9), changed: at(9), ..stat };
        assert!(unknown().is_settled(folder.path(), &last), "the longest tick is over");
        assert_eq!(clock.latest(7), Some(at(9).next()));
    }

    #[test]
    fn the_time_leaves_no_trace() {
        let (folder, clock) = clock();
        let before = time_in(folder.path()).unwrap();
        assert!(clock.now().unwrap() >= before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
