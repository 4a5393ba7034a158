//! Preprocessing of images, stored in checkpoints, so that prediction prepares images as training did.

use std::collections::BTreeMap;

use athanor_nn::weights::Checkpoint;
use serde::{Deserialize, Serialize};

use super::data::{ImagePool, Normalisation};
use crate::error::StageError;

/// Key of the metadata of checkpoints, whose value is JSON.
const KEY: &str = "athanor.images";

/// Preprocessing of images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Preprocessing {
    /// Pixels a side.
    pub side: usize,
    /// Names of the channels.
    pub channels: Vec<String>,
    /// Normalisation of the pixels.
    #[serde(flatten)]
    pub normalisation: Normalisation,
}

impl Preprocessing {
    /// As metadata of a checkpoint.
    pub(crate) fn metadata(&self) -> BTreeMap<String, String> {
        let text = serde_json::to_string(self).expect("numbers and strings always serialise");
        BTreeMap::from([(KEY.to_owned(), text)])
    }

    /// Whether images can be prepared so.
    fn is_possible(&self) -> bool {
        let Normalisation { mean, std } = &self.normalisation;
        let are_as_many = [mean.len(), std.len()] == [self.channels.len(); 2];
        let are_numbers = mean.iter().chain(std).all(|number| number.is_finite()) && std.iter().all(|std| *std > 0.0);
        self.side > 0 && are_as_many && are_numbers
    }

    /// The preprocessing of a checkpoint, called `label` in messages, for these images.
    ///
    /// # Errors
    /// If it says nothing, or what cannot be; if the images have other channels.
    pub(crate) fn of(checkpoint: &Checkpoint, label: &str, pool: &ImagePool) -> Result<Preprocessing, StageError> {
        let text = checkpoint.metadata.get(KEY);
        let preprocessing = text.and_then(|text| serde_json::from_str::<Preprocessing>(text).ok());
        let preprocessing = preprocessing.filter(Preprocessing::is_possible);
        let preprocessing = preprocessing.ok_or_else(|| {
            StageError::in_file(label, "does not say how images were prepared for it")
                .with_help("Checkpoints are written by training stages.")
        })?;
        if preprocessing.channels != pool.channels {
            let (theirs, ours) = (preprocessing.channels.join(", "), pool.channels.join(", "));
            let message = format!("was trained on the channels {theirs}, but the images have {ours}");
            return Err(StageError::in_file(label, message));
        }
        Ok(preprocessing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_none() {
        let possible = |side: usize, mean: &[f32], std: &[f32]| {
            let normalisation = Normalisation { mean: mean.to_vec(), std: std.to_vec() };
            Preprocessing { side, channels: vec!["red".to_owned()], normalisation }.is_possible()
        };
        assert!(possible(1, &[-0.5], &[0.5]));
        assert!(!possible(0, &[0.0], &[1.0]), "no pixel");
        assert!(!possible(1, &[], &[]) && !possible(1, &[0.0, 0.0], &[1.0]) && !possible(1, &[0.0], &[1.0, 1.0]));
        for (mean, std) in [(f32::NAN, 1.0), (0.0, 0.0), (0.0, -1.0), (0.0, f32::INFINITY)] {
            assert!(!possible(1, &[mean], &[std]), "{mean} {std}");
        }
    }
}
