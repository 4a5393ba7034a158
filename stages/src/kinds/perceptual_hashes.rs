//! `perceptual_hashes`: hashes that similar images share.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::artifact::image_set::{ImageFile, ImageSetInput, write_skipped};
use crate::artifact::table::TableOutput;
use crate::context::StageContext;
use crate::error::StageError;
use crate::image_sets::map_images::map_images;
use crate::image_sets::read_options::ReadOptions;
use crate::items::{ItemCache, PerItem};
use crate::kind::StageKind;
use crate::params::{ParamProblem, Parameters};
use crate::{input_ports, output_ports};
use athanor_images::phash::phash;

/// The kind `perceptual_hashes`.
pub struct PerceptualHashes;

/// Parameters of [`PerceptualHashes`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PerceptualHashesParams {
    /// Options for reading the images.
    #[serde(flatten)]
    pub reading: ReadOptions,
}

impl Parameters for PerceptualHashesParams {
    fn check(&self) -> Vec<ParamProblem> {
        self.reading.check()
    }
}

input_ports! {
    /// Inputs of [`PerceptualHashes`].
    pub struct PerceptualHashesInputs {
        /// Image set, or folder of images.
        images: ImageSetInput,
    }
}

output_ports! {
    /// Outputs of [`PerceptualHashes`].
    pub struct PerceptualHashesOutputs {
        /// Hashes, 64 bits as 16 hexadecimal digits: `Id` and a column a channel.
        hashes: TableOutput = "phash.csv",
        /// Images left out: `Id,channel,file,reason`.
        skipped: TableOutput = "skipped.csv",
    }
}

impl StageKind for PerceptualHashes {
    type Params = PerceptualHashesParams;
    type Inputs = PerceptualHashesInputs;
    type Outputs = PerceptualHashesOutputs;

    const NAME: &'static str = "perceptual_hashes";
    const REVISION: u32 = 6;
    const DOC: &'static str = "Computes the 64-bit perceptual hash of each channel, as Python's ImageHash `phash` does: near-duplicate images, which look alike, differ in few bits.";
    const USES_ALL_CPUS: bool = true;
    const RESUMES: bool = true;

    fn run(
        params: PerceptualHashesParams,
        inputs: PerceptualHashesInputs,
        outputs: PerceptualHashesOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let items = ItemCache::of::<Self>(context)?;
        let each = map_images(&params.reading, &inputs.images, &Hash(&params.reading), &items, context)?;
        let header: Vec<&str> = ["Id"].into_iter().chain(each.set.channels.iter().map(String::as_str)).collect();
        // A set without images has no channels.
        let hashes = each.results.chunks(each.set.channels.len().max(1));
        let rows = each.set.ids.iter().zip(hashes).map(|(id, hashes)| {
            let hashes = hashes.iter().map(|result| result.value.clone());
            [id.clone()].into_iter().chain(hashes).collect::<Vec<String>>()
        });
        outputs.hashes.write(&header, rows)?;
        write_skipped(&outputs.skipped, &each.bad)
    }
}

/// Hashes one image; the value is the hash in hexadecimal digits.
struct Hash<'p>(&'p ReadOptions);

impl PerItem for Hash<'_> {
    type Item = ImageFile;
    type Value = String;
    const UNIT: &'static str = "images";

    fn key(&self, image: &ImageFile) -> Value {
        json!({ "image": image.digest, "reading": self.0.key(&image.channel) })
    }

    fn compute(&self, image: &ImageFile, _folder: &Path) -> Result<String, StageError> {
        let pixels = self.0.decode(image)?;
        Ok(phash(&pixels.to_u8()).to_string())
    }
}
