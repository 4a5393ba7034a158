//! The folder that a run and its agents share.
//!
//! `pipelines/<key>/cluster/<name>/` has `queues/<queue>/<request>`, `agents/<agent>/` with the requests that an agent took and its
//! `lines`, `jobs/<token>.json` and `jobs/<token>.id` of each submission, `attempts/` with the folders of attempts, and `out/`
//! with what jobs themselves print. `<name>.lock` beside it is locked by the run. A folder whose lock is free is of a run that was
//! killed; the same user's next run moves in, and goes on with its jobs.
//!
//! Every look opens files and lists folders again, which is when network file systems ask their server.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use athanor_cache::{Cache, CacheError, Lock, remove_tree};

use crate::run::executor::job::Stop;
use crate::run::write_from_front::write_from_front;

/// Name of the folder in that of the pipeline's history.
const AREA: &str = "cluster";
/// Names of the folders in it.
const FOLDERS: [&str; 6] = ["queues", "agents", "jobs", "attempts", "out", "tmp"];
/// Name of the file of an agent's lines.
const LINES: &str = "lines";
/// Beginning of the name of a file that asks an attempt to stop …
const STOP: &str = "stop.";
/// … and of one that has it killed.
const KILL: &str = "kill.";
/// Name of the file that asks agents to end when they have nothing to do.
const CLOSED: &str = "closed";

/// Paths in the folder.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    /// Path of the folder.
    pub root: PathBuf,
}

/// The folder, for the run that has it.
pub(crate) struct ClusterFolder {
    pub(super) shared: Shared,
    /// Name of its jobs in the cluster's queue.
    pub(super) name: String,
    lock_path: PathBuf,
    _lock: Lock,
}

impl ClusterFolder {
    /// Takes the folder of a run of this user's that was killed, or else makes one for the run called `run`, in the folder of a
    /// pipeline's history.
    pub(crate) fn claim(cache: &Cache, history: &Path, run: &str) -> Result<ClusterFolder, CacheError> {
        let area = history.join(AREA);
        let io = |source| CacheError::Io { path: area.clone(), source };
        fs::create_dir_all(&area).map_err(io)?;
        let entries = fs::read_dir(&area).map_err(io)?.flatten();
        // Nobody else may enter it, or end its jobs.
        let user = rustix::process::geteuid().as_raw();
        let is_own = |entry: &fs::DirEntry| entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == user);
        let mut left: Vec<String> =
            entries.filter(is_own).filter_map(|entry| entry.file_name().into_string().ok()).collect();
        left.sort();
        for name in left {
            let lock_path = area.join(format!("{name}.lock"));
            if let Some(lock) = cache.locks().try_lock(&lock_path)?
                && area.join(&name).is_dir()
            {
                return ClusterFolder::open(&area, name, lock_path, lock);
            }
        }
        // Runs of two pipelines or projects that begin within a second have the same name, and jobs are cancelled by theirs.
        let name = format!("{run}-{:08x}", RandomState::new().hash_one(run) >> 32);
        let lock_path = area.join(format!("{name}.lock"));
        let lock = cache.locks().lock(&lock_path)?;
        ClusterFolder::open(&area, name, lock_path, lock)
    }

    fn open(area: &Path, name: String, lock_path: PathBuf, lock: Lock) -> Result<ClusterFolder, CacheError> {
        let shared = Shared { root: area.join(&name) };
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| CacheError::Io { path, source }
        };
        for folder in FOLDERS.map(|folder| shared.root.join(folder)) {
            // Requests may name what is nobody else's business.
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io(&folder))?;
        }
        Ok(ClusterFolder { shared, name, lock_path, _lock: lock })
    }

    /// Folder for the folders of attempts.
    pub(crate) fn attempts(&self) -> PathBuf {
        self.shared.root.join("attempts")
    }

    /// Removes the folder.
    pub(super) fn remove(&self) {
        // An agent that ends only now may put something into it; the next run removes that.
        let _ = remove_tree(&self.shared.root);
        let _ = fs::remove_file(&self.lock_path);
    }
}

impl Shared {
    /// Path of a queue.
    pub(super) fn queue(&self, queue: &str) -> PathBuf {
        self.root.join("queues").join(queue)
    }

    /// Path of an agent's folder.
    pub(super) fn agent(&self, agent: &str) -> PathBuf {
        self.root.join("agents").join(agent)
    }

    /// Path of a file about a submission.
    pub(super) fn job(&self, name: &str) -> PathBuf {
        self.root.join("jobs").join(name)
    }

    /// Path of the file in which a job's own output goes; `%a` is the number in an array.
    pub(super) fn output(&self, job: &str) -> PathBuf {
        self.root.join("out").join(job)
    }

    /// Writes a file whole or not at all.
    pub(super) fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let temporary = self.root.join("tmp").join(name);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        drop(file);
        fs::rename(&temporary, path)
    }

    /// Writes a byte into the folder, to see whether that can be done.
    pub(super) fn try_to_write(&self) -> io::Result<()> {
        let path = self.root.join("tmp").join("tried");
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(b"x")
    }

    /// Puts a request into a queue.
    pub(super) fn enqueue(&self, queue: &str, name: &str, content: &[u8]) -> io::Result<()> {
        let folder = self.queue(queue);
        match self.write(&folder.join(name), content) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(&folder)?;
                self.write(&folder.join(name), content)
            }
            other => other,
        }
    }

    /// Takes a request out of a queue; returns whether it was there.
    pub(super) fn withdraw(&self, queue: &str, name: &str) -> bool {
        let to = self.root.join("tmp").join(name);
        let is_ours = take(&self.queue(queue).join(name), &to);
        // It is in nobody's way.
        let _ = fs::remove_file(&to);
        is_ours
    }

    /// Asks an agent to stop an attempt, or to kill it.
    pub(super) fn ask_to_stop(&self, agent: &str, key: &str, now: bool) -> io::Result<()> {
        let begin = if now { KILL } else { STOP };
        File::create(self.agent(agent).join(format!("{begin}{key}"))).map(drop)
    }

    /// Asks all agents to end when they have nothing to do.
    pub(super) fn close(&self) {
        // Jobs are cancelled, too.
        let _ = File::create(self.root.join(CLOSED));
    }

    /// Opens the folder to agents again.
    pub(super) fn reopen(&self) {
        let _ = fs::remove_file(self.root.join(CLOSED));
    }

    /// Whether agents are to end when they have nothing to do.
    pub(super) fn is_closed(&self) -> bool {
        self.root.join(CLOSED).exists()
    }
}

/// Moves a file that somebody else may move, too; returns whether this process did. A server whose answer was lost says to the
/// second call that there is no such file.
pub(super) fn take(from: &Path, to: &Path) -> bool {
    fs::rename(from, to).is_ok() || (to.exists() && !from.exists())
}

/// Names in a folder, sorted; none if it cannot be read.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Request to stop an attempt.
pub(super) struct StopRequest<'n> {
    /// Key of the attempt.
    pub key: &'n str,
    /// How it is to be stopped.
    pub how: Stop,
}

/// Request to stop that a file of this name is.
pub(super) fn stop_request(name: &str) -> Option<StopRequest<'_>> {
    let of = |prefix, how| name.strip_prefix(prefix).map(|key| StopRequest { key, how });
    of(STOP, Stop::Gently).or_else(|| of(KILL, Stop::Now))
}

/// Appends lines to an agent's file, which is opened and closed each time, so that others see them. Bytes that cannot be written, on
/// a full disk or while a server is away, stay in `lines`; the next call goes on with them.
pub(super) fn append(folder: &Path, lines: &mut Vec<u8>, create: bool) -> io::Result<()> {
    let path = folder.join(LINES);
    write_from_front(&mut OpenOptions::new().append(true).create(create).mode(0o600).open(path)?, lines)
}

/// Reader of an agent's lines.
#[derive(Debug, Default)]
pub(super) struct LineReader {
    read: u64,
    /// Line that has begun.
    rest: Vec<u8>,
}

impl LineReader {
    /// Lines that were written since the last call.
    pub(super) fn read(&mut self, folder: &Path) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut read = || -> io::Result<()> {
            let mut file = File::open(folder.join(LINES))?;
            if file.metadata()?.len() > self.read {
                file.seek(SeekFrom::Start(self.read))?;
                file.read_to_end(&mut bytes)?;
            }
            Ok(())
        };
        // Lines that cannot be read now are read later.
        let _ = read();
        self.read += bytes.len() as u64;
        self.rest.append(&mut bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = LineReader::default();
        assert!(reader.read(folder.path()).is_empty());
        append(folder.path(), &mut b"one\ntw".to_vec(), true).unwrap();
        assert_eq!(reader.read(folder.path()), [b"one"]);
        append(folder.path(), &mut b"o\n\nthree\n".to_vec(), false).unwrap();
        assert_eq!(reader.read(folder.path()), [b"two".to_vec(), b"three".to_vec()]);
        assert!(reader.read(folder.path()).is_empty());
    }

    /// Disk with room for this number of bytes.
    struct Disk(Vec<u8>, usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = (self.1 - self.0.len()).min(bytes.len());
            self.0.extend_from_slice(&bytes[..room]);
            if room == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(room) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_a_full_disk_cuts_off_are_completed_later() {
        let (mut disk, mut lines) = (Disk(Vec::new(), 6), b"one\ntwo\n".to_vec());
        write_from_front(&mut disk, &mut lines).unwrap_err();
        write_from_front(&mut disk, &mut lines).unwrap_err();
        lines.extend_from_slice(b"three\n");
        disk.1 = 100;
        write_from_front(&mut disk, &mut lines).unwrap();
        assert_eq!((disk.0, lines), (b"one\ntwo\nthree\n".to_vec(), Vec::new()));
    }

    #[test]
    fn jobs_of_runs_of_one_name_have_other_names() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        let claim = |history: &str| ClusterFolder::claim(&cache, &folder.path().join(history), "000001").unwrap();
        let (one, other) = (claim("one"), claim("other"));
        assert_ne!(one.name, other.name);
        one.remove();
        other.remove();
    }

    #[test]
    fn a_folder_is_one_runs_and_the_next_run_moves_in() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        let history = folder.path().join("history");
        let first = ClusterFolder::claim(&cache, &history, "first").unwrap();
        first.shared.enqueue("q", "request", b"{}").unwrap();
        let other = ClusterFolder::claim(&cache, &history, "other").unwrap();
        assert!(first.name.starts_with("first-") && other.name.starts_with("other-"));
        let name = first.name.clone();
        other.remove();
        drop((first, other));
        let next = ClusterFolder::claim(&cache, &history, "next").unwrap();
        assert_eq!(next.name, name);
        assert!(next.shared.withdraw("q", "request") && !next.shared.withdraw("q", "request"));
        next.remove();
        assert_eq!(names(&history.join(AREA)), Vec::<String>::new());
    }
}
