//! ArcFace, "Additive Angular Margin Loss for Deep Face Recognition", Deng et al. 2018,
//! <https://arxiv.org/abs/1801.07698>.

use std::f64::consts::PI;

use burn::prelude::*;
use burn::tensor::IndexingUpdateOp;
use burn::tensor::activation::log_softmax;

use super::complement;

/// Factor of the cosines before the softmax.
const SCALE: f64 = 30.0;

/// By how much the angle to the right direction is made wider, in radians.
const MARGIN: f64 = 0.5;

/// A squared sine below this counts as this: its root has no slope at zero.
const SMALLEST_SQUARED_SINE: f64 = 1e-7;

/// The mean of the cross entropies of scaled cosines with margin and of bare cosines; a scalar `[1]`.
///
/// `cosines` are `[batch, identity]`, `identities` `[batch]` say which is the right one.
pub fn arcface(cosines: Tensor<2>, identities: Tensor<1, Int>) -> Tensor<1> {
    let [batch, _] = cosines.dims();
    let identities = identities.reshape([batch, 1]);
    let of_right = cosines.clone().gather(1, identities.clone());
    let widened = widened(of_right.clone());
    let with_margin = cosines.clone().scatter(1, identities.clone(), widened - of_right, IndexingUpdateOp::Add);
    (cross_entropy(with_margin * SCALE, identities.clone()) + cross_entropy(cosines, identities)) / 2.0
}

/// cos(angle + margin) of cos(angle), `[batch, 1]`.
///
/// Beyond half a turn the cosine would rise again; there a falling line takes its place.
fn widened(cosine: Tensor<2>) -> Tensor<2> {
    let squared_sine = complement(cosine.clone()) * (cosine.clone() + 1.0);
    let sine = squared_sine.clamp_min(SMALLEST_SQUARED_SINE).sqrt();
    let rotated = cosine.clone() * MARGIN.cos() - sine * MARGIN.sin();
    let falling_on = cosine.clone() - MARGIN * (PI - MARGIN).sin();
    let passes_half_turn = cosine.lower_equal_scalar((PI - MARGIN).cos());
    rotated.mask_where(passes_half_turn, falling_on)
}

/// The mean cross entropy of logits `[batch, identity]` against the right identities `[batch, 1]`.
fn cross_entropy(logits: Tensor<2>, identities: Tensor<2, Int>) -> Tensor<1> {
    -log_softmax(logits, 1).gather(1, identities).mean()
}
