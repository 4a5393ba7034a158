//! The loss of the reference solution's classifiers.

use burn::prelude::*;

use super::{focal, hard_log, symmetric_lovasz};

/// Half the sum of focal, symmetric Lovász and hard-log loss; a scalar `[1]`.
///
/// Logits and targets (0 or 1) are `[batch, class]`.
pub fn classifier_loss(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let focal = focal(logits.clone(), targets.clone());
    let lovasz = symmetric_lovasz(logits.clone(), targets.clone());
    (focal + lovasz + hard_log(logits, targets)) * 0.5
}
