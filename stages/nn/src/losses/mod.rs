//! Loss functions of logits `[batch, class]` and targets, each a mean over the batch.
//!
//! Values and gradients are finite for logits of any size that float32 squares, for batches of one, and where a class
//! has no positives or only positives. Ranked losses and counts stay on the device: nothing waits for it.

mod arcface;
mod bce;
mod classifier;
mod focal;
mod hard_log;
mod lovasz;
mod ranking;

pub use arcface::arcface;
pub use bce::bce_with_logits;
pub use classifier::classifier_loss;
pub use focal::focal;
pub use hard_log::hard_log;
pub use lovasz::symmetric_lovasz;

use burn::prelude::*;

/// 1 for a positive, -1 for a negative.
fn signs(targets: Tensor<2>) -> Tensor<2> {
    targets * 2.0 - 1.0
}

/// One minus each value.
fn complement<const D: usize>(values: Tensor<D>) -> Tensor<D> {
    -values + 1.0
}
