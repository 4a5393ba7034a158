//! From packed images to batches: which images come when, what of each is seen, and threads that prepare it ahead of time.
//!
//! All of it is decided by numbers: the stage's seed, the epoch, and an image's place in it. The same numbers give the same
//! bytes, whatever the number of threads.

pub mod augmentation;
mod examples;
pub mod loader;
mod normalisation;
pub mod sampling;
pub mod view;

pub use augmentation::Augmentation;
pub use examples::ImagePool;
pub use normalisation::Normalisation;

use crate::images::synthetic::random::Random;

/// Names of the uses that random numbers are put to, so that no two uses share any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Weights of a new network.
    Weights,
    /// The order of an epoch.
    Order,
    /// Crops and flips.
    Views,
    /// What a network drops while it learns.
    Dropout,
}

/// The random numbers of one use in one epoch (0 where there are none).
pub fn random(seed: u64, what: Use, epoch: u32) -> Random {
    Random::new(seed).part(what as u64).part(u64::from(epoch))
}
