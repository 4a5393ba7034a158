//! Ledger of a pipeline: the last result, failure and log of each instance, summed up over earlier runs.
//!
//! The file `ledger` starts with a line that names the newest run that is summed up and seals the rest; in earlier formats the
//! line is that name alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use athanor_cache::Digest;
use serde::{Deserialize, Serialize};

use crate::events::RunEvent;
use crate::run::state::history::RunId;
use crate::run::state::history::files::{read_if_there, write_whole};

/// Name of the file.
pub(super) const FILE: &str = "ledger";
/// Beginning of its first line.
const MAGIC: &str = "athanor ledger 2 ";

/// Entry of one instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Fingerprint of its last result, made or found in the cache.
    pub fingerprint: Option<Digest>,
    /// Fingerprint of work that was begun and not finished; that of the failure, if there is one and it is known.
    pub unfinished: Option<Digest>,
    /// Duration of the last result's work, where it is known.
    pub duration_ms: Option<u64>,
    /// Cause of its failure, if that is the last thing that happened to it.
    pub failure: Option<String>,
    /// Newest log: run and path inside the run's folder.
    pub log: Option<(String, String)>,
}

/// Ledger of all instances.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Newest run that is summed up.
    pub last_run: Option<RunId>,
    /// Entries by instance name.
    pub instances: BTreeMap<String, LedgerEntry>,
}

/// A ledger on disk.
#[derive(Debug)]
pub enum StoredLedger {
    /// No ledger yet.
    None,
    /// Ledger that is as it was written.
    Sound(Ledger),
    /// Ledger that is not as it was written.
    Damaged,
}

impl Ledger {
    /// Applies an event of the run `run`.
    pub fn apply(&mut self, run: &str, event: RunEvent) {
        let Some(instance) = event.instance() else { return };
        let entry = self.instances.entry(instance.to_owned()).or_default();
        match event {
            RunEvent::Started { fingerprint, log, .. } => {
                entry.unfinished = Some(fingerprint);
                entry.failure = None;
                entry.log = Some((run.to_owned(), log));
            }
            RunEvent::Finished { fingerprint, duration_ms, .. } => {
                entry.fingerprint = Some(fingerprint);
                entry.unfinished = None;
                entry.duration_ms = Some(duration_ms);
                entry.failure = None;
            }
            RunEvent::Cached { fingerprint, .. } => {
                if entry.fingerprint != Some(fingerprint) {
                    entry.log = None;
                }
                entry.unfinished = None;
                entry.fingerprint = Some(fingerprint);
                entry.failure = None;
            }
            RunEvent::Failed { cause, retrying: false, .. } => {
                // One that never started failed at work that no event names.
                if entry.log.as_ref().is_none_or(|(of, _)| of != run) {
                    entry.unfinished = None;
                }
                entry.failure = Some(cause);
            }
            _ => {}
        }
    }

    /// Reads the ledger in a history's folder.
    pub fn read(folder: &Path) -> io::Result<StoredLedger> {
        let Some(bytes) = read_if_there(&folder.join(FILE))? else { return Ok(StoredLedger::None) };
        Ok(unsealed(&bytes).map_or(StoredLedger::Damaged, StoredLedger::Sound))
    }

    /// Newest run that is summed up in a history's folder, by the first line of the ledger alone.
    pub fn newest_run(folder: &Path) -> Option<RunId> {
        let mut line = String::new();
        let file = File::open(folder.join(FILE)).ok()?;
        BufReader::with_capacity(256, file).take(256).read_line(&mut line).ok()?;
        let line = line.trim_end();
        RunId::parse(line.strip_prefix(MAGIC).and_then(|head| head.split_once(' ')).map_or(line, |(_, run)| run))
    }

    /// Writes the ledger into a history's folder.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let body = rmp_serde::to_vec(self).map_err(io::Error::other)?;
        let run = self.last_run.as_ref().map_or("", RunId::as_str);
        let head = format!("{MAGIC}{} {run}\n", seal(run, &body));
        write_whole(folder, FILE, &[head.as_bytes(), &body].concat())
    }
}

fn unsealed(bytes: &[u8]) -> Option<Ledger> {
    let at = bytes.iter().position(|byte| *byte == b'\n')?;
    let (head, body) = (str::from_utf8(&bytes[..at]).ok()?, &bytes[at + 1..]);
    match head.strip_prefix(MAGIC) {
        Some(head) => {
            let (sealed, run) = head.split_once(' ')?;
            (sealed == seal(run, body).to_string()).then_some(())?;
        }
        // Earlier format: a damaged line does not parse as such a run.
        None => (RunId::parse(head)?.sequence().is_none()).then_some(())?,
    }
    rmp_serde::from_slice(body).ok()
}

fn seal(run: &str, body: &[u8]) -> Digest {
    Digest::keyed(&Digest::of(format!("athanor ledger 2 {run}").as_bytes()), body)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use jiff::Timestamp;

    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger { last_run: Some(RunId::new(7, Timestamp::UNIX_EPOCH)), ..Ledger::default() };
        ledger.apply("run", RunEvent::Cached { instance: "a".to_owned(), fingerprint: Digest::of(b"a") });
        ledger
    }

    #[test]
    fn every_change_of_a_ledger_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Ledger::read(folder.path()).unwrap(), StoredLedger::None));
        ledger().write(folder.path()).unwrap();
        assert!(matches!(Ledger::read(folder.path()).unwrap(), StoredLedger::Sound(read) if read == ledger()));
        assert_eq!(Ledger::newest_run(folder.path()), ledger().last_run);
        let path = folder.path().join(FILE);
        let bytes = fs::read(&path).unwrap();
        let is_noticed = |damaged: &[u8]| {
            fs::write(&path, damaged).unwrap();
            matches!(Ledger::read(folder.path()).unwrap(), StoredLedger::Damaged)
        };
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(is_noticed(&damaged), "byte {at}");
            assert!(is_noticed(&bytes[..at]), "cut at {at}");
        }
        assert!(is_noticed(&bytes.repeat(2)));
    }

    #[test]
    fn a_failure_is_that_of_the_last_attempt_and_of_its_work() {
        let mut ledger = Ledger::default();
        let started = |work: &[u8]| RunEvent::Started {
            instance: "a".to_owned(),
            fingerprint: Digest::of(work),
            attempt: 1,
            cpus: 1,
            gpus: Vec::new(),
            log: "log".to_owned(),
            queues: false,
        };
        let failed = || RunEvent::Failed {
            instance: "a".to_owned(),
            attempt: 1,
            cause: "no".to_owned(),
            help: None,
            log_tail: Vec::new(),
            retrying: false,
        };
        let last = |ledger: &Ledger| (ledger.instances["a"].failure.is_some(), ledger.instances["a"].unfinished);
        ledger.apply("1", started(b"x"));
        ledger.apply("1", failed());
        assert_eq!(last(&ledger), (true, Some(Digest::of(b"x"))));
        ledger.apply("2", started(b"y"));
        assert_eq!(last(&ledger), (false, Some(Digest::of(b"y"))), "it is at work, or was killed");
        ledger.apply("3", failed());
        assert_eq!(last(&ledger), (true, None), "it could not be started");
    }

    #[test]
    fn a_ledger_of_an_earlier_format_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = ledger();
        ledger.last_run = RunId::parse("20261126-213007.123456-4711");
        let bytes = [b"20261126-213007.123456-4711\n".as_slice(), &rmp_serde::to_vec(&ledger).unwrap()].concat();
        fs::write(folder.path().join(FILE), bytes).unwrap();
        assert_eq!(Ledger::newest_run(folder.path()), ledger.last_run);
        assert!(matches!(Ledger::read(folder.path()).unwrap(), StoredLedger::Sound(read) if read == ledger));
    }
}
