//! `channel_statistics`: mean and standard deviation of the channels of an image set.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::artifact::figure::{Figure, FigureData};
use crate::artifact::image_set::{ImageFile, ImageSetInput, write_skipped};
use crate::artifact::table::TableOutput;
use crate::context::StageContext;
use crate::error::StageError;
use crate::image_sets::map_images::{MappedImages, map_images};
use crate::image_sets::read_options::ReadOptions;
use crate::items::{ItemCache, PerItem};
use crate::kind::StageKind;
use crate::params::{ParamProblem, Parameters};
use crate::{input_ports, output_ports};
use athanor_images::statistics::statistics;

/// The kind `channel_statistics`.
pub struct ChannelStatistics;

/// Bins of a histogram.
const BINS: usize = 30;

/// Parameters of [`ChannelStatistics`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ChannelStatisticsParams {
    /// Options for reading the images.
    #[serde(flatten)]
    pub reading: ReadOptions,
}

impl Parameters for ChannelStatisticsParams {
    fn check(&self) -> Vec<ParamProblem> {
        self.reading.check()
    }
}

input_ports! {
    /// Inputs of [`ChannelStatistics`].
    pub struct ChannelStatisticsInputs {
        /// Image sets, or folders of images.
        images: Vec<ImageSetInput>,
    }
}

output_ports! {
    /// Outputs of [`ChannelStatistics`].
    pub struct ChannelStatisticsOutputs {
        /// Mean of all images' means and of their standard deviations, for each channel: `color,mean,std`.
        statistics: TableOutput = "channel_statistics.csv",
        /// Mean and standard deviation of every image: `Id,color,mean,std`.
        images: TableOutput = "image_statistics.csv",
        /// Images left out: `Id,channel,file,reason`.
        skipped: TableOutput = "skipped.csv",
    }
}

impl StageKind for ChannelStatistics {
    type Params = ChannelStatisticsParams;
    type Inputs = ChannelStatisticsInputs;
    type Outputs = ChannelStatisticsOutputs;

    const NAME: &'static str = "channel_statistics";
    const REVISION: u32 = 6;
    const DOC: &'static str = "Measures each channel: the mean over images of the image's mean and of its population standard deviation, both as a share of full scale.";
    const USES_ALL_CPUS: bool = true;
    const RESUMES: bool = true;

    fn run(
        params: ChannelStatisticsParams,
        inputs: ChannelStatisticsInputs,
        outputs: ChannelStatisticsOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let items = ItemCache::of::<Self>(context)?;
        let measure = Measure(&params.reading);
        let sets = inputs.images.iter().map(|set| map_images(&params.reading, set, &measure, &items, context));
        let sets = sets.collect::<Result<Vec<MappedImages<Measured>>, _>>()?;
        let Some(first) = sets.first() else { return Err(StageError::mismatch("there are no images")) };
        if let Some(other) = sets.iter().find(|other| other.set.channels != first.set.channels) {
            let (one, two) = (first.set.channels.join(", "), other.set.channels.join(", "));
            let message = format!("`{}` has the channels {one}, but `{}` has {two}", first.set.label, other.set.label);
            return Err(StageError::mismatch(message).with_help("Choose some that all have with `channels`."));
        }
        let rows = first.set.channels.iter().enumerate().map(|(channel, name)| {
            let measured =
                || sets.iter().flat_map(|set| set.results.iter().skip(channel).step_by(set.set.channels.len()));
            let mean_of = |part: fn(&Measured) -> f64| {
                measured().map(|result| part(&result.value)).sum::<f64>() / measured().count() as f64
            };
            [name.clone(), mean_of(|measured| measured.mean).to_string(), mean_of(|measured| measured.std).to_string()]
        });
        histograms(&sets, context);
        outputs.statistics.write(&["color", "mean", "std"], rows)?;
        let images = sets.iter().flat_map(|set| set.set.files.iter().zip(&set.results));
        let rows = images.map(|(image, result)| {
            let Measured { mean, std } = result.value;
            [image.id.clone(), image.channel.clone(), mean.to_string(), std.to_string()]
        });
        outputs.images.write(&["Id", "color", "mean", "std"], rows)?;
        let bad: Vec<_> = sets.into_iter().flat_map(|set| set.bad).collect();
        write_skipped(&outputs.skipped, &bad)
    }
}

/// Numbers of images by their mean, for each channel.
fn histograms(sets: &[MappedImages<Measured>], context: &StageContext<'_>) {
    let channels = sets.first().map(|set| set.set.channels.as_slice()).unwrap_or_default();
    for (channel, name) in channels.iter().enumerate() {
        let results = sets.iter().flat_map(|set| set.results.iter().skip(channel).step_by(channels.len()));
        let means: Vec<f64> = results.map(|result| result.value.mean).collect();
        let most = means.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let mut counts = vec![0.0; BINS];
        for mean in means {
            // The share lies between 0 and 1; the largest mean is in the last bin.
            counts[((mean / most * BINS as f64) as usize).min(BINS - 1)] += 1.0;
        }
        let edges = (0..=BINS).map(|edge| edge as f64 / BINS as f64 * most).collect();
        let data = FigureData::Histogram { edges, counts, x_title: "mean, as a share of full scale".to_owned() };
        context.figure(&format!("means_{name}"), Figure::new(format!("Images by their mean: {name}"), data));
    }
}

/// Mean and population standard deviation, as shares of full scale.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Measured {
    mean: f64,
    std: f64,
}

/// Measures one image.
struct Measure<'p>(&'p ReadOptions);

impl PerItem for Measure<'_> {
    type Item = ImageFile;
    type Value = Measured;
    const UNIT: &'static str = "images";

    fn key(&self, image: &ImageFile) -> Value {
        json!({ "image": image.digest, "reading": self.0.key(&image.channel) })
    }

    fn compute(&self, image: &ImageFile, _folder: &Path) -> Result<Measured, StageError> {
        let pixels = self.0.decode(image)?;
        let (mean, std) = statistics(&pixels);
        Ok(Measured { mean, std })
    }
}
