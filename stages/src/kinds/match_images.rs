//! `match_images`: pairs of images that look the same.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::figure::{Cell, Figure, FigureData, Thumbnail, set_thumbnail};
use crate::artifact::image_set::{ImageSet, ImageSetInput};
use crate::artifact::table::{Table, TableInput, TableOutput};
use crate::context::StageContext;
use crate::error::StageError;
use crate::image_sets::read_options::ReadOptions;
use crate::kind::StageKind;
use crate::params::{ParamProblem, Parameters};
use crate::{input_ports, output_ports};
use athanor_images::hamming::{self, SearchObserver};
use athanor_images::phash::PerceptualHash;

/// The kind `match_images`.
pub struct MatchImages;

/// Pairs that are shown.
const MAX_SHOWN: usize = 40;
/// Pairs of which the images are shown.
const MAX_PICTURES: usize = 10;

/// Parameters of [`MatchImages`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchImagesParams {
    /// Maximum Hamming distance between the hashes of two matching images, for each channel: 0 to 64 bits that may differ.
    #[serde(default = "thresholds")]
    pub thresholds: BTreeMap<String, u32>,
    /// Names of the two id columns. The default is `Train` and `Extra`, or `Test1` and `Test2` within one set.
    #[serde(default)]
    pub names: Option<[String; 2]>,
}

/// The reference's: at most 12 bits in red, green and blue.
fn thresholds() -> BTreeMap<String, u32> {
    ["red", "green", "blue"].map(|channel| (channel.to_owned(), 12)).into()
}

/// The order in which channels are known to appear; others follow by name.
const CHANNEL_ORDER: [&str; 4] = crate::artifact::image_set::HPA_CHANNELS;

impl MatchImagesParams {
    /// Channels and their thresholds, in the order of columns.
    fn channels(&self) -> Vec<(&str, u32)> {
        let mut channels: Vec<(&str, u32)> =
            self.thresholds.iter().map(|(name, most)| (name.as_str(), *most)).collect();
        let place = |name: &str| CHANNEL_ORDER.iter().position(|known| *known == name).unwrap_or(CHANNEL_ORDER.len());
        channels.sort_by_key(|(name, _)| place(name));
        channels
    }
}

impl Parameters for MatchImagesParams {
    fn check(&self) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        if self.thresholds.is_empty() {
            problems.push(ParamProblem::value("thresholds", "there must be at least one channel"));
        }
        if self.thresholds.values().any(|most| *most > 64) {
            problems.push(ParamProblem::value("thresholds", "a hash has 64 bits, so a threshold is 0 to 64"));
        }
        if self.names.as_ref().is_some_and(|[one, two]| one == two || one.is_empty() || two.is_empty()) {
            problems.push(ParamProblem::value("names", "the columns need two different names"));
        }
        problems
    }
}

input_ports! {
    /// Inputs of [`MatchImages`].
    pub struct MatchImagesInputs {
        /// Perceptual hashes: `Id` and a column a channel.
        hashes: TableInput,
        /// Hashes of another set to match with; by default the set is matched with itself.
        others: Option<TableInput>,
        /// Images of the first set, of which the report shows the closest pairs. They are looked at for that alone.
        images: Option<ImageSetInput>,
        /// Images of the other set; by default the first one's.
        other_images: Option<ImageSetInput>,
    }
}

output_ports! {
    /// Outputs of [`MatchImages`].
    pub struct MatchImagesOutputs {
        /// Pairs of ids, then the number of differing bits in each channel (`SimR` for red, …); in the order of the
        /// first set's rows, then of the second's.
        matches: TableOutput = "matches.csv",
    }
}

impl StageKind for MatchImages {
    type Params = MatchImagesParams;
    type Inputs = MatchImagesInputs;
    type Outputs = MatchImagesOutputs;

    const NAME: &'static str = "match_images";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Finds near-duplicate images: all pairs whose perceptual hashes differ in few bits in every channel: of two sets, or within one set, where every pair is listed in both orders.";
    const USES_ALL_CPUS: bool = true;

    fn run(
        params: MatchImagesParams,
        inputs: MatchImagesInputs,
        outputs: MatchImagesOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let channels = params.channels();
        let (names, thresholds): (Vec<&str>, Vec<u32>) = channels.into_iter().unzip();
        let left = Hashes::read(&inputs.hashes, &names)?;
        let right = inputs.others.as_ref().map(|others| Hashes::read(others, &names)).transpose()?;
        let watch = SearchObserver {
            progress: &|done, total| context.progress(done as u64, total as u64, "images"),
            should_stop: &|| context.should_stop(),
        };
        let matches = match &right {
            Some(right) => hamming::matches(&left.by_channel, &right.by_channel, &thresholds, &watch),
            None => hamming::matches_within(&left.by_channel, &thresholds, &watch),
        };
        let matches = matches.map_err(|hamming::Interrupted| StageError::Interrupted)?;
        context.metric("matches", matches.len() as f64);
        let [one, two] = params.names.clone().unwrap_or_else(|| match right {
            Some(_) => ["Train", "Extra"].map(str::to_owned),
            None => ["Test1", "Test2"].map(str::to_owned),
        });
        let similarities: Vec<String> = names.iter().map(|name| similarity_column(name)).collect();
        let header: Vec<&str> =
            [one.as_str(), two.as_str()].into_iter().chain(similarities.iter().map(String::as_str)).collect();
        let others = right.as_ref().unwrap_or(&left);
        let nearest = nearest_first(&matches, right.is_none());
        context.figure("closest", closest(&nearest, [&one, &two], &names, [&left, others]));
        if let Some(images) = &inputs.images {
            let sides = [images, inputs.other_images.as_ref().unwrap_or(images)];
            show_pairs(&nearest, sides, [&left, others], context)?;
        }
        let rows = matches.iter().map(|found| {
            let ids = [left.ids[found.left].clone(), others.ids[found.right].clone()];
            ids.into_iter().chain(found.distances.iter().map(u32::to_string)).collect::<Vec<String>>()
        });
        outputs.matches.write(&header, rows)
    }
}

/// Pairs, the nearest first; of those `within` one set, which are there in both orders, each once.
fn nearest_first(matches: &[hamming::Match], within: bool) -> Vec<&hamming::Match> {
    let mut nearest: Vec<&hamming::Match> =
        matches.iter().filter(|found| !within || found.left < found.right).collect();
    nearest.sort_by_key(|found| (bits(found), found.left, found.right));
    nearest
}

/// Bits in which the hashes of a pair differ, in all channels.
fn bits(found: &hamming::Match) -> u32 {
    found.distances.iter().sum()
}

/// Leaves a figure of the images of the nearest pairs, side by side.
fn show_pairs(
    nearest: &[&hamming::Match],
    images: [&ImageSetInput; 2],
    [left, right]: [&Hashes; 2],
    context: &StageContext<'_>,
) -> Result<(), StageError> {
    let reading = ReadOptions::default();
    let [one, two] = [reading.read(images[0], context)?.0, reading.read(images[1], context)?.0];
    let mut rows = Vec::new();
    for found in nearest.iter().take(MAX_PICTURES) {
        let (left, right) = (&left.ids[found.left], &right.ids[found.right]);
        let other = format!("{right}: {} bits differ", bits(found));
        let pair = [thumbnail(&reading, &one, left, left.clone())?, thumbnail(&reading, &two, right, other)?];
        rows.extend(pair.into_iter().collect::<Option<Vec<Thumbnail>>>());
    }
    let caption = "Each channel in the colour of its name.";
    context
        .figure("pairs", Figure::new("Closest pairs side by side", FigureData::Images { rows }).with_caption(caption));
    Ok(())
}

/// Thumbnail of the image called `id`; `None` if the set has none.
fn thumbnail(
    reading: &ReadOptions,
    set: &ImageSet,
    id: &str,
    caption: String,
) -> Result<Option<Thumbnail>, StageError> {
    let Ok(place) = set.ids.binary_search_by(|known| known.as_str().cmp(id)) else { return Ok(None) };
    let mut channels = Vec::with_capacity(set.channels.len());
    for (at, name) in set.channels.iter().enumerate() {
        channels.push((name.clone(), reading.decode(set.file(place, at))?));
    }
    Ok(set_thumbnail(channels, caption))
}

/// The pairs that are nearest to each other.
fn closest(nearest: &[&hamming::Match], sides: [&str; 2], channels: &[&str], [left, right]: [&Hashes; 2]) -> Figure {
    let row = |found: &hamming::Match| -> Vec<Cell> {
        let ids = [left.ids[found.left].clone(), right.ids[found.right].clone()].map(Cell::from);
        ids.into_iter().chain(found.distances.iter().map(|distance| Cell::from(f64::from(*distance)))).collect()
    };
    let columns = sides.into_iter().chain(channels.iter().copied()).map(str::to_owned).collect();
    let rows = nearest.iter().take(MAX_SHOWN).map(|found| row(found)).collect();
    Figure::new("Closest pairs", FigureData::Table { columns, rows })
        .with_caption("Distances of their hashes in bits of 64, by channel.")
}

/// `SimR` for red, as the reference has it; `Sim_<name>` for a channel of another name.
fn similarity_column(channel: &str) -> String {
    match CHANNEL_ORDER.contains(&channel) {
        true => format!("Sim{}", channel[..1].to_uppercase()),
        false => format!("Sim_{channel}"),
    }
}

/// The hashes of a set.
struct Hashes {
    ids: Vec<String>,
    /// By channel, then by id.
    by_channel: Vec<Vec<u64>>,
}

impl Hashes {
    fn read(input: &TableInput, channels: &[&str]) -> Result<Hashes, StageError> {
        let table = input.read()?;
        let ids = table.unique_ids("Id")?;
        let by_channel = channels.iter().map(|channel| column(&table, channel)).collect::<Result<_, _>>()?;
        Ok(Hashes { ids, by_channel })
    }
}

fn column(table: &Table, channel: &str) -> Result<Vec<u64>, StageError> {
    let at = table.column(channel)?;
    let parse = |row| {
        let PerceptualHash(bits) = table.cell(row, at).parse().map_err(|error| {
            table.error(row, format!("`{channel}`: {error}")).with_help("Hashes are made by `perceptual_hashes`.")
        })?;
        Ok(bits)
    };
    (0..table.len()).map(parse).collect()
}
