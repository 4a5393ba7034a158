//! Waiting with a deadline: until the work is done, the time is up, or the caller wishes to stop.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use super::error::{FetchErrorKind, Wait};

/// Interval at which the caller is asked whether it wishes to stop.
const TICK: Duration = Duration::from_millis(50);

/// Callbacks while a file is fetched.
#[derive(Clone, Copy)]
pub struct TransferObserver<'a> {
    /// Whether to stop; asked about twenty times a second.
    pub should_stop: &'a (dyn Fn() -> bool + Sync),
    /// Receives the number of bytes as they arrive.
    pub arrived: &'a (dyn Fn(u64) + Sync),
}

/// Deadline of one file.
pub(super) struct Deadline<'a> {
    watch: TransferObserver<'a>,
    whole: Option<(Instant, Duration)>,
}

impl<'a> Deadline<'a> {
    /// A deadline from now on, after `total` at most.
    pub(super) fn new(watch: TransferObserver<'a>, total: Option<Duration>) -> Deadline<'a> {
        Deadline { watch, whole: total.map(|limit| (Instant::now(), limit)) }
    }

    pub(super) fn arrived(&self, bytes: u64) {
        (self.watch.arrived)(bytes);
    }

    /// Waits for `work`, for `limit` at most.
    pub(super) async fn wait<T>(
        &self,
        wait: Wait,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, FetchErrorKind> {
        self.hold(Some((Instant::now(), limit, wait)), work).await
    }

    /// Waits for `work`, however long it takes.
    pub(super) async fn wait_unlimited<T>(&self, work: impl Future<Output = T>) -> Result<T, FetchErrorKind> {
        self.hold(None, work).await
    }

    async fn hold<T>(
        &self,
        limit: Option<(Instant, Duration, Wait)>,
        work: impl Future<Output = T>,
    ) -> Result<T, FetchErrorKind> {
        // Asked here too: a body that keeps coming never lets a tick pass.
        if (self.watch.should_stop)() {
            return Err(FetchErrorKind::Interrupted);
        }
        let mut work = pin!(work);
        let whole = self.whole.map(|(since, limit)| (since, limit, Wait::Whole));
        loop {
            let mut tick = TICK;
            for (since, limit, wait) in [limit, whole].into_iter().flatten() {
                let left = limit.saturating_sub(since.elapsed());
                if left.is_zero() {
                    return Err(FetchErrorKind::TimedOut { wait, limit });
                }
                tick = tick.min(left);
            }
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(tick) => {}
            }
            if (self.watch.should_stop)() {
                return Err(FetchErrorKind::Interrupted);
            }
        }
    }
}
