//! Failures of attempts, in words.

use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use athanor_stages::secrets::mask;
use nix::sys::signal::Signal;

use crate::events::RunEvent;
use crate::language::quantity::written_duration;
use crate::run::executor::job::Exit;
use crate::run::executor::os_limits;
use crate::run::executor::protocol::{STATE_VARIABLE, STOPPED_STATUS};

/// Lines of a failed stage's log that are shown.
const TAIL_LINES: usize = 20;
/// Bytes at the end of a log that are read for them.
const TAIL_BYTES: u64 = 16 * 1024;

/// Remedy for a full disk.
const FREE_SPACE: &str = "Free space, then run again: what is finished is kept.";

/// Remedy for a program that wrote into a pipe whose reader had ended.
const BROKEN_PIPE: &str = "It wrote into a pipe whose reader (such as `head`) had ended. Where that is meant, let the reader read \
                           all (`| { head -n 1; cat > /dev/null; }`), or write `set +o pipefail` before that line.";
/// Beginning of the cause where a command ended with another status than 0.
const ENDED: &str = "It ended with exit status";
/// Remedy for a script that ended so and printed nothing.
const WITHOUT_A_WORD: &str = "It printed nothing: one of its commands ended without a word, as `grep` does that finds nothing, and \
                              `[ … ]`. In a shell, `set -x` as the first line shows each of them.";
/// Remedy for a script that reads a variable that is not set.
const UNBOUND: &str = "Scripts end at a variable that is not set: write `${NAME:-}` where it may be missing, or `set +u` before that line.";
/// Remedy for one that another script reads.
const UNBOUND_IN_SOURCED: &str = "Scripts end at a variable that is not set, and those that set up an environment often read \
                                  such ones: write `set +u` before the line that does so, and `set -u` behind it.";
/// Remedy for a script that keeps state without saying so.
const NO_STATE: &str = "`state: true` in the stage gives it a folder that is kept until its result is recorded.";
/// End of the cause of a failure that may be the engine's.
const ENGINE_STATUS: &str = "exit status 125.";
/// Explanation of that.
const OF_ENGINE: &str =
    "That is the status of a container engine that could not do its part; its last words are in the log.";
/// How shells say that a variable is not set.
const UNBOUND_SIGNS: [&str; 2] = ["unbound variable", "parameter not set"];
/// Words of lines that set up an environment.
const SET_UP: [&str; 4] = ["activate", "module", "conda", "source"];

/// Reason why an attempt failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    cause: String,
    help: Option<String>,
    log_tail: Vec<String>,
}

impl Failure {
    /// A failure without a remedy.
    pub(crate) fn new(cause: String) -> Failure {
        Failure { cause, help: None, log_tail: Vec::new() }
    }

    /// The failure that an exit means; `timeout` is given if the run ended the job for taking longer than that.
    pub(crate) fn of_exit(exit: Exit, timeout: Option<Duration>) -> Failure {
        if let Some(timeout) = timeout {
            let help = "Raise `timeout`, or make the stage faster.".to_owned();
            let timeout = written_duration(timeout);
            let cause = format!("It took longer than its timeout of {timeout} and was killed.");
            return Failure { cause, help: Some(help), log_tail: Vec::new() };
        }
        match exit {
            Exit::Success => Failure::new("It ended without an error.".to_owned()),
            Exit::Failed { message, help, .. } => Failure { cause: message, help, log_tail: Vec::new() },
            Exit::Status(101) => {
                let help = "Programs written in Rust end so when they panic; the log has their last words.";
                Failure { help: Some(help.to_owned()), ..Failure::new("It ended with exit status 101.".to_owned()) }
            }
            Exit::Status(127) => {
                let help = "A program in the script was not found (exit status 127): is it installed and on the PATH?";
                Failure { help: Some(help.to_owned()), ..Failure::new("It ended with exit status 127.".to_owned()) }
            }
            Exit::Status(status) => Failure::new(format!("{ENDED} {status}.")),
            Exit::Stopped { .. } => {
                let cause = format!("It stopped (exit status {STOPPED_STATUS}) without having changed its state.");
                let help = "That status means that another attempt goes on from the state: change it before, or end with another one.";
                Failure { help: Some(help.to_owned()), ..Failure::new(cause) }
            }
            Exit::Signal { out_of_memory: true, .. } => {
                Failure::of_memory("It was killed (SIGKILL) when the machine ran out of memory.".to_owned())
            }
            Exit::Signal { number, .. } => {
                Failure::new(format!("It was killed by signal {number} ({}).", signal_name(number)))
            }
            Exit::ProgramSignal { number, out_of_memory } => {
                let status = 128 + number;
                let killed = format!("It ended with exit status {status}: a program in its script was killed");
                if out_of_memory {
                    return Failure::of_memory(format!("{killed} (SIGKILL) when the machine ran out of memory."));
                }
                let help = (number == Signal::SIGPIPE as i32).then(|| BROKEN_PIPE.to_owned());
                Failure { help, ..Failure::new(format!("{killed} by signal {number} ({}).", signal_name(number))) }
            }
            Exit::Evicted { why } => Failure::new(format!("It {why}.")),
            Exit::NotStarted(reason) => Failure::new(reason),
            Exit::HostFault { exit, log, full } => Failure::of_exit(*exit, timeout).hampered(log, full),
        }
    }

    /// The failure of a command that stopped to go on from its state, when that had to be dropped.
    pub(crate) fn of_lost_state() -> Failure {
        let cause = format!("It stopped (exit status {STOPPED_STATUS}), and there is no state to go on from.");
        Failure { help: Some("Run it again: it begins from the start.".to_owned()), ..Failure::new(cause) }
    }

    /// The failure of a command that stopped to go on from its state more than `limit` times.
    pub(crate) fn of_many_stops(limit: u32) -> Failure {
        let cause = format!("It stopped (exit status {STOPPED_STATUS}) more than {limit} times in this run.");
        let help = "The next run goes on from its state. If it gets no further, look at what it saves there: a count of its \
                    attempts is a change, too.";
        Failure { help: Some(help.to_owned()), ..Failure::new(cause) }
    }

    /// The failure that an error of the cache or the disk means; `begin` begins the sentence. The remedy
    /// follows from the errors behind it.
    pub(crate) fn of_error(begin: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
        let refusals = std::iter::successors(Some(error), |error| error.source());
        let help =
            refusals.filter_map(|error| error.downcast_ref::<std::io::Error>()).find_map(|error| match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(FREE_SPACE.to_owned()),
                _ => os_limits::advice(error),
            });
        Failure { help, ..Failure::new(format!("{begin}{error}")) }
    }

    /// The failure of a process that was killed for lack of memory.
    fn of_memory(cause: String) -> Failure {
        let help = "State how much memory it needs (`resources: { memory: … }`), so that fewer stages run beside it.";
        Failure { help: Some(help.to_owned()), ..Failure::new(cause) }
    }

    /// Adds faults of the host to the failure.
    fn hampered(mut self, log: Option<String>, full: Option<String>) -> Failure {
        if let Some(reason) = log {
            self.cause += &format!(" Its log is not whole: {reason}.");
        }
        if let Some(full) = full {
            self.help = Some(format!("{full} {FREE_SPACE}"));
        }
        self
    }

    /// Adds a remedy, before one that is there already.
    #[must_use]
    pub(crate) fn with_help(mut self, help: Option<String>) -> Failure {
        self.help = match (help, self.help) {
            (Some(first), Some(second)) => Some(format!("{first}\n{second}")),
            (first, second) => first.or(second),
        };
        self
    }

    /// Adds the end of the log.
    #[must_use]
    pub(crate) fn with_log(mut self, tail: Vec<String>) -> Failure {
        self.log_tail = tail;
        self
    }

    /// Explains the status with which the engine of a container ends that could not start it.
    #[must_use]
    pub(crate) fn of_container(mut self) -> Failure {
        if self.help.is_none() && self.cause.ends_with(ENGINE_STATUS) {
            self.help = Some(OF_ENGINE.to_owned());
        }
        self
    }

    /// Adds the remedy for a script that reads a variable which is not set.
    #[must_use]
    pub(crate) fn of_script(mut self, script: &str) -> Failure {
        if self.log_tail.iter().any(|line| CARRIAGE_RETURN_SIGNS.iter().any(|sign| line.contains(sign))) {
            self.help = Some(CARRIAGE_RETURN.to_owned());
        }
        let is_unbound = |line: &&String| UNBOUND_SIGNS.iter().any(|sign| line.contains(sign));
        if let (None, Some(line)) = (&self.help, self.log_tail.iter().find(is_unbound)) {
            let mut words = script.split(|c: char| c.is_whitespace() || "/;&|".contains(c));
            let sets_up = words.any(|word| SET_UP.contains(&word));
            let help = match sets_up {
                _ if line.contains(STATE_VARIABLE) => NO_STATE,
                true => UNBOUND_IN_SOURCED,
                false => UNBOUND,
            };
            self.help = Some(help.to_owned());
        }
        if self.help.is_none()
            && self.log_tail.is_empty()
            && self.cause.starts_with(ENDED)
            && !self.cause.contains("signal")
        {
            self.help = Some(WITHOUT_A_WORD.to_owned());
        }
        self
    }

    /// Names variables of the user's that the script names and does not get.
    #[must_use]
    pub(crate) fn with_withheld(mut self, names: &[String]) -> Failure {
        if !names.is_empty() {
            let names = names.join(", ");
            let note = format!(
                "It does not get these variables, which are set here: {names} (`env_passthrough: [{names}]` passes them)."
            );
            // That is why it is not set.
            let help = self.help.take().filter(|help| help != UNBOUND);
            self.help = Some(help.map_or_else(|| note.clone(), |help| format!("{help} {note}")));
        }
        self
    }

    /// Says where the state is kept from which the next attempt at the work of `instance` goes on, if it is.
    #[must_use]
    pub(crate) fn with_state(mut self, kept: Option<&Path>, instance: &str) -> Failure {
        if let Some(kept) = kept {
            let note = format!(
                "Its state is kept, and the next attempt goes on from it: `{}` (`--fresh-state '{instance}'` drops it).",
                kept.display()
            );
            self.help = Some(self.help.take().map_or_else(|| note.clone(), |help| format!("{help}\n{note}")));
        }
        self
    }

    /// The failure as an event, without the secrets of addresses.
    pub(crate) fn event(&self, instance: String, attempt: u32, retrying: bool) -> RunEvent {
        let masked = |text: &String| mask(text).into_owned();
        let (cause, help) = (masked(&self.cause), self.help.as_ref().map(masked));
        let log_tail = self.log_tail.iter().map(masked).collect();
        RunEvent::Failed { instance, attempt, cause, help, log_tail, retrying }
    }
}

fn signal_name(number: i32) -> &'static str {
    Signal::try_from(number).map_or("unknown", Signal::as_str)
}

/// Signs that a script has the line ends of Windows, by the words of shells and of `env`.
const CARRIAGE_RETURN_SIGNS: [&str; 6] = [
    "^M: bad interpreter",
    "\r: bad interpreter",
    "\\r’: No such file",
    "\\r': No such file",
    "$'\\r': command not found",
    "\r: not found",
];
const CARRIAGE_RETURN: &str = "A script has the line ends of Windows, so that the name of a program ends in a carriage return: \
     `sed -i 's/\\r$//' FILE` takes them away.";

/// Last lines of a log; none when it cannot be read.
pub(crate) fn log_tail(log: &Path) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_how_the_machine_stood_in_the_way() {
        let exit = |exit| {
            let (log, full) =
                (Some("No space left on device".to_owned()), Some("The disk of `/d` is full.".to_owned()));
            Failure::of_exit(Exit::HostFault { exit: Box::new(exit), log, full }, None)
        };
        let failure = exit(Exit::Status(1));
        assert_eq!(failure.cause, "It ended with exit status 1. Its log is not whole: No space left on device.");
        let help = "The disk of `/d` is full. Free space, then run again: what is finished is kept.";
        assert_eq!(failure.help.as_deref(), Some(help));
    }

    #[test]
    fn every_end_is_told_in_words() {
        let timeout = Some(Duration::from_secs(5400));
        let signal = |number, out_of_memory| Exit::ProgramSignal { number, out_of_memory };
        let ends = [
            (Exit::Status(1), timeout),
            (Exit::Status(1), None),
            (Exit::Status(2), None),
            (Exit::Status(101), None),
            (Exit::Status(127), None),
            (Exit::Signal { number: 11, out_of_memory: false }, None),
            (Exit::Signal { number: 9, out_of_memory: true }, None),
            (signal(13, false), None),
            (signal(15, false), None),
            (Exit::NotStarted("It could not be started: there is no such program.".to_owned()), None),
        ];
        let told = ends.map(|(exit, timeout)| {
            let Failure { cause, help, .. } = Failure::of_exit(exit, timeout);
            format!("{cause}\n  help: {}", help.as_deref().unwrap_or("-"))
        });
        let lost = Failure::of_lost_state();
        insta::assert_snapshot!(told.join("\n") + &format!("\n{}\n  help: {}", lost.cause, lost.help.unwrap()), @r"
        It took longer than its timeout of 1h30m and was killed.
          help: Raise `timeout`, or make the stage faster.
        It ended with exit status 1.
          help: -
        It ended with exit status 2.
          help: -
        It ended with exit status 101.
          help: Programs written in Rust end so when they panic; the log has their last words.
        It ended with exit status 127.
          help: A program in the script was not found (exit status 127): is it installed and on the PATH?
        It was killed by signal 11 (SIGSEGV).
          help: -
        It was killed (SIGKILL) when the machine ran out of memory.
          help: State how much memory it needs (`resources: { memory: … }`), so that fewer stages run beside it.
        It ended with exit status 141: a program in its script was killed by signal 13 (SIGPIPE).
          help: It wrote into a pipe whose reader (such as `head`) had ended. Where that is meant, let the reader read all (`| { head -n 1; cat > /dev/null; }`), or write `set +o pipefail` before that line.
        It ended with exit status 143: a program in its script was killed by signal 15 (SIGTERM).
          help: -
        It could not be started: there is no such program.
          help: -
        It stopped (exit status 75), and there is no state to go on from.
          help: Run it again: it begins from the start.
        ");
    }

    #[test]
    fn what_the_system_lacks_is_found_behind_an_error() {
        let help = |errno: nix::errno::Errno| {
            let source = std::io::Error::from_raw_os_error(errno as i32);
            let error = athanor_cache::CacheError::Io { path: "/d".into(), source };
            let error = crate::run::attempts::sandbox::TakeError::Cache(error);
            Failure::of_error("It broke: ", &crate::run::attempts::attempt::CommitError::Take(error)).help
        };
        assert_eq!(help(nix::errno::Errno::ENOSPC).as_deref(), Some(FREE_SPACE));
        assert!(help(nix::errno::Errno::EMFILE).unwrap().contains("`ulimit -n`"));
        assert_eq!(help(nix::errno::Errno::EIO), None);
    }

    #[test]
    fn what_a_shell_says_of_a_killed_program_is_a_kill() {
        let cause = |number, out_of_memory| {
            let failure = Failure::of_exit(Exit::ProgramSignal { number, out_of_memory }, None);
            (failure.cause, failure.help.is_some())
        };
        let text = "It ended with exit status 137: a program in its script was killed (SIGKILL) when the machine ran out of memory.";
        assert_eq!(cause(9, true), (text.to_owned(), true));
        let text = "It ended with exit status 139: a program in its script was killed by signal 11 (SIGSEGV).";
        assert_eq!(cause(11, false), (text.to_owned(), false));
    }
}
