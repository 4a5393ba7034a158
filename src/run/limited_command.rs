//! Commands of the user's that a run waits for, such as those of `versions` and hooks: it says so when they take long, and gives them
//! up at a limit.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::run::own_processes;

/// Time after which it is said that a command is waited for.
pub(crate) const QUIET: Duration = Duration::from_secs(5);

/// Longest output that is kept, in bytes.
pub(crate) const LONGEST: u64 = 1 << 20;

/// Time that a command is given.
pub(crate) struct Patience<'p> {
    /// Time before it is said that the command is waited for.
    pub quiet: Duration,
    /// Time before it is given up.
    pub limit: Duration,
    /// Says that it is waited for.
    pub tell: &'p dyn Fn(),
}

/// End of a command, with what it wrote.
pub(crate) struct Answer {
    /// How it ended.
    pub status: ExitStatus,
    /// Beginning of its standard output, without white space around it.
    pub out: String,
    /// Beginning of its standard error.
    pub err: String,
    /// Whether its standard output was longer than what is kept.
    pub out_is_cut: bool,
    /// Whether its standard error was.
    pub err_is_cut: bool,
}

impl Answer {
    /// The end as the end of a sentence, with the last line of what it wrote about errors.
    pub(crate) fn failure(&self) -> String {
        let said = self.err.lines().last().map(|line| format!(": {line}")).unwrap_or_default();
        format!("ended with {}{said}", status_in_words(self.status))
    }
}

/// The way in which a process ended, such as `exit status 1` or `signal 9 (SIGKILL)`.
pub(crate) fn status_in_words(status: ExitStatus) -> String {
    status.to_string().replacen(": ", " ", 1)
}

/// Runs a command and keeps what it writes; `None` if it was given up.
pub(crate) fn answer_of(command: &mut Command, patience: &Patience<'_>) -> io::Result<Option<Answer>> {
    // Files, and no pipes: something that it leaves running may keep those open.
    let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(err.try_clone()?);
    let mut child = own_processes::spawn(command)?;
    let status = wait_for(&mut child, patience);
    own_processes::ended(child.id());
    let Some(status) = status? else { return Ok(None) };
    let is_cut = |file: &File| file.metadata().is_ok_and(|found| found.len() > LONGEST);
    let (out_is_cut, err_is_cut) = (is_cut(&out), is_cut(&err));
    Ok(Some(Answer { status, out: text_in(&mut out)?, err: text_in(&mut err)?, out_is_cut, err_is_cut }))
}

/// The beginning of what was written into a file.
fn text_in(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Waits for the end of `child`; `None` if it was given up, and then it is killed with all that it started.
pub(crate) fn wait_for(child: &mut Child, patience: &Patience<'_>) -> io::Result<Option<ExitStatus>> {
    let process = Pid::from_raw(child.id().cast_signed());
    let (ended, end) = channel();
    thread::Builder::new().name("command".to_owned()).spawn(move || {
        // The process is not waited for here, so that its number stays its own until nobody can mean it any more.
        while waitid(Id::Pid(process), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        // A waiter that has gone needs no answer.
        let _ = ended.send(());
    })?;
    let rest = patience.limit.saturating_sub(patience.quiet);
    let is_late = |waited| waited == Err(RecvTimeoutError::Timeout);
    if is_late(end.recv_timeout(patience.quiet.min(patience.limit))) {
        (patience.tell)();
        if is_late(end.recv_timeout(rest)) {
            kill_tree(process);
            child.wait()?;
            return Ok(None);
        }
    }
    child.wait().map(Some)
}

/// Kills a process and those that it started, as far as they are still its own.
fn kill_tree(process: Pid) {
    let path = format!("/proc/{process}/task/{process}/children");
    let children = std::fs::read_to_string(path).unwrap_or_default();
    // A process that has ended in the meantime needs no signal.
    let _ = kill(process, Signal::SIGKILL);
    children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .for_each(|child| kill_tree(Pid::from_raw(child)));
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::process::{Command, Stdio};

    use super::*;

    fn wait(script: &str, quiet: Duration, limit: Duration) -> (Option<ExitStatus>, bool) {
        let mut child = Command::new("/bin/sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        let told = Cell::new(false);
        let status = wait_for(&mut child, &Patience { quiet, limit, tell: &|| told.set(true) }).unwrap();
        (status, told.get())
    }

    #[test]
    fn a_command_that_ends_is_waited_for_in_silence() {
        let (status, told) = wait("exit 3", Duration::from_secs(600), Duration::from_secs(600));
        assert_eq!((status.unwrap().code(), told), (Some(3), false));
    }

    #[test]
    fn a_command_that_does_not_come_back_is_told_of_and_given_up() {
        // It reads from a pipe that nobody closes before.
        let (status, told) = wait("cat; exit 3", Duration::from_millis(1), Duration::from_millis(2));
        assert_eq!((status, told), (None, true));
    }
}
