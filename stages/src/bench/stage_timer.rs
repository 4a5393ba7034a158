//! Timing of a stage by its own reports.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::context::{Reporter, StageReport};

/// The metric with the share of the time that a stage waited for images.
const WAITING: &str = "share_waiting_for_data";

/// A reporter that times a stage's progress.
pub(crate) struct StageTimer {
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

/// Timing of a stage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// From the start of the first batch to the end of the last.
    pub seconds: f64,
    /// Share of them that the stage waited for images.
    pub share_waiting: f64,
}

impl StageTimer {
    /// A timer of one epoch of training, counted from 1; each epoch has `steps` steps.
    pub(crate) fn of_epoch(epoch: u64, steps: u64) -> StageTimer {
        StageTimer { unit: "steps", from: (epoch - 1) * steps, epoch: Some(epoch), state: Mutex::default() }
    }

    /// A timer of all the work, counted in `unit`.
    pub(crate) fn of_all(unit: &'static str) -> StageTimer {
        StageTimer { unit, from: 0, epoch: None, state: Mutex::default() }
    }

    /// The timing, if the work was done.
    pub(crate) fn timing(&self) -> Option<Timing> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ended
    }
}

impl Reporter for StageTimer {
    fn report(&self, report: StageReport) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match report {
            StageReport::Progress { done, unit, .. } if unit == self.unit && done == self.from => {
                // The end of an epoch is reported as the start of the next; the last report is the start.
                state.begun = Some(Instant::now());
            }
            StageReport::Metric { name, value, step } if name == WAITING && step == self.epoch => {
                let begun = state.begun;
                state.ended =
                    begun.map(|begun| Timing { seconds: begun.elapsed().as_secs_f64(), share_waiting: value });
            }
            _ => {}
        }
    }

    fn should_stop(&self) -> bool {
        false
    }
}
