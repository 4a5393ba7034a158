//! Classification metrics.

/// Counts over the images of a validation set, from logits.
#[derive(Debug, Clone)]
pub(crate) struct ClassificationScores {
    classes: usize,
    images: usize,
    focal: f64,
    right: usize,
    /// True positives, false positives and false negatives of each class.
    counts: Vec<[usize; 3]>,
}

impl ClassificationScores {
    /// Metrics of no images yet.
    pub(crate) fn new(classes: usize) -> ClassificationScores {
        ClassificationScores { classes, images: 0, focal: 0.0, right: 0, counts: vec![[0; 3]; classes] }
    }

    /// Adds images: logits and targets (0 or 1) are `[image, class]`.
    pub(crate) fn add(&mut self, logits: &[f32], targets: &[f32]) {
        self.images += logits.len() / self.classes;
        for (at, (logit, target)) in logits.iter().zip(targets).enumerate() {
            // A probability above 0.5.
            let (said, holds) = (*logit > 0.0, *target > 0.5);
            self.right += usize::from(said == holds);
            match (said, holds) {
                (true, true) => self.counts[at % self.classes][0] += 1,
                (true, false) => self.counts[at % self.classes][1] += 1,
                (false, true) => self.counts[at % self.classes][2] += 1,
                (false, false) => {}
            }
            self.focal += focal(f64::from(if holds { *logit } else { -*logit }));
        }
    }

    /// The focal loss: summed over classes, the mean over images.
    pub(crate) fn focal(&self) -> f64 {
        self.focal / self.images as f64
    }

    /// The share of all decisions, one an image and class, that are right.
    pub(crate) fn accuracy(&self) -> f64 {
        self.right as f64 / (self.images * self.classes) as f64
    }

    /// F1 of each class; 0 where a class is neither predicted nor true.
    pub(crate) fn f1(&self) -> Vec<f64> {
        let f1 = |[both, only_said, only_true]: &[usize; 3]| {
            let all = 2 * both + only_said + only_true;
            if all == 0 { 0.0 } else { (2 * both) as f64 / all as f64 }
        };
        self.counts.iter().map(f1).collect()
    }

    /// The mean of the classes' F1.
    pub(crate) fn macro_f1(&self) -> f64 {
        self.f1().iter().sum::<f64>() / self.classes as f64
    }
}

/// The focal loss, gamma 2, of a logit whose sign is that of a right prediction.
fn focal(margin: f64) -> f64 {
    (2.0 * log_sigmoid(-margin)).exp() * -log_sigmoid(margin)
}

fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use burn::prelude::*;

    use super::*;

    #[test]
    fn scores_are_those_of_the_definitions() {
        let mut scores = ClassificationScores::new(3);
        scores.add(&[2.0, -1.0, -3.0, 0.5, 0.1, -2.0], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        scores.add(&[-1.0, -1.0, -1.0], &[1.0, 0.0, 0.0]);
        assert_eq!(scores.accuracy(), 7.0 / 9.0);
        assert_eq!(scores.f1(), [0.5, 1.0, 0.0]);
        assert_eq!(scores.macro_f1(), 0.5);
    }

    #[test]
    fn the_focal_loss_is_the_one_that_is_trained_with() {
        let (logits, targets) = ([2.0_f32, -1.0, 30.0, -30.0, 0.5, 0.0], [1.0_f32, 1.0, 0.0, 1.0, 0.0, 0.0]);
        let mut scores = ClassificationScores::new(3);
        scores.add(&logits, &targets);
        let tensor = |values: [f32; 6]| Tensor::<1>::from_floats(values, &Device::flex()).reshape([2, 3]);
        let by_burn = f64::from(athanor_nn::losses::focal(tensor(logits), tensor(targets)).into_scalar::<f32>());
        assert!((scores.focal() - by_burn).abs() < 1e-5 * by_burn, "{} is not {by_burn}", scores.focal());
    }
}
