//! The focal loss, "Focal Loss for Dense Object Detection", Lin et al. 2017, <https://arxiv.org/abs/1708.02002>.

use burn::prelude::*;
use burn::tensor::activation::log_sigmoid;

use super::signs;

/// Focusing parameter: larger values reduce the weight of classes that are nearly right.
const GAMMA: f64 = 2.0;

/// The focal loss of logits against targets 0 or 1, both `[batch, class]`: summed over classes, a scalar `[1]`.
pub fn focal(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let margins = logits * signs(targets);
    let cross_entropies = -log_sigmoid(margins.clone());
    let wrongness = (log_sigmoid(-margins) * GAMMA).exp();
    (wrongness * cross_entropies).sum_dim(1).mean()
}
