//! Splitting of batches that do not fit into the memory of a device.
//!
//! A step can be split into more and smaller batches: it then needs less memory at a time, and shows the same images, with the
//! same loss. Batch norm sees smaller batches, though, so the result differs; it is done only if it was asked for.

use std::path::Path;

use super::config::{OnOutOfMemory, TrainingConfig};
use crate::error::StageError;
use crate::learn::precision::Precision;
use crate::words::counted;
use athanor_nn::devices::OutOfMemory;

/// The file's name, beside the state of the training.
const FILE: &str = "split";

/// Number of parts into which batches are split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    parts: usize,
}

impl Split {
    /// The split that earlier attempts at the same work have reached.
    pub fn load(folder: &Path) -> Split {
        let parts = std::fs::read_to_string(folder.join(FILE)).ok().and_then(|text| text.trim().parse().ok());
        Split { parts: parts.unwrap_or(1) }
    }

    fn save(self, folder: &Path) -> Result<(), StageError> {
        let path = folder.join(FILE);
        std::fs::write(&path, format!("{}\n", self.parts)).map_err(StageError::io(&path))
    }

    /// The next finer split of batches of `batch` images, none of which gets fewer than two.
    fn finer(self, batch: usize) -> Option<Split> {
        (2 * self.parts..=batch / 2).find(|parts| batch.is_multiple_of(*parts)).map(|parts| Split { parts })
    }

    /// The configuration with split batches. A split that does not divide its batches is ignored.
    pub fn apply(self, config: &TrainingConfig) -> TrainingConfig {
        let parts = if self.parts > 0 && config.batch.is_multiple_of(self.parts) { self.parts } else { 1 };
        TrainingConfig { batch: config.batch / parts, accumulation: config.accumulation * parts, ..config.clone() }
    }
}

impl TrainingConfig {
    /// The failure of a training that ran out of memory, split so far by `split`. If it is to be split further
    /// that is saved in `folder`, for the next attempt.
    pub fn out_of_memory_error(&self, found: OutOfMemory, split: Split, folder: &Path) -> StageError {
        let TrainingConfig { batch, side, precision, .. } = split.apply(self);
        let message = found.describe(&format!(
            "batches of {} of {side} x {side} pixels in {}",
            counted(batch, "image"),
            precision.name()
        ));
        let finer = split.finer(self.batch);
        let choices = self.memory_saving_choices(finer);
        let split_further = match (self.on_out_of_memory, finer) {
            (OnOutOfMemory::Error, _) => Ok((format!("{choices}, or `on_out_of_memory: split`"), false)),
            (OnOutOfMemory::Split, None) => Ok((format!("Batches cannot be split further. {choices}"), false)),
            (OnOutOfMemory::Split, Some(finer)) => {
                let TrainingConfig { batch, accumulation, .. } = finer.apply(self);
                let help = format!(
                    "It continues with {} of {} a step. {choices}",
                    counted(accumulation, "batch"),
                    counted(batch, "image")
                );
                finer.save(folder).map(|()| (help, true))
            }
        };
        match split_further {
            Ok((help, retry)) => StageError::DeviceMemory { message, help: help + ".", retry },
            Err(error) => error,
        }
    }

    /// Choices that need less memory, as a sentence without its end.
    fn memory_saving_choices(&self, finer: Option<Split>) -> String {
        let smaller = finer.map(|finer| {
            let TrainingConfig { batch, accumulation, .. } = finer.apply(self);
            format!("`batch: {batch}` with `accumulation: {accumulation}` (as many images a step, though batch norms see fewer at once)")
        });
        let narrower = (self.precision != Precision::Bf16).then(|| "`precision: bf16`".to_owned());
        let forgetful = (!self.gradient_checkpointing).then(|| "`gradient_checkpointing: true`".to_owned());
        let choices: Vec<String> = smaller.into_iter().chain(narrower).chain(forgetful).collect();
        match choices.is_empty() {
            true => "Choose a smaller `batch`, or a GPU with more memory".to_owned(),
            false => format!("Options that need less memory: {}", choices.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finer(parts: usize, batch: usize) -> Option<usize> {
        Split { parts }.finer(batch).map(|split| split.parts)
    }

    #[test]
    fn batches_are_halved_as_long_as_they_can_be() {
        let parts_of_48 = [1, 2, 4, 8, 16].map(|parts| finer(parts, 48));
        assert_eq!(parts_of_48, [Some(2), Some(4), Some(8), Some(16), None]);
        assert_eq!([2, 3, 7].map(|batch| finer(1, batch)), [None; 3], "a batch norm needs two images");
        assert_eq!(
            [finer(1, 9), finer(3, 9), finer(1, 15)],
            [Some(3), None, Some(3)],
            "odd ones as well as they can be"
        );
    }
}
