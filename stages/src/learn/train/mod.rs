//! Training: epochs of steps, each of which moves a network's parameters a little, until there are no more or nothing gets
//! better. What is learned, and from what, is a [`TrainingTask`].
//!
//! All of the state is written to a folder now and then. Everything random is a function of the seed, the epoch and the
//! batch, so that training which goes on from such a state takes the very steps it would have taken.

pub(crate) mod classification_scores;
mod config;
pub(crate) mod defaults;
mod microbatch;
mod numbering;
mod oom_split;
pub(crate) mod params;
mod replica;
mod stage;
mod state;
mod task;
mod trainer;

pub(crate) use config::{OnOutOfMemory, TrainingConfig};
pub(crate) use stage::{OutputPaths, run_training};
pub(crate) use task::{TrainingData, TrainingTask, Validation};
