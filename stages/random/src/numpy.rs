//! The random numbers of NumPy's legacy `RandomState`, bit for bit, so that splits come out as other tools' do.
//!
//! Source: NumPy's `numpy/random/mtrand` (MT19937 seeded by `init_genrand`, bounded integers by masking and rejection,
//! the Fisher-Yates shuffle from the end). Values are checked against NumPy in the golden tests.

use rand_mt::Mt;

/// A seed that NumPy's generator does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The seed {seed} does not fit into 32 bits.")]
pub struct SeedTooLarge {
    /// The seed.
    pub seed: u64,
}

/// NumPy's `numpy.random.RandomState(seed)`.
pub struct RandomState(Mt);

impl RandomState {
    /// `seed` must fit into 32 bits, as NumPy's must.
    pub fn new(seed: u64) -> Result<RandomState, SeedTooLarge> {
        let seed = u32::try_from(seed).map_err(|_| SeedTooLarge { seed })?;
        Ok(RandomState(Mt::new(seed)))
    }

    /// A uniform integer from 0 to `max`, both included.
    fn interval(&mut self, max: u32) -> u32 {
        if max == 0 {
            return 0;
        }
        let mask = u32::MAX >> max.leading_zeros();
        loop {
            let value = self.0.next_u32() & mask;
            if value <= max {
                return value;
            }
        }
    }

    /// `choice(count)`: a uniform integer below `count`.
    pub fn choice(&mut self, count: usize) -> usize {
        self.interval(bound(count)) as usize
    }

    /// `shuffle`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = self.interval(bound(at + 1)) as usize;
            items.swap(at, other);
        }
    }

    /// `permutation(count)`: the numbers below `count` in random order.
    pub fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..count).collect();
        self.shuffle(&mut numbers);
        numbers
    }
}

/// The largest index below `count`; tables have fewer rows than 32 bits count.
fn bound(count: usize) -> u32 {
    u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX)
}
