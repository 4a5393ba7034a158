//! From packed images to batches: the order of images, their views, and threads that prepare batches ahead of time.
//!
//! All of it is a function of the stage's seed, the epoch, and an image's place in it. The same numbers give the same
//! bytes, whatever the number of threads.

pub mod augmentation;
mod batches;
mod classification_dataset;
mod identity_dataset;
mod image_pool;
pub mod loader;
mod normalisation;
pub mod sampling;
pub mod view;

pub use augmentation::Augmentation;
pub use batches::{Batch, Batches};
pub use classification_dataset::ClassificationDataset;
pub use identity_dataset::IdentityDataset;
pub use image_pool::ImagePool;
pub use normalisation::Normalisation;

use crate::artifact::table::TableInput;
use crate::error::StageError;
use athanor_random::Random;

/// Uses of random numbers; each has a stream of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RandomUse {
    /// Weights of a new network.
    Weights,
    /// The order of an epoch.
    Order,
    /// Crops and flips.
    Views,
    /// Dropout.
    Dropout,
}

/// The random numbers of one use in one epoch (0 where there are none).
pub fn random_stream(seed: u64, what: RandomUse, epoch: u32) -> Random {
    Random::new(seed).split(what as u64).split(u64::from(epoch))
}

/// The random numbers of an image, by its id.
pub fn random_view_stream(seed: u64, id: &str) -> Random {
    let digest = athanor_cache::Digest::of(id.as_bytes()).to_string();
    // A digest is hexadecimal.
    let number = u64::from_str_radix(&digest[..16], 16).unwrap_or_default();
    random_stream(seed, RandomUse::Views, 0).split(number)
}

/// The ids in the column `Id` of a table, or all of the pool.
///
/// # Errors
/// A table without rows, or with an id twice.
pub fn chosen_ids(table: Option<&TableInput>, pool: &ImagePool) -> Result<Vec<String>, StageError> {
    let Some(table) = table else { return Ok(pool.ids()) };
    let table = table.read()?;
    table.require_rows()?;
    table.unique_ids("Id")
}
