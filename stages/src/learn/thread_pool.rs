//! Thread pools for tensor operations.

use athanor_nn::devices::STACK_BYTES;

use crate::error::StageError;
use crate::learn::malloc::keep_freed_memory;

/// Does work in a pool of `threads` threads.
pub(crate) fn with_thread_pool<R: Send>(
    threads: usize,
    work: impl FnOnce() -> Result<R, StageError> + Send,
) -> Result<R, StageError> {
    keep_freed_memory();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).stack_size(STACK_BYTES).build();
    pool.map_err(|error| StageError::mismatch(format!("no threads could be started: {error}")))?.install(work)
}
