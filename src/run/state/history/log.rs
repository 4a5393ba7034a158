//! Event logs: one JSON line for each event, with a seal that covers it and all lines before it.
//!
//! A log that was cut off, by a kill or a full disk, ends early. Any other difference from what was written breaks the chain of
//! seals. Logs of runs without a number are of an earlier format and have no seals.

use std::fs::{self, File};
use std::io::BufRead;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use athanor_cache::Digest;

use crate::events::{EventSink, RunEvent, Stamped};
use crate::run::state::history::{History, RunId};
use crate::run::write_from_front::write_from_front;

/// Digits of a line's seal.
const SEAL_DIGITS: usize = 16;
/// Text before a seal, which takes the place of the line's last brace.
const SEAL: &str = ",\"seal\":\"";
/// Interval at which events about results that were only found are synced: no record of the run says that they are in use.
const SYNC_PAUSE: Duration = Duration::from_secs(1);

/// Reads the events of a log; lines that do not parse, such as one that was cut off, are skipped.
pub fn read_events(log: impl BufRead) -> Vec<Stamped> {
    let lines = log.split(b'\n').map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_slice(&line).ok()).collect()
}

/// Checked events of a log, and its end.
#[derive(Debug)]
pub(super) struct Reading {
    /// Events before the end or the first damage.
    pub events: Vec<Stamped>,
    /// End of the log.
    pub end: LogEnd,
}

/// End of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogEnd {
    /// Last event of the run.
    Finished,
    /// Cut off: the run goes on, or was killed, and the last line may be partial.
    CutOff,
    /// Damage of the line with this number, from 1.
    Damaged(usize),
}

/// Reads the log of `run` and checks it.
pub(super) fn read_checked(log: &[u8], run: &RunId) -> Reading {
    let mut chain = run.sequence().map(|_| Chain::new(run));
    let mut events: Vec<Stamped> = Vec::new();
    let mut lines = log.split_inclusive(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        let is_last = lines.peek().is_none();
        let whole = line.strip_suffix(b"\n");
        let sound = whole.filter(|line| chain.as_mut().is_none_or(|chain| chain.accepts(line)));
        match sound.and_then(|line| serde_json::from_slice(line).ok()) {
            Some(event) => events.push(event),
            None if is_last && whole.is_none() && is_text(line) => break,
            None => return Reading { events, end: LogEnd::Damaged(at + 1) },
        }
    }
    let finished = events.last().is_some_and(|last| matches!(last.event, RunEvent::RunFinished { .. }));
    Reading { events, end: if finished { LogEnd::Finished } else { LogEnd::CutOff } }
}

/// Whether these bytes can be the beginning of a line: a file that lost its content in a power cut has zeros instead.
fn is_text(line: &[u8]) -> bool {
    !line.iter().any(u8::is_ascii_control)
}

/// Chain of the seals of a log's lines.
#[derive(Debug)]
struct Chain(Digest);

impl Chain {
    fn new(run: &RunId) -> Chain {
        Chain(Digest::of(format!("athanor events 1 {run}").as_bytes()))
    }

    /// Seal of the next line.
    fn seal(&mut self, line: &[u8]) -> String {
        self.0 = Digest::keyed(&self.0, line);
        self.0.to_string()[..SEAL_DIGITS].to_owned()
    }

    /// Whether `line` is the next one, with its seal.
    fn accepts(&mut self, line: &[u8]) -> bool {
        let rest = line.strip_suffix(b"\"}").unwrap_or_default();
        let Some((rest, seal)) = rest.split_at_checked(rest.len().saturating_sub(SEAL_DIGITS)) else { return false };
        let event = rest.strip_suffix(SEAL.as_bytes()).map(|event| [event, b"}"].concat());
        event.is_some_and(|event| self.seal(&event).as_bytes() == seal)
    }
}

/// Event log of a run in progress.
#[derive(Debug)]
pub struct RunLog {
    /// Name of the run.
    pub run: RunId,
    /// Folder of the run.
    pub folder: PathBuf,
    history: History,
    /// File, once it is made.
    file: Option<File>,
    chain: Chain,
    /// Bytes that are still to be written.
    lines: Vec<u8>,
    /// Whether anything has happened that is to be remembered.
    matters: bool,
    /// Whether results were found of which nothing else that is on disk says that the pipeline uses them.
    found: bool,
    synced: Option<Instant>,
}

impl RunLog {
    /// The log of `run`. Its folder and its file are made when something happens.
    pub fn new(history: &History, run: RunId) -> RunLog {
        let (folder, chain) = (history.run_folder(&run), Chain::new(&run));
        let history = history.clone();
        RunLog {
            run,
            folder,
            history,
            file: None,
            chain,
            lines: Vec::new(),
            matters: false,
            found: false,
            synced: None,
        }
    }

    /// Makes the run's folder and log, if that was not done before.
    fn make(&mut self) -> std::io::Result<&mut File> {
        match &mut self.file {
            Some(file) => Ok(file),
            none => {
                fs::create_dir_all(self.folder.join("logs"))?;
                let file = File::options().create(true).append(true).open(self.history.events_path(&self.run))?;
                // Old logs that stay do no harm.
                let _ = self.history.forget_old_runs();
                Ok(none.insert(file))
            }
        }
    }

    fn write(&mut self) -> std::io::Result<()> {
        let mut lines = std::mem::take(&mut self.lines);
        let written = self.make().and_then(|file| write_from_front(file, &mut lines));
        // The rest is tried again later: a log has no gaps.
        self.lines = lines;
        written?;
        if self.found && self.synced.is_none_or(|synced| synced.elapsed() >= SYNC_PAUSE) {
            self.make()?.sync_data()?;
            (self.found, self.synced) = (false, Some(Instant::now()));
        }
        Ok(())
    }
}

impl EventSink for RunLog {
    fn event(&mut self, event: &Stamped) {
        let frame = matches!(event.event, RunEvent::RunStarted { .. } | RunEvent::RunFinished { .. });
        self.matters |= !frame;
        self.found |= matches!(event.event, RunEvent::Cached { .. });
        let Ok(mut line) = serde_json::to_vec(event) else { return };
        let seal = self.chain.seal(&line);
        line.pop();
        self.lines.extend([line.as_slice(), SEAL.as_bytes(), seal.as_bytes(), b"\"}\n"].concat());
    }

    fn flush(&mut self) {
        // One write of whole lines, so that a reader, or the next run after a kill, sees no partial ones. A full disk must not
        // stop the run here; it fails the stages that need space, and a collection does not rely on a log without an end.
        if self.matters && (!self.lines.is_empty() || self.found) {
            let _ = self.write();
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn log() -> (RunId, Vec<u8>) {
        let run = RunId::new(3, Timestamp::UNIX_EPOCH);
        let folder = tempfile::tempdir().unwrap();
        let history = History::at(folder.path().to_owned());
        let mut log = RunLog::new(&history, run.clone());
        let mut say = |event| log.event(&Stamped { time: Timestamp::UNIX_EPOCH, event });
        let started = RunEvent::RunStarted {
            version: 1,
            run: run.to_string(),
            pipeline: "p".to_owned(),
            file: "p.yaml".to_owned(),
            instances: 2,
        };
        say(started);
        for instance in ["a", "b"] {
            say(RunEvent::Cached { instance: instance.to_owned(), fingerprint: Digest::of(instance.as_bytes()) });
        }
        let counts = crate::events::Counts::default();
        say(RunEvent::RunFinished { outcome: crate::events::Outcome::UpToDate, counts, duration_ms: 1 });
        log.flush();
        let bytes = fs::read(history.events_path(&run)).unwrap();
        (run, bytes)
    }

    #[test]
    fn every_change_of_a_log_is_noticed_and_an_early_end_is_one() {
        let (run, log) = log();
        let reading = read_checked(&log, &run);
        assert_eq!((reading.events.len(), reading.end), (4, LogEnd::Finished));
        assert_eq!(read_events(log.as_slice()), reading.events);
        for at in 0..log.len() {
            let mut damaged = log.clone();
            damaged[at] ^= 1;
            let end = read_checked(&damaged, &run).end;
            assert!(matches!(end, LogEnd::Damaged(_)), "byte {at}: {end:?}");
            assert_eq!(read_checked(&log[..at], &run).end, LogEnd::CutOff, "cut at {at}");
        }
        assert_eq!(read_checked(&log.repeat(2), &run).end, LogEnd::Damaged(5));
        assert_eq!(read_checked(&vec![0; log.len()], &run).end, LogEnd::Damaged(1));
        let other = RunId::new(4, Timestamp::UNIX_EPOCH);
        assert_eq!(read_checked(&log, &other).end, LogEnd::Damaged(1));
        let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(read_checked(&[lines[0], lines[2], lines[3]].concat(), &run).end, LogEnd::Damaged(2));
    }
}
