//! Training: epochs of steps, each of which moves a network's parameters a little, until there are no more or nothing gets
//! better. What is learned, and from what, is a [`TrainingTask`].
//!
//! All of the state is written to a folder now and then. Everything random is a function of the seed, the epoch and the
//! batch, so that training which goes on from such a state takes the very steps it would have taken.

pub mod defaults;
mod oom_split;
mod microbatch;
mod numbering;
pub(crate) mod params;
mod config;
mod replica;
pub mod scores;
mod stage;
mod state;
mod trainer;

use crate::error::StageError;
use crate::learn::malloc::keep_freed_memory;
use athanor_nn::devices::STACK_BYTES;

pub use oom_split::OnOutOfMemory;
pub use config::{TrainingConfig, Precision};
pub use stage::{OutputPaths, run_training};
pub use state::{Epoch, StateFolder};
pub use trainer::{TrainingTask, Trained, Validation, train};

/// Does work on so many threads.
pub fn with_thread_pool<R: Send>(threads: usize, work: impl FnOnce() -> Result<R, StageError> + Send) -> Result<R, StageError> {
    keep_freed_memory();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).stack_size(STACK_BYTES).build();
    pool.map_err(|error| StageError::mismatch(format!("no threads could be started: {error}")))?.install(work)
}
