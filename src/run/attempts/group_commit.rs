//! Group commit: results are recorded a few at a time, because each time costs a wait for the disk.
//!
//! A result that is stored counts as finished when its record is safely on disk. Until then only this run believes it, and, if
//! this process is killed, the next one. The delay is bounded by the amount of work that a power cut would lose.

use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use athanor_cache::{Cache, CacheError, Claim, Digest, SealedRecord, StoredResult, Unsynced, WriteAheadLog};

use crate::fatal_errors::or_exit;
use crate::plan::InstanceId;

/// Delay for which a result waits for others; shorter once the results that wait took twice as long to make.
const COMMIT_DELAY: Duration = Duration::from_millis(100);
/// Reciprocal of the largest share of the time that recording may take; results wait longer where the disk is slow …
const MAX_TIME_SHARE: u32 = 5;
/// … up to this delay.
const MAX_COMMIT_DELAY: Duration = Duration::from_secs(1);

/// Stored result that is to be recorded.
pub struct Unrecorded {
    /// Instance.
    pub id: InstanceId,
    /// Fingerprint of the work.
    pub fingerprint: Digest,
    /// Duration of the work, in milliseconds.
    pub work_ms: u64,
    /// Record to be written.
    pub record: SealedRecord,
    /// Objects that must be on disk before the record.
    pub unsynced: Unsynced,
    /// Claim, so that nobody else makes the same result until it is recorded.
    pub claim: Claim,
}

/// Outcome of recording a batch of results.
pub struct Recorded {
    /// Instances.
    pub ids: Vec<InstanceId>,
    /// Instances that lost an output after it was stored, and whose results are not recorded.
    pub lost: Vec<InstanceId>,
    /// Reason why they could not be recorded, if so.
    pub refusal: Option<CacheError>,
}

enum Command {
    Record(Box<Unrecorded>),
    Flush,
}

/// Receives the outcome of recording.
type Listener = Arc<dyn Fn(Recorded) + Send + Sync>;

/// Recorder of results, on a thread of its own.
pub struct GroupCommitter {
    cache: Arc<Cache>,
    wal: Arc<WriteAheadLog>,
    listener: Listener,
    /// `None` where the system gives no thread: then each result is recorded at once.
    thread: Option<(Sender<Command>, JoinHandle<()>)>,
}

impl GroupCommitter {
    /// Starts a committer; `listener` receives the outcome of every [`GroupCommitter::record`].
    pub fn start(cache: Arc<Cache>, listener: impl Fn(Recorded) + Send + Sync + 'static) -> GroupCommitter {
        let (sender, commands) = channel();
        let wal = Arc::new(WriteAheadLog::new(&cache));
        let listener: Listener = Arc::new(listener);
        let theirs = (Arc::clone(&cache), Arc::clone(&wal), Arc::clone(&listener));
        let work = move || or_exit(|| commit_loop(&theirs.0, &theirs.1, &commands, &*theirs.2));
        let thread = thread::Builder::new().spawn(work);
        GroupCommitter { cache, wal, listener, thread: thread.ok().map(|thread| (sender, thread)) }
    }

    /// Records a result soon. Should this process be killed before, the next one does it.
    pub fn record(&self, result: Unrecorded) {
        // A disk that refuses the note will refuse the record, too, and that is reported.
        let _ = self.wal.append(&result.record);
        if self.thread.is_some() {
            return self.send(Command::Record(Box::new(result)));
        }
        let recorded = commit(&self.cache, vec![result]);
        self.wal.complete(recorded.ids.len());
        (self.listener)(recorded);
    }

    /// Records at once what is waiting, as nothing else is going on.
    pub fn flush(&self) {
        self.send(Command::Flush);
    }

    fn send(&self, command: Command) {
        // The thread outlives this end of the channel.
        let _ = self.thread.as_ref().map(|(commands, _)| commands.send(command));
    }
}

impl Drop for GroupCommitter {
    fn drop(&mut self) {
        if let Some((commands, thread)) = self.thread.take() {
            drop(commands);
            // It has ended in good order.
            let _ = thread.join();
        }
    }
}

/// Results that wait to be recorded together.
struct Batch {
    results: Vec<Unrecorded>,
    delay: Duration,
    deadline: Instant,
    work: Duration,
}

impl Batch {
    fn begin(first: Unrecorded, delay: Duration) -> Batch {
        let deadline = Instant::now() + delay;
        let mut batch = Batch { results: Vec::new(), delay, deadline, work: Duration::ZERO };
        batch.add(first);
        batch
    }

    fn add(&mut self, result: Unrecorded) {
        self.work += Duration::from_millis(result.work_ms);
        if self.work >= self.delay * 2 {
            self.deadline = Instant::now();
        }
        self.results.push(result);
    }
}

fn commit_loop(cache: &Cache, wal: &WriteAheadLog, commands: &Receiver<Command>, listener: &dyn Fn(Recorded)) {
    let mut delay = COMMIT_DELAY;
    while let Ok(command) = commands.recv() {
        let Command::Record(first) = command else { continue };
        let mut batch = Batch::begin(*first, delay);
        while let Ok(Command::Record(result)) =
            commands.recv_timeout(batch.deadline.saturating_duration_since(Instant::now()))
        {
            batch.add(*result);
        }
        let begun = Instant::now();
        let recorded = commit(cache, mem::take(&mut batch.results));
        delay = (begun.elapsed() * (MAX_TIME_SHARE - 1)).clamp(COMMIT_DELAY, MAX_COMMIT_DELAY);
        wal.complete(recorded.ids.len());
        listener(recorded);
    }
}

fn commit(cache: &Cache, results: Vec<Unrecorded>) -> Recorded {
    let ids = results.iter().map(|result| result.id).collect();
    // Another process may have taken over the claim, and made the result.
    let (held, overtaken): (Vec<&Unrecorded>, Vec<&Unrecorded>) =
        results.iter().partition(|result| !result.claim.is_lost());
    let stored = held.iter().map(|held| StoredResult { record: &held.record, unsynced: &held.unsynced });
    let stored: Vec<StoredResult<'_>> = stored.collect();
    let written = match cache.record_all(&stored) {
        Ok(written) => written,
        Err(refusal) => return Recorded { ids, lost: Vec::new(), refusal: Some(refusal) },
    };
    let (mut lost, mut refusal) = (Vec::new(), None);
    for (result, written) in held.iter().zip(&written) {
        match written {
            true => refusal = cache.remove_resume_state(&result.fingerprint).err().or(refusal),
            false => lost.push(result.id),
        }
    }
    let is_other = |result: &&Unrecorded| !cache.has_same_outputs(&result.record).unwrap_or(false);
    lost.extend(overtaken.into_iter().filter(is_other).map(|result| result.id));
    Recorded { ids, lost, refusal }
}
