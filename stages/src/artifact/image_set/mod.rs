//! Image sets: ids by channels, one image file each.
//!
//! A set is a folder. Sets made by stages have a `manifest.csv` that describes every file; any other folder is read
//! by the names of its files ([`Naming`]), so that a user's own folder of images is a set too. Either way every id has
//! an image for every channel: a missing one is an error, or its id is left out and listed.

mod by_name;
mod class_folders;
mod manifest;
mod naming;
mod unmatched;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use athanor_cache::{Digest, Tree};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::ArtifactType;
use crate::artifact::table::TableOutput;
use crate::context::StageContext;
use crate::error::StageError;
use crate::ports::{InputFile, InputValue, OutputValue};

pub(crate) use class_folders::ClassFolders;
pub use manifest::{ManifestRow, write_manifest};
pub(crate) use naming::COLOUR_CHANNELS;
pub use naming::{DEFAULT_PATTERN, FileParts, HPA_CHANNELS, Naming, NamingError};

/// An image set to be read.
#[derive(Debug, Clone)]
pub struct ImageSetInput(pub InputFile);

impl InputValue for ImageSetInput {
    const TYPE: ArtifactType = ArtifactType::ImageSet;
    fn from_file(file: InputFile) -> Self {
        ImageSetInput(file)
    }
}

/// An image set to be written.
#[derive(Debug, Clone)]
pub struct ImageSetOutput(PathBuf);

impl OutputValue for ImageSetOutput {
    const TYPE: ArtifactType = ArtifactType::ImageSet;
    fn from_path(path: PathBuf) -> Self {
        ImageSetOutput(path)
    }
    fn path(&self) -> &Path {
        &self.0
    }
}

/// The images of a set.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSet {
    /// Name of the set in messages.
    pub label: String,
    /// Names of the channels, in the set's order.
    pub channels: Vec<String>,
    /// The ids, sorted.
    pub ids: Vec<String>,
    /// The files, `[id, channel]`.
    pub files: Vec<ImageFile>,
}

/// One channel of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageFile {
    /// The image.
    pub id: String,
    /// The channel.
    pub channel: String,
    /// Path inside the set.
    pub name: String,
    /// Name of the file in messages.
    pub label: String,
    /// Path of the file.
    pub path: PathBuf,
    /// Its content.
    pub digest: Digest,
}

/// An image that was left out of a set, or a file that belongs to no image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadImage {
    /// The image; empty for a file that belongs to none.
    pub id: String,
    /// The channel; empty for a file that belongs to no image.
    pub channel: String,
    /// The file, as the user calls it.
    pub file: String,
    /// The problem.
    pub reason: String,
    /// Whether it is named and no more: a file that by its name is no image at all, such as a table of labels.
    pub is_no_image: bool,
}

/// Action for an id with a bad image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBad {
    /// The stage fails and names the file.
    #[default]
    Error,
    /// The id is left out, and listed in the output `skipped`, of downloads in `failures`.
    Skip,
}

impl ImageSetInput {
    /// The images of the set, and those that are missing or duplicated. A set that a stage has made is read by its
    /// manifest; any other folder by the names of its files.
    ///
    /// # Errors
    /// A manifest that does not fit the folder; a folder without any image.
    pub fn read(&self, naming: &Naming, context: &StageContext<'_>) -> Result<(ImageSet, Vec<BadImage>), StageError> {
        let InputFile { path, label } = &self.0;
        if !path.is_dir() {
            let help = "An image set is a folder of images.";
            return Err(StageError::in_file(label, "is not a folder").with_help(help));
        }
        let tree = context.tree_of(path)?;
        match manifest::find(&tree, path, label)? {
            Some(rows) => Ok((manifest::read(&rows, &tree, path, label)?, Vec::new())),
            None => by_name::read(naming, &tree, path, label),
        }
    }

    /// As [`ImageSetInput::read`] for a folder with the usual names, in which nothing may be missing.
    pub fn read_whole(&self, context: &StageContext<'_>) -> Result<ImageSet, StageError> {
        let (set, bad) = self.read(&Naming::default(), context)?;
        fail_if_bad(&bad, OnBad::Error)?;
        Ok(set)
    }
}

impl ImageSet {
    /// The place of a channel that the set must have.
    pub fn channel(&self, name: &str) -> Result<usize, StageError> {
        self.channels.iter().position(|channel| channel == name).ok_or_else(|| {
            let help = format!("Its channels are {}.", self.channels.join(", "));
            StageError::in_file(&self.label, format!("the images have no channel `{name}`")).with_help(help)
        })
    }

    /// The file of a channel of an id, both by place.
    pub fn file(&self, id: usize, channel: usize) -> &ImageFile {
        &self.files[id * self.channels.len() + channel]
    }
}

impl ImageFile {
    /// The file's bytes, which are those that the stage's fingerprint counts.
    ///
    /// # Errors
    /// The file cannot be read, or its content has changed since the run looked at it.
    pub fn read(&self) -> Result<Vec<u8>, StageError> {
        let bytes = std::fs::read(&self.path).map_err(|error| StageError::unreadable(&self.label, &error))?;
        if Digest::of(&bytes) == self.digest {
            return Ok(bytes);
        }
        let help = "Run again when nothing writes to it.";
        Err(StageError::in_file(&self.label, "changed while the stage was running").with_help(help))
    }
}

/// Fails if there is a bad image; names the first and counts the files of the others. With [`OnBad::Skip`] these are all images that
/// there were.
pub fn fail_if_bad(bad: &[BadImage], on_bad: OnBad) -> Result<(), StageError> {
    let images = || bad.iter().filter(|bad| !bad.is_no_image);
    let Some(first) = images().next() else { return Ok(()) };
    let others: HashSet<&str> = images().map(|bad| bad.file.as_str()).filter(|file| *file != first.file).collect();
    let others = match others.len() {
        0 => String::new(),
        1 => "; 1 more file is bad".to_owned(),
        count => format!("; {count} more files are bad"),
    };
    let help = match on_bad {
        OnBad::Error => "Add, mend or remove the file, or leave such images out with `on_bad: skip`.",
        OnBad::Skip => "No image is left with `on_bad: skip`; mend them, or give another folder.",
    };
    Err(StageError::in_file(&first.file, format!("{}{others}", first.reason)).with_help(help))
}

/// Writes the table of images that were left out.
pub fn write_skipped(output: &TableOutput, bad: &[BadImage]) -> Result<(), StageError> {
    let rows = bad.iter().map(|bad| [&bad.id, &bad.channel, &bad.file, &bad.reason]);
    output.write(&["Id", "channel", "file", "reason"], rows)
}

/// The files of a folder by their paths inside it.
fn entries(tree: &Tree) -> impl Iterator<Item = (&str, Digest)> {
    tree.entries.iter().filter_map(|entry| Some((entry.path.as_str(), entry.digest?)))
}

/// The name in messages of a file inside an artifact.
fn label_inside(label: &str, name: &str) -> String {
    format!("{}/{name}", label.trim_end_matches('/'))
}
