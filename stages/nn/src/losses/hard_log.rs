//! The hard-log loss: the cross entropy of all positives and of the negatives that look most like positives.
//!
//! Source: the first solution of the Human Protein Atlas competition (Ouyang et al. 2019,
//! <https://doi.org/10.1038/s41592-019-0658-6>).

use burn::prelude::*;
use burn::tensor::activation::log_sigmoid;

use super::complement;
use super::ranking::higher_before;

/// Below any logit.
const LOWEST: f32 = f32::MIN;

/// The mean binary cross entropy over the positives and hardest negatives of each class; classes count alike. A scalar
/// `[1]`.
///
/// Logits and targets (0 or 1) are `[batch, class]`.
pub fn hard_log(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let positives = targets.clone().sum_dim(0);
    let chosen = chosen_negatives(targets.clone());
    let is_chosen = hardest_negatives(logits.clone(), targets.clone(), chosen.clone());
    let of_positives = (log_sigmoid(logits.clone()) * targets).sum_dim(0);
    let of_negatives = (log_sigmoid(-logits) * is_chosen).sum_dim(0);
    (-(of_positives + of_negatives) / (positives + chosen)).mean()
}

/// A one for each negative that is chosen, `[batch, class]`: those with the highest logits, as many as `chosen` `[1,
/// class]` says.
fn hardest_negatives(logits: Tensor<2>, targets: Tensor<2>, chosen: Tensor<2>) -> Tensor<2> {
    let negatives_only = logits.detach().mask_fill(targets.greater_scalar(0.5), LOWEST);
    let rank: Tensor<2> = higher_before(negatives_only).sum_dim(1).squeeze_dim(1);
    (chosen - rank).greater_scalar(0.5).float()
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
