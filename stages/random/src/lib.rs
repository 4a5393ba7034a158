//! Pseudorandom numbers that are the same on every machine.
//!
//! [`Random`] is SplitMix64 with a stream of its own for every use of a seed: what one use draws changes no other.
//! [`RandomState`] is NumPy's generator, for splits that must agree with other tools'. Cryptography needs another crate.
//!
//! ```
//! use athanor_random::Random;
//!
//! let random = Random::new(7);
//! let mut crops = random.split(0);
//! let mut flips = random.split(1);
//! assert_ne!(crops.bits(), flips.bits());
//! assert!(crops.below(10) < 10);
//! ```

mod numpy;
mod split_mix;

pub use numpy::{RandomState, SeedTooLarge};
pub use split_mix::{Random, SplitMix64};
