//! Sampling: the images of an epoch and their order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RandomUse, random_stream};

/// Oversampling of rare classes: their images are shown several times an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upsampling {
    /// Share of an epoch's images that each class should have at least: images of a rarer class are repeated until it has.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub share: f64,
    /// Number of times that an epoch shows an image at most.
    #[serde(default = "at_most")]
    #[schemars(range(min = 1))]
    pub at_most: usize,
}

fn at_most() -> usize {
    10
}

impl Upsampling {
    /// Number of times that an epoch shows each image, given the classes of each: as many as its rarest class needs to
    /// reach the share.
    pub fn repeats<'a>(&self, targets: impl Iterator<Item = &'a [usize]> + Clone, classes: usize) -> Vec<usize> {
        let (mut counts, mut images) = (vec![0_usize; classes], 0_usize);
        for target in targets.clone() {
            images += 1;
            target.iter().for_each(|class| counts[*class] += 1);
        }
        let wanted = self.share * images as f64;
        let times = |class: &usize| ((wanted / counts[*class] as f64) as usize).clamp(1, self.at_most);
        targets.map(|target| target.iter().map(times).max().unwrap_or(1)).collect()
    }
}

/// The images of an epoch, by number, in random order.
///
/// Image `i` comes `repeats[i]` times. Images beyond the last full group of `multiple_of` are left out.
pub fn epoch_order(seed: u64, epoch: u32, repeats: &[usize], multiple_of: usize) -> Vec<usize> {
    let each = repeats.iter().enumerate();
    let mut order: Vec<usize> = each.flat_map(|(image, times)| std::iter::repeat_n(image, *times)).collect();
    let mut random = random_stream(seed, RandomUse::Order, epoch);
    for at in (1..order.len()).rev() {
        order.swap(at, random.below(at + 1));
    }
    order.truncate(order.len() / multiple_of * multiple_of);
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(order: &[usize], images: usize) -> Vec<usize> {
        let mut counts = vec![0; images];
        order.iter().for_each(|image| counts[*image] += 1);
        counts
    }

    proptest! {
        #[test]
        fn every_image_comes_as_often_as_it_should(
            repeats in prop::collection::vec(1_usize..4, 1..60), seed: u64, epoch in 1_u32..100,
        ) {
            prop_assert_eq!(counted(&epoch_order(seed, epoch, &repeats, 1), repeats.len()), repeats);
        }

        #[test]
        fn only_what_fills_no_batch_is_left_out(
            repeats in prop::collection::vec(1_usize..4, 1..60), seed: u64, batch in 1_usize..20,
        ) {
            let order = epoch_order(seed, 1, &repeats, batch);
            let all: usize = repeats.iter().sum();
            prop_assert_eq!(order.len() % batch, 0);
            prop_assert!(all - order.len() < batch);
            for (count, most) in counted(&order, repeats.len()).into_iter().zip(&repeats) {
                prop_assert!(count <= *most);
            }
            prop_assert_eq!(&order, &epoch_order(seed, 1, &repeats, batch));
        }

        #[test]
        fn images_come_again_for_rare_classes_only(
            targets in prop::collection::vec(prop::collection::btree_set(0_usize..5, 1..3), 1..60),
            share in 0.01_f64..1.0, at_most in 1_usize..8,
        ) {
            let targets: Vec<Vec<usize>> = targets.into_iter().map(|target| target.into_iter().collect()).collect();
            let repeats = Upsampling { share, at_most }.repeats(targets.iter().map(Vec::as_slice), 5);
            let count = |class: usize| targets.iter().filter(|target| target.contains(&class)).count() as f64;
            let wanted = share * targets.len() as f64;
            for (target, times) in targets.iter().zip(repeats) {
                prop_assert!((1..=at_most).contains(&times));
                let rarest = target.iter().map(|class| count(*class)).fold(f64::INFINITY, f64::min);
                prop_assert!(times == 1 || times as f64 * rarest <= wanted);
            }
        }
    }

    #[test]
    fn epochs_and_seeds_have_orders_of_their_own() {
        let order = |seed, epoch| epoch_order(seed, epoch, &[1; 50], 1);
        assert_ne!(order(0, 1), order(0, 2));
        assert_ne!(order(0, 1), order(1, 1));
    }

    #[test]
    fn each_order_is_about_as_likely_as_any_other() {
        let mut firsts = [0; 4];
        (0..4000).for_each(|seed| firsts[epoch_order(seed, 1, &[1; 4], 1)[0]] += 1);
        assert!(firsts.iter().all(|count| (900..1100).contains(count)), "{firsts:?}");
    }
}
