//! Batches prepared ahead of time by several threads and handed over in order.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Batches prepared ahead, for each thread that prepares.
const AHEAD_PER_THREAD: usize = 2;

/// Batches in order, while threads prepare the next ones; see [`with_loader`].
pub struct Loader<'a, B> {
    shared: &'a Shared<B>,
    next: usize,
    count: usize,
    waited: Duration,
}

struct Shared<B> {
    state: Mutex<State<B>>,
    changed: Condvar,
}

struct State<B> {
    /// Number of batches begun; the next to prepare.
    begun: usize,
    /// Number of batches handed over.
    taken: usize,
    ready: BTreeMap<usize, B>,
    /// Whether consumer or producers have ended.
    over: bool,
}

impl<B> Shared<B> {
    fn lock(&self) -> MutexGuard<'_, State<B>> {
        // The state is consistent between any two of its changes, each of which is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<B>>) -> MutexGuard<'a, State<B>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.lock().over = true;
        self.changed.notify_all();
    }
}

/// Ends all threads when one is done, or panics.
struct EndOnDrop<'a, B>(&'a Shared<B>);

impl<B> Drop for EndOnDrop<'_, B> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Calls `consume` with a loader of batches 0 to `count`, each of them made by `prepare` in one of `threads` threads.
///
/// At most a few batches a thread are held ready. Batches depend on nothing but `prepare`.
pub fn with_loader<B: Send, R>(
    count: usize,
    threads: usize,
    prepare: impl Fn(usize) -> B + Sync,
    consume: impl FnOnce(&mut Loader<'_, B>) -> R,
) -> R {
    let threads = threads.max(1);
    let state = State { begun: 0, taken: 0, ready: BTreeMap::new(), over: false };
    let shared = Shared { state: Mutex::new(state), changed: Condvar::new() };
    std::thread::scope(|scope| {
        let _end = EndOnDrop(&shared);
        for _ in 0..threads.min(count) {
            scope.spawn(|| work(&shared, count, threads * AHEAD_PER_THREAD, &prepare));
        }
        consume(&mut Loader { shared: &shared, next: 0, count, waited: Duration::ZERO })
    })
}

fn work<B>(shared: &Shared<B>, count: usize, ahead: usize, prepare: &impl Fn(usize) -> B) {
    loop {
        let mut state = shared.lock();
        while !state.over && state.begun < count && state.begun >= state.taken + ahead {
            state = shared.wait(state);
        }
        if state.over || state.begun == count {
            return;
        }
        let number = state.begun;
        state.begun += 1;
        drop(state);
        let unless_done = EndOnDrop(shared);
        let batch = prepare(number);
        std::mem::forget(unless_done);
        shared.lock().ready.insert(number, batch);
        shared.changed.notify_all();
    }
}

impl<B> Loader<'_, B> {
    /// Time that the consumer has waited for batches so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl<B> Iterator for Loader<'_, B> {
    type Item = B;

    fn next(&mut self) -> Option<B> {
        if self.next == self.count {
            return None;
        }
        let since = Instant::now();
        let mut state = self.shared.lock();
        let batch = loop {
            if let Some(batch) = state.ready.remove(&self.next) {
                break batch;
            }
            if state.over {
                // A thread has panicked; joining it panics too.
                return None;
            }
            state = self.shared.wait(state);
        };
        self.next += 1;
        state.taken = self.next;
        drop(state);
        self.shared.changed.notify_all();
        self.waited += since.elapsed();
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn batches_come_in_order_whatever_the_number_of_threads() {
        for threads in [0, 1, 2, 7] {
            let prepare = |number: usize| {
                std::thread::sleep(Duration::from_micros((number * 7919 % 13 * 50) as u64));
                number * number
            };
            let taken = with_loader(50, threads, prepare, |loader| loader.collect::<Vec<_>>());
            assert_eq!(taken, (0..50).map(|number| number * number).collect::<Vec<_>>());
        }
        assert_eq!(with_loader(0, 2, |number| number, |loader| loader.count()), 0);
    }

    #[test]
    fn only_a_few_are_prepared_ahead() {
        let prepared = AtomicUsize::new(0);
        let prepare = |_| prepared.fetch_add(1, Ordering::SeqCst);
        with_loader(1000, 2, prepare, |loader| {
            loader.next();
            std::thread::sleep(Duration::from_millis(50));
            assert!(prepared.load(Ordering::SeqCst) <= 1 + 2 * AHEAD_PER_THREAD);
        });
        assert!(prepared.into_inner() <= 1 + 2 * AHEAD_PER_THREAD, "nothing is prepared that nobody takes");
    }

    #[test]
    fn a_panic_in_a_thread_is_not_waited_for() {
        let outcome = std::panic::catch_unwind(|| {
            with_loader(10, 2, |number| assert!(number < 3), |loader| loader.count());
        });
        assert!(outcome.is_err());
    }

    #[test]
    fn waiting_is_measured() {
        let slow = |_| std::thread::sleep(Duration::from_millis(20));
        let waited = with_loader(3, 1, slow, |loader| {
            while loader.next().is_some() {}
            loader.waited()
        });
        assert!(waited >= Duration::from_millis(50), "{waited:?}");
    }
}
