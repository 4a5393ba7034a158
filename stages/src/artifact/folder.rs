//! Folders of any content.

use crate::artifact::ArtifactType;
use crate::ports::{InputFile, InputValue};

/// A folder to read, whatever is in it.
#[derive(Debug, Clone)]
pub struct FolderInput(pub InputFile);

impl InputValue for FolderInput {
    const TYPE: ArtifactType = ArtifactType::Any;

    fn from_file(file: InputFile) -> Self {
        FolderInput(file)
    }
}
