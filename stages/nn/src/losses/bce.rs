//! Binary cross entropy.

use burn::prelude::*;
use burn::tensor::activation::log_sigmoid;

use super::complement;

/// The mean binary cross entropy of logits against targets from 0 to 1, both `[batch, class]`; a scalar `[1]`.
///
/// The same as PyTorch's `binary_cross_entropy_with_logits`.
pub fn bce_with_logits(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    cross_entropies(logits, targets).mean()
}

/// The binary cross entropy of each logit `[batch, class]`.
///
/// Two logarithms of sigmoids, rather than one and the logit itself, keep their digits where the loss is nearly zero.
pub(super) fn cross_entropies(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<2> {
    let if_positive = log_sigmoid(logits.clone());
    let if_negative = log_sigmoid(-logits);
    -(targets.clone() * if_positive + complement(targets) * if_negative)
}
