//! Synthetic inputs: noise in packed sets, tables that name them, and a checkpoint of an untrained network.

use std::path::{Path, PathBuf};

use burn::prelude::*;

use crate::artifact::checkpoint::CheckpointInput;
use crate::artifact::packed_images::{
    IndexRow, PackedImage, PackedImagesInput, PackedImagesOutput, Planes, write_shard,
};
use crate::artifact::table::{TableInput, TableOutput};
use crate::error::StageError;
use crate::learn::data::Normalisation;
use crate::learn::preprocessing::Preprocessing;
use crate::ports::{InputFile, InputValue, OutputValue};
use athanor_nn::models::{Architecture, ClassifierConfig};
use athanor_nn::weights::save_checkpoint_with;
use athanor_random::Random;

/// The colours of the Human Protein Atlas challenge.
const CHANNELS: [&str; 4] = ["red", "green", "blue", "yellow"];
/// Maximum number of distinct images for training; beyond it they are shown again.
const MOST_DISTINCT: usize = 64;
/// Maximum number of times that an epoch shows an image.
const MOST_REPEATS: usize = 20;
/// Images in a file.
const SHARD: usize = 16;

/// Synthetic inputs in a folder.
pub(crate) struct SyntheticInputs {
    folder: PathBuf,
    classes: usize,
}

impl SyntheticInputs {
    /// Inputs in an empty folder.
    pub(crate) fn new(folder: &Path, classes: usize) -> SyntheticInputs {
        SyntheticInputs { folder: folder.to_owned(), classes }
    }

    /// A new folder within.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, StageError> {
        let path = self.folder.join(name);
        std::fs::create_dir_all(&path).map_err(StageError::io(&path))?;
        Ok(path)
    }

    /// `count` images of `side` x `side` pixels, and a table of them: `Id,Target`.
    pub(crate) fn images(&self, count: usize, side: usize) -> Result<(PackedImagesInput, TableInput), StageError> {
        let (path, channels) = (self.folder("images")?, CHANNELS.map(str::to_owned));
        let ids: Vec<String> = (0..count).map(|image| format!("image{image}")).collect();
        let mut index = Vec::new();
        for (number, ids) in ids.chunks(SHARD).enumerate() {
            let shard = format!("{number}.safetensors");
            let image =
                |(at, id): (usize, &String)| PackedImage { id: id.clone(), planes: noise(number * SHARD + at, side) };
            let images: Vec<PackedImage> = ids.iter().enumerate().map(image).collect();
            write_shard(&path.join(&shard), &channels, &images)?;
            let row = |id: &String| IndexRow { id: id.clone(), shard: shard.clone(), height: side, width: side };
            index.extend(ids.iter().map(row));
        }
        PackedImagesOutput::from_path(path.clone()).write_index(&index)?;
        Ok((PackedImagesInput::from_file(named(path)), self.table("images.csv", &ids)?))
    }

    /// A validation table of the first image; validation is not measured.
    pub(crate) fn validation(&self) -> Result<TableInput, StageError> {
        self.table("validation.csv", &["image0".to_owned()])
    }

    /// All classes are equally frequent.
    fn table(&self, name: &str, ids: &[String]) -> Result<TableInput, StageError> {
        let path = self.folder.join(name);
        let rows = ids.iter().enumerate().map(|(number, id)| [id.clone(), (number % self.classes).to_string()]);
        TableOutput::from_path(path.clone()).write(&["Id", "Target"], rows)?;
        Ok(TableInput::from_file(named(path)))
    }

    /// An untrained classifier.
    pub(crate) fn checkpoint(&self, arch: Architecture, side: usize) -> Result<CheckpointInput, StageError> {
        let channels = CHANNELS.map(str::to_owned).to_vec();
        let normalisation = Normalisation::none(channels.len());
        let model = ClassifierConfig::new(arch, channels.len(), self.classes).init(&Device::flex());
        let path = self.folder.join("checkpoint.safetensors");
        save_checkpoint_with(&model, Preprocessing { side, channels, normalisation }.metadata(), &path)?;
        Ok(CheckpointInput::from_file(named(path)))
    }
}

/// Number of distinct images for an epoch of `shown` images, and number of times that it shows each.
pub(crate) fn distinct_images(shown: usize) -> (usize, usize) {
    let enough = |times: &usize| shown.is_multiple_of(*times) && shown / times <= MOST_DISTINCT;
    let times = (1..=MOST_REPEATS).find(enough).unwrap_or(1);
    (shown / times, times)
}

fn named(path: PathBuf) -> InputFile {
    InputFile { path, label: "synthetic".to_owned() }
}

/// A noise image, different for every number.
fn noise(number: usize, side: usize) -> Planes {
    let mut random = Random::new(number as u64);
    let length = CHANNELS.len() * side * side;
    let mut bytes: Vec<u8> = (0..length.div_ceil(size_of::<u64>())).flat_map(|_| random.bits().to_le_bytes()).collect();
    bytes.truncate(length);
    Planes { shape: [CHANNELS.len(), side, side], bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_shows_exactly_what_it_should() {
        for shown in [1, 2, 7, 64, 65, 67, 240, 960, 1500] {
            let (images, times) = distinct_images(shown);
            assert_eq!(images * times, shown);
            assert!(times <= MOST_REPEATS);
        }
        assert_eq!(distinct_images(240), (60, 4));
    }
}
