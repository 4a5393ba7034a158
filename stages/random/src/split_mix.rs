//! SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.

/// The golden ratio in 64 bits: the distance between two states.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The bare SplitMix64 generator.
#[derive(Debug, Clone)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// The generator that starts at `state`.
    pub fn new(state: u64) -> SplitMix64 {
        SplitMix64 { state }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }
}

/// A stream of random numbers, drawn from [`SplitMix64`] with operations that IEEE 754 defines to the last bit.
#[derive(Debug, Clone)]
pub struct Random {
    seed: u64,
    generator: SplitMix64,
}

impl Random {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Random {
        Random { seed, generator: SplitMix64::new(mix(seed)) }
    }

    /// The independent stream `number` of the same seed, however much has been drawn from this one.
    pub fn split(&self, number: u64) -> Random {
        Random::new(mix(self.seed ^ mix(number.wrapping_add(GOLDEN))))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.generator.bits()
    }

    /// A uniform number from 0, included, to 1, excluded.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u32 << 24) as f32
    }

    /// A uniform number between two.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// A uniform number from -1 to 1.
    pub fn signed(&mut self) -> f32 {
        self.between(-1.0, 1.0)
    }

    /// A uniform integer below `count`, which is at least 1; the bias is below one in 2^32 for small counts.
    pub fn below(&mut self, count: usize) -> usize {
        (((self.bits() >> 32) * count as u64) >> 32) as usize
    }

    /// Whether an event of this probability happens.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_reference_implementation() {
        let mut generator = SplitMix64::new(1_234_567);
        let drawn = [(); 3].map(|()| generator.bits());
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn what_is_drawn_from_a_stream_changes_no_other() {
        let mut random = Random::new(7);
        let before = random.split(1).bits();
        random.bits();
        assert_eq!(random.split(1).bits(), before);
        assert_ne!(random.split(2).bits(), before);
    }
}
