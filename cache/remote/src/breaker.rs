//! Circuit breaker: a storage that fails, or is slow, several times in a row is not asked for a while.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row after which nothing is asked.
const FAILURES: u32 = 3;
/// Time for which nothing is asked.
const PAUSE: Duration = Duration::from_secs(60);
/// Time from which on an answer to a small question counts as half a failure: work that waits for many of them would be
/// quicker without them.
const SLOW: Duration = Duration::from_millis(2500);

#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Failures in a row, in halves.
    halves: u32,
    until: Option<Instant>,
}

impl Breaker {
    /// Whether the storage may be asked at `now`. After a pause one question is let through; the next failure pauses again.
    pub(crate) fn lets_through(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.until {
            Some(until) if now < until => false,
            Some(_) => {
                state.until = Some(now + PAUSE);
                true
            }
            None => true,
        }
    }

    /// Notes that an answer came, after `took`.
    pub(crate) fn answered(&self, took: Duration, now: Instant) {
        if took >= SLOW {
            return self.add(1, now);
        }
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// Notes that no answer came.
    pub(crate) fn failed(&self, now: Instant) {
        self.add(2, now);
    }

    fn add(&self, halves: u32, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.halves += halves;
        if state.halves >= 2 * FAILURES {
            state.until = Some(now + PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_pause_it_and_one_answer_ends_that() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        breaker.failed(start);
        breaker.failed(start);
        breaker.answered(Duration::ZERO, start);
        breaker.failed(start);
        breaker.failed(start);
        assert!(breaker.lets_through(start));
        breaker.failed(start);
        assert!(!breaker.lets_through(start));
        let later = start + PAUSE;
        assert!(breaker.lets_through(later) && !breaker.lets_through(later));
        breaker.answered(Duration::ZERO, later);
        assert!(breaker.lets_through(later));
    }

    #[test]
    fn slow_answers_count_half() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..5 {
            breaker.answered(SLOW, start);
        }
        assert!(breaker.lets_through(start));
        breaker.answered(SLOW, start);
        assert!(!breaker.lets_through(start));
    }
}
