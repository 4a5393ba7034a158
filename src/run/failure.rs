//! Why a try of a stage failed, in words.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use athanor_stages::secrets::mask;
use nix::sys::signal::Signal;

use crate::events::RunEvent;
use crate::run::executor::Exit;

/// Lines of a failed stage's log that are shown.
const TAIL_LINES: usize = 20;
/// Bytes at the end of a log that are searched for them.
const TAIL_BYTES: u64 = 16 * 1024;

/// Why a try failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    cause: String,
    help: Option<String>,
    log_tail: Vec<String>,
}

impl Failure {
    /// A failure with nothing to advise.
    pub fn new(cause: String) -> Failure {
        Failure { cause, help: None, log_tail: Vec::new() }
    }

    /// The failure that an exit means; `timeout` if the run ended the job for taking longer than that.
    pub fn of_exit(exit: Exit, timeout: Option<Duration>) -> Failure {
        if let Some(timeout) = timeout {
            let help = "Raise `timeout`, or make the stage faster.".to_owned();
            let cause = format!("It took longer than its timeout of {timeout:?} and was killed.");
            return Failure { cause, help: Some(help), log_tail: Vec::new() };
        }
        match exit {
            Exit::Success => Failure::new("It ended without an error.".to_owned()),
            Exit::Failed { message, help, .. } => Failure { cause: message, help, log_tail: Vec::new() },
            Exit::Status(101) => Failure::new("It panicked (exit status 101).".to_owned()),
            Exit::Status(127) => {
                let help = "A program in the line was not found (exit status 127): is it installed and on the PATH?";
                Failure { help: Some(help.to_owned()), ..Failure::new("It ended with exit status 127.".to_owned()) }
            }
            Exit::Status(status) => Failure::new(format!("It ended with exit status {status}.")),
            Exit::Signal { out_of_memory: true, .. } => {
                let help =
                    "State how much memory it needs (`resources: { memory: … }`), so that fewer stages run beside it.";
                let cause = "It was killed (SIGKILL) when the machine ran out of memory.".to_owned();
                Failure { help: Some(help.to_owned()), ..Failure::new(cause) }
            }
            Exit::Signal { number, .. } => {
                let name = Signal::try_from(number).map_or("unknown", Signal::as_str);
                Failure::new(format!("It was killed by signal {number} ({name})."))
            }
            Exit::NotStarted(reason) => Failure::new(reason),
        }
    }

    /// The same with the end of the log.
    #[must_use]
    pub fn with_log(mut self, tail: Vec<String>) -> Failure {
        self.log_tail = tail;
        self
    }

    /// The failure as an event, which is shown and kept: without the secrets of addresses.
    pub fn event(&self, instance: String, attempt: u32, retrying: bool) -> RunEvent {
        let masked = |text: &String| mask(text).into_owned();
        let (cause, help) = (masked(&self.cause), self.help.as_ref().map(masked));
        let log_tail = self.log_tail.iter().map(masked).collect();
        RunEvent::Failed { instance, attempt, cause, help, log_tail, retrying }
    }
}

/// The last lines of a log; none when it cannot be read.
pub fn log_tail(log: &Path) -> Vec<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| (*line).to_owned()).collect()
}
