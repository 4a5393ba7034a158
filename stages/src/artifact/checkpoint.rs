//! Checkpoints: trained networks in files.

use std::path::{Path, PathBuf};

use crate::artifact::ArtifactType;
use crate::ports::{InputFile, InputValue, OutputValue};

/// A checkpoint to be read.
#[derive(Debug, Clone)]
pub struct CheckpointInput(pub InputFile);

impl InputValue for CheckpointInput {
    const TYPE: ArtifactType = ArtifactType::Checkpoint;
    fn from_file(file: InputFile) -> Self {
        CheckpointInput(file)
    }
}

/// A checkpoint to be written.
#[derive(Debug, Clone)]
pub struct CheckpointOutput(PathBuf);

impl OutputValue for CheckpointOutput {
    const TYPE: ArtifactType = ArtifactType::Checkpoint;
    fn from_path(path: PathBuf) -> Self {
        CheckpointOutput(path)
    }
    fn path(&self) -> &Path {
        &self.0
    }
}

/// Weights of any origin to be read: a file of PyTorch's or in the safetensors format.
#[derive(Debug, Clone)]
pub struct WeightsInput(pub InputFile);

impl InputValue for WeightsInput {
    const TYPE: ArtifactType = ArtifactType::Any;
    fn from_file(file: InputFile) -> Self {
        WeightsInput(file)
    }
}

/// Weights to be written.
#[derive(Debug, Clone)]
pub struct WeightsOutput(PathBuf);

impl OutputValue for WeightsOutput {
    const TYPE: ArtifactType = ArtifactType::Any;
    fn from_path(path: PathBuf) -> Self {
        WeightsOutput(path)
    }
    fn path(&self) -> &Path {
        &self.0
    }
}
