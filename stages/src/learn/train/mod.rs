//! Training: epochs of steps, each of which moves a network's parameters a little, until there are no more or nothing gets
//! better. What is learned, and from what, is a [`Task`].
//!
//! All of the state is written to a folder now and then. Everything random is a function of the seed, the epoch and the
//! batch, so that training which goes on from such a state takes the very steps it would have taken.

pub mod defaults;
mod fitting;
mod lesson;
mod numbering;
pub(crate) mod params;
mod plan;
mod replica;
pub mod scores;
mod stage;
mod state;
mod trainer;

use crate::error::StageError;
use crate::learn::heap::keep_freed_memory;
use athanor_nn::devices::STACK_BYTES;

pub use fitting::OnOutOfMemory;
pub use plan::{Plan, Precision};
pub use stage::{Results, train_and_write};
pub use state::{Epoch, StateFolder};
pub use trainer::{Task, Trained, Validated, train};

/// Does work on so many threads.
pub fn in_pool<R: Send>(threads: usize, work: impl FnOnce() -> Result<R, StageError> + Send) -> Result<R, StageError> {
    keep_freed_memory();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).stack_size(STACK_BYTES).build();
    pool.map_err(|error| StageError::mismatch(format!("no threads could be started: {error}")))?.install(work)
}
