//! Recording results a few at a time, because each time costs a wait for the disk.
//!
//! A result that is stored counts as finished when its record is safely on disk. Until then only this run believes it, and, if
//! this process is killed, the next one. How long it may wait is bounded by how much work is at stake in a power cut.

use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use athanor_cache::{Cache, CacheError, Claim, Digest, SealedRecord, StoredResult, Unsynced, WriteAheadLog};

use crate::plan::InstanceId;

/// A result waits this long for others; not as long once results that took twice this to make wait.
const COMMIT_DELAY: Duration = Duration::from_millis(100);
/// Where the disk is slow, results wait longer: recording them takes at most one part in so many of the time …
const MAX_TIME_SHARE: u32 = 5;
/// … but they never wait longer than this.
const MAX_COMMIT_DELAY: Duration = Duration::from_secs(1);

/// A stored result and the right to record it.
pub struct Unrecorded {
    /// Whose it is.
    pub id: InstanceId,
    /// What it was made for.
    pub fingerprint: Digest,
    /// How long it took to make, in milliseconds.
    pub work_ms: u64,
    /// What is to be recorded.
    pub record: SealedRecord,
    /// What must be safely on disk before.
    pub unsynced: Unsynced,
    /// Nobody else makes the same result until it is recorded.
    pub claim: Claim,
}

/// What became of results that were to be recorded.
pub struct Recorded {
    /// Whose they are.
    pub ids: Vec<InstanceId>,
    /// Those of them that lost an output after it was stored, and are not recorded.
    pub lost: Vec<InstanceId>,
    /// Why they could not be recorded, if that is so.
    pub refusal: Option<CacheError>,
}

enum Command {
    Record(Box<Unrecorded>),
    Flush,
}

/// Hears what became of results.
type Listener = Arc<dyn Fn(Recorded) + Send + Sync>;

/// Records results on a thread of its own.
pub struct GroupCommitter {
    cache: Arc<Cache>,
    pending: Arc<WriteAheadLog>,
    listener: Listener,
    /// `None` where the system gives no thread: then each result is recorded at once.
    thread: Option<(Sender<Command>, JoinHandle<()>)>,
}

impl GroupCommitter {
    /// `listener` hears of every result that is given to [`GroupCommitter::record`].
    pub fn start(cache: Arc<Cache>, listener: impl Fn(Recorded) + Send + Sync + 'static) -> GroupCommitter {
        let (sender, commands) = channel();
        let pending = Arc::new(WriteAheadLog::new(&cache));
        let listener: Listener = Arc::new(listener);
        let theirs = (Arc::clone(&cache), Arc::clone(&pending), Arc::clone(&listener));
        let thread = thread::Builder::new().spawn(move || commit_loop(&theirs.0, &theirs.1, &commands, &*theirs.2));
        GroupCommitter { cache, pending, listener, thread: thread.ok().map(|thread| (sender, thread)) }
    }

    /// Records a result soon. Should this process be killed before, the next one does it.
    pub fn record(&self, result: Unrecorded) {
        // A disk that takes no note will not take the record either, and then that is what is reported.
        let _ = self.pending.append(&result.record);
        if self.thread.is_some() {
            return self.send(Command::Record(Box::new(result)));
        }
        let recorded = commit(&self.cache, vec![result]);
        self.pending.complete(recorded.ids.len());
        (self.listener)(recorded);
    }

    /// Says that nothing else is going on: what waits need not wait any longer.
    pub fn flush(&self) {
        self.send(Command::Flush);
    }

    fn send(&self, command: Command) {
        // The thread ends only when this end of the channel is gone.
        let _ = self.thread.as_ref().map(|(commands, _)| commands.send(command));
    }
}

impl Drop for GroupCommitter {
    fn drop(&mut self) {
        if let Some((commands, thread)) = self.thread.take() {
            drop(commands);
            // A panic there has been printed, and what was not recorded is made again.
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

fn commit_loop(cache: &Cache, pending: &WriteAheadLog, commands: &Receiver<Command>, listener: &dyn Fn(Recorded)) {
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
        pending.complete(recorded.ids.len());
        listener(recorded);
    }
}

fn commit(cache: &Cache, results: Vec<Unrecorded>) -> Recorded {
    let ids = results.iter().map(|result| result.id).collect();
    // Somebody else may have taken over the right to make such a result, and made it.
    let (held, overtaken): (Vec<&Unrecorded>, Vec<&Unrecorded>) =
        results.iter().partition(|result| !result.claim.is_lost());
    let stored: Vec<_> =
        held.iter().map(|result| StoredResult { record: &result.record, unsynced: &result.unsynced }).collect();
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
