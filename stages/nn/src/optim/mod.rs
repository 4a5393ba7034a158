//! How parameters move: Adam, the clipping of gradients, and the learning rate of each epoch.

mod adam;
mod clip;
mod schedule;

pub use adam::adam;
pub use clip::clip_gradient_norm;
pub use schedule::{NamedSchedule, Schedule, ScheduleError};
