//! Training and prediction: batches from packed images, the training loop and its state on disk, predictions that are
//! kept as they are made.
//!
//! The networks themselves are [`athanor_nn`]'s; the kinds that use this are in [`kinds`](crate::kinds).

pub mod data;
pub(crate) mod head_dropout;
pub(crate) mod infer;
mod malloc;
pub mod precision;
pub(crate) mod preprocessing;
pub(crate) mod thread_pool;
pub(crate) mod train;
