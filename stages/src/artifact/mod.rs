//! Artifacts: the types of the data that flow between stages.

pub mod checkpoint;
pub mod figure;
pub mod folder;
pub mod image_set;
pub mod labels;
pub mod matrix;
pub(crate) mod matrix_element;
pub mod matrix_rows;
mod npy_header;
pub mod packed_images;
pub mod table;
mod table_bytes;
pub(crate) mod table_header;

use serde::{Deserialize, Serialize};

/// Types of artifacts. Wiring is checked against them before anything runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactType {
    /// Any file or folder, as users' programs read and write them.
    Any,
    /// A CSV file with a header row.
    Table,
    /// Numbers with a name for every row: a folder with `values.npy` and `ids.csv`, or a bare `.npy` file whose ids are
    /// given by another input.
    Matrix,
    /// Images by id and channel: a folder of image files, read by their names or by the set's manifest.
    ImageSet,
    /// Images by id as plain arrays, in memory-mapped files.
    PackedImages,
    /// A trained network in a safetensors file.
    Checkpoint,
}

impl ArtifactType {
    /// Whether a port of this type takes what a port of type `offered` makes.
    pub fn accepts(self, offered: ArtifactType) -> bool {
        self == ArtifactType::Any || offered == ArtifactType::Any || self == offered
    }

    /// The noun used in messages and documentation.
    pub fn noun(self) -> &'static str {
        match self {
            ArtifactType::Any => "file or folder",
            ArtifactType::Table => "table",
            ArtifactType::Matrix => "matrix",
            ArtifactType::ImageSet => "image set",
            ArtifactType::PackedImages => "packed image set",
            ArtifactType::Checkpoint => "checkpoint",
        }
    }
}
