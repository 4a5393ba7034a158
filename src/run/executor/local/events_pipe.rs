//! The pipe for a shell line's events, which it opens by name like any file.
//!
//! A process in a sandbox may not look into ours, so that `/proc/PID/fd` is closed to it: for it the pipe has a name in the
//! attempt's folder.

use std::io::{self, PipeReader};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rustix::fs::{Mode as OpenMode, OFlags, open};

/// Name of the pipe in the attempt's folder.
pub(crate) const NAME: &str = "events";

/// Pipe for events.
pub(super) struct EventsPipe {
    /// Our end.
    pub reader: PipeReader,
    /// The other end, which keeps the pipe open.
    pub writer: OwnedFd,
    /// Path under which the process opens it.
    pub path: PathBuf,
    /// Whether the path is a name in the attempt's folder, which the next attempt there uses again.
    pub is_named: bool,
}

impl EventsPipe {
    /// A pipe without a name on disk, for processes that may look into this one.
    pub(super) fn unnamed() -> io::Result<EventsPipe> {
        let (reader, writer) = io::pipe()?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), writer.as_raw_fd());
        Ok(EventsPipe { reader, writer: writer.into(), path: path.into(), is_named: false })
    }

    /// A pipe with a name in the attempt's `folder`.
    pub(super) fn named(folder: &Path) -> io::Result<EventsPipe> {
        let path = folder.join(NAME);
        if !is_own_pipe(&path) {
            remove_if_there(&path)?;
            mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
        }
        // In this order neither waits for the other.
        let reader = open(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, OpenMode::empty())?;
        let writer = open(&path, OFlags::WRONLY | OFlags::CLOEXEC, OpenMode::empty())?;
        Ok(EventsPipe { reader: reader.into(), writer, path, is_named: true })
    }
}

/// Whether a pipe that an earlier attempt used is at `path`. Nothing is left in it, nor does anybody have it open: it would have been removed.
fn is_own_pipe(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| {
        found.file_type().is_fifo()
            && found.mode() & 0o777 == 0o600
            && found.uid() == rustix::process::geteuid().as_raw()
    })
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
