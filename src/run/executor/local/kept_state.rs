//! State of a command, as its process has it: the lock that it inherits, and whether it changed the state.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use athanor_cache::{Digest, state_digest, state_stamp};
use nix::unistd::Pid;
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use crate::run::executor::job::Exit;
use crate::run::executor::protocol::STOPPED_STATUS;

/// Open file that a process which is started now inherits, until this is dropped. Only one process may be started meanwhile.
pub(super) struct PassedOn<'f> {
    file: BorrowedFd<'f>,
    before: FdFlags,
}

impl<'f> PassedOn<'f> {
    /// Lets `file` be inherited.
    pub(super) fn begin(file: BorrowedFd<'f>) -> io::Result<PassedOn<'f>> {
        let before = fcntl_getfd(file)?;
        fcntl_setfd(file, before - FdFlags::CLOEXEC)?;
        Ok(PassedOn { file, before })
    }
}

impl Drop for PassedOn<'_> {
    fn drop(&mut self) {
        // It cannot fail for a file that is open.
        let _ = fcntl_setfd(self.file, self.before);
    }
}

/// Whether a process of the group of `leader`, which has ended and is not reaped, has not ended yet.
pub(super) fn group_works(leader: Pid) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter(|entry| entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit)).any(
        |entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // The name before it may have any character.
            let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            let mut fields = fields.split(' ');
            let (state, group) = (fields.next(), fields.nth(1));
            let is_member = group.and_then(|group| group.parse().ok()) == Some(leader.as_raw());
            is_member && !matches!(state, Some("Z" | "X"))
        },
    )
}

/// Watch over the state of a command while its process runs.
pub(super) struct StateWatch<'s> {
    folder: &'s Path,
    before: Option<Digest>,
}

impl<'s> StateWatch<'s> {
    /// A watch over `folder`, before the process starts.
    pub(super) fn begin(folder: &'s Path) -> StateWatch<'s> {
        StateWatch { folder, before: state_stamp(folder).ok() }
    }

    /// The exit that an exit of the process, which has ended, means.
    pub(super) fn exit(&self, exit: Exit) -> Exit {
        if exit != Exit::Status(STOPPED_STATUS) {
            return exit;
        }
        // A state that cannot be read is not known to have changed.
        let now = state_stamp(self.folder).ok();
        let is_changed = self.before.is_some() && now.is_some() && self.before != now;
        // It is read only if something touched it: states can be large.
        let digest = || state_digest(self.folder).ok();
        Exit::Stopped { state: is_changed.then(digest).flatten() }
    }
}
