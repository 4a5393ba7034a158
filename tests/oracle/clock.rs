//! The machine's clock as runs see it: right, far ahead, or behind.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use fastrand::Rng;

/// How the clock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    Real,
    /// So many days ahead, or behind if it is negative.
    Off(i32),
}

impl Clock {
    /// Now and then another one, where the machine has the library that it takes.
    pub(crate) fn jump(self, rng: &mut Rng) -> Clock {
        match rng.u32(0..12) {
            0 if library().is_some() => Clock::Off([365, 1, -1, -400][rng.usize(0..4)]),
            1..5 => Clock::Real,
            _ => self,
        }
    }

    /// Makes a command see this clock. How long things take and what file systems say stays as it is.
    pub(crate) fn set(self, command: &mut Command) {
        if let (Clock::Off(days), Some(library)) = (self, library()) {
            command.env("LD_PRELOAD", library).env("FAKETIME", format!("{days:+}d"));
            command.env("NO_FAKE_STAT", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
            command.env("FAKETIME_DISABLE_SHM", "1");
            remove_leftovers();
        }
    }
}

/// Removes what the library has left of processes that were killed, where it does not know the variable that does without: a process
/// that gets the number of one of these cannot start, and a script may not notice that.
fn remove_leftovers() {
    for entry in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let number = name.strip_prefix("faketime_shm_").or_else(|| name.strip_prefix("sem.faketime_sem_"));
        if number.is_some_and(|number| !std::fs::exists(format!("/proc/{number}")).unwrap_or(true)) {
            // That of another user stays.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The library that shows processes another time; says so if there is none.
fn library() -> Option<&'static PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
        let found = libraries.find(|library| library.exists());
        if found.is_none() {
            println!("skipped: clocks that jump, since libfaketime is not here");
        }
        found
    };
    FOUND.get_or_init(find).as_ref()
}
