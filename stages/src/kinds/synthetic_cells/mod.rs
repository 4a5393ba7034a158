//! `synthetic_cells`: synthetic images, and the tables that belong to them.

mod catalogue;
mod params;

use std::path::Path;

use serde_json::{Value, json};

use crate::artifact::figure::{Figure, FigureData, set_thumbnail};
use crate::artifact::image_set::{HPA_CHANNELS, ImageSetOutput, ManifestRow, write_manifest};
use crate::artifact::labels::Target;
use crate::artifact::table::TableOutput;
use crate::context::StageContext;
use crate::error::StageError;
use crate::items::{Computed, ItemCache, OnFailure, PerItem};
use crate::kind::StageKind;
use crate::output_ports;
use crate::ports::{NoInputs, OutputValue};
use athanor_images::decode::{Header, ImageFormat};
use athanor_images::encode;
use athanor_images::pixels::{Pixels, Samples};
use athanor_images::synthetic::{Scene, render};

use catalogue::{Catalogue, Entry, catalogue};
pub use params::SyntheticCellsParams;

/// Images that are shown as samples.
const MAX_SAMPLES: usize = 12;

/// The kind `synthetic_cells`.
pub struct SyntheticCells;

output_ports! {
    /// Outputs of [`SyntheticCells`].
    pub struct SyntheticCellsOutputs {
        /// Train images.
        train_images: ImageSetOutput = "train_images",
        /// External images.
        external_images: ImageSetOutput = "external_images",
        /// Test images.
        test_images: ImageSetOutput = "test_images",
        /// Targets of the train images: `Id,Target`.
        train: TableOutput = "train.csv",
        /// Targets of the external images, some of them wrong: `Id,Target`, ids as `antibody_plate_well_n`.
        external: TableOutput = "external.csv",
        /// Sample submission for the test images: `Id,Predicted`.
        sample: TableOutput = "sample_submission.csv",
        /// True targets of the test images: `Id,Target`.
        test_labels: TableOutput = "test_labels.csv",
        /// Test images found among the external ones: `Extra,Test`.
        leak: TableOutput = "leak.csv",
        /// Train images found among the external ones: `Train,Extra`.
        pairs: TableOutput = "pairs.csv",
        /// Test images of the same scene, in both orders: `Test1,Test2`.
        duplicates: TableOutput = "duplicates.csv",
        /// Right targets of the external images that have wrong ones, and of some others: `Id,Target`, ids with `/`.
        corrections: TableOutput = "corrections.csv",
    }
}

impl StageKind for SyntheticCells {
    type Params = SyntheticCellsParams;
    type Inputs = NoInputs;
    type Outputs = SyntheticCellsOutputs;

    const NAME: &'static str = "synthetic_cells";
    const REVISION: u32 = 2;
    const DOC: &'static str = "Generates synthetic fluorescence images of cells that show the 28 classes of the Human Protein Atlas challenge, and the tables that belong to them, so that a whole pipeline runs without any data.\n\nSome images show the same scene as others, and some targets are wrong, as in the real data. The same seed gives the same images on every machine; one more image changes no other.";
    const USES_ALL_CPUS: bool = true;
    const RESUMES: bool = true;

    fn run(
        params: SyntheticCellsParams,
        NoInputs: NoInputs,
        outputs: SyntheticCellsOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let catalogue = catalogue(&params, context.seed);
        let items = ItemCache::of::<Self>(context)?;
        let sets = [
            (&catalogue.train, &outputs.train_images),
            (&catalogue.external, &outputs.external_images),
            (&catalogue.test, &outputs.test_images),
        ];
        let scenes: Vec<&Scene> = sets.iter().flat_map(|(entries, _)| *entries).map(|entry| &entry.scene).collect();
        let drawn = items.compute(&Draw { channels: &params.channels }, &scenes, OnFailure::Stop)?;
        let mut drawn = drawn.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter();
        for (entries, set) in sets {
            let images = entries.iter().zip(drawn.by_ref().take(entries.len())).collect();
            place_set(images, &params, set, &items)?;
        }
        context.figure("samples", samples(&catalogue.train, &params));
        write_tables(&catalogue, &outputs)
    }
}

/// Draws one image, all its channels.
struct Draw<'p> {
    channels: &'p [String],
}

impl<'p> PerItem for Draw<'p> {
    type Item = &'p Scene;
    type Value = ();
    const UNIT: &'static str = "images";

    fn key(&self, scene: &&Scene) -> Value {
        let Scene { classes, side, seed, antibody, exposure } = scene;
        json!({
            "classes": classes, "side": side, "seed": seed, "antibody": antibody, "exposure": exposure,
            "channels": self.channels,
        })
    }

    fn compute(&self, scene: &&Scene, folder: &Path) -> Result<(), StageError> {
        let planes = render(scene).into_iter().zip(HPA_CHANNELS);
        for (plane, channel) in planes.filter(|(_, channel)| self.channels.iter().any(|wanted| wanted == channel)) {
            let pixels = Pixels { width: scene.side, height: scene.side, channels: 1, samples: Samples::U8(plane) };
            let file = encode::smaller_png(&pixels).map_err(|error| StageError::mismatch(error.to_string()))?;
            let path = folder.join(channel);
            std::fs::write(&path, file).map_err(StageError::io(&path))?;
        }
        Ok(())
    }
}

/// Places the images of a set, ids sorted, each with its channels in the order of the parameters.
fn place_set(
    mut images: Vec<(&Entry, Computed<()>)>,
    params: &SyntheticCellsParams,
    set: &ImageSetOutput,
    items: &ItemCache<'_>,
) -> Result<(), StageError> {
    images.sort_by(|(left, _), (right, _)| left.id.cmp(&right.id));
    let side = params.size;
    let header = Header { format: ImageFormat::Png, width: side, height: side, channels: 1, depth: 8 };
    let mut manifest = Vec::with_capacity(images.len() * params.channels.len());
    for (entry, drawn) in &images {
        for channel in &params.channels {
            for stored in drawn.files.iter().filter(|file| file.name == *channel) {
                let file = format!("{}_{channel}.png", entry.id);
                items.place(stored, &set.path().join(&file))?;
                let (id, channel) = (entry.id.clone(), channel.clone());
                let (bytes, digest) = (stored.bytes, stored.digest);
                manifest.push(ManifestRow { id, channel, file, header, bytes, digest });
            }
        }
    }
    write_manifest(set, &manifest)
}

/// The first train images of each class.
fn samples(train: &[Entry], params: &SyntheticCellsParams) -> Figure {
    let mut shown: Vec<&Entry> = Vec::new();
    for entry in train {
        let is_new = !shown.iter().any(|known| known.target == entry.target);
        if shown.len() < MAX_SAMPLES && is_new {
            shown.push(entry);
        }
    }
    let image = |entry: &Entry| {
        let planes = render(&entry.scene).into_iter().zip(HPA_CHANNELS);
        let side = entry.scene.side;
        let planes = planes.filter(|(_, channel)| params.channels.iter().any(|wanted| wanted == channel));
        let planes = planes.map(|(plane, channel)| (channel.to_owned(), Pixels::grey8(side, side, plane))).collect();
        let names = entry.target.classes().iter().map(|class| params.classes[*class].as_str());
        set_thumbnail(planes, names.collect::<Vec<_>>().join(", ")).map(|thumbnail| vec![thumbnail])
    };
    let rows = shown.into_iter().filter_map(image).collect();
    Figure::new("Train images", FigureData::Images { rows }).with_caption("Each channel in the colour of its name.")
}

fn write_tables(catalogue: &Catalogue, outputs: &SyntheticCellsOutputs) -> Result<(), StageError> {
    let Catalogue { train, external, test, pairs, leaks, twins, corrections } = catalogue;
    write_labels(&outputs.train, train)?;
    write_labels(&outputs.external, external)?;
    write_labels(&outputs.test_labels, test)?;
    outputs.sample.write(&["Id", "Predicted"], test.iter().map(|entry| [entry.id.as_str(), "0"]))?;
    let leaks = leaks.iter().map(|(row, extra)| [gene(*extra) + &external[*extra].id, test[*row].id.clone()]);
    outputs.leak.write(&["Extra", "Test"], leaks)?;
    let pairs = pairs.iter().map(|(row, extra)| [&train[*row].id, &external[*extra].id]);
    outputs.pairs.write(&["Train", "Extra"], pairs)?;
    let both = twins.iter().flat_map(|(one, two)| [(*one, *two), (*two, *one)]);
    outputs.duplicates.write(&["Test1", "Test2"], both.map(|(one, two)| [&test[one].id, &test[two].id]))?;
    let right = |(extra, target): &(usize, Target)| [external[*extra].id.replacen('_', "/", 1), target.to_string()];
    outputs.corrections.write(&["Id", "Target"], corrections.iter().map(right))
}

/// As `ENSG00000012345_`, in front of external ids on the leak list.
fn gene(number: usize) -> String {
    format!("ENSG{:011}_", 10_000 + number)
}

fn write_labels(output: &TableOutput, entries: &[Entry]) -> Result<(), StageError> {
    output.write(&["Id", "Target"], entries.iter().map(|entry| [entry.id.clone(), entry.target.to_string()]))
}

#[cfg(test)]
mod tests;
