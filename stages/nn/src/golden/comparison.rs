//! Results of comparisons.

use serde::{Deserialize, Serialize};

/// A comparison of one number, or of many by their norm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The compared thing.
    pub name: String,
    /// Difference, as a share of the expected size.
    pub difference: f64,
    /// The largest difference that is due to rounding.
    pub tolerance: f64,
}

impl Comparison {
    /// Whether the difference is within the tolerance; NaN is not.
    pub fn agrees(&self) -> bool {
        self.difference <= self.tolerance
    }
}

/// The largest of differences; NaN if any is.
pub(super) fn largest(differences: impl Iterator<Item = f64>) -> f64 {
    differences.fold(0.0, |largest: f64, next| if largest.is_nan() || next <= largest { largest } else { next })
}

/// A difference as a share; none is none of nothing, too.
pub(super) fn share(difference: f64, of: f64) -> f64 {
    if difference == 0.0 { 0.0 } else { difference / of }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_agrees_with_nothing() {
        assert!(largest([1.0, f64::NAN, 0.5].into_iter()).is_nan());
        assert_eq!(largest([0.5, 1.0].into_iter()), 1.0);
        let of = |difference| Comparison { name: String::new(), difference, tolerance: 1.0 };
        assert!(of(1.0).agrees() && !of(1.1).agrees() && !of(f64::NAN).agrees());
    }
}
