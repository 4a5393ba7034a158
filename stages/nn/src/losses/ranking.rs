//! The order of the images of a batch, without sorting them.
//!
//! A GPU sorts through the host, which waits for all work before it. A batch is small enough to compare each with each.

use burn::prelude::*;

/// For each image and each class a one for every image that stands before it when values fall: `[image, other, class]`
/// for values `[image, class]`. Of equal values the earlier image stands first.
///
/// Needs memory for batch² values a class. Has no gradient.
pub(super) fn higher_before(values: Tensor<2>) -> Tensor<3> {
    let [batch, _] = values.dims();
    let values = values.detach();
    let positions = Tensor::<1, Int>::arange(0..batch as i64, &values.device());
    let is_earlier = positions.clone().reshape([1, batch, 1]).lower(positions.reshape([batch, 1, 1]));
    let of_others: Tensor<3> = values.clone().unsqueeze_dim(0);
    let of_images: Tensor<3> = values.unsqueeze_dim(1);
    let is_equal = of_others.clone().equal(of_images.clone());
    let is_higher = of_others.greater(of_images);
    is_higher.float() + is_equal.float() * is_earlier.float()
}
