//! A small process that kills a run's stages when the run itself is killed.
//!
//! A run that gets `kill -9` cannot clean up. The guardian reads from a pipe which process groups are alive; when the pipe
//! closes, its run is gone, and it kills those groups, so that no orphan keeps a GPU from the next run.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// The run's end of the guardian.
pub struct Guardian {
    process: Option<Child>,
    pipe: Mutex<Option<ChildStdin>>,
}

impl Guardian {
    /// Starts the guardian. Where that fails the run goes on without: only the orphans of a killed run are at stake.
    pub fn start(program: &Path) -> Guardian {
        let mut command = Command::new(program);
        command.arg("guardian").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut process = command.spawn().ok();
        let pipe = process.as_mut().and_then(|process| process.stdin.take());
        Guardian { process, pipe: Mutex::new(pipe) }
    }

    /// The group led by `process` is alive.
    pub fn watch(&self, process: u32) {
        self.say('+', process);
    }

    /// The group led by `process` is gone. To be called before the leader is reaped, so that its number is still its own.
    pub fn release(&self, process: u32) {
        self.say('-', process);
    }

    fn say(&self, sign: char, process: u32) {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = pipe.as_mut() {
            // A guardian that has died cannot be helped; the run is what matters.
            let _ = writeln!(pipe, "{sign}{process}");
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(process) = self.process.as_mut() {
            let _ = process.wait();
        }
    }
}

/// The guardian process.
pub fn main() -> u8 {
    let mut alive = BTreeSet::new();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let Some((sign, number)) = line.split_at_checked(1) else { continue };
        let Ok(number) = number.parse::<i32>() else { continue };
        match sign {
            "+" => alive.insert(number),
            _ => alive.remove(&number),
        };
    }
    for group in alive {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    0
}
