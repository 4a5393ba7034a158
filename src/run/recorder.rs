//! Recording results a few at a time, because each time costs a wait for the disk.
//!
//! A result that is stored counts as finished when its record is safely on disk. Until then only this run believes it, and, if
//! this process is killed, the next one. How long it may wait is bounded by how much work is at stake in a power cut.

use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use athanor_cache::{Cache, CacheError, Claim, Digest, Pending, SealedRecord, Unsynced};

use crate::plan::InstanceId;

/// A result waits this long for others; not as long once results that took twice this to make wait.
const PATIENCE: Duration = Duration::from_millis(100);
/// Where the disk is slow, results wait longer: recording them takes at most one part in so many of the time …
const SHARE: u32 = 5;
/// … but they never wait longer than this.
const MOST_PATIENCE: Duration = Duration::from_secs(1);

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
    pub _claim: Claim,
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

enum Word {
    Record(Box<Unrecorded>),
    Hurry,
}

/// Records results on a thread of its own.
pub struct Recorder {
    pending: Arc<Pending>,
    words: Option<Sender<Word>>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// `listener` hears of every result that is given to [`Recorder::record`].
    pub fn start(cache: Arc<Cache>, listener: impl Fn(Recorded) + Send + 'static) -> Recorder {
        let (sender, words) = channel();
        let pending = Arc::new(Pending::new(&cache));
        let noted = Arc::clone(&pending);
        let thread = thread::spawn(move || keep_records(&cache, &noted, &words, &listener));
        Recorder { pending, words: Some(sender), thread: Some(thread) }
    }

    /// Records a result soon. Should this process be killed before, the next one does it.
    pub fn record(&self, result: Unrecorded) {
        // A disk that takes no note will not take the record either, and then that is what is reported.
        let _ = self.pending.note(&result.record);
        self.say(Word::Record(Box::new(result)));
    }

    /// Says that nothing else is going on: what waits need not wait any longer.
    pub fn hurry(&self) {
        self.say(Word::Hurry);
    }

    fn say(&self, word: Word) {
        // The thread ends only when this end of the channel is gone.
        let _ = self.words.as_ref().map(|words| words.send(word));
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.words = None;
        // A panic there has been printed, and what was not recorded is made again.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Results that wait to be recorded together.
struct Waiting {
    results: Vec<Unrecorded>,
    patience: Duration,
    deadline: Instant,
    work: Duration,
}

impl Waiting {
    fn begin(first: Unrecorded, patience: Duration) -> Waiting {
        let deadline = Instant::now() + patience;
        let mut waiting = Waiting { results: Vec::new(), patience, deadline, work: Duration::ZERO };
        waiting.add(first);
        waiting
    }

    fn add(&mut self, result: Unrecorded) {
        self.work += Duration::from_millis(result.work_ms);
        if self.work >= self.patience * 2 {
            self.deadline = Instant::now();
        }
        self.results.push(result);
    }
}

fn keep_records(cache: &Cache, pending: &Pending, words: &Receiver<Word>, listener: &dyn Fn(Recorded)) {
    let mut patience = PATIENCE;
    while let Ok(word) = words.recv() {
        let Word::Record(first) = word else { continue };
        let mut waiting = Waiting::begin(*first, patience);
        while let Ok(Word::Record(result)) =
            words.recv_timeout(waiting.deadline.saturating_duration_since(Instant::now()))
        {
            waiting.add(*result);
        }
        let begun = Instant::now();
        let recorded = write_down(cache, mem::take(&mut waiting.results));
        patience = (begun.elapsed() * (SHARE - 1)).clamp(PATIENCE, MOST_PATIENCE);
        pending.settle(recorded.ids.len());
        listener(recorded);
    }
}

fn write_down(cache: &Cache, results: Vec<Unrecorded>) -> Recorded {
    let pairs: Vec<_> = results.iter().map(|result| (&result.record, &result.unsynced)).collect();
    let written = cache.record_all(&pairs);
    let ids = results.iter().map(|result| result.id).collect();
    match written {
        Ok(written) => {
            let is_lost = |(result, written): (&Unrecorded, &bool)| (!written).then_some(result.id);
            let lost = results.iter().zip(&written).filter_map(is_lost).collect();
            let recorded = results.iter().zip(&written).filter(|(_, written)| **written);
            let forgotten =
                recorded.map(|(result, _)| result).try_for_each(|result| cache.forget_unfinished(&result.fingerprint));
            Recorded { ids, lost, refusal: forgotten.err() }
        }
        Err(refusal) => Recorded { ids, lost: Vec::new(), refusal: Some(refusal) },
    }
}
