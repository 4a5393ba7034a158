//! The Lovász hinge, "The Lovász-Softmax loss", Berman et al. 2018, <https://arxiv.org/abs/1705.08790>, made symmetric.

use burn::prelude::*;
use burn::tensor::activation::relu;

use super::{complement, signs};

/// The mean of the Lovász hinges of positives and of negatives; a scalar `[1]`.
///
/// Logits and targets (0 or 1) are `[batch, class]`. The Jaccard index is that of each class over the batch; classes
/// count alike.
pub fn symmetric_lovasz(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let of_positives = lovasz_hinge(logits.clone(), targets.clone());
    let of_negatives = lovasz_hinge(-logits, complement(targets));
    (of_positives + of_negatives) / 2.0
}

fn lovasz_hinge(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let errors = complement(logits * signs(targets.clone()));
    let (errors, order) = errors.sort_descending_with_indices(0);
    let weights = lovasz_gradient(targets.gather(0, order)).detach();
    (relu(errors) * weights).sum_dim(0).mean()
}

/// Increase of one minus the Jaccard index by each image of a class, if it and all before it are wrong.
///
/// `targets` `[batch, class]` are in the order of falling errors; so is the result, of the same shape.
fn lovasz_gradient(targets: Tensor<2>) -> Tensor<2> {
    let [batch, classes] = targets.dims();
    let positives = targets.clone().sum_dim(0);
    let intersection = positives.clone() - targets.clone().cumsum(0);
    let union = positives + complement(targets).cumsum(0);
    let distance = complement(intersection / union);
    let none = Tensor::zeros([1, classes], &distance.device());
    let before = Tensor::cat(vec![none, distance.clone().slice_dim(0, 0..batch - 1)], 0);
    distance - before
}
