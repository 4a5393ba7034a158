//! Defaults of parameters that all kinds that train have.

use athanor_nn::optim::{NamedSchedule, Schedule};

/// One batch a step.
pub(crate) fn accumulation() -> usize {
    1
}

/// The reference solution's.
pub(crate) fn clip_norm() -> f64 {
    1.0
}

/// Two minutes, in seconds.
pub(crate) fn save_every() -> f64 {
    120.0
}

/// The same rate in every epoch.
pub(crate) fn schedule() -> Schedule {
    Schedule::Named(NamedSchedule::Constant)
}
