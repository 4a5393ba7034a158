//! What a checkpoint remembers of how its network was shown images, so that prediction shows them alike.

use std::collections::BTreeMap;

use athanor_nn::weights::Checkpoint;
use serde::{Deserialize, Serialize};

use super::data::{ImagePool, Normalisation};
use crate::error::StageError;

/// Where checkpoints keep it, as JSON.
const KEY: &str = "athanor.images";

/// How images were prepared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Pixels a side.
    pub side: usize,
    /// Names of the channels.
    pub channels: Vec<String>,
    /// How bytes became numbers.
    #[serde(flatten)]
    pub normalisation: Normalisation,
}

impl Preprocessing {
    /// As metadata of a checkpoint.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let text = serde_json::to_string(self).expect("numbers and strings always serialise");
        BTreeMap::from([(KEY.to_owned(), text)])
    }

    /// What a checkpoint says, which `label` names, for these images.
    ///
    /// # Errors
    /// If it says nothing; if the images have other channels.
    pub fn of(checkpoint: &Checkpoint, label: &str, pool: &ImagePool) -> Result<Preprocessing, StageError> {
        let text = checkpoint.metadata.get(KEY);
        let preprocessing = text.and_then(|text| serde_json::from_str::<Preprocessing>(text).ok());
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
