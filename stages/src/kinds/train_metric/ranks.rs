//! Metrics of identification by cosines.

/// Number of guesses that count.
const GUESSES: usize = 5;

/// Counts over the images of a validation set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ranks {
    images: usize,
    first: usize,
    precision: f64,
}

impl Ranks {
    /// Adds an image with its cosines with each identity.
    pub(crate) fn add(&mut self, cosines: &[f32], identity: usize) {
        self.images += 1;
        let right = cosines[identity];
        // Of equal cosines the earlier identity's comes first; NaN is never right.
        let before = |(other, cosine): &(usize, &f32)| {
            **cosine > right || (**cosine == right && *other < identity) || cosine.is_nan() || right.is_nan()
        };
        let rank = cosines.iter().enumerate().filter(before).count();
        self.first += usize::from(rank == 0);
        if rank < GUESSES {
            self.precision += 1.0 / (rank + 1) as f64;
        }
    }

    /// Mean average precision of five guesses: the mean of one over the right identity's rank, or 0 beyond the fifth.
    pub(crate) fn map_at_5(&self) -> f64 {
        self.precision / self.images as f64
    }

    /// The share of images whose first guess is right.
    pub(crate) fn accuracy(&self) -> f64 {
        self.first as f64 / self.images as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_count_by_their_rank() {
        let cosines = [0.1, 0.9, 0.3, 0.3, -0.5, 0.0, -0.2];
        let score = |identity: usize| {
            let mut ranks = Ranks::default();
            ranks.add(&cosines, identity);
            (ranks.map_at_5(), ranks.accuracy())
        };
        assert_eq!(score(1), (1.0, 1.0));
        assert_eq!(score(2), (1.0 / 2.0, 0.0));
        assert_eq!(score(3), (1.0 / 3.0, 0.0));
        assert_eq!(score(5), (1.0 / 5.0, 0.0));
        assert_eq!(score(6), (0.0, 0.0));
        let mut both = Ranks::default();
        both.add(&cosines, 1);
        both.add(&cosines, 0);
        assert_eq!(both.map_at_5(), (1.0 + 1.0 / 4.0) / 2.0);
        let mut broken = Ranks::default();
        broken.add(&[f32::NAN; 7], 0);
        assert_eq!(broken.map_at_5(), 0.0);
    }
}
