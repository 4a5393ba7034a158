//! Part of a resume state that belongs to a program: a folder of its own, and what it reported so far.
//!
//! In `unfinished/a/<fingerprint>/`, `state/` is the program's folder, `reports` has lines that the caller writes down, and
//! `in-use` is a file that is locked while anybody may write to the folder. The claim on the fingerprint ends with the process
//! that has it; the programs that it started may live a moment longer. They inherit the open lock file, so that nobody else
//! gets the folder before the last of them is gone.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc;

use crate::fs::disk::Disk;
use crate::fs::file_lock::{are_missing, try_lock};
use crate::{Cache, CacheError, Digest, Result};

/// Name of the program's folder.
pub(crate) const FOLDER: &str = "state";
/// Name of the lock file.
pub(crate) const LOCK: &str = "in-use";
/// Name of the file of reports.
pub(crate) const REPORTS: &str = "reports";

/// A program's part of a resume state, for the holder of the claim on its fingerprint. It is held until this value is dropped
/// and every process that inherited the lock has ended.
#[derive(Debug)]
pub struct ProgramState {
    disk: Disk,
    folder: PathBuf,
    reports: PathBuf,
    /// Lock file; `None` on a file system without locks, where only the claim guards the folder.
    lock: Option<File>,
}

impl Cache {
    /// Folder that the program which works on `fingerprint` has in its resume state; it need not exist.
    pub fn program_state_path(&self, fingerprint: &Digest) -> PathBuf {
        self.resume_state_path(fingerprint).join(FOLDER)
    }

    /// Whether a process still has the program's folder, although its claim may have ended.
    pub fn is_program_state_held(&self, fingerprint: &Digest) -> bool {
        let path = self.resume_state_path(fingerprint).join(LOCK);
        let found = File::options().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path);
        found.is_ok_and(|file| matches!(try_lock(&file), Ok(false)))
    }

    /// Takes the program's folder, which is created if need be. The caller has the claim on `fingerprint`.
    ///
    /// # Errors
    /// The refusal of the disk; [`CacheError::Io`] of the kind `WouldBlock` while another process has the folder.
    pub fn hold_program_state(&self, fingerprint: &Digest) -> Result<ProgramState> {
        let root = self.resume_state_path(fingerprint);
        let folder = root.join(FOLDER);
        self.disk.make_folders(&folder).map_err(CacheError::io(&folder))?;
        let path = root.join(LOCK);
        let file = self.disk.open_to_append(&path).map_err(CacheError::io(&path))?;
        let lock = match try_lock(&file) {
            Ok(true) => Some(file),
            Ok(false) => return Err(CacheError::io(&folder)(std::io::ErrorKind::WouldBlock.into())),
            Err(error) if are_missing(&error) => None,
            Err(error) => return Err(CacheError::io(&path)(error)),
        };
        Ok(ProgramState { disk: self.disk.clone(), folder, reports: root.join(REPORTS), lock })
    }

    /// The program's folder, which is created if need be, for an agent: a process elsewhere that works for the holder of the claim
    /// on `fingerprint`, and of the folder's lock.
    ///
    /// # Errors
    /// The refusal of the disk.
    pub fn borrow_program_state(&self, fingerprint: &Digest) -> Result<ProgramState> {
        let root = self.resume_state_path(fingerprint);
        let folder = root.join(FOLDER);
        self.disk.make_folders(&folder).map_err(CacheError::io(&folder))?;
        Ok(ProgramState { disk: self.disk.clone(), folder, reports: root.join(REPORTS), lock: None })
    }
}

impl ProgramState {
    /// The program's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Open lock file, for the program to inherit.
    pub fn lock(&self) -> Option<BorrowedFd<'_>> {
        self.lock.as_ref().map(AsFd::as_fd)
    }

    /// Lines that were written down by earlier attempts at the same work.
    pub fn reports(&self) -> Vec<u8> {
        // Without the file nothing was reported; one that cannot be read is no reason not to work.
        fs::read(&self.reports).unwrap_or_default()
    }

    /// Writes a line down for later attempts. It is not synced.
    pub fn add_report(&self, line: &[u8]) -> Result<()> {
        let refused = CacheError::io(&self.reports);
        let write = || {
            let file = self.disk.open_to_append(&self.reports)?;
            self.disk.append(&file, &self.reports, &[line, b"\n"].concat())
        };
        write().map_err(refused)
    }
}
