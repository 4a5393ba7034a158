//! Sequence numbers of a cache.

use crate::{Cache, Result};

impl Cache {
    /// Returns the next sequence number: greater than every one given out before by any process, and than `floor`.
    pub fn next_sequence(&self, floor: u64) -> Result<u64> {
        let highest = || Ok(self.records()?.iter().map(|record| record.sequence).max().unwrap_or(0));
        self.counter.next(floor, highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::counter::NAME;

    #[test]
    fn numbers_grow_whatever_becomes_of_the_counter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let next = |floor| Cache::open(folder.path()).unwrap().next_sequence(floor).unwrap();
        assert_eq!([next(0), next(0), next(40), next(0)], [1, 2, 41, 42]);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut damaged = good.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert!(next(0) > 42, "byte {at}");
        }
        std::fs::write(&path, &good[..30]).unwrap();
        assert!(next(0) > 42);
        std::fs::write(&path, [good.as_slice(), &good].concat()).unwrap();
        assert!(next(0) > 42);
    }

    #[test]
    fn no_two_threads_get_the_same_number() {
        let folder = tempfile::tempdir().unwrap();
        let caches = [Cache::open(folder.path()).unwrap(), Cache::open(folder.path()).unwrap()];
        let mut numbers: Vec<u64> = std::thread::scope(|scope| {
            let take = |cache| scope.spawn(move || (0..200).map(|_| Cache::next_sequence(cache, 0).unwrap()).collect());
            let threads: Vec<_> = [0, 0, 1, 1].map(|at| take(&caches[at])).into();
            threads
                .into_iter()
                .flat_map(|thread: std::thread::ScopedJoinHandle<'_, Vec<u64>>| thread.join().unwrap())
                .collect()
        });
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=800).collect::<Vec<_>>());
    }
}
