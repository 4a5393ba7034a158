//! A process and its pipes, watched by one thread: what it reports and prints while it lives, and that it has ended.

use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, Read};
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{ioctl_fionread, retry_on_intr};
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{PidfdFlags, pidfd_open};

use crate::run::local::masked_log::MaskedLog;
use crate::run::protocol::MAX_LINE;

/// Reads from one pipe before the others and the process itself are looked at again: who writes without end is not to be heard
/// alone.
const READS_AT_ONCE: usize = 16;
/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;
/// Size of the pipe of a process that prints much.
const WIDE_PIPE: usize = 1 << 20;
/// How long a process may be silent until there is a look around.
const IDLE: Duration = Duration::from_secs(1);
/// The first look for the end of a process that gives no sign of it; each wait is twice as long as the one before …
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// … up to this.
const LONGEST_LOOK: Duration = Duration::from_millis(20);

/// The end of a pipe that a process writes into.
struct Source {
    pipe: File,
    open: bool,
    /// Bytes that are still read.
    left: usize,
}

impl Source {
    fn new(pipe: PipeReader) -> io::Result<Source> {
        fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        Ok(Source { pipe: OwnedFd::from(pipe).into(), open: true, left: usize::MAX })
    }

    /// Reads what is there; `None` if that is nothing, now or for good.
    fn read<'c>(&mut self, chunk: &'c mut [u8]) -> Option<&'c [u8]> {
        while self.open {
            let most = chunk.len().min(self.left);
            match self.pipe.read(&mut chunk[..most]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Ok(count @ 1..) => {
                    self.left -= count;
                    return Some(&chunk[..count]);
                }
                Ok(0) | Err(_) => self.open = false,
            }
        }
        None
    }

    /// From now on reads no more than what is there.
    fn expect_no_more(&mut self) {
        self.left = ioctl_fionread(&self.pipe).map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX));
    }
}

/// What a process reports, line by line.
pub struct Messages {
    source: Source,
    /// A line that has not ended yet.
    line: Vec<u8>,
    /// Whether that line is too long, and what is still to come of it is dropped too.
    too_long: bool,
}

impl Messages {
    /// What comes out of `pipe`.
    pub fn new(pipe: PipeReader) -> io::Result<Messages> {
        Ok(Messages { source: Source::new(pipe)?, line: Vec::new(), too_long: false })
    }

    /// Passes on lines that are there, up to a bound, and, once the pipe's last writer is gone, what is left without a line's
    /// end; says whether there was something.
    fn take(&mut self, each: &mut dyn FnMut(&[u8])) -> bool {
        let mut chunk = [0; 8192];
        let was_open = self.source.open;
        for _ in 0..READS_AT_ONCE {
            let Some(bytes) = self.source.read(&mut chunk) else {
                if was_open && !self.source.open {
                    self.end_line(each);
                }
                return false;
            };
            self.split(bytes, each);
        }
        true
    }

    fn split(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(&[u8])) {
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..at]);
            self.end_line(each);
            bytes = &bytes[at + 1..];
        }
        self.keep(bytes);
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.too_long |= (self.line.len() + bytes.len()) as u64 > MAX_LINE;
        if self.too_long {
            self.line = Vec::new();
        } else {
            self.line.extend(bytes);
        }
    }

    fn end_line(&mut self, each: &mut dyn FnMut(&[u8])) {
        if !std::mem::take(&mut self.too_long) && !self.line.is_empty() {
            each(&self.line);
        }
        self.line.clear();
    }
}

/// What a process prints.
pub struct Output {
    source: Source,
    /// Room for what is read, once there is something.
    chunk: Vec<u8>,
}

impl Output {
    /// What comes out of `pipe`.
    pub fn new(pipe: PipeReader) -> io::Result<Output> {
        Ok(Output { source: Source::new(pipe)?, chunk: Vec::new() })
    }

    /// Writes what is there to the log, up to a bound; says whether there may be more.
    fn take(&mut self, log: &mut MaskedLog) -> bool {
        for _ in 0..READS_AT_ONCE {
            if self.chunk.is_empty() {
                // Most stages are silent: for them a pipe that has just closed must not cost a chunk.
                let mut first = [0; 512];
                match self.source.read(&mut first) {
                    Some(bytes) => log.write(bytes),
                    None => return false,
                }
                self.chunk = vec![0; CHUNK];
                continue;
            }
            let Some(bytes) = self.source.read(&mut self.chunk) else { return false };
            log.write(bytes);
            if bytes.len() == self.chunk.len() {
                self.widen();
            }
        }
        true
    }

    /// A process that fills its pipe gets a larger one, so that it need not wait for its reader as often.
    fn widen(&mut self) {
        if self.chunk.len() == CHUNK {
            // A user's pipes may have reached their limit, and then this one stays as it is.
            let _ = fcntl_setpipe_size(&self.source.pipe, WIDE_PIPE);
            self.chunk.resize(CHUNK * 4, 0);
        }
    }
}

/// All that is heard of a process.
pub struct Ears {
    /// What it reports.
    pub messages: Messages,
    /// What it prints.
    pub output: Output,
    /// Where that goes.
    pub log: MaskedLog,
}

/// Hears a line of a process's reports; may add to its log.
pub type Hear<'h> = dyn FnMut(&[u8], &mut MaskedLog) + 'h;

impl Ears {
    fn take(&mut self, hear: &mut Hear<'_>) {
        let Ears { messages, output, log } = self;
        messages.take(&mut |line| hear(line, log));
        output.take(log);
    }

    /// Takes what is still in the pipes when all is over. Should somebody still write, that is not waited for.
    pub fn take_rest(&mut self, hear: &mut Hear<'_>) {
        let Ears { messages, output, log } = self;
        messages.source.expect_no_more();
        output.source.expect_no_more();
        while messages.take(&mut |line| hear(line, log)) {}
        while output.take(log) {}
    }
}

/// Waits until the process `leader` has ended, and hears meanwhile what it reports and prints; `idle` is called every second in
/// which that is nothing. The process is not reaped, so that its number stays taken.
pub fn until_exit(leader: Pid, ears: &mut Ears, hear: &mut Hear<'_>, idle: &dyn Fn()) -> io::Result<()> {
    let exit = exit_sign(leader);
    let mut patience = if exit.is_some() { IDLE } else { FIRST_LOOK };
    loop {
        let sources = [&ears.messages.source, &ears.output.source].into_iter().filter(|source| source.open);
        let mut watched: Vec<PollFd<'_>> = sources.map(|source| PollFd::new(&source.pipe, PollFlags::IN)).collect();
        watched.extend(exit.iter().map(|sign| PollFd::new(sign, PollFlags::IN)));
        let timeout = Timespec { tv_sec: patience.as_secs().cast_signed(), tv_nsec: patience.subsec_nanos().into() };
        let ready = retry_on_intr(|| poll(&mut watched, Some(&timeout)))?;
        let ended = match exit {
            Some(_) => watched.last().is_some_and(|sign| !sign.revents().is_empty()),
            None => has_ended(leader),
        };
        ears.take(hear);
        if ended {
            return Ok(());
        }
        if exit.is_none() {
            patience = (patience * 2).min(LONGEST_LOOK);
        }
        if ready == 0 {
            idle();
        }
    }
}

/// Something that `poll` finds ready when the process has ended; `None` before Linux 5.3, or when there are no handles left.
fn exit_sign(leader: Pid) -> Option<OwnedFd> {
    let leader = rustix::process::Pid::from_raw(leader.as_raw())?;
    pidfd_open(leader, PidfdFlags::empty()).ok()
}

fn has_ended(leader: Pid) -> bool {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    !matches!(waitid(Id::Pid(leader), look), Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::EINTR))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Child, Command};

    use super::*;
    use crate::run::local::log::Log;

    #[test]
    fn lines_come_whole_however_they_are_written_and_long_ones_are_dropped() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut messages = Messages::new(reader).unwrap();
        let mut lines: Vec<String> = Vec::new();
        let take = |messages: &mut Messages, lines: &mut Vec<String>| {
            messages.take(&mut |line| lines.push(String::from_utf8_lossy(line).into_owned()));
        };
        take(&mut messages, &mut lines);
        writer.write_all(b"one\ntw").unwrap();
        take(&mut messages, &mut lines);
        writer.write_all(b"o\n\n").unwrap();
        for _ in 0..=(MAX_LINE / 4096) {
            writer.write_all(&[b'x'; 4096]).unwrap();
            take(&mut messages, &mut lines);
        }
        writer.write_all(b"still the long one\nthree\nlast").unwrap();
        drop(writer);
        take(&mut messages, &mut lines);
        assert_eq!(lines, ["one", "two", "three", "last"]);
    }

    /// A shell line whose reports and output are listened to; the writing ends are given along.
    fn listened_to(line: &str, log: &std::path::Path) -> (Child, Ears, [io::PipeWriter; 2]) {
        let (messages, to_messages) = io::pipe().unwrap();
        let (output, to_output) = io::pipe().unwrap();
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line);
        command.stdout(to_messages.try_clone().unwrap()).stderr(to_output.try_clone().unwrap());
        let child = command.spawn().unwrap();
        let (messages, output) = (Messages::new(messages).unwrap(), Output::new(output).unwrap());
        let ears = Ears { messages, output, log: MaskedLog::new(Log::new(log.to_owned(), 1 << 20)) };
        (child, ears, [to_messages, to_output])
    }

    #[test]
    fn an_exit_is_noticed_although_others_hold_the_pipes() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let (mut child, mut ears, writers) = listened_to("echo said; echo printed >&2", &log);
        let mut lines = Vec::new();
        let leader = Pid::from_raw(child.id().cast_signed());
        until_exit(leader, &mut ears, &mut |line, _| lines.push(line.to_vec()), &|| ()).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(lines, [b"said"]);
        assert_eq!(std::fs::read_to_string(log).unwrap(), "printed\n");
        drop(writers);
    }

    #[test]
    fn who_writes_without_end_hides_no_exit_and_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let (mut child, mut ears, writers) = listened_to("yes >&2 & echo $!; yes & echo $!", &log);
        let mut processes = Vec::new();
        let leader = Pid::from_raw(child.id().cast_signed());
        let mut hear = |line: &[u8], _: &mut MaskedLog| {
            processes.extend(String::from_utf8_lossy(line).parse::<i32>());
        };
        until_exit(leader, &mut ears, &mut hear, &|| ()).unwrap();
        child.wait().unwrap();
        ears.take_rest(&mut hear);
        for process in &processes {
            nix::sys::signal::kill(Pid::from_raw(*process), nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        assert_eq!(processes.len(), 2);
        drop(writers);
    }
}
