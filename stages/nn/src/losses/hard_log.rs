//! The hard-log loss: the cross entropy of all positives and of the negatives that look most like positives.
//!
//! Source: the first solution of the Human Protein Atlas competition (Ouyang et al. 2019,
//! <https://doi.org/10.1038/s41592-019-0658-6>).

use burn::prelude::*;
use burn::tensor::activation::log_sigmoid;

use super::complement;

/// Below any logit.
const LOWEST: f32 = f32::MIN;

/// The mean binary cross entropy over the positives and hardest negatives of each class; classes count alike. A scalar
/// `[1]`.
///
/// Logits and targets (0 or 1) are `[batch, class]`.
pub fn hard_log(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let positives = targets.clone().sum_dim(0);
    let chosen = chosen_negatives(targets.clone());
    let of_positives = (log_sigmoid(logits.clone()) * targets.clone()).sum_dim(0);
    let (hardest_first, is_chosen) = ranked_negatives(logits, targets, chosen.clone());
    let of_negatives = (log_sigmoid(-hardest_first) * is_chosen).sum_dim(0);
    (-(of_positives + of_negatives) / (positives + chosen)).mean()
}

/// The logits with those of negatives first, highest on top, and a one for each that is chosen; `chosen` is `[1,
/// class]`.
fn ranked_negatives(logits: Tensor<2>, targets: Tensor<2>, chosen: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let [batch, _] = logits.dims();
    let negatives_only = logits.clone().detach().mask_fill(targets.greater_scalar(0.5), LOWEST);
    let (_, order) = negatives_only.sort_descending_with_indices(0);
    let ranks = Tensor::<1, Int>::arange(0..batch as i64, &logits.device()).float().reshape([batch, 1]);
    let is_chosen = (chosen - ranks).greater_scalar(0.5).float();
    (logits.gather(0, order), is_chosen)
}

/// Number of chosen negatives of each class, `[1, class]`.
///
/// The counts come from a table, as float32 on the device would round some of them otherwise than a host does.
fn chosen_negatives(targets: Tensor<2>) -> Tensor<2> {
    let [batch, classes] = targets.dims();
    let table: Vec<f32> = (0..=batch).map(|negatives| count_chosen(batch - negatives, negatives) as f32).collect();
    let table = Tensor::<1>::from_floats(table.as_slice(), &targets.device());
    let negatives: Tensor<1, Int> = complement(targets).sum_dim(0).round().int().reshape([classes]);
    table.select(0, negatives).reshape([1, classes])
}

/// Number of chosen negatives of a class.
fn count_chosen(positives: usize, negatives: usize) -> usize {
    let share = |of: f64| (of * negatives as f64) as usize;
    negatives.min(positives + share(0.5).max(2)).min(share(0.7) + 2)
}
