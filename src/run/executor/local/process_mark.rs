//! Marks that tell the processes of an attempt from all others, whatever they do to get away.
//!
//! A process inherits two marks from its stage. One is a variable in its environment: there from the first instruction, seen by
//! nested runs, gone after `env -i`. The other is a number in the soft limit on the time of real-time processes, so large that
//! it limits nothing: no tool changes it, so it stays through `env -i`, `setsid`, closed handles and changes of folder.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Environment variable with the attempts that a process belongs to, outermost first, with spaces between: a stage may itself run a pipeline.
pub(crate) const ATTEMPT_VARIABLE: &str = "ATHANOR_ATTEMPT";

/// Line of `/proc/PID/limits` with the number.
const LIMIT_LINE: &str = "Max realtime timeout";
/// Smallest limit that is a mark: 2^62 microseconds are 146,000 years.
const LIMIT_BASE: u64 = 1 << 62;
/// Bits of a mark that number the attempt; those above tell the run.
const NUMBER_BITS: u32 = 27;
/// Bits of a mark that tell the run.
const RUN_BITS: u32 = 34;

/// Mark of the processes of a run.
#[derive(Debug, Clone)]
pub(super) struct RunMark {
    name: String,
    /// Attempts that the run itself is part of.
    within: String,
    /// The run's share of limits.
    limit: u64,
}

impl RunMark {
    /// The mark of the run called `name`, which has no space in it; `within` is what [`ATTEMPT_VARIABLE`] says to the run
    /// itself.
    pub(super) fn new(name: &str, within: &str) -> RunMark {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let limit = LIMIT_BASE | (hasher.finish() >> (64 - RUN_BITS)) << NUMBER_BITS;
        RunMark { name: name.to_owned(), within: within.to_owned(), limit }
    }

    /// The run's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Value of [`ATTEMPT_VARIABLE`] for the attempt of this number.
    pub(super) fn variable(&self, number: u32) -> String {
        let Self { name, within, .. } = self;
        if within.is_empty() { format!("{name}/{number}") } else { format!("{within} {name}/{number}") }
    }

    /// Sets this process's limit, which processes started from now on inherit, to the mark of the attempt of this number. If
    /// the system or the user has set other limits, only the variable marks the attempt.
    pub(super) fn pass_on(&self, number: u32) {
        let ours = getrlimit(Resource::Rttime);
        let is_free = ours.current.is_none_or(|limit| limit >= LIMIT_BASE);
        let value = self.limit | u64::from(number) & ((1 << NUMBER_BITS) - 1);
        if is_free && ours.maximum.is_none_or(|most| most >= value) {
            // Nothing depends on this mark alone.
            let _ = setrlimit(Resource::Rttime, Rlimit { current: Some(value), maximum: ours.maximum });
        }
    }

    /// Number of the attempt of this run that a living process belongs to, if it has a mark.
    pub(super) fn attempt_of(&self, process: i32) -> Option<u32> {
        self.by_limit(process).or_else(|| self.by_environment(process))
    }

    fn by_limit(&self, process: i32) -> Option<u32> {
        let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
        let line = limits.lines().find_map(|line| line.strip_prefix(LIMIT_LINE))?;
        let value: u64 = line.split_whitespace().next()?.parse().ok()?;
        (value >> NUMBER_BITS == self.limit >> NUMBER_BITS).then_some((value & ((1 << NUMBER_BITS) - 1)) as u32)
    }

    fn by_environment(&self, process: i32) -> Option<u32> {
        // The environment of a process that has ended but is not yet reaped reads as empty.
        let environment = fs::read(format!("/proc/{process}/environ")).ok()?;
        let entries = environment.split(|byte| *byte == 0);
        let attempts = entries.filter_map(|entry| entry.strip_prefix(ATTEMPT_VARIABLE.as_bytes())?.strip_prefix(b"="));
        attempts.flat_map(|attempts| attempts.split(|byte| *byte == b' ')).find_map(|attempt| {
            let number = attempt.strip_prefix(self.name.as_bytes())?.strip_prefix(b"/")?;
            std::str::from_utf8(number).ok()?.parse().ok()
        })
    }
}

/// Whether a process works in `folder` or has a file in it open: the last sign of one that shows no mark.
pub(super) fn works_in(process: i32, folder: &Path) -> bool {
    // The kernel resolves symbolic links.
    let Ok(folder) = folder.canonicalize() else { return false };
    let proc = Path::new("/proc").join(process.to_string());
    let is_inside = |link: &Path| fs::read_link(link).is_ok_and(|target| target.starts_with(&folder));
    let files = || fs::read_dir(proc.join("fd")).into_iter().flatten().flatten();
    ["cwd", "root", "exe"].iter().any(|link| is_inside(&proc.join(link))) || files().any(|file| is_inside(&file.path()))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process that waits for its standard input to end. Its environment can be read: the kernel lets the parent go on a moment
    /// before that, with the arguments, is in place.
    fn start(variables: &[(&str, &str)]) -> Child {
        let mut command = Command::new("/bin/cat");
        let command = command.envs(variables.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::null());
        let child = command.current_dir("/").spawn().unwrap();
        let arguments = format!("/proc/{}/cmdline", child.id());
        while fs::read(&arguments).unwrap() != b"/bin/cat\0" {
            std::thread::yield_now();
        }
        child
    }

    fn end(mut child: Child) {
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_process_is_known_by_its_environment_also_that_of_a_nested_run() {
        let run = RunMark::new("outer", "");
        let inner = RunMark::new("inner", &run.variable(7));
        let child = start(&[(ATTEMPT_VARIABLE, &inner.variable(3))]);
        let process = child.id().cast_signed();
        let marks = [&run, &inner, &RunMark::new("oute", "")].map(|mark| mark.attempt_of(process));
        end(child);
        assert_eq!(marks, [Some(7), Some(3), None]);
    }

    #[test]
    fn a_process_is_known_by_its_limit_alone() {
        let run = RunMark::new("some run", "");
        let before = start(&[]);
        run.pass_on(12);
        let after = start(&[]);
        let marks = [&run, &RunMark::new("another run", "")]
            .map(|mark| [&before, &after].map(|child| mark.attempt_of(child.id().cast_signed())));
        end(before);
        end(after);
        assert_eq!(marks, [[None, Some(12)], [None, None]]);
    }

    #[test]
    fn a_process_is_known_by_where_it_works() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("/bin/cat");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).current_dir(folder.path()).spawn().unwrap();
        let process = child.id().cast_signed();
        let found = [folder.path(), &folder.path().join("below")].map(|folder| works_in(process, folder));
        end(child);
        assert_eq!(found, [true, false]);
    }
}
