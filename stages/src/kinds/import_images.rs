//! `import_images`: a folder of images as an image set.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::artifact::image_set::{
    ImageFile, ImageSetInput, ImageSetOutput, ManifestRow, write_manifest, write_skipped,
};
use crate::artifact::table::TableOutput;
use crate::context::StageContext;
use crate::error::StageError;
use crate::image_sets::map_images::map_images;
use crate::image_sets::read_options::ReadOptions;
use crate::items::{ItemCache, PerItem};
use crate::kind::StageKind;
use crate::params::{ParamProblem, Parameters};
use crate::ports::OutputValue;
use crate::{input_ports, output_ports};
use athanor_images::decode::Header;

/// The kind `import_images`.
pub struct ImportImages;

/// Parameters of [`ImportImages`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ImportImagesParams {
    /// Options for reading the images.
    #[serde(flatten)]
    pub reading: ReadOptions,
}

impl Parameters for ImportImagesParams {
    fn check(&self) -> Vec<ParamProblem> {
        self.reading.check()
    }
}

input_ports! {
    /// Inputs of [`ImportImages`].
    pub struct ImportImagesInputs {
        /// Folder of images.
        images: ImageSetInput,
    }
}

output_ports! {
    /// Outputs of [`ImportImages`].
    pub struct ImportImagesOutputs {
        /// Images, byte for byte, as `<id>_<channel>` with the extension of their real type.
        images: ImageSetOutput = "images",
        /// Images left out: `Id,channel,file,reason`.
        skipped: TableOutput = "skipped.csv",
    }
}

impl StageKind for ImportImages {
    type Params = ImportImagesParams;
    type Inputs = ImportImagesInputs;
    type Outputs = ImportImagesOutputs;

    const NAME: &'static str = "import_images";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Takes a folder of images into the cache as an image set, each of them checked by decoding it.\n\nThe other image kinds read such a folder as well; importing it keeps a copy of the images as they are now, under names with the extensions of their real types.";
    const USES_ALL_CPUS: bool = true;

    fn run(
        params: ImportImagesParams,
        inputs: ImportImagesInputs,
        outputs: ImportImagesOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let items = ItemCache::of::<Self>(context)?;
        let each = map_images(&params.reading, &inputs.images, &Import(&params.reading), &items, context)?;
        let (mut manifest, mut files) = (Vec::with_capacity(each.results.len()), Vec::new());
        for (image, result) in each.set.files.iter().zip(&each.results) {
            let header = result.value;
            let file = format!("{}_{}.{}", image.id, image.channel, header.format.extension());
            for stored in &result.files {
                files.push((stored, outputs.images.path().join(&file)));
                let (digest, bytes) = (stored.digest, stored.bytes);
                let (id, channel, file) = (image.id.clone(), image.channel.clone(), file.clone());
                manifest.push(ManifestRow { id, channel, file, header, bytes, digest });
            }
        }
        items.place_all(&files)?;
        write_manifest(&outputs.images, &manifest)?;
        write_skipped(&outputs.skipped, &each.bad)
    }
}

/// Checks one image.
struct Import<'p>(&'p ReadOptions);

impl PerItem for Import<'_> {
    type Item = ImageFile;
    type Value = Header;
    const UNIT: &'static str = "images";

    fn key(&self, image: &ImageFile) -> Value {
        json!({ "image": image.digest, "sample": self.0.sample(&image.channel) })
    }

    fn compute(&self, image: &ImageFile, folder: &Path) -> Result<Header, StageError> {
        let (header, _) = self.0.decode(image)?;
        let path = folder.join("image");
        std::fs::write(&path, image.read()?).map_err(StageError::io(&path))?;
        Ok(header)
    }
}
