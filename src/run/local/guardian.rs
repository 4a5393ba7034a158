//! A small process that kills a run's stages when the run itself is killed.
//!
//! A run that gets `kill -9` cannot clean up. The guardian waits at the end of a pipe; when the pipe closes without a word,
//! its run is gone, and it kills every process that carries the run's mark in its environment, with its group, so that no
//! orphan keeps a GPU from the next run. The mark is there from a stage's first instruction, so nothing has to be told to
//! the guardian while the run goes on.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid};

/// The environment variable that marks the processes of a run.
pub const MARK_VARIABLE: &str = "ATHANOR_RUN_MARK";

/// What a run says when it ends by itself.
const FAREWELL: &[u8] = b"done";

/// Between two looks for marked processes: one that was being started during the first has its mark by the second.
const SECOND_LOOK: Duration = Duration::from_millis(50);

/// The run's end of the guardian.
pub struct Guardian {
    process: Child,
    pipe: Option<ChildStdin>,
}

impl Guardian {
    /// Starts the guardian of the processes marked with `mark`. Where that fails the run goes on without: only the orphans
    /// of a killed run are at stake.
    pub fn start(program: &Path, mark: &str) -> Option<Guardian> {
        let mut command = Command::new(program);
        command.arg("guardian").arg(mark);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut process = command.spawn().ok()?;
        let pipe = process.stdin.take();
        Some(Guardian { process, pipe })
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // A guardian that has died has nothing to guard any more.
            let _ = pipe.write_all(FAREWELL);
        }
        let _ = self.process.wait();
    }
}

/// The guardian process.
pub fn main(mark: &str) -> u8 {
    let mut words = Vec::new();
    let heard = std::io::stdin().lock().read_to_end(&mut words);
    if heard.is_ok() && words == FAREWELL {
        return 0;
    }
    let marked = format!("{MARK_VARIABLE}={mark}");
    let mut quiet = 0;
    while quiet < 2 {
        let found = kill_marked(marked.as_bytes());
        quiet = if found { 0 } else { quiet + 1 };
        std::thread::sleep(SECOND_LOOK);
    }
    0
}

/// Kills every living process that has `marked` in its environment, with its group; says whether there was one.
fn kill_marked(marked: &[u8]) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut found = false;
    for number in numbers.filter(|number| has_mark(*number, marked)) {
        found = true;
        let process = Pid::from_raw(number);
        // Any of these may fail because the process has just ended, which is what is wanted.
        if let Ok(group) = getpgid(Some(process)) {
            let _ = killpg(group, Signal::SIGKILL);
        }
        let _ = kill(process, Signal::SIGKILL);
    }
    found
}

fn has_mark(process: i32, marked: &[u8]) -> bool {
    // The environment of a process that has ended but is not yet reaped reads as empty.
    let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|entry| entry == marked)
}
