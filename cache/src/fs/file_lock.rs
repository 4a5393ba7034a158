//! File locks and byte-range locks of the kernel.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// Whether an error says that the file system has no locks.
pub(crate) fn are_missing(error: &io::Error) -> bool {
    const MISSING: [i32; 4] = [libc::ENOSYS, libc::ENOLCK, libc::EOPNOTSUPP, libc::EINVAL];
    error.raw_os_error().is_some_and(|errno| MISSING.contains(&errno))
}

/// Locks one byte of an open file (an open-file-description lock), without waiting.
pub(crate) fn lock_byte(file: &File, offset: i64) -> io::Result<()> {
    set_byte(file, offset, libc::F_WRLCK)
}

fn set_byte(file: &File, offset: i64, kind: libc::c_int) -> io::Result<()> {
    let kind = libc::c_short::try_from(kind).map_err(|_| Errno::EINVAL)?;
    let whence = libc::c_short::try_from(libc::SEEK_SET).map_err(|_| Errno::EINVAL)?;
    let lock = libc::flock { l_type: kind, l_whence: whence, l_start: offset, l_len: 1, l_pid: 0 };
    fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&lock)).map(|_| ()).map_err(Into::into)
}

/// Unlocks one byte of an open file.
pub(crate) fn unlock_byte(file: &File, offset: i64) -> io::Result<()> {
    set_byte(file, offset, libc::F_UNLCK)
}

/// Opens a lock file; creates it if need be. A symbolic link is not followed.
pub(crate) fn open_to_lock(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// Locks an open file without waiting; returns whether it is locked.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}
