//! Checkpoints: a model's parameters in a safetensors file that says which model it is.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::container::{TensorEntry, write_container};
use super::file::WeightsFile;
use super::{StateDict, load_state_dict, state_dict};
use crate::error::{LabelledPath, WeightsError};
use crate::models::{Architecture, Model, StemPool};

/// Metadata that PyTorch's tools expect.
const FORMAT: (&str, &str) = ("format", "pt");
const MODEL: &str = "athanor.model";
const ARCHITECTURE: &str = "athanor.architecture";
const STEM_POOL: &str = "athanor.stem_pool";

/// Writes a model's parameters and running statistics to `path`: whole or not at all, and replacing what was there.
pub fn save_checkpoint<M: Model>(model: &M, path: &Path) -> Result<(), WeightsError> {
    save_checkpoint_with(model, BTreeMap::new(), path)
}

/// The same with metadata of the caller's.
pub fn save_checkpoint_with<M: Model>(
    model: &M,
    mut metadata: BTreeMap<String, String>,
    path: &Path,
) -> Result<(), WeightsError> {
    let architecture = model.architecture();
    let state = state_dict(model, architecture);
    metadata.extend([
        (FORMAT.0.to_owned(), FORMAT.1.to_owned()),
        (MODEL.to_owned(), M::KIND.to_owned()),
        (ARCHITECTURE.to_owned(), architecture.name().to_owned()),
    ]);
    metadata.extend(model.backbone().stem_pool().map(|pool| (STEM_POOL.to_owned(), pool.name().to_owned())));
    let entries: Vec<TensorEntry<'_>> = state.iter().map(|(name, data)| TensorEntry::float32(name, data)).collect();
    write_container(path, &entries, &metadata)
}

/// A checkpoint that was read and not yet put into a model.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    label: String,
    /// The backbone.
    pub architecture: Architecture,
    /// Pooling of its stem, where it can be chosen.
    pub stem_pool: Option<StemPool>,
    /// Channels of the images.
    pub channels: usize,
    /// Classes or identities.
    pub outputs: usize,
    /// Metadata of the file.
    pub metadata: HashMap<String, String>,
    state: StateDict,
}

impl Checkpoint {
    /// Reads the checkpoint of a model of kind `M`.
    ///
    /// # Errors
    /// A file that cannot be read; a checkpoint of another kind of model, or of none that is known.
    pub fn read<M: Model>(file: LabelledPath<'_>) -> Result<Checkpoint, WeightsError> {
        let wrong = |message: String| WeightsError::in_file(file.label, message);
        let WeightsFile { state, metadata, .. } = WeightsFile::read(file)?;
        let no_checkpoint = |what: &str| {
            wrong(format!("is no checkpoint of a {}: it does not say its {what}", M::KIND))
                .with_help("Checkpoints are written by training stages; pretrained weights are given to those.")
        };
        let kind = metadata.get(MODEL).ok_or_else(|| no_checkpoint("kind of model"))?;
        if kind != M::KIND {
            return Err(wrong(format!("is the checkpoint of a {kind}, not of a {}", M::KIND)));
        }
        let architecture = metadata.get(ARCHITECTURE).ok_or_else(|| no_checkpoint("architecture"))?;
        let architecture: Architecture = architecture.parse().map_err(|error| wrong(format!("{error}")))?;
        let stem_pool = stem_pool_of(&metadata, architecture).map_err(wrong)?;
        if let Some((name, data)) = state.iter().find(|(_, data)| data.shape().contains(&0)) {
            // Its other sides say nothing of the network, and may be of any length.
            let message = format!(
                "is no whole checkpoint of {architecture}: `{name}` has the shape {:?}",
                data.shape().as_slice()
            );
            return Err(wrong(message));
        }
        let axis = |key: &str, axis: usize| state.get(key).and_then(|data| data.shape().get(axis).copied());
        let lacks = |key: &str| wrong(format!("is no whole checkpoint of {architecture}: it lacks `{key}`"));
        let first = architecture.first_convolution();
        let channels = axis(first, 1).ok_or_else(|| lacks(first))?;
        let outputs = axis(M::OUTPUT, 0).ok_or_else(|| lacks(M::OUTPUT))?;
        Ok(Checkpoint { label: file.label.to_owned(), architecture, stem_pool, channels, outputs, metadata, state })
    }

    /// The model with the checkpoint's parameters and running statistics.
    ///
    /// # Errors
    /// If the model is of another architecture, or for another number of channels, classes or identities.
    pub fn into_model<M: Model>(self, model: M) -> Result<M, WeightsError> {
        let wrong = |message: String| WeightsError::in_file(&self.label, message);
        let architecture = model.architecture();
        if self.architecture != architecture {
            return Err(wrong(format!("is a checkpoint of {}, not of {architecture}", self.architecture)));
        }
        if let (Some(theirs), Some(ours)) = (self.stem_pool, model.backbone().stem_pool())
            && theirs != ours
        {
            return Err(wrong(format!("is of a network whose stem pools {theirs}, not {ours}")));
        }
        let [channels, outputs] = [model.channels(), model.outputs()];
        if self.channels != channels {
            let noun = if self.channels == 1 { "channel" } else { "channels" };
            return Err(wrong(format!("is for images of {} {noun}, but the images have {channels}", self.channels)));
        }
        if self.outputs != outputs {
            return Err(wrong(format!("tells {} {} apart, not {outputs}", self.outputs, M::OUTPUTS)));
        }
        load_state_dict(model, architecture, self.state).map_err(|mismatch| {
            WeightsError::in_file(&self.label, format!("does not fit {architecture}: it {mismatch}"))
        })
    }
}

/// The pooling of the stem that a checkpoint of ours was trained with, where it can be chosen.
///
/// Checkpoints without that entry are older: ResNet-18 and ResNet-34 pooled 2x2 then.
fn stem_pool_of(metadata: &HashMap<String, String>, architecture: Architecture) -> Result<Option<StemPool>, String> {
    if !architecture.has_stem_pool() {
        return Ok(None);
    }
    match metadata.get(STEM_POOL) {
        None if architecture == Architecture::Resnet50 => Ok(Some(StemPool::ThreeByThree)),
        None => Ok(Some(StemPool::TwoByTwo)),
        Some(name) => {
            let found = StemPool::ALL.into_iter().find(|pool| pool.name() == name);
            found.map(Some).ok_or_else(|| format!("its stem pools `{name}`, which is not known here"))
        }
    }
}

/// The pooling of the stem that weights say they were trained with; those of other programs say nothing.
pub(super) fn stated_stem_pool(metadata: &HashMap<String, String>) -> Option<StemPool> {
    let architecture: Architecture = metadata.get(ARCHITECTURE)?.parse().ok()?;
    stem_pool_of(metadata, architecture).ok()?
}
