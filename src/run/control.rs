//! Requests to a run that goes on, from outside of it: lines in a file of its folder, which the run reads.
//!
//! They reach the run on whatever machine it is, where a signal reaches only this one's. Who may write there may change the cache.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::run::engine::message::Message;

/// Name of the file.
const FILE: &str = "requests";
/// Interval at which a run looks at it.
const LOOK: Duration = Duration::from_millis(500);
/// Bytes that are read at a time.
const CHUNK: u64 = 4096;

/// Request to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlRequest {
    /// To stop, as Ctrl-C asks for it; a second one stops it at once.
    Stop,
    /// To go on after failures from now on, as with `--keep-going`.
    KeepGoing,
}

impl ControlRequest {
    const ALL: [ControlRequest; 2] = [ControlRequest::Stop, ControlRequest::KeepGoing];

    fn word(self) -> &'static str {
        match self {
            ControlRequest::Stop => "stop",
            ControlRequest::KeepGoing => "keep-going",
        }
    }

    /// Leaves the request for the run in `folder`.
    pub(crate) fn leave(self, folder: &Path) -> io::Result<()> {
        let mut file = File::options().append(true).create(true).open(folder.join(FILE))?;
        file.write_all(format!("{}\n", self.word()).as_bytes())
    }

    fn message(self) -> Message {
        match self {
            ControlRequest::Stop => Message::Interrupt,
            ControlRequest::KeepGoing => Message::KeepGoing,
        }
    }
}

/// Reader of the requests in a run's folder.
struct Requests {
    path: PathBuf,
    /// Bytes that were read.
    read: u64,
}

impl Requests {
    /// Requests that are new; lines that are none are passed over.
    fn take(&mut self) -> Vec<ControlRequest> {
        let is_news = fs::symlink_metadata(&self.path).is_ok_and(|file| file.is_file() && file.len() > self.read);
        let text = if is_news { self.read_lines().unwrap_or_default() } else { String::new() };
        self.read += text.len() as u64;
        let request = |line: &str| ControlRequest::ALL.into_iter().find(|request| request.word() == line);
        text.lines().filter_map(request).collect()
    }

    /// Whole lines that were not read yet.
    fn read_lines(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.take(CHUNK).read_to_end(&mut bytes)?;
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes.truncate(end);
        String::from_utf8(bytes).map_err(io::Error::other)
    }
}

/// Thread that passes requests on to the run, until it is dropped.
pub(crate) struct ControlListener {
    go: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ControlListener {
    /// Begins to pass requests in `folder`, which need not be there yet, on to `run`.
    pub(crate) fn begin(folder: &Path, run: Sender<Message>) -> ControlListener {
        let (go, end) = channel::<()>();
        let mut requests = Requests { path: folder.join(FILE), read: 0 };
        let thread = std::thread::Builder::new().spawn(move || {
            while end.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                // A run that has ended needs no request.
                requests.take().into_iter().for_each(|request| drop(run.send(request.message())));
            }
        });
        // Without a thread nobody can ask things of the run, which goes on.
        ControlListener { go: Some(go), thread: thread.ok() }
    }
}

impl Drop for ControlListener {
    fn drop(&mut self) {
        drop(self.go.take());
        if let Some(thread) = self.thread.take() {
            // It ends with the line above.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_arrive_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut requests = Requests { path: folder.path().join(FILE), read: 0 };
        assert_eq!(requests.take(), []);
        ControlRequest::KeepGoing.leave(folder.path()).unwrap();
        ControlRequest::Stop.leave(folder.path()).unwrap();
        assert_eq!(requests.take(), [ControlRequest::KeepGoing, ControlRequest::Stop]);
        let mut file = File::options().append(true).open(folder.path().join(FILE)).unwrap();
        file.write_all(b"something\nsto").unwrap();
        assert_eq!(requests.take(), []);
        file.write_all(b"p\n").unwrap();
        assert_eq!((requests.take(), requests.take()), (vec![ControlRequest::Stop], Vec::new()));
    }
}
