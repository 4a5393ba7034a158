//! Pseudorandom numbers that are the same on every machine.
//!
//! [`Random`] is SplitMix64 with an independent stream for every use of a seed: numbers drawn for one use change no
//! other. [`RandomState`] is NumPy's generator, for splits that must agree with other tools'. Nothing here is fit for
//! cryptography, reads the clock, or asks the system for entropy.
//!
//! ```
//! use athanor_random::Random;
//!
//! let random = Random::new(7);
//! let (mut crops, mut flips) = (random.split(0), random.split(1));
//! let first_flip = flips.clone().bits();
//! assert!(crops.below(10) < 10);
//! assert_eq!(flips.bits(), first_flip);
//! ```

#![warn(missing_docs, unreachable_pub)]

mod numpy;
mod split_mix;

pub use numpy::{RandomState, SeedTooLarge};
pub use split_mix::{Random, SplitMix64};
