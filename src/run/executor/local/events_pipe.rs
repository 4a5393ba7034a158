//! The pipe for a shell line's events, which it opens by name like any file.
//!
//! A process in a sandbox may not look into ours, so that `/proc/PID/fd` is closed to it: for it the pipe has a name in the
//! attempt's folder.

use std::io::{self, PipeReader};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rustix::fs::{Mode as OpenMode, OFlags, open};

/// Name of the pipe in the attempt's folder.
const NAME: &str = "events";

/// Pipe for events.
pub(super) struct EventsPipe {
    /// Our end.
    pub reader: PipeReader,
    /// The other end, which keeps the pipe open.
    pub writer: OwnedFd,
    /// Path under which the process opens it.
    pub path: PathBuf,
    /// Its name on disk, if it has one.
    pub named: Option<NamedPipe>,
}

/// Name of a pipe on disk, until it is dropped.
pub(super) struct NamedPipe(PathBuf);

impl Drop for NamedPipe {
    fn drop(&mut self) {
        // The folder that it is in is removed or emptied next.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl EventsPipe {
    /// A pipe without a name on disk, for processes that may look into this one.
    pub(super) fn unnamed() -> io::Result<EventsPipe> {
        let (reader, writer) = io::pipe()?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), writer.as_raw_fd());
        Ok(EventsPipe { reader, writer: writer.into(), path: path.into(), named: None })
    }

    /// A pipe with a name in the attempt's `folder`.
    pub(super) fn named(folder: &Path) -> io::Result<EventsPipe> {
        let path = folder.join(NAME);
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let named = Some(NamedPipe(path.clone()));
        // In this order neither waits for the other.
        let reader = open(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, OpenMode::empty())?;
        let writer = open(&path, OFlags::WRONLY | OFlags::CLOEXEC, OpenMode::empty())?;
        Ok(EventsPipe { reader: reader.into(), writer, path, named })
    }
}
