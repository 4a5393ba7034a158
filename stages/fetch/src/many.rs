//! Many files at once: every one is tried, whatever becomes of the others.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use super::fetcher::Fetcher;
use super::hosts;
use super::pace::{Pace, Progress};
use super::patience::Watch;
use super::reason::FetchError;
use super::request::{Fetched, Order};

/// How often a waiting thread asks whether to stop.
const TICK: Duration = Duration::from_millis(50);
/// How often progress is reported at most.
const REPORT: Duration = Duration::from_millis(200);

/// What a caller hears and says while many files are fetched, from any thread.
pub struct Listener<'a> {
    /// Told now and then where things stand.
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// Told of each file as soon as it is settled, by its position.
    pub settled: &'a (dyn Fn(usize, Result<Fetched, FetchError>) + Sync),
    /// Whether to stop.
    pub should_stop: &'a (dyn Fn() -> bool + Sync),
}

impl Fetcher {
    /// Fetches all files, several at once, whatever becomes of some. When it is time to stop, those under way end as
    /// [`Reason::Interrupted`], and of those that were not begun nothing is said.
    ///
    /// [`Reason::Interrupted`]: super::reason::Reason::Interrupted
    pub fn fetch_all(&self, orders: &[Order<'_>], listener: &Listener<'_>) {
        let board = Board::new(orders.len(), listener.progress);
        let arrived = |bytes| board.tell(|pace, at| pace.arrived(at, bytes));
        let watch = Watch { should_stop: listener.should_stop, arrived: &arrived };
        let queue = Queue::new(orders, self.options.per_host);
        let work = || {
            while let Some((index, host)) = queue.next(listener.should_stop) {
                let Order { request, target } = &orders[index];
                let outcome = self.fetch(request, target, watch);
                queue.done(host);
                board.tell(|pace, _| pace.finished(outcome.is_ok()));
                (listener.settled)(index, outcome);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.options.jobs.min(orders.len()) {
                scope.spawn(work);
            }
            work();
        });
        board.report();
    }
}

/// What is still to be fetched, by host: a host that has all it may have must not keep threads waiting while another
/// has none.
struct Queue {
    per_host: usize,
    hosts: Mutex<Vec<Line>>,
    freed: Condvar,
}

/// What is still to be fetched from one host.
struct Line {
    waiting: VecDeque<usize>,
    under_way: usize,
}

impl Queue {
    fn new(orders: &[Order<'_>], per_host: usize) -> Queue {
        let mut lines: IndexMap<String, Line> = IndexMap::new();
        for (index, order) in orders.iter().enumerate() {
            let line = lines.entry(hosts::name(&order.request.url));
            line.or_insert_with(|| Line { waiting: VecDeque::new(), under_way: 0 }).waiting.push_back(index);
        }
        Queue { per_host: per_host.max(1), hosts: Mutex::new(lines.into_values().collect()), freed: Condvar::new() }
    }

    /// The next file and the position of its host: that of the host with the fewest under way. Nothing when none is
    /// left, or when it is time to stop.
    fn next(&self, should_stop: &(dyn Fn() -> bool + Sync)) -> Option<(usize, usize)> {
        let mut hosts = self.lock();
        loop {
            if should_stop() || hosts.iter().all(|line| line.waiting.is_empty()) {
                return None;
            }
            let open = hosts.iter_mut().enumerate();
            let open = open.filter(|(_, line)| !line.waiting.is_empty() && line.under_way < self.per_host);
            if let Some((host, line)) = open.min_by_key(|(_, line)| line.under_way) {
                line.under_way += 1;
                return line.waiting.pop_front().map(|index| (index, host));
            }
            hosts = self.freed.wait_timeout(hosts, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn done(&self, host: usize) {
        self.lock()[host].under_way -= 1;
        self.freed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Line>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where progress is gathered and told.
struct Board<'a> {
    start: Instant,
    pace: Mutex<(Pace, Duration)>,
    progress: &'a (dyn Fn(Progress) + Sync),
}

impl<'a> Board<'a> {
    fn new(total: usize, progress: &'a (dyn Fn(Progress) + Sync)) -> Board<'a> {
        Board { start: Instant::now(), pace: Mutex::new((Pace::new(total), Duration::ZERO)), progress }
    }

    /// Takes news, and passes it on if the last report is old enough.
    fn tell(&self, news: impl FnOnce(&mut Pace, Duration)) {
        let at = self.start.elapsed();
        let due = {
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            news(&mut pace.0, at);
            let due = at >= pace.1 + REPORT;
            if due {
                pace.1 = at;
            }
            due.then(|| pace.0.progress(at))
        };
        if let Some(now) = due {
            (self.progress)(now);
        }
    }

    fn report(&self) {
        let at = self.start.elapsed();
        let now = self.pace.lock().unwrap_or_else(PoisonError::into_inner).0.progress(at);
        (self.progress)(now);
    }
}
