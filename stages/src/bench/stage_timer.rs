//! Watches a stage's own reports: when they came, and what they said of waiting.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::context::{Reporter, StageReport};

/// The figure by which stages tell which share of the time they waited.
const WAITING: &str = "share_waiting_for_data";

/// Hears a stage, and remembers when it was where.
pub struct StageTimer {
    unit: &'static str,
    /// Progress at which it starts.
    from: u64,
    /// The epoch whose share of waiting counts, if there are epochs.
    epoch: Option<u64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    begun: Option<Instant>,
    ended: Option<Timing>,
}

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// From the start of the first batch to the end of the last.
    pub seconds: f64,
    /// Which share of them the stage waited for images.
    pub share_waiting: f64,
}

impl StageTimer {
    /// Of an epoch of training, counted from 1, each of which has so many steps.
    pub fn of_epoch(epoch: u64, steps: u64) -> StageTimer {
        StageTimer { unit: "steps", from: (epoch - 1) * steps, epoch: Some(epoch), state: Mutex::default() }
    }

    /// Of all work there is, counted in `unit`.
    pub fn of_all(unit: &'static str) -> StageTimer {
        StageTimer { unit, from: 0, epoch: None, state: Mutex::default() }
    }

    /// What was seen, if the work was done.
    pub fn timing(&self) -> Option<Timing> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ended
    }
}

impl Reporter for StageTimer {
    fn report(&self, report: StageReport) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match report {
            StageReport::Progress { done, unit, .. } if unit == self.unit && done == self.from => {
                // The end of an epoch is told as the beginning of the next; the last to tell is the one that begins.
                state.begun = Some(Instant::now());
            }
            StageReport::Metric { name, value, step } if name == WAITING && step == self.epoch => {
                let begun = state.begun;
                state.ended = begun.map(|begun| Timing { seconds: begun.elapsed().as_secs_f64(), share_waiting: value });
            }
            _ => {}
        }
    }

    fn should_stop(&self) -> bool {
        false
    }
}
