//! Throughput and remaining time.

use std::collections::VecDeque;
use std::time::Duration;

/// The window over which the rate is averaged.
const WINDOW: Duration = Duration::from_secs(10);
/// Resolution of time.
const GRAIN: Duration = Duration::from_millis(250);

/// Progress of many files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Files finished, the failed ones among them.
    pub done: usize,
    /// Files in all.
    pub total: usize,
    /// Files that failed.
    pub failed: usize,
    /// Bytes that have arrived.
    pub bytes: u64,
    /// Bytes a second over the last seconds.
    pub rate: f64,
    /// Estimated remaining time, once a file is finished.
    pub left: Option<Duration>,
}

/// Measures the throughput. Time is handed in.
#[derive(Debug)]
pub struct Throughput {
    total: usize,
    done: usize,
    failed: usize,
    bytes: u64,
    /// Times and the number of bytes received by then, oldest first.
    marks: VecDeque<(Duration, u64)>,
}

impl Throughput {
    /// For `total` files, from time zero on.
    pub fn new(total: usize) -> Throughput {
        Throughput { total, done: 0, failed: 0, bytes: 0, marks: VecDeque::from([(Duration::ZERO, 0)]) }
    }

    /// Bytes arrived.
    pub fn arrived(&mut self, at: Duration, bytes: u64) {
        self.bytes += bytes;
        if self.marks.back().is_none_or(|(last, _)| at >= *last + GRAIN) {
            self.marks.push_back((at, self.bytes));
        }
        while self.marks.len() > 1 && self.marks[1].0 + WINDOW <= at {
            self.marks.pop_front();
        }
    }

    /// A file is finished.
    pub fn finished(&mut self, well: bool) {
        self.done += 1;
        self.failed += usize::from(!well);
    }

    /// The progress.
    pub fn progress(&self, at: Duration) -> Progress {
        let (since, before) = self.marks.front().copied().unwrap_or_default();
        let span = at.saturating_sub(since).as_secs_f64();
        let rate = if span > 0.0 { (self.bytes - before) as f64 / span } else { 0.0 };
        let rest = self.total.saturating_sub(self.done);
        let left = (self.done > 0).then(|| at.mul_f64(rest as f64 / self.done as f64));
        Progress { done: self.done, total: self.total, failed: self.failed, bytes: self.bytes, rate, left }
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const MEGABYTE: f64 = 1e6;
        write!(f, "{} of {} files, {:.1} MB", self.done, self.total, self.bytes as f64 / MEGABYTE)?;
        write!(f, ", {:.1} MB/s", self.rate / MEGABYTE)?;
        if self.failed > 0 {
            write!(f, ", {} failed", self.failed)?;
        }
        match self.left {
            Some(left) if self.done < self.total => {
                let seconds = left.as_secs();
                write!(f, ", {}:{:02}:{:02} left", seconds / 3600, seconds / 60 % 60, seconds % 60)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds_and_the_rest_takes_as_long_as_the_files_before() {
        let mut pace = Throughput::new(4);
        assert_eq!(pace.progress(Duration::ZERO).left, None);
        for second in 1..=60 {
            pace.arrived(Duration::from_secs(second), if second <= 40 { 1_000_000 } else { 3_000_000 });
        }
        pace.finished(true);
        pace.finished(false);
        let progress = pace.progress(Duration::from_secs(60));
        assert!((progress.rate - 3e6).abs() < 1e5, "{}", progress.rate);
        assert_eq!(progress.left, Some(Duration::from_secs(60)));
        assert_eq!(progress.to_string(), "2 of 4 files, 100.0 MB, 3.0 MB/s, 1 failed, 0:01:00 left");
        assert!(pace.marks.len() < 50);
    }
}
