//! Processes of a script's group that are still there when the script has ended: a process substitution that has yet to write its
//! last bytes, a job in the background. The shell does not wait for them, and what they write would be cut off.
//!
//! They get a moment to end by themselves, and longer while one of them has an output open for writing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::{Pid, getpgid};

/// Time in which all of them may end by themselves …
const GRACE: Duration = Duration::from_secs(1);
/// … and the time that those have that write to an output.
const WRITING: Duration = Duration::from_secs(60);
/// Bits of a file's flags that say how it is open (fcntl(2)).
const ACCESS_MODE: u32 = 3;

/// Watch over what a script has left behind.
pub(super) struct LeftBehind<'j> {
    group: Pid,
    outputs: &'j [PathBuf],
    since: Instant,
}

/// Process that writes to an output.
pub(super) struct Writer {
    /// Name of its program.
    pub program: String,
    /// The file.
    pub file: PathBuf,
}

impl<'j> LeftBehind<'j> {
    /// Watch over the group of a script that has ended, and whose outputs have these absolute paths.
    pub(super) fn new(group: Pid, outputs: &'j [PathBuf]) -> LeftBehind<'j> {
        LeftBehind { group, outputs, since: Instant::now() }
    }

    /// Whether `orphans` has processes that should still be waited for.
    pub(super) fn are_waited_for(&self, orphans: &[i32]) -> bool {
        let mut members = orphans.iter().filter(|process| self.is_member(**process)).peekable();
        let waited = self.since.elapsed();
        match members.peek() {
            None => false,
            Some(_) if waited < GRACE => true,
            Some(_) => waited < WRITING && members.any(|process| self.writer(*process).is_some()),
        }
    }

    /// The first of `orphans` that writes to an output.
    pub(super) fn first_writer(&self, orphans: &[i32]) -> Option<Writer> {
        orphans.iter().filter(|process| self.is_member(**process)).find_map(|process| self.writer(*process))
    }

    fn is_member(&self, process: i32) -> bool {
        getpgid(Some(Pid::from_raw(process))) == Ok(self.group)
    }

    /// A process, or one that it started, as a writer of an output.
    fn writer(&self, process: i32) -> Option<Writer> {
        let own = open_for_writing(process).into_iter().find(|file| self.is_output(file));
        let own = own.map(|file| Writer { program: super::process_tree::name_of(process), file });
        own.or_else(|| children_of(process).into_iter().find_map(|child| self.writer(child)))
    }

    fn is_output(&self, file: &Path) -> bool {
        self.outputs.iter().any(|output| file.starts_with(output))
    }
}

/// Files that a process has open for writing.
fn open_for_writing(process: i32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let writes = |number: &std::ffi::OsStr| {
        let info = fs::read_to_string(format!("/proc/{process}/fdinfo/{}", number.display())).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_some_and(|flags| flags & ACCESS_MODE != 0)
    };
    let open = entries.filter_map(|entry| {
        let file = fs::read_link(entry.path()).ok().filter(|file| file.is_absolute())?;
        writes(&entry.file_name()).then_some(file)
    });
    open.collect()
}

fn children_of(process: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<i32>>())
        .collect()
}
