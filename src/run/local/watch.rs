//! A process and its event pipe, watched by one thread: what it says while it lives, and that it has ended.

use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, Read};
use std::os::fd::OwnedFd;

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::retry_on_intr;
use rustix::process::{PidfdFlags, pidfd_open};

use crate::run::crew::Crew;
use crate::run::protocol::MAX_LINE;

/// The read end of a process's event pipe.
pub struct Messages {
    pipe: File,
    open: bool,
    /// A line that has not ended yet.
    line: Vec<u8>,
    /// Whether that line is too long, and what is still to come of it is dropped too.
    too_long: bool,
}

impl Messages {
    /// What comes out of `pipe`.
    pub fn new(pipe: PipeReader) -> io::Result<Messages> {
        fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
        Ok(Messages { pipe: OwnedFd::from(pipe).into(), open: true, line: Vec::new(), too_long: false })
    }

    /// Passes on every line that is there, and, once the pipe's last writer is gone, what is left without a line's end.
    pub fn take(&mut self, each: &mut dyn FnMut(&[u8])) {
        let mut chunk = [0; 8192];
        while self.open {
            match self.pipe.read(&mut chunk) {
                Ok(0) => self.close(each),
                Ok(count) => self.split(&chunk[..count], each),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.close(each),
            }
        }
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

    fn close(&mut self, each: &mut dyn FnMut(&[u8])) {
        self.open = false;
        self.end_line(each);
    }
}

/// Waits until the process `leader` has ended, and passes on what it says meanwhile. The process is not reaped, so that its
/// number stays taken.
pub fn until_exit(crew: &Crew, leader: Pid, messages: &mut Messages, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let exit = exit_sign(crew, leader)?;
    loop {
        let sign = PollFd::new(&exit, PollFlags::IN);
        let pipe = PollFd::new(&messages.pipe, PollFlags::IN);
        let mut watched = [sign, pipe];
        let watched = if messages.open { &mut watched[..] } else { &mut watched[..1] };
        retry_on_intr(|| poll(watched, None))?;
        let ended = !watched[0].revents().is_empty();
        messages.take(each);
        if ended {
            return Ok(());
        }
    }
}

/// Something that `poll` finds ready when the process has ended.
fn exit_sign(crew: &Crew, leader: Pid) -> io::Result<OwnedFd> {
    let raw = rustix::process::Pid::from_raw(leader.as_raw());
    if let Some(Ok(sign)) = raw.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        return Ok(sign);
    }
    // Linux before 5.3 has no such descriptor: a thread waits, and gives its sign by closing a pipe.
    let (sign, hold) = io::pipe()?;
    crew.run(move || {
        while waitid(Id::Pid(leader), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(nix::errno::Errno::EINTR) {}
        drop(hold);
    });
    Ok(sign.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

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

    #[test]
    fn an_exit_is_noticed_although_others_hold_the_pipe() {
        let (reader, writer) = io::pipe().unwrap();
        let mut command = std::process::Command::new("/bin/echo");
        let mut child = command.arg("said").stdout(writer.try_clone().unwrap()).spawn().unwrap();
        let mut messages = Messages::new(reader).unwrap();
        let mut lines = Vec::new();
        let leader = Pid::from_raw(child.id().cast_signed());
        until_exit(&Crew::default(), leader, &mut messages, &mut |line| lines.push(line.to_vec())).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(lines, [b"said"]);
        drop(writer);
    }
}
