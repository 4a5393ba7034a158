//! Pusher: puts the results of a run into the remote cache while the run goes on.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use athanor_cache::{ActionRecord, Cache};
use athanor_remote::{PushOptions, PushReport, Remote, RemoteError, Transfer};

use crate::fatal_errors::or_exit;

/// Results that are pushed together at most.
const BATCH: usize = 500;

/// Pusher on a thread of its own.
pub(super) struct Pusher {
    shared: Arc<Shared>,
    transfer: Arc<Transfer>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<ActionRecord>,
    /// Whether the thread works on some.
    is_busy: bool,
    is_running: bool,
    is_closed: bool,
    report: PushReport,
    failures: usize,
}

/// State of a pusher.
pub(super) struct Pushes {
    /// Number of results that are still to be pushed, at least.
    pub(super) left: usize,
    pub(super) report: PushReport,
    /// Number of results that could not be pushed.
    pub(super) failures: usize,
}

impl Pusher {
    pub(super) fn new() -> Pusher {
        Pusher { shared: Arc::default(), transfer: Arc::default() }
    }

    /// Pushes a recorded result soon.
    pub(super) fn push(
        &self,
        record: ActionRecord,
        cache: &Arc<Cache>,
        remote: &Arc<Remote>,
        options: PushOptions,
        on_trouble: &Arc<dyn Fn(&RemoteError) + Send + Sync>,
    ) {
        let mut state = lock(&self.shared.state);
        state.waiting.push(record);
        if state.is_running {
            drop(state);
            return self.shared.changed.notify_all();
        }
        state.is_running = true;
        drop(state);
        let (shared, transfer) = (Arc::clone(&self.shared), Arc::clone(&self.transfer));
        let (cache, remote, on_trouble) = (Arc::clone(cache), Arc::clone(remote), Arc::clone(on_trouble));
        let work = move || or_exit(|| push_loop(&shared, &cache, &remote, options, &transfer, &*on_trouble));
        if thread::Builder::new().spawn(work).is_err() {
            // Without a thread nothing is pushed; the results are here all the same.
            let mut state = lock(&self.shared.state);
            state.failures += state.waiting.len();
            state.waiting.clear();
            state.is_running = false;
        }
    }

    /// Waits a moment for the end of all pushes.
    pub(super) fn wait(&self, moment: Duration) -> Pushes {
        let state = lock(&self.shared.state);
        let is_at_work = |state: &mut State| state.is_busy || !state.waiting.is_empty();
        let waited = self.shared.changed.wait_timeout_while(state, moment, is_at_work);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let left = state.waiting.len() + usize::from(state.is_busy);
        Pushes { left, report: state.report.clone(), failures: state.failures }
    }

    /// Bytes that were sent, and that are known to be sent in all.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.transfer.done(), self.transfer.total())
    }

    /// Gives up what has not been pushed.
    pub(super) fn stop(&self) {
        self.transfer.stop();
        let mut state = lock(&self.shared.state);
        state.failures += state.waiting.len();
        state.waiting.clear();
        state.is_closed = true;
        drop(state);
        self.shared.changed.notify_all();
    }
}

fn push_loop(
    shared: &Shared,
    cache: &Cache,
    remote: &Remote,
    options: PushOptions,
    transfer: &Transfer,
    on_trouble: &dyn Fn(&RemoteError),
) {
    loop {
        let state = lock(&shared.state);
        let is_idle = |state: &mut State| state.waiting.is_empty() && !state.is_closed;
        let mut state = shared.changed.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner);
        if state.waiting.is_empty() {
            return;
        }
        let many = state.waiting.len().min(BATCH);
        let records: Vec<ActionRecord> = state.waiting.drain(..many).collect();
        state.is_busy = true;
        drop(state);
        let outcome = remote.push(cache, records, options, transfer);
        let mut state = lock(&shared.state);
        state.is_busy = false;
        match outcome {
            Ok(report) => {
                state.report.pushed += report.pushed;
                state.report.there += report.there;
                state.report.differing.extend(report.differing);
                state.report.bytes += report.bytes;
            }
            Err(error) => {
                state.failures += many;
                drop(state);
                on_trouble(&error);
            }
        }
        shared.changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
