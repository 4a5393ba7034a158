//! Waiting for a process and its pipes in one thread: for its messages and output while it lives, and for its end.

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

use crate::run::executor::local::masked_log::MaskedLog;
use crate::run::executor::protocol::MAX_LINE;

/// Number of reads from one pipe before the others and the process itself are looked at again, so that a process that writes
/// without end does not hide them.
const MAX_READS: usize = 16;
/// Bytes of a line that is too long which are passed on, so that the line can be named: no message is that short.
pub(super) const KEPT_OF_LONG: usize = 8;
/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;
/// Size of the pipe of a process that prints much.
const WIDE_PIPE: usize = 1 << 20;
/// Time without output after which idle work is done.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);
/// First poll for the end of a process without a pidfd; each wait is twice as long as the one before …
const FIRST_POLL: Duration = Duration::from_millis(1);
/// … up to this.
const MAX_POLL: Duration = Duration::from_millis(20);

/// Reading end of a pipe that a process writes into.
struct PipeEnd {
    pipe: File,
    open: bool,
    /// Bytes that are still read.
    left: usize,
}

impl PipeEnd {
    fn new(pipe: PipeReader) -> io::Result<PipeEnd> {
        fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        Ok(PipeEnd { pipe: OwnedFd::from(pipe).into(), open: true, left: usize::MAX })
    }

    /// Reads available bytes; `None` if there are none, now or for good.
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

    /// Stops after what is there now.
    fn stop_after_available(&mut self) {
        self.left = ioctl_fionread(&self.pipe).map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX));
    }
}

/// Reader of a process's messages, line by line.
pub(super) struct MessageReader {
    pipe_end: PipeEnd,
    /// A line that has not ended yet.
    line: Vec<u8>,
    /// Whether that line is too long, and all of it but its beginning is dropped.
    too_long: bool,
}

impl MessageReader {
    /// A reader of `pipe`.
    pub(super) fn new(pipe: PipeReader) -> io::Result<MessageReader> {
        Ok(MessageReader { pipe_end: PipeEnd::new(pipe)?, line: Vec::new(), too_long: false })
    }

    /// Passes available lines on, up to a bound, and, once the pipe's last writer is gone, a last line without an end; returns
    /// whether there may be more.
    fn take(&mut self, each: &mut dyn FnMut(&[u8])) -> bool {
        let mut chunk = [0; 8192];
        let was_open = self.pipe_end.open;
        for _ in 0..MAX_READS {
            let Some(bytes) = self.pipe_end.read(&mut chunk) else {
                if was_open && !self.pipe_end.open {
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
        if self.too_long {
            return;
        }
        self.line.extend(bytes);
        if self.line.len() as u64 > MAX_LINE {
            self.too_long = true;
            self.line.truncate(KEPT_OF_LONG);
            self.line.shrink_to_fit();
        }
    }

    fn end_line(&mut self, each: &mut dyn FnMut(&[u8])) {
        self.too_long = false;
        if !self.line.is_empty() {
            each(&self.line);
        }
        self.line.clear();
    }
}

/// Reader of a process's output.
pub(super) struct OutputReader {
    pipe_end: PipeEnd,
    /// Buffer, once there is something to read.
    chunk: Vec<u8>,
}

impl OutputReader {
    /// A reader of `pipe`.
    pub(super) fn new(pipe: PipeReader) -> io::Result<OutputReader> {
        Ok(OutputReader { pipe_end: PipeEnd::new(pipe)?, chunk: Vec::new() })
    }

    /// Writes available bytes to the log, up to a bound; returns whether there may be more.
    fn take(&mut self, log: &mut MaskedLog) -> bool {
        for _ in 0..MAX_READS {
            if self.chunk.is_empty() {
                // Most stages are silent: for them a pipe that has just closed must not cost a chunk.
                let mut first = [0; 512];
                match self.pipe_end.read(&mut first) {
                    Some(bytes) => log.write(bytes),
                    None => return false,
                }
                self.chunk = vec![0; CHUNK];
                continue;
            }
            let Some(bytes) = self.pipe_end.read(&mut self.chunk) else { return false };
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
            // The user's pipes may have reached their limit; then this one stays as it is.
            let _ = fcntl_setpipe_size(&self.pipe_end.pipe, WIDE_PIPE);
            self.chunk.resize(CHUNK * 4, 0);
        }
    }
}

/// Pipes and log of a process.
pub(super) struct ProcessStreams {
    /// Messages.
    pub messages: MessageReader,
    /// Output.
    pub output: OutputReader,
    /// Log that the output goes to.
    pub log: MaskedLog,
}

/// Receives a line of a process's messages; may add to its log.
pub(super) type OnLine<'h> = dyn FnMut(&[u8], &mut MaskedLog) + 'h;

impl ProcessStreams {
    fn take(&mut self, on_line: &mut OnLine<'_>) {
        let ProcessStreams { messages, output, log } = self;
        messages.take(&mut |line| on_line(line, log));
        output.take(log);
    }

    /// Drains the pipes when the process has ended. Bytes that others still write are not waited for.
    pub(super) fn drain(&mut self, on_line: &mut OnLine<'_>) {
        let ProcessStreams { messages, output, log } = self;
        messages.pipe_end.stop_after_available();
        output.pipe_end.stop_after_available();
        while messages.take(&mut |line| on_line(line, log)) {}
        while output.take(log) {}
    }
}

/// Waits until the process `leader` has ended, and reads its messages and output meanwhile; `idle` is called every second in
/// which there are none. The process is not reaped, so that its number stays taken.
pub(super) fn wait_for_exit(
    leader: Pid,
    streams: &mut ProcessStreams,
    on_line: &mut OnLine<'_>,
    idle: &dyn Fn(),
) -> io::Result<()> {
    let exit = exit_handle(leader);
    let mut pause = if exit.is_some() { IDLE_TIMEOUT } else { FIRST_POLL };
    loop {
        let pipes = [&streams.messages.pipe_end, &streams.output.pipe_end].into_iter().filter(|pipe_end| pipe_end.open);
        let mut watched: Vec<PollFd<'_>> = pipes.map(|pipe_end| PollFd::new(&pipe_end.pipe, PollFlags::IN)).collect();
        watched.extend(exit.iter().map(|sign| PollFd::new(sign, PollFlags::IN)));
        let timeout = Timespec { tv_sec: pause.as_secs().cast_signed(), tv_nsec: pause.subsec_nanos().into() };
        let ready = retry_on_intr(|| poll(&mut watched, Some(&timeout)))?;
        let ended = match exit {
            Some(_) => watched.last().is_some_and(|sign| !sign.revents().is_empty()),
            None => has_ended(leader),
        };
        streams.take(on_line);
        if ended {
            return Ok(());
        }
        if exit.is_none() {
            pause = (pause * 2).min(MAX_POLL);
        }
        if ready == 0 {
            idle();
        }
    }
}

/// Waits as long as the rest of a process's group `works`, and reads its messages and output meanwhile.
pub(super) fn wait_while(works: &dyn Fn() -> bool, streams: &mut ProcessStreams, on_line: &mut OnLine<'_>) {
    while works() {
        streams.take(on_line);
        std::thread::sleep(MAX_POLL);
    }
}

/// Handle that `poll` finds ready when the process has ended; `None` before Linux 5.3, or when no handles are left.
fn exit_handle(leader: Pid) -> Option<OwnedFd> {
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
    use crate::run::executor::local::log::Log;

    #[test]
    fn lines_come_whole_however_they_are_written_and_of_long_ones_comes_the_beginning() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut messages = MessageReader::new(reader).unwrap();
        let mut lines: Vec<String> = Vec::new();
        let take = |messages: &mut MessageReader, lines: &mut Vec<String>| {
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
        assert_eq!(lines, ["one", "two", "xxxxxxxx", "three", "last"]);
    }

    /// A shell line with readers of its messages and output, and the writing ends.
    fn listened_to(line: &str, log: &std::path::Path) -> (Child, ProcessStreams, [io::PipeWriter; 2]) {
        let (messages, to_messages) = io::pipe().unwrap();
        let (output, to_output) = io::pipe().unwrap();
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line);
        command.stdout(to_messages.try_clone().unwrap()).stderr(to_output.try_clone().unwrap());
        let child = command.spawn().unwrap();
        let (messages, output) = (MessageReader::new(messages).unwrap(), OutputReader::new(output).unwrap());
        let streams =
            ProcessStreams { messages, output, log: MaskedLog::new(Log::new(log.to_owned(), 1 << 20), Vec::new()) };
        (child, streams, [to_messages, to_output])
    }

    #[test]
    fn an_exit_is_noticed_although_others_hold_the_pipes() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let (mut child, mut streams, writers) = listened_to("echo said; echo printed >&2", &log);
        let mut lines = Vec::new();
        let leader = Pid::from_raw(child.id().cast_signed());
        wait_for_exit(leader, &mut streams, &mut |line, _| lines.push(line.to_vec()), &|| ()).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(lines, [b"said"]);
        assert_eq!(std::fs::read_to_string(log).unwrap(), "printed\n");
        drop(writers);
    }

    #[test]
    fn who_writes_without_end_hides_no_exit_and_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let (mut child, mut streams, writers) = listened_to("yes >&2 & echo $!; yes & echo $!", &log);
        let mut processes = Vec::new();
        let leader = Pid::from_raw(child.id().cast_signed());
        let mut on_line = |line: &[u8], _: &mut MaskedLog| {
            processes.extend(String::from_utf8_lossy(line).parse::<i32>());
        };
        wait_for_exit(leader, &mut streams, &mut on_line, &|| ()).unwrap();
        child.wait().unwrap();
        streams.drain(&mut on_line);
        for process in &processes {
            nix::sys::signal::kill(Pid::from_raw(*process), nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        assert_eq!(processes.len(), 2);
        drop(writers);
    }
}
