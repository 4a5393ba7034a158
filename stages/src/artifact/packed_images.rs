//! Packed images: decoded pixels in memory-mapped files, for random access to any crop without decoding.
//!
//! A packed set is a folder with `index.csv` (`Id,shard,height,width`) and shards in the
//! [safetensors](https://github.com/huggingface/safetensors) format: one tensor an image, named by its id, unsigned
//! bytes of shape `[channel, height, width]`. The names of the channels are in each shard's metadata.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::artifact::ArtifactType;
use crate::artifact::table::{TableInput, TableOutput};
use crate::error::StageError;
use crate::ports::{InputFile, InputValue, OutputValue};

const INDEX: &str = "index.csv";
const INDEX_HEADER: [&str; 4] = ["Id", "shard", "height", "width"];
const CHANNELS: &str = "channels";

/// A packed set to be read.
#[derive(Debug, Clone)]
pub struct PackedImagesInput(pub InputFile);

impl InputValue for PackedImagesInput {
    const TYPE: ArtifactType = ArtifactType::PackedImages;
    fn from_file(file: InputFile) -> Self {
        PackedImagesInput(file)
    }
}

/// A packed set to be written.
#[derive(Debug, Clone)]
pub struct PackedImagesOutput(PathBuf);

impl OutputValue for PackedImagesOutput {
    const TYPE: ArtifactType = ArtifactType::PackedImages;
    fn from_path(path: PathBuf) -> Self {
        PackedImagesOutput(path)
    }
    fn path(&self) -> &Path {
        &self.0
    }
}

/// The decoded pixels of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planes {
    /// Channels, rows, pixels a row.
    pub shape: [usize; 3],
    /// `[channel, row, column]`.
    pub bytes: Vec<u8>,
}

/// A row of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRow {
    /// The image.
    pub id: String,
    /// File name of its shard.
    pub shard: String,
    /// Rows.
    pub height: usize,
    /// Pixels a row.
    pub width: usize,
}

impl PackedImagesOutput {
    /// Writes the index of a set whose shards are in place. Makes the folder if there are none.
    pub fn write_index(&self, rows: &[IndexRow]) -> Result<(), StageError> {
        std::fs::create_dir_all(&self.0).map_err(StageError::io(&self.0))?;
        let table = TableOutput::from_path(self.0.join(INDEX));
        let rows =
            rows.iter().map(|row| [row.id.clone(), row.shard.clone(), row.height.to_string(), row.width.to_string()]);
        table.write(&INDEX_HEADER, rows)
    }
}

/// An image of a shard.
#[derive(Debug)]
pub struct PackedImage {
    /// Id.
    pub id: String,
    /// Pixels of its channels.
    pub planes: Planes,
}

/// Writes a shard.
pub fn write_shard(path: &Path, channels: &[String], images: &[PackedImage]) -> Result<(), StageError> {
    let failed = |error: safetensors::SafeTensorError| StageError::io(path)(std::io::Error::other(error));
    let mut views = Vec::with_capacity(images.len());
    for PackedImage { id, planes } in images {
        views.push((id.as_str(), TensorView::new(Dtype::U8, planes.shape.to_vec(), &planes.bytes).map_err(failed)?));
    }
    let metadata = HashMap::from([(CHANNELS.to_owned(), channels.join(","))]);
    safetensors::serialize_to_file(views, Some(metadata), path).map_err(failed)
}

/// A shard, mapped into memory.
#[derive(Debug)]
pub struct Shard {
    map: Mmap,
    channels: Vec<String>,
    /// The start of each image's bytes, and its shape.
    images: BTreeMap<String, (usize, [usize; 3])>,
}

impl Shard {
    /// Maps the shard at `path`, called `label` by the user.
    ///
    /// # Errors
    /// A file that cannot be read, is no safetensors file, or holds other tensors than images.
    pub fn open(path: &Path, label: &str) -> Result<Shard, StageError> {
        let broken = |error: String| {
            let help = "It is written by `pack_images`; `athanor cache verify` finds damaged files.";
            StageError::in_file(label, format!("is not a shard of packed images: {error}")).with_help(help)
        };
        let file = File::open(path).map_err(|error| StageError::unreadable(label, &error))?;
        // SAFETY: Shards are stored files, which are read-only and never written again; a user who truncates one under
        // a running stage ends that stage's process and nothing else.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| broken(error.to_string()))?;
        let tensors = SafeTensors::deserialize(&map).map_err(|error| broken(error.to_string()))?;
        let (_, header) = SafeTensors::read_metadata(&map).map_err(|error| broken(error.to_string()))?;
        let channels = header.metadata().as_ref().and_then(|metadata| metadata.get(CHANNELS));
        let channels = channels.ok_or_else(|| broken("it does not name its channels".to_owned()))?;
        let channels: Vec<String> = channels.split(',').map(str::to_owned).collect();
        let mut images = BTreeMap::new();
        for (id, tensor) in tensors.iter() {
            let shape = <[usize; 3]>::try_from(tensor.shape()).ok().filter(|shape| shape[0] == channels.len());
            let shape = shape.filter(|_| tensor.dtype() == Dtype::U8);
            let shape = shape.ok_or_else(|| broken(format!("`{id}` is not an image of its channels")))?;
            let start = tensor.data().as_ptr() as usize - map.as_ptr() as usize;
            images.insert(id.to_owned(), (start, shape));
        }
        Ok(Shard { map, channels, images })
    }

    /// Shape `[channel, height, width]` and pixels of an image.
    pub fn planes(&self, id: &str) -> Option<([usize; 3], &[u8])> {
        let (start, shape) = self.images.get(id)?;
        Some((*shape, self.bytes(*start, *shape)))
    }

    fn bytes(&self, start: usize, shape: [usize; 3]) -> &[u8] {
        &self.map[start..start + shape.iter().product::<usize>()]
    }
}

/// A packed set, mapped into memory. Opening costs a system call a shard; pixels are read when they are touched.
#[derive(Debug)]
pub struct PackedImages {
    /// Names of the channels.
    pub channels: Vec<String>,
    /// The ids, in the order of the index.
    pub ids: Vec<String>,
    shards: Vec<Shard>,
    /// For each id its shard, where its bytes start there, and its shape.
    places: Vec<(usize, usize, [usize; 3])>,
}

/// A part of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crop {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl PackedImagesInput {
    /// Opens the set.
    ///
    /// # Errors
    /// A folder that is no packed set; an index that does not fit its shards.
    pub fn open(&self) -> Result<PackedImages, StageError> {
        let InputFile { path, label } = &self.0;
        let inside = |name: &str| InputFile { path: path.join(name), label: format!("{label}/{name}") };
        let index = TableInput(inside(INDEX)).read()?;
        index.require_rows()?;
        let (id_column, shard_column) = (index.column("Id")?, index.column("shard")?);
        let ids = index.unique_ids("Id")?;
        let (mut shards, mut numbers) = (Vec::<Shard>::new(), HashMap::new());
        let mut places = Vec::with_capacity(ids.len());
        for row in 0..index.len() {
            let (id, name) = (index.cell(row, id_column), index.cell(row, shard_column));
            if name.is_empty() || name.contains('/') {
                return Err(index.error(row, format!("`{name}` is not the name of a shard")));
            }
            let number = match numbers.get(name) {
                Some(number) => *number,
                None => {
                    let file = inside(name);
                    shards.push(Shard::open(&file.path, &file.label)?);
                    numbers.insert(name.to_owned(), shards.len() - 1);
                    shards.len() - 1
                }
            };
            let place = shards[number].images.get(id);
            let (start, shape) = *place.ok_or_else(|| index.error(row, format!("`{name}` has no image `{id}`")))?;
            places.push((number, start, shape));
        }
        let channels = shards.first().map(|shard| shard.channels.clone()).unwrap_or_default();
        if let Some(number) = shards.iter().position(|shard| shard.channels != channels) {
            let message = format!("shard number {} has other channels than the first", number + 1);
            return Err(StageError::in_file(label, message));
        }
        Ok(PackedImages { channels, ids, shards, places })
    }
}

impl PackedImages {
    /// Shape `[channel, height, width]` of an image.
    pub fn shape(&self, image: usize) -> [usize; 3] {
        self.places[image].2
    }

    /// All pixels of an image, `[channel, height, width]`.
    pub fn planes(&self, image: usize) -> &[u8] {
        let (shard, start, shape) = self.places[image];
        self.shards[shard].bytes(start, shape)
    }

    /// Copies a part of an image into `out`, which is `[channel, crop.height, crop.width]`.
    ///
    /// # Panics
    /// If the crop reaches beyond the image, or `out` has another size.
    pub fn copy_crop(&self, image: usize, crop: Crop, out: &mut [u8]) {
        let [channels, height, width] = self.shape(image);
        assert!(crop.top + crop.height <= height && crop.left + crop.width <= width, "{crop:?} of {height} x {width}");
        assert_eq!(out.len(), channels * crop.height * crop.width, "one byte a pixel of the crop");
        if out.is_empty() {
            return;
        }
        let planes = self.planes(image).chunks_exact(height * width);
        for (plane, out) in planes.zip(out.chunks_exact_mut(crop.height * crop.width)) {
            let rows = plane[crop.top * width..].chunks(width);
            for (row, out) in rows.zip(out.chunks_exact_mut(crop.width)) {
                out.copy_from_slice(&row[crop.left..crop.left + crop.width]);
            }
        }
    }
}
