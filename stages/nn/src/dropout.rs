//! Dropout, Srivastava et al. 2014, <https://jmlr.org/papers/v15/srivastava14a.html>.

use burn::module::Module;
use burn::prelude::*;

use crate::forward_context::next_layer_random;

/// Dropout in training passes ([`crate::forward_context::training_pass`]): sets a share of values to zero and scales up
/// the others; elsewhere the identity.
///
/// The dropped values are drawn on the CPU from the pass's own random numbers: the same on every device, whatever else
/// is computed meanwhile.
#[derive(Module, Debug)]
pub(crate) struct Dropout {
    share: f64,
}

impl Dropout {
    /// Dropout with this probability, in [0, 1).
    pub(crate) fn new(share: f64) -> Self {
        Dropout { share }
    }

    /// `[batch, feature]` to the same shape.
    pub(crate) fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let Some(mut random) = next_layer_random().filter(|_| self.share > 0.0) else { return input };
        let shape = input.dims();
        let kept = (1.0 / (1.0 - self.share)) as f32;
        let share = self.share as f32;
        let factors = (0..shape[0] * shape[1]).map(|_| if random.chance(share) { 0.0 } else { kept });
        let factors = TensorData::new(factors.collect::<Vec<f32>>(), shape);
        let factors = Tensor::<2>::from_data(factors, &input.device()).cast(input.dtype());
        input * factors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward_context::training_pass;
    use athanor_random::Random;

    fn ones(shape: [usize; 2]) -> Tensor<2> {
        Tensor::ones(shape, &Device::flex())
    }

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().iter().collect()
    }

    #[test]
    fn the_share_is_dropped_and_the_rest_makes_up_for_it() {
        let (dropped, _) = training_pass(Random::new(1), || Dropout::new(0.25).forward(ones([100, 100])));
        let dropped = values(dropped);
        let zeros = dropped.iter().filter(|value| **value == 0.0).count();
        assert!((2_300..2_700).contains(&zeros), "{zeros} of 10,000 were dropped");
        assert!(dropped.iter().all(|value| *value == 0.0 || *value == 1.0 / 0.75));
        let whole = values(Dropout::new(0.25).forward(ones([2, 2])));
        assert_eq!(whole, [1.0; 4], "nothing is dropped where nothing is learned");
    }

    #[test]
    fn each_layer_of_each_pass_drops_values_of_its_own() {
        let pass = |seed| {
            let layers = || [0, 1].map(|_| values(Dropout::new(0.5).forward(ones([8, 8]))));
            training_pass(Random::new(seed), layers).0
        };
        let [first, second] = pass(1);
        assert_ne!(first, second);
        assert_ne!(first, pass(2)[0]);
        let elsewhere = std::thread::spawn(move || pass(1)).join().unwrap();
        assert_eq!(elsewhere, [first, second], "whatever the thread");
    }
}
