//! All pairs of hashes that lie close together.
//!
//! Every hash is compared with every other: a limit of 12 of 64 bits is too wide for an index of bit patterns to save
//! much, and a comparison costs less than a nanosecond.

use rayon::prelude::*;

/// Two items that are close in every channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Index of the left item.
    pub left: usize,
    /// Index of the right item.
    pub right: usize,
    /// Differing bits, a channel each.
    pub distances: Vec<u32>,
}

/// The search was asked to stop and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the search was asked to stop")]
pub struct Interrupted;

/// Callbacks of a long search; both are called from several threads.
pub struct SearchObserver<'a> {
    /// Receives the number of left items done, and of all.
    pub progress: &'a (dyn Fn(usize, usize) + Sync),
    /// Whether to stop.
    pub should_stop: &'a (dyn Fn() -> bool + Sync),
}

/// All pairs of a left and a right item whose hashes differ in at most `thresholds[c]` bits in every channel `c`, in
/// the order of the left items, then of the right.
///
/// `left[c][i]` is the hash of item `i` in channel `c`.
///
/// # Errors
/// If it was asked to stop.
///
/// # Panics
/// If the channels of the two sides and the thresholds are not equally many, or differ in length within a side.
pub fn matches(
    left: &[Vec<u64>],
    right: &[Vec<u64>],
    thresholds: &[u32],
    watch: &SearchObserver<'_>,
) -> Result<Vec<Match>, Interrupted> {
    search(left, right, thresholds, false, watch)
}

/// As [`matches()`] of a set with itself, without the pairs of an item with itself; other pairs come in both orders.
///
/// # Errors
/// If it was asked to stop.
///
/// # Panics
/// As [`matches()`].
pub fn matches_within(
    items: &[Vec<u64>],
    thresholds: &[u32],
    watch: &SearchObserver<'_>,
) -> Result<Vec<Match>, Interrupted> {
    search(items, items, thresholds, true, watch)
}

/// Left items that one task compares at a time, while a stretch of the right side stays in the cache.
const LEFT_BLOCK: usize = 256;

fn search(
    left: &[Vec<u64>],
    right: &[Vec<u64>],
    thresholds: &[u32],
    same: bool,
    watch: &SearchObserver<'_>,
) -> Result<Vec<Match>, Interrupted> {
    assert!(left.len() == thresholds.len() && right.len() == thresholds.len(), "one threshold a channel");
    let (items, others) = (left.first().map_or(0, Vec::len), right.first().map_or(0, Vec::len));
    assert!(left.iter().all(|channel| channel.len() == items), "every channel has every left item");
    assert!(right.iter().all(|channel| channel.len() == others), "every channel has every right item");
    let done = std::sync::atomic::AtomicUsize::new(0);
    let blocks: Vec<Result<Vec<Match>, Interrupted>> = (0..items.div_ceil(LEFT_BLOCK))
        .into_par_iter()
        .map(|block| {
            if (watch.should_stop)() {
                return Err(Interrupted);
            }
            let range = block * LEFT_BLOCK..items.min((block + 1) * LEFT_BLOCK);
            let count = range.len();
            let mut found = Vec::new();
            for item in range {
                search_one(left, right, thresholds, same, item, &mut found);
            }
            let done = done.fetch_add(count, std::sync::atomic::Ordering::Relaxed) + count;
            (watch.progress)(done, items);
            Ok(found)
        })
        .collect();
    let mut all = Vec::new();
    for block in blocks {
        all.append(&mut block?);
    }
    Ok(all)
}

fn search_one(
    left: &[Vec<u64>],
    right: &[Vec<u64>],
    thresholds: &[u32],
    same: bool,
    item: usize,
    found: &mut Vec<Match>,
) {
    let (Some(first), Some(others), Some(&threshold)) = (left.first(), right.first(), thresholds.first()) else {
        return;
    };
    let hash = first[item];
    for (other, &candidate) in others.iter().enumerate() {
        if (hash ^ candidate).count_ones() > threshold || same && other == item {
            continue;
        }
        let distances: Vec<u32> =
            left.iter().zip(right).map(|(left, right)| (left[item] ^ right[other]).count_ones()).collect();
        if distances.iter().zip(thresholds).all(|(distance, threshold)| distance <= threshold) {
            found.push(Match { left: item, right: other, distances });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    const QUIET: SearchObserver<'static> = SearchObserver { progress: &|_, _| {}, should_stop: &|| false };

    fn plainly(left: &[Vec<u64>], right: &[Vec<u64>], thresholds: &[u32], same: bool) -> Vec<Match> {
        let mut found = Vec::new();
        for item in 0..left[0].len() {
            for other in (0..right[0].len()).filter(|&other| !(same && other == item)) {
                let distance = |channel: usize| (left[channel][item] ^ right[channel][other]).count_ones();
                let distances: Vec<u32> = (0..left.len()).map(distance).collect();
                if distances.iter().zip(thresholds).all(|(distance, threshold)| distance <= threshold) {
                    found.push(Match { left: item, right: other, distances });
                }
            }
        }
        found
    }

    fn channels(items: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Vec<u64>>> {
        // Few bits, so that many pairs are close.
        let hash = || any::<u64>().prop_map(|bits| bits & 0x1111_1111);
        items.prop_flat_map(move |count| prop::collection::vec(prop::collection::vec(hash(), count), 2))
    }

    proptest! {
        #[test]
        fn the_pairs_are_those_of_a_plain_search(
            left in channels(0..600), right in channels(0..40), thresholds in prop::collection::vec(0..9u32, 2),
        ) {
            prop_assert_eq!(matches(&left, &right, &thresholds, &QUIET).unwrap(), plainly(&left, &right, &thresholds, false));
            prop_assert_eq!(matches_within(&right, &thresholds, &QUIET).unwrap(), plainly(&right, &right, &thresholds, true));
        }
    }

    #[test]
    fn progress_reaches_the_end_and_a_wish_to_stop_is_heard() {
        let hashes = vec![vec![0; 1000]];
        let done = AtomicUsize::new(0);
        let progress = |now: usize, of: usize| {
            assert_eq!(of, 1000);
            done.fetch_max(now, Ordering::Relaxed);
        };
        let watch = SearchObserver { progress: &progress, should_stop: &|| false };
        assert_eq!(matches(&hashes, &[vec![0; 3]], &[0], &watch).unwrap().len(), 3000);
        assert_eq!(done.into_inner(), 1000);
        let stop = SearchObserver { progress: &|_, _| {}, should_stop: &|| true };
        assert_eq!(matches(&hashes, &hashes, &[0], &stop), Err(Interrupted));
    }

    #[test]
    fn without_channels_or_items_nothing_matches() {
        assert_eq!(matches(&[], &[], &[], &QUIET), Ok(Vec::new()));
        assert_eq!(matches(&[vec![]], &[vec![1]], &[64], &QUIET), Ok(Vec::new()));
    }
}
