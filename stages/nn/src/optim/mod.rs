//! Optimisation: Adam, gradient clipping, and the learning-rate schedule.

mod adam;
mod clip;
mod schedule;

pub use adam::adam;
pub use clip::clip_gradient_norm;
pub use schedule::{NamedSchedule, Schedule, ScheduleError, ScheduleStep};
