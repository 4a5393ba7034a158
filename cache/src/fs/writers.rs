//! Detection of processes that could still write to a file that is about to be stored.

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::libc;

/// Command that chooses the signal for a broken lease (fcntl(2), Linux); the libc crate does not have it.
const F_SETSIG: libc::c_int = 10;

/// Whether some process has the file open for writing, or mapped so. The kernel grants a read lease on a file only while nobody
/// has; where a file system has no leases nothing is known, and nobody is assumed to have.
pub(crate) fn is_open_for_writing(file: &File) -> bool {
    let descriptor = file.as_raw_fd();
    // SAFETY: These commands take integers and touch no memory of this process. Should somebody open the file for writing while
    // the lease is held, the kernel sends a signal: one that is ignored unless asked for, instead of SIGIO, which kills.
    unsafe {
        libc::fcntl(descriptor, F_SETSIG, libc::SIGURG);
        if libc::fcntl(descriptor, libc::F_SETLEASE, libc::F_RDLCK) == 0 {
            libc::fcntl(descriptor, libc::F_SETLEASE, libc::F_UNLCK);
            return false;
        }
    }
    std::io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_writer_is_noticed_until_it_closes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "x").unwrap();
        let reader = File::open(&path).unwrap();
        assert!(!is_open_for_writing(&reader));
        let writer = File::options().append(true).open(&path).unwrap();
        assert!(is_open_for_writing(&reader), "or this file system has no leases");
        drop(writer);
        assert!(!is_open_for_writing(&reader));
    }
}
