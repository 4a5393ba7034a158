//! The state of a training that is not finished, in a folder.
//!
//! Two files take turns, each written whole or not at all, so that the state before the last is there if the last is
//! damaged. A state that cannot be trusted is ignored: training then continues from an earlier one, or starts again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use athanor_cache::Digest;
use burn::prelude::*;
use burn::tensor::{Bytes, DType};
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::error::StageError;
use athanor_nn::weights::{StateDict, TensorEntry, write_container};

/// The two files.
const FILES: [&str; 2] = ["state-0.safetensors", "state-1.safetensors"];
/// The tensor that holds the optimiser's state.
const OPTIMISER: &str = "optimiser";
/// Prefix of the names of the network's tensors.
const WEIGHTS: &str = "weights/";
/// Key of the progress, whose value is JSON.
const PROGRESS: &str = "standing";
/// The digest of all else.
const DIGEST: &str = "digest";

/// Record of one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Epoch {
    /// Its number, from 1.
    pub number: u32,
    /// Its learning rate.
    pub rate: f64,
    /// The mean loss of its steps.
    pub loss: f64,
    /// Monitored metric after it; smaller is better.
    #[serde(rename = "judged")]
    pub monitored: f64,
    /// Figures of the network after it, by name.
    pub figures: Vec<(String, f64)>,
}

/// The best epoch so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    /// Its number.
    pub epoch: u32,
    /// Its monitored metric.
    #[serde(rename = "judged")]
    pub monitored: f64,
    /// The content of its checkpoint.
    pub digest: Digest,
}

/// Progress of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The epoch it is in, from 1.
    pub epoch: u32,
    /// Steps of it that are done.
    pub step: usize,
    /// The sum of their losses.
    pub loss_sum: f64,
    /// The best epoch.
    pub best: Option<Best>,
    /// The epochs that are over.
    pub history: Vec<Epoch>,
}

impl Progress {
    /// Before the first step.
    pub(crate) fn new() -> Progress {
        Progress { epoch: 1, step: 0, loss_sum: 0.0, best: None, history: Vec::new() }
    }
}

/// Everything that training needs to continue.
pub(crate) struct Saved {
    /// Parameters and running statistics.
    pub weights: StateDict,
    /// The optimiser's state in its own format.
    pub optimiser: Bytes,
    /// Progress of the training.
    pub progress: Progress,
}

/// Folder with the state of a training.
pub(crate) struct StateFolder {
    folder: PathBuf,
    /// Number of saved states: the next goes to file `saved % 2`.
    saved: u64,
    /// The best epochs of the last two states.
    held: [Option<u32>; 2],
}

#[derive(Serialize, Deserialize)]
struct Numbered {
    number: u64,
    #[serde(rename = "standing")]
    progress: Progress,
}

impl StateFolder {
    /// The folder at `folder`, which is there.
    pub(crate) fn new(folder: PathBuf) -> StateFolder {
        StateFolder { folder, saved: 0, held: [None, None] }
    }

    /// The last intact state.
    pub(crate) fn restore(&mut self) -> Option<Saved> {
        let found = FILES.iter().filter_map(|name| read(&self.folder.join(name)));
        let trusted = found.filter(|(_, saved)| self.has_best(&saved.progress));
        let (number, saved) = trusted.max_by_key(|(number, _)| *number)?;
        self.saved = number + 1;
        self.held[(number % 2) as usize] = saved.progress.best.as_ref().map(|best| best.epoch);
        Some(saved)
    }

    fn has_best(&self, progress: &Progress) -> bool {
        progress.best.as_ref().is_none_or(|best| {
            std::fs::read(self.best(best.epoch)).is_ok_and(|bytes| Digest::of(&bytes) == best.digest)
        })
    }

    /// Saves a state in place of the one before the last.
    pub(crate) fn save(&mut self, state: &Saved) -> Result<(), StageError> {
        let Saved { weights, optimiser, progress } = state;
        let slot = (self.saved % 2) as usize;
        let progress_text = serde_json::to_string(&Numbered { number: self.saved, progress: progress.clone() })
            .map_err(|error| StageError::io(&self.folder)(error.into()))?;
        let names: Vec<String> = weights.keys().map(|name| format!("{WEIGHTS}{name}")).collect();
        let length = [optimiser.len()];
        let mut entries: Vec<TensorEntry<'_>> =
            names.iter().zip(weights.values()).map(|(name, data)| TensorEntry::float32(name, data)).collect();
        entries.push(TensorEntry::bytes(OPTIMISER, optimiser, &length));
        let digest = digest(entries.iter().map(|entry| (entry.name, entry.bytes)), &progress_text);
        let metadata = BTreeMap::from([(PROGRESS.to_owned(), progress_text), (DIGEST.to_owned(), digest)]);
        write_container(&self.folder.join(FILES[slot]), &entries, &metadata)?;
        self.saved += 1;
        self.held[slot] = progress.best.as_ref().map(|best| best.epoch);
        self.drop_checkpoints()
    }

    /// The path of an epoch's checkpoint, if it is the best.
    pub(crate) fn best(&self, epoch: u32) -> PathBuf {
        self.folder.join(format!("best-{epoch}.safetensors"))
    }

    /// Removes the checkpoints that neither state needs.
    fn drop_checkpoints(&self) -> Result<(), StageError> {
        let needed: Vec<PathBuf> = self.held.iter().flatten().map(|epoch| self.best(*epoch)).collect();
        for entry in std::fs::read_dir(&self.folder).map_err(StageError::io(&self.folder))? {
            let path = entry.map_err(StageError::io(&self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("best-") && !needed.contains(&path) {
                std::fs::remove_file(&path).map_err(StageError::io(&path))?;
            }
        }
        Ok(())
    }
}

/// The digest of tensors, independent of their order, and of the progress.
fn digest<'a>(entries: impl Iterator<Item = (&'a str, &'a [u8])>, progress: &str) -> String {
    let digests: BTreeMap<&str, Digest> = entries.map(|(name, bytes)| (name, Digest::of(bytes))).collect();
    let lines = digests.iter().map(|(name, digest)| format!("{digest} {name}\n"));
    Digest::of((lines.collect::<String>() + progress).as_bytes()).to_string()
}

/// A state and its number; none if it is missing or damaged.
fn read(path: &Path) -> Option<(u64, Saved)> {
    let bytes = std::fs::read(path).ok()?;
    let (_, header) = SafeTensors::read_metadata(&bytes).ok()?;
    let metadata = header.metadata().as_ref()?;
    let progress = metadata.get(PROGRESS)?;
    let tensors = SafeTensors::deserialize(&bytes).ok()?;
    let entries = tensors.iter().map(|(name, tensor)| (name, tensor.data()));
    if digest(entries, progress) != *metadata.get(DIGEST)? {
        return None;
    }
    let Numbered { number, progress } = serde_json::from_str(progress).ok()?;
    let optimiser = Bytes::from_bytes_vec(tensors.tensor(OPTIMISER).ok()?.data().to_vec());
    let mut weights = StateDict::new();
    for (name, tensor) in tensors.iter() {
        if let Some(name) = name.strip_prefix(WEIGHTS).filter(|_| tensor.dtype() == Dtype::F32) {
            let data = TensorData::try_from_bytes_vec(tensor.data().to_vec(), tensor.shape().to_vec(), DType::F32);
            weights.insert(name.to_owned(), data.ok()?);
        }
    }
    Some((number, Saved { weights, optimiser, progress }))
}
