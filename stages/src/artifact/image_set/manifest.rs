//! The manifest of an image set: one row a file.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use athanor_cache::{Digest, Tree};

use super::{ImageFile, ImageSet, ImageSetOutput, entries, label_inside};
use crate::artifact::table::{Table, TableInput, TableOutput};
use crate::error::StageError;
use crate::ports::{InputFile, OutputValue};
use athanor_images::decode::{Header, ImageFormat};

const MANIFEST: &str = "manifest.csv";
const HEADER: [&str; 10] =
    ["Id", "channel", "file", "format", "width", "height", "samples", "depth", "bytes", "digest"];

/// A channel's entry in the manifest. A file that holds several channels has an entry for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestRow {
    /// The image.
    pub id: String,
    /// The channel.
    pub channel: String,
    /// Path inside the set.
    pub file: String,
    /// Format, size in pixels, samples a pixel and bits a sample.
    pub header: Header,
    /// The file's size.
    pub bytes: u64,
    /// The file's content.
    pub digest: Digest,
}

/// Writes the manifest of a set whose files are in place, ids and channels in the order of `rows`. Makes the folder if
/// there are no files.
pub fn write_manifest(set: &ImageSetOutput, rows: &[ManifestRow]) -> Result<(), StageError> {
    std::fs::create_dir_all(set.path()).map_err(StageError::io(set.path()))?;
    let table = TableOutput::from_path(set.path().join(MANIFEST));
    let cells = rows.iter().map(|row| {
        let Header { format, width, height, channels, depth } = row.header;
        let numbers = [width, height, channels, usize::from(depth)].map(|number| number.to_string());
        let names = [row.id.clone(), row.channel.clone(), row.file.clone(), name_of(format).to_owned()];
        names.into_iter().chain(numbers).chain([row.bytes.to_string(), row.digest.to_string()])
    });
    table.write(&HEADER, cells)
}

fn name_of(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "png",
        ImageFormat::Jpeg => "jpeg",
        ImageFormat::Tiff => "tiff",
        ImageFormat::Bmp => "bmp",
        ImageFormat::Gif => "gif",
        ImageFormat::Webp => "webp",
        ImageFormat::Pnm => "pnm",
        ImageFormat::Qoi => "qoi",
    }
}

/// The manifest, if the folder has one. A table of the same name with other columns is not a manifest.
pub(crate) fn find(tree: &Tree, root: &Path, label: &str) -> Result<Option<Table>, StageError> {
    if !entries(tree).any(|(name, _)| name == MANIFEST) {
        return Ok(None);
    }
    let file = InputFile { path: root.join(MANIFEST), label: label_inside(label, MANIFEST) };
    let table = TableInput(file).read()?;
    Ok((table.header() == HEADER).then_some(table))
}

/// The set that a manifest describes. Every file must be there with the content it says, so that a set that was added
/// to or edited is not taken for what it was.
pub(crate) fn read(manifest: &Table, tree: &Tree, root: &Path, label: &str) -> Result<ImageSet, StageError> {
    let present: HashMap<&str, Digest> = entries(tree).collect();
    let help = "If the images are right as they are, remove the manifest: the folder is then read by its file names.";
    // One file may hold several channels.
    let listed: HashSet<&str> = (0..manifest.len()).map(|row| manifest.cell(row, 2)).collect();
    if let Some(other) = present.len().checked_sub(listed.len() + 1).filter(|others| *others > 0) {
        let message = format!("does not list all files of its folder: {other} more are there");
        return Err(StageError::in_file(&manifest.label, message).with_help(help));
    }
    let mut known = HashSet::new();
    let mut set = ImageSet { label: label.to_owned(), channels: Vec::new(), ids: Vec::new(), files: Vec::new() };
    for row in 0..manifest.len() {
        let cell = |column| manifest.cell(row, column).to_owned();
        let (id, channel, name) = (cell(0), cell(1), cell(2));
        // Names of results are made of these, and a manifest may come from anywhere.
        for (what, text) in [("an image", &id), ("a channel", &channel)] {
            if text.is_empty() || text.contains('/') {
                return Err(manifest.error(row, format!("`{text}` cannot be the name of {what}")).with_help(help));
            }
        }
        let told: Option<Digest> = manifest.cell(row, 9).parse().ok();
        let digest = match present.get(name.as_str()) {
            None => return Err(manifest.error(row, format!("the file `{name}` is not there")).with_help(help)),
            Some(digest) if told != Some(*digest) => {
                let message = format!("the file `{name}` has another content than the manifest says");
                return Err(manifest.error(row, message).with_help(help));
            }
            Some(digest) => *digest,
        };
        if set.ids.last() != Some(&id) {
            if !known.insert(id.clone()) {
                return Err(manifest.error(row, format!("the rows of `{id}` are not together")).with_help(help));
            }
            set.ids.push(id.clone());
        }
        if set.ids.len() == 1 {
            if set.channels.contains(&channel) {
                return Err(manifest.error(row, format!("`{id}` has the channel `{channel}` twice")).with_help(help));
            }
            set.channels.push(channel.clone());
        }
        let place = set.files.len() % set.channels.len().max(1);
        if set.ids.len() * set.channels.len() <= set.files.len() || set.channels[place] != channel {
            let message = format!("the channel `{channel}` of `{id}` is out of order");
            return Err(manifest.error(row, message).with_help(help));
        }
        let (path, label) = (root.join(&name), label_inside(label, &name));
        set.files.push(ImageFile { id, channel, name, label, path, digest });
    }
    if set.ids.len() * set.channels.len() != set.files.len() {
        let message = "does not have every channel of every image";
        return Err(StageError::in_file(&manifest.label, message).with_help(help));
    }
    Ok(set)
}
