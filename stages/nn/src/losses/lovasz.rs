//! The Lovász hinge, "The Lovász-Softmax loss", Berman et al. 2018, <https://arxiv.org/abs/1705.08790>, made symmetric.

use burn::prelude::*;
use burn::tensor::activation::relu;

use super::ranking::higher_before;
use super::{complement, signs};

/// The mean of the Lovász hinges of positives and of negatives; a scalar `[1]`.
///
/// Logits and targets (0 or 1) are `[batch, class]`. The Jaccard index is that of each class over the batch; classes
/// count alike.
pub fn symmetric_lovasz(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    // Both hinges have these errors: the signs of logits and of targets change together.
    let errors = complement(logits * signs(targets.clone()));
    let before = higher_before(errors.clone());
    let of_positives = lovasz_gradient(before.clone(), targets.clone());
    let of_negatives = lovasz_gradient(before, complement(targets));
    let weights = (of_positives + of_negatives).detach() / 2.0;
    (relu(errors) * weights).sum_dim(0).mean()
}

/// Increase of one minus the Jaccard index by each image of a class, if it and all with larger errors are wrong.
///
/// `before` is `[image, other, class]`; targets and the result are `[batch, class]`, in the order of the batch.
fn lovasz_gradient(before: Tensor<3>, targets: Tensor<2>) -> Tensor<2> {
    let positives = targets.clone().sum_dim(0);
    let positives_before = sum_over_others(before.clone(), targets.clone());
    let negatives_before = sum_over_others(before, complement(targets.clone()));
    let distance_before = jaccard_distance(positives.clone(), positives_before.clone(), negatives_before.clone());
    let distance =
        jaccard_distance(positives, positives_before + targets.clone(), negatives_before + complement(targets));
    distance - distance_before
}

/// One minus the Jaccard index of the positives and the images that are taken for positive, from the numbers of wrong images of
/// both kinds; zero where none are. `positives` is `[1, class]`, the others and the result are `[batch, class]`.
fn jaccard_distance(positives: Tensor<2>, wrong_positives: Tensor<2>, wrong_negatives: Tensor<2>) -> Tensor<2> {
    let intersection = positives.clone() - wrong_positives;
    let union = positives + wrong_negatives;
    // Counts are whole numbers: an empty union is one with nothing wrong.
    let is_empty = union.clone().lower_scalar(0.5);
    complement(intersection / union).mask_fill(is_empty, 0.0)
}

/// `[image, other, class]` and values `[other, class]` give sums `[image, class]`.
fn sum_over_others(weights: Tensor<3>, values: Tensor<2>) -> Tensor<2> {
    (weights * values.unsqueeze_dim(0)).sum_dim(1).squeeze_dim(1)
}
