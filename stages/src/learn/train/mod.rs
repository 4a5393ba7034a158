//! Training: epochs of optimiser steps, until the last epoch or until nothing gets
//! better. The model, its data and its loss are a [`TrainingTask`].
//!
//! The whole state is written to a folder at intervals. Everything random is a function of the seed, the epoch and the
//! batch, so that training which continues from such a state takes the very steps it would have taken.

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
mod step;
mod task;
mod trainer;

pub(crate) use config::{OnOutOfMemory, TrainingConfig};
pub(crate) use stage::{OutputPaths, run_training};
pub(crate) use task::{TrainingData, TrainingTask, Validation};
