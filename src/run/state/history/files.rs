//! Small files of a history: read if they are there, written whole or not at all.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use athanor_cache::{CacheError, Lock, Locks};
use jiff::Timestamp;

/// Maps an error of the operating system on `path`.
pub(super) fn refused(path: &Path) -> impl FnOnce(io::Error) -> CacheError + '_ {
    move |source| CacheError::Io { path: path.to_owned(), source }
}

/// Content of a file; `None` if there is none.
pub(super) fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file whole or not at all, to survive a power cut.
pub(super) fn write_whole(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    // In a shared cache no link is followed and no file overwritten: the file is new, or there is an error.
    let instant = Timestamp::now().as_nanosecond();
    let temporary = folder.join(format!("{name}.{}-{instant}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).open(&temporary)?;
        file.write_all(content)?;
        file.sync_data()?;
        fs::rename(&temporary, folder.join(name))?;
        File::open(folder)?.sync_all()
    };
    write().inspect_err(|_| {
        // The file may not exist.
        let _ = fs::remove_file(&temporary);
    })
}

/// Whether `name` is one that `write_whole`, or a snapshot file, has before it is whole.
pub fn is_half_written(name: &str) -> bool {
    let of_ours = ["instances.json", "ledger", "pins.json", "pipeline.json", "plan", "recall", "surroundings"];
    let Some((stem, rest)) = name.rsplit_once('.') else { return false };
    let is_number = !rest.is_empty() && rest.bytes().all(|c| c.is_ascii_digit() || c == b'-');
    is_number && (of_ours.contains(&stem) || stem.starts_with("results-") && stem.ends_with(".json"))
}

/// Exclusive lock on a file of a history, which lies below the cache's folder of pipelines.
pub(super) fn lock(path: &Path) -> io::Result<Lock> {
    let pipelines = path.ancestors().find(|place| place.ends_with("pipelines"));
    let cache = pipelines.and_then(Path::parent).unwrap_or(path);
    Locks::of(cache).lock(path).map_err(|error| match error {
        CacheError::Io { source, .. } => source,
        other => io::Error::other(other),
    })
}

/// Opens a file that serves as a lock.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(path)
}

/// Ignores the error of a file system without locks.
pub(super) fn tolerate_no_locks(locked: io::Result<()>) -> io::Result<()> {
    match locked {
        Err(error) if has_no_locks(&error) => Ok(()),
        other => other,
    }
}

/// Whether an error says that the file system knows no locks.
pub(super) fn has_no_locks(error: &io::Error) -> bool {
    let numbers = [nix::libc::ENOSYS, nix::libc::ENOLCK, nix::libc::EOPNOTSUPP];
    error.raw_os_error().is_some_and(|number| numbers.contains(&number))
}

/// Makes a folder and its parents, to survive a power cut.
pub(super) fn make_lasting_folders(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let Some(parent) = path.parent() else { return Ok(()) };
    make_lasting_folders(parent)?;
    // Another process may have made it meanwhile.
    fs::create_dir(path).or_else(|error| if path.is_dir() { Ok(()) } else { Err(error) })?;
    File::open(parent)?.sync_all()
}
