//! Size of the arrays of jobs that a cluster takes.

use std::time::{Duration, Instant};

/// Maximum number of jobs of an array: clusters have a limit, 1,000 if nobody changed it.
const MAX_ARRAY: usize = 500;
/// Time after which larger arrays than those that were refused are tried again: a user may have had as many jobs as the cluster lets one
/// have, and has fewer by then.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// Size of the arrays of jobs that a cluster takes.
pub(super) struct ArraySize {
    most: usize,
    /// When an array was last refused for its size.
    refused: Option<Instant>,
}

impl ArraySize {
    /// The size before any was refused.
    pub(super) fn new() -> ArraySize {
        ArraySize { most: MAX_ARRAY, refused: None }
    }

    /// Maximum number of jobs of an array that is submitted now.
    pub(super) fn most(&mut self, now: Instant) -> usize {
        if self.refused.is_some_and(|refused| now.duration_since(refused) >= FORGOTTEN) {
            *self = ArraySize::new();
        }
        self.most
    }

    /// Notes that an array of `count` jobs was refused for its size.
    pub(super) fn refuse(&mut self, count: usize, now: Instant) {
        self.most = self.most.min(count.div_ceil(2)).max(1);
        self.refused = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_halved_when_they_are_refused_and_large_again_later() {
        let mut size = ArraySize::new();
        let begin = Instant::now();
        assert_eq!(size.most(begin), MAX_ARRAY);
        size.refuse(40, begin);
        assert_eq!(size.most(begin), 20);
        size.refuse(1, begin);
        assert_eq!(size.most(begin), 1, "one job is none too many");
        assert_eq!(size.most(begin + FORGOTTEN / 2), 1);
        size.refuse(1, begin + FORGOTTEN / 2);
        assert_eq!(size.most(begin + FORGOTTEN), 1, "the last refusal counts");
        assert_eq!(size.most(begin + FORGOTTEN * 2), MAX_ARRAY);
    }
}
