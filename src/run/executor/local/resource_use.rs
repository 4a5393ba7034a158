//! The end of a child process, with what it and the processes that it waited for used.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::run::executor::job::ResourceUse;

/// Counter of the bytes that a process reads and writes, opened while it lives: that of one that has ended is root's.
pub(super) struct ByteCounter(Option<File>);

impl ByteCounter {
    /// The counter of `process`; it counts nothing where the system has none.
    pub(super) fn of(process: Pid) -> ByteCounter {
        ByteCounter(File::open(format!("/proc/{process}/io")).ok())
    }

    /// Bytes that the process and those that it waited for read and wrote, of files, pipes and all else; not what they mapped.
    fn read(&self) -> Option<(u64, u64)> {
        let mut text = [0; 512];
        let count = self.0.as_ref()?.read_at(&mut text, 0).ok()?;
        let text = str::from_utf8(&text[..count]).ok()?;
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        Some((value("rchar:")?, value("wchar:")?))
    }
}

/// Reaps the child `process`, which has ended or is about to.
pub(super) fn reap(process: Pid, bytes: &ByteCounter) -> io::Result<(ExitStatus, ResourceUse)> {
    // What it read and wrote is whole when it has ended, and gone once it is reaped.
    while waitid(Id::Pid(process), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
    let (read, written) = bytes.read().unzip();
    let mut status = 0;
    // SAFETY: A `rusage` is numbers alone, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: Both are places for what the call returns, and outlive it.
        let reaped = unsafe { libc::wait4(process.as_raw(), &raw mut status, 0, &raw mut usage) };
        if reaped == process.as_raw() {
            return Ok((ExitStatus::from_raw(status), ResourceUse { read, written, ..of(&usage) }));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn of(usage: &libc::rusage) -> ResourceUse {
    let milliseconds = |time: libc::timeval| time.tv_sec.cast_unsigned() * 1000 + time.tv_usec.cast_unsigned() / 1000;
    ResourceUse {
        cpu_ms: milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime),
        // The kernel counts it in kibibytes.
        peak_memory: usage.ru_maxrss.cast_unsigned() * 1024,
        ..ResourceUse::default()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    #[expect(clippy::zombie_processes, reason = "the function under test waits for it")]
    fn a_process_ends_with_what_it_used() {
        let busy =
            "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; head -c 300000 /dev/zero | cat > /dev/null; exit 3";
        let child = Command::new("sh").args(["-c", busy]).spawn().unwrap();
        let process = Pid::from_raw(child.id().cast_signed());
        let (status, used) = reap(process, &ByteCounter::of(process)).unwrap();
        assert_eq!(status.code(), Some(3));
        assert!(used.cpu_ms > 0 && used.peak_memory > 100_000, "{used:?}");
        if std::fs::exists("/proc/self/io").unwrap() {
            // Those of the two programs that the shell waited for.
            assert!(used.read.unwrap() >= 600_000 && used.written.unwrap() >= 600_000, "{used:?}");
        }
    }
}
