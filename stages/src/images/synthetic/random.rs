//! Random numbers that are the same on every machine: SplitMix64, with independent streams by number.
//!
//! Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014. Everything drawn from it uses only
//! operations that IEEE 754 defines to the last bit.

use super::point::Point;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Random {
        Random { seed, state: mix(seed) }
    }

    /// A stream of its own for part `number` of what this one is for, however much has been drawn from this one.
    pub fn part(&self, number: u64) -> Random {
        Random::new(mix(self.seed ^ mix(number.wrapping_add(GOLDEN))))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
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

    /// Whether something happens that has this probability.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// A point uniformly in the unit disc.
    pub fn in_disc(&mut self) -> Point {
        loop {
            let point = Point::new(self.signed(), self.signed());
            if point.dot(point) <= 1.0 {
                return point;
            }
        }
    }

    /// A direction, of length 1.
    pub fn direction(&mut self) -> Point {
        self.in_disc().unit()
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
