//! The reaper: a small process that kills a run's stages when the run itself is killed.
//!
//! A run that gets `kill -9` cannot clean up. The reaper waits at the end of a pipe; when the pipe closes without a message,
//! its run is gone, and it kills every process that carries the run's mark, with its group, and every orphan of the run that
//! works in the run's folder, so that none keeps a GPU from the next run. The mark is there from a stage's first instruction,
//! so nothing has to be told to the reaper while the run goes on.
//!
//! Others may be in that folder, too: somebody who looks at it, a backup, the next run or a collection, which clears it away.
//! An orphan without the mark is distinguished from these by its parent, which is that of the reaper, itself an orphan by then.
//! Where the run has a control group of its own, everything in that is killed first.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid, getppid};

use crate::run::container::remove_left_over;
use crate::run::environment::EnvironmentVariable;
use crate::run::executor::local::process_mark::{RunMark, works_in};
use crate::run::executor::local::process_tree::parent_of;
use crate::run::executor::local::run_group;

/// Bytes that a run sends when it ends by itself, behind lines with its identity and the path of an engine.
const NORMAL_END: &[u8] = b"done";

/// Pause between two scans for marked processes: one that was being started during the first has its mark by the second.
const SCAN_PAUSE: Duration = Duration::from_millis(50);

/// Number of scans that found something after which the reaper gives up: what is left cannot be killed.
const MAX_SCANS: u32 = 1200;

/// Handle of the reaper in the run.
pub(super) struct Reaper {
    process: Child,
    pipe: Mutex<Option<ChildStdin>>,
}

impl Reaper {
    /// Starts the reaper of the processes of the run with this mark, whose stages work below `folder` and may be in the control
    /// group `group`. If that fails the run goes on without it: only the orphans of a killed run would stay.
    pub(super) fn start(program: &Path, mark: &RunMark, folder: &Path, group: Option<&Path>) -> Option<Reaper> {
        let mut command = Command::new(program);
        command.arg("reaper").arg(mark.name()).arg(folder).args(group);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut process = command.spawn().ok()?;
        let pipe = process.stdin.take();
        Some(Reaper { process, pipe: Mutex::new(pipe) })
    }

    /// Process id of the reaper.
    pub(super) fn process(&self) -> i32 {
        self.process.id().cast_signed()
    }

    /// Tells it of the engine of a container: it is to remove those that the run leaves behind.
    pub(super) fn tell_of_engine(&self, program: &Path) {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let run = athanor_cache::this_process();
        let line = [run.as_bytes(), b" ", program.as_os_str().as_bytes(), b"\n"].concat();
        // A reaper that has died removes nothing; the next run does.
        let _ = pipe.as_mut().map(|pipe| pipe.write_all(&line));
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The reaper may have died.
            let _ = pipe.write_all(NORMAL_END);
        }
        let _ = self.process.wait();
    }
}

/// Main function of the reaper of the run called `mark`, whose stages work below `folder` and may be in the control group
/// `group`.
pub(crate) fn main(mark: &str, folder: &Path, group: Option<&Path>) -> u8 {
    let search = Search::new(RunMark::new(mark, ""), folder);
    let mut received = Vec::new();
    let heard = std::io::stdin().lock().read_to_end(&mut received);
    if heard.is_ok() && received.ends_with(NORMAL_END) {
        return 0;
    }
    let environment: Vec<EnvironmentVariable> = std::env::vars_os().collect();
    if let Some(group) = group {
        run_group::kill_all(group);
    }
    let (mut quiet, mut scans) = (0, 0);
    while quiet < 2 && scans < MAX_SCANS {
        let found = search.kill_all();
        quiet = if found { 0 } else { quiet + 1 };
        scans += 1;
        std::thread::sleep(SCAN_PAUSE);
    }
    // The run is gone, and so its containers are nobody's.
    for line in received.split(|byte| *byte == b'\n') {
        let mut words = line.splitn(2, |byte| *byte == b' ');
        if let (Some(run), Some(engine)) = (words.next(), words.next()) {
            let run = String::from_utf8_lossy(run);
            remove_left_over(Path::new(OsStr::from_bytes(engine)), &environment, Some(&*run));
        }
    }
    0
}

/// Search for the processes of one run.
struct Search<'a> {
    mark: RunMark,
    folder: &'a Path,
    /// Process group of the run itself. Its parent may be in it, and a stage that is just being started.
    run_group: Option<Pid>,
    /// Parent of the run, whose other children are no orphans.
    parent_of_run: Option<i32>,
    program: Option<PathBuf>,
}

impl Search<'_> {
    /// A search, to be made while the run lives.
    fn new(mark: RunMark, folder: &Path) -> Search<'_> {
        let run = getppid();
        let program = std::fs::read_link("/proc/self/exe").ok();
        Search { mark, folder, run_group: getpgid(Some(run)).ok(), parent_of_run: parent_of(run.as_raw()), program }
    }

    /// Kills every living process of the run; returns whether there was one.
    fn kill_all(&self) -> bool {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let mut found = false;
        for number in numbers.filter(|number| *number != std::process::id().cast_signed()) {
            let process = Pid::from_raw(number);
            if is_dead(number) {
                continue;
            } else if self.mark.attempt_of(number).is_some() {
                // Any of these may fail because the process has just ended, as wanted.
                if let Ok(group) = getpgid(Some(process))
                    && Some(group) != self.run_group
                {
                    let _ = killpg(group, Signal::SIGKILL);
                }
            } else if !self.is_orphan(number) || !works_in(number, self.folder) {
                continue;
            }
            found = true;
            let _ = kill(process, Signal::SIGKILL);
        }
        found
    }

    /// Whether a process is an orphan as this one is, and no run of the same program: those start nothing without a mark.
    fn is_orphan(&self, process: i32) -> bool {
        let reaper = Some(getppid().as_raw());
        let is_adopted = reaper != self.parent_of_run && parent_of(process) == reaper;
        is_adopted && std::fs::read_link(format!("/proc/{process}/exe")).ok() != self.program
    }
}

/// Whether a process has ended and waits to be reaped, which nobody may do for long.
fn is_dead(process: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}
