//! Many files at once: every one is fetched, whether others fail or not.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use super::deadline::TransferObserver;
use super::error::FetchError;
use super::fetcher::Fetcher;
use super::hosts;
use super::request::{FetchTask, Fetched};
use super::throughput::{Progress, Throughput};

/// Interval at which a waiting thread asks whether to stop.
const TICK: Duration = Duration::from_millis(50);
/// Minimum interval between two reports of progress.
const REPORT: Duration = Duration::from_millis(200);

/// Callbacks while many files are fetched, called from any thread.
pub struct BatchObserver<'a> {
    /// Receives the progress at intervals.
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// Receives the result of each file as soon as it is finished, by its position.
    pub finished: &'a (dyn Fn(usize, Result<Fetched, FetchError>) + Sync),
    /// Whether to stop.
    pub should_stop: &'a (dyn Fn() -> bool + Sync),
}

impl Fetcher {
    /// Fetches all files, several at once, whether some fail or not. When it is time to stop, files in flight end as
    /// [`FetchErrorKind::Interrupted`], and files that were not begun have no result.
    ///
    /// [`FetchErrorKind::Interrupted`]: super::error::FetchErrorKind::Interrupted
    pub fn fetch_all(&self, tasks: &[FetchTask<'_>], observer: &BatchObserver<'_>) {
        let reporter = ProgressReporter::new(tasks.len(), observer.progress);
        let arrived = |bytes| reporter.update(|throughput, at| throughput.arrived(at, bytes));
        let watch = TransferObserver { should_stop: observer.should_stop, arrived: &arrived };
        let queue = Queue::new(tasks, self.options.per_host);
        let work = || {
            while let Some((index, host)) = queue.next(observer.should_stop) {
                let FetchTask { request, target } = &tasks[index];
                let outcome = self.fetch(request, target, watch);
                queue.done(host);
                reporter.update(|throughput, _| throughput.finished(outcome.is_ok()));
                (observer.finished)(index, outcome);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.options.jobs.min(tasks.len()) {
                scope.spawn(work);
            }
            work();
        });
        reporter.report();
    }
}

/// Files still to be fetched, by host: a host at its limit must not keep threads waiting while another
/// has none.
struct Queue {
    per_host: usize,
    hosts: Mutex<Vec<HostQueue>>,
    freed: Condvar,
}

/// Files still to be fetched from one host.
struct HostQueue {
    waiting: VecDeque<usize>,
    in_flight: usize,
}

impl Queue {
    fn new(tasks: &[FetchTask<'_>], per_host: usize) -> Queue {
        let mut queues: IndexMap<String, HostQueue> = IndexMap::new();
        for (index, task) in tasks.iter().enumerate() {
            let queue_of_host = queues.entry(hosts::name(&task.request.url));
            queue_of_host
                .or_insert_with(|| HostQueue { waiting: VecDeque::new(), in_flight: 0 })
                .waiting
                .push_back(index);
        }
        Queue { per_host: per_host.max(1), hosts: Mutex::new(queues.into_values().collect()), freed: Condvar::new() }
    }

    /// The next file and the position of its host: that of the host with the fewest files in flight. None when none is
    /// left, or when it is time to stop.
    fn next(&self, should_stop: &(dyn Fn() -> bool + Sync)) -> Option<(usize, usize)> {
        let mut hosts = self.lock();
        loop {
            if should_stop() || hosts.iter().all(|queue_of_host| queue_of_host.waiting.is_empty()) {
                return None;
            }
            let open = hosts.iter_mut().enumerate();
            let open = open.filter(|(_, queue_of_host)| {
                !queue_of_host.waiting.is_empty() && queue_of_host.in_flight < self.per_host
            });
            if let Some((host, queue_of_host)) = open.min_by_key(|(_, queue_of_host)| queue_of_host.in_flight) {
                queue_of_host.in_flight += 1;
                return queue_of_host.waiting.pop_front().map(|index| (index, host));
            }
            hosts = self.freed.wait_timeout(hosts, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn done(&self, host: usize) {
        self.lock()[host].in_flight -= 1;
        self.freed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<HostQueue>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Collects progress and reports it.
struct ProgressReporter<'a> {
    start: Instant,
    throughput: Mutex<(Throughput, Duration)>,
    progress: &'a (dyn Fn(Progress) + Sync),
}

impl<'a> ProgressReporter<'a> {
    fn new(total: usize, progress: &'a (dyn Fn(Progress) + Sync)) -> ProgressReporter<'a> {
        ProgressReporter {
            start: Instant::now(),
            throughput: Mutex::new((Throughput::new(total), Duration::ZERO)),
            progress,
        }
    }

    /// Updates the throughput, and reports it if the last report is old enough.
    fn update(&self, news: impl FnOnce(&mut Throughput, Duration)) {
        let at = self.start.elapsed();
        let due = {
            let mut throughput = self.throughput.lock().unwrap_or_else(PoisonError::into_inner);
            news(&mut throughput.0, at);
            let due = at >= throughput.1 + REPORT;
            if due {
                throughput.1 = at;
            }
            due.then(|| throughput.0.progress(at))
        };
        if let Some(now) = due {
            (self.progress)(now);
        }
    }

    fn report(&self) {
        let at = self.start.elapsed();
        let now = self.throughput.lock().unwrap_or_else(PoisonError::into_inner).0.progress(at);
        (self.progress)(now);
    }
}
