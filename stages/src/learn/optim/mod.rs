//! How parameters move: Adam, the clipping of gradients, and the learning rate of each epoch.

mod clip;
mod schedule;

pub use clip::clip_gradient_norm;
pub use schedule::{NamedSchedule, Schedule, ScheduleError};

use burn::optim::{AdamConfig, ModuleOptimizer};

/// What keeps Adam from dividing by zero, as in PyTorch.
const EPSILON: f32 = 1e-8;

/// PyTorch's Adam: betas 0.9 and 0.999, no weight decay.
pub fn adam() -> ModuleOptimizer {
    AdamConfig::new().with_beta_1(0.9).with_beta_2(0.999).with_epsilon(EPSILON).init()
}
