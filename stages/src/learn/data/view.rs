//! Views: the parts of images that a network sees.

use super::Augmentation;
use crate::artifact::packed_images::{Crop, PackedImages};
use athanor_images::pixels::{Pixels, Samples};
use athanor_images::resample::{Interpolation, resize};
use athanor_random::Random;

/// A rectangular crop of an image, resized to a square, then flipped or transposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// The part.
    pub part: Crop,
    /// Pixels a side.
    pub side: usize,
    /// Flip or transpose, applied last.
    pub augmentation: Augmentation,
}

impl View {
    /// The whole of an image of `height` rows and `width` columns.
    pub fn whole([height, width]: [usize; 2], side: usize) -> View {
        let part = Crop { top: 0, left: 0, height, width };
        View { part, side, augmentation: Augmentation::Default }
    }

    /// A random square: its side uniform from `side`, included, to the image's shorter side, excluded; placed
    /// uniformly.
    ///
    /// # Panics
    /// If the image is smaller than `side`.
    pub fn random_crop([height, width]: [usize; 2], side: usize, random: &mut Random) -> View {
        let shorter = height.min(width);
        let square = side + random.below((shorter - side).max(1));
        let (top, left) = (random.below(height - square + 1), random.below(width - square + 1));
        let part = Crop { top, left, height: square, width: square };
        View { part, side, augmentation: Augmentation::Default }
    }

    /// The same, flipped or transposed in one of the eight ways.
    #[must_use]
    pub fn augmented(self, random: &mut Random) -> View {
        View { augmentation: Augmentation::ALL[random.below(Augmentation::ALL.len())], ..self }
    }

    /// Writes the view of an image to `out`, `[channel, side, side]`; resized as OpenCV's `INTER_LINEAR`.
    ///
    /// # Panics
    /// If the part reaches beyond the image, or `out` has another size.
    pub fn render(&self, images: &PackedImages, image: usize, out: &mut [u8]) {
        let View { part, side, augmentation } = *self;
        let [channels, ..] = images.shape(image);
        let mut cropped = vec![0; channels * part.height * part.width];
        images.copy_crop(image, part, &mut cropped);
        let planes = cropped.chunks_exact(part.height * part.width);
        for (plane, out) in planes.zip(out.chunks_exact_mut(side * side)) {
            if part.height == side && part.width == side {
                augmentation.apply(plane, side, out);
                continue;
            }
            let pixels = Pixels::grey8(part.width, part.height, plane.to_vec());
            // Bytes stay bytes.
            if let Samples::U8(resized) = resize(&pixels, side, side, Interpolation::Bilinear).samples {
                augmentation.apply(&resized, side, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn crops_lie_within_the_image(side in 1_usize..40, higher in 0_usize..40, wider in 0_usize..40, seed: u64) {
            let shape = [side + higher, side + wider];
            let Crop { top, left, height, width } = View::random_crop(shape, side, &mut Random::new(seed)).part;
            prop_assert_eq!(height, width);
            prop_assert!(side <= height && (height < shape[0].min(shape[1]) || height == side));
            prop_assert!(top + height <= shape[0] && left + width <= shape[1]);
        }
    }

    #[test]
    fn all_sides_places_and_augmentations_come() {
        let views = (0..2000).map(|seed| {
            let mut random = Random::new(seed);
            View::random_crop([6, 6], 4, &mut random).augmented(&mut random)
        });
        let seen: std::collections::HashSet<_> =
            views.map(|view| (view.part.height, view.part.top, view.part.left, view.augmentation.name())).collect();
        let (places_of_4, places_of_5) = (9, 4);
        assert_eq!(seen.len(), (places_of_4 + places_of_5) * 8);
    }
}
