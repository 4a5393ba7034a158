//! `resize_images`: an image set at other sizes.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::artifact::ArtifactType;
use crate::artifact::image_set::{
    ImageFile, ImageSetInput, ImageSetOutput, ManifestRow, write_manifest, write_skipped,
};
use crate::artifact::table::TableOutput;
use crate::context::StageContext;
use crate::error::StageError;
use crate::image_sets::map_images::{map_set, without_long_names};
use crate::image_sets::read_options::{FaintImages, ReadOptions};
use crate::input_ports;
use crate::items::{ItemCache, ItemPlacement, PerItem};
use crate::kind::StageKind;
use crate::params::{ParamProblem, Parameters};
use crate::ports::{BindError, BoundOutputs, OutputPort, OutputPorts, OutputValue};
use athanor_images::decode::{Header, ImageFormat};
use athanor_images::encode;
use athanor_images::pixels::Pixels;
use athanor_images::resample::{Interpolation, resize};

/// The kind `resize_images`.
pub struct ResizeImages;

/// Parameters of [`ResizeImages`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ResizeImagesParams {
    /// Side of the squares, in pixels; the output is `images`. Give this or `sizes`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 32_768))]
    pub size: Option<u32>,
    /// Several sides, in pixels, from one decoding; the outputs are `size_<pixels>`.
    #[serde(default)]
    #[schemars(example = [512, 1024])]
    pub sizes: Option<Vec<u32>>,
    /// Interpolation.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// File format of the result.
    #[serde(default)]
    pub format: Format,
    /// JPEG quality.
    #[serde(default = "quality")]
    #[schemars(range(min = 1, max = 100))]
    pub quality: u8,
    /// Bit depth of the result: 8, or 16 to keep the depth of 16-bit images (PNG only).
    #[serde(default = "depth")]
    pub depth: u8,
    /// Options for reading the images.
    #[serde(flatten)]
    pub reading: ReadOptions,
}

/// File formats that are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// PNG, lossless.
    #[default]
    Png,
    /// JPEG, smaller and with losses, as `quality` says.
    Jpeg,
}

fn quality() -> u8 {
    85
}

fn depth() -> u8 {
    8
}

/// Largest side that is written.
const MAX_SIDE: u32 = 32_768;

impl ResizeImagesParams {
    fn all_sizes(&self) -> Vec<u32> {
        self.size.into_iter().chain(self.sizes.iter().flatten().copied()).collect()
    }
}

impl Parameters for ResizeImagesParams {
    fn check(&self) -> Vec<ParamProblem> {
        let mut problems = self.reading.check();
        let mut complain = |name, message: &str| problems.push(ParamProblem::value(name, message));
        match (&self.size, self.sizes.as_deref()) {
            (None, None) => complain("size", "give `size`, or several as `sizes`"),
            (Some(_), Some(_)) => complain("sizes", "`size` and `sizes` exclude each other"),
            (None, Some([])) => complain("sizes", "there must be at least one size"),
            _ => {}
        }
        let sizes = self.all_sizes();
        let name = if self.size.is_some() { "size" } else { "sizes" };
        if sizes.iter().any(|size| !(1..=MAX_SIDE).contains(size)) {
            complain(name, &format!("a size is 1 to {MAX_SIDE} pixels"));
        }
        if sizes.iter().enumerate().any(|(at, size)| sizes[..at].contains(size)) {
            complain(name, "no size may be there twice");
        }
        if !(1..=100).contains(&self.quality) {
            complain("quality", "`quality` is 1 to 100");
        }
        match (self.depth, self.format) {
            (8, _) | (16, Format::Png) => {}
            (16, Format::Jpeg) => complain("depth", "JPEG files have 8 bits a sample"),
            _ => complain("depth", "`depth` is 8 or 16"),
        }
        problems
    }
}

input_ports! {
    /// Inputs of [`ResizeImages`].
    pub struct ResizeImagesInputs {
        /// Image set, or folder of images.
        images: ImageSetInput,
    }
}

/// Outputs of [`ResizeImages`]: a set for each size in the order of the parameters, and the table of images left out.
pub struct ResizeImagesOutputs {
    by_name: BoundOutputs,
    skipped: TableOutput,
}

const SKIPPED: &str = "skipped";

fn set_port(name: String, doc: &str) -> OutputPort {
    OutputPort {
        file: name.clone(),
        name,
        artifact: ArtifactType::ImageSet,
        optional: false,
        doc: doc.to_owned(),
        group: Vec::new(),
    }
}

fn skipped_port() -> OutputPort {
    OutputPort {
        name: SKIPPED.to_owned(),
        artifact: ArtifactType::Table,
        file: "skipped.csv".to_owned(),
        optional: false,
        doc: "`Id,channel,file,reason` of the images left out.".to_owned(),
        group: Vec::new(),
    }
}

/// The output of one size among `params`'s.
fn port_name(params: &ResizeImagesParams, size: u32) -> String {
    if params.size.is_some() { "images".to_owned() } else { format!("size_{size}") }
}

impl OutputPorts for ResizeImagesOutputs {
    fn ports() -> Vec<OutputPort> {
        let one = "The images as `<id>_<channel>`, where there is one `size`.";
        let several = "The images at one of several `sizes`.";
        vec![set_port("images".to_owned(), one), set_port("size_<pixels>".to_owned(), several), skipped_port()]
    }

    fn bind(mut bound: BoundOutputs) -> Result<Self, BindError> {
        let skipped = bound.remove(SKIPPED).ok_or(BindError { port: SKIPPED })?;
        Ok(ResizeImagesOutputs { by_name: bound, skipped: TableOutput::from_path(skipped) })
    }
}

impl StageKind for ResizeImages {
    type Params = ResizeImagesParams;
    type Inputs = ResizeImagesInputs;
    type Outputs = ResizeImagesOutputs;

    const NAME: &'static str = "resize_images";
    const REVISION: u32 = 6;
    const DOC: &'static str = "Resizes images to squares of one or several sizes, from one decoding each, as grey files.\n\nReads PNG, JPEG, TIFF, BMP, GIF, WebP, PNM and QOI, whatever the names of the files; of files with colours it takes the colour component that holds the channel.";
    const USES_ALL_CPUS: bool = true;
    const RESUMES: bool = true;
    const OUTPUTS_VARY: bool = true;

    fn outputs(params: &ResizeImagesParams) -> Vec<OutputPort> {
        let sets = params.all_sizes().into_iter();
        let doc = |size| format!("The images at {size} x {size} pixels.");
        let sets = sets.map(|size| set_port(port_name(params, size), &doc(size)));
        sets.chain([skipped_port()]).collect()
    }

    fn run(
        params: ResizeImagesParams,
        inputs: ResizeImagesInputs,
        outputs: ResizeImagesOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let items = ItemCache::of::<Self>(context)?;
        let work = Resize { params: &params, faint: FaintImages::default() };
        let (set, mut bad) = params.reading.read(&inputs.images, context)?;
        let set = without_long_names(set, &mut bad, params.reading.on_bad, |image| params.file_name(image))?;
        let each = map_set(&params.reading, set, bad, &work, &items, context)?;
        work.faint.log(context);
        for size in params.all_sizes() {
            let port = port_name(&params, size);
            let folder = outputs.by_name.get(&port).cloned().unwrap_or_else(|| PathBuf::from(&port));
            let (mut manifest, mut files) = (Vec::with_capacity(each.results.len()), Vec::new());
            for (image, result) in each.set.files.iter().zip(&each.results) {
                let header = params.header(size, result.value);
                let name = params.file_name(image);
                for stored in result.files.iter().filter(|file| file.name == size.to_string()) {
                    files.push(ItemPlacement { file: stored, path: folder.join(&name) });
                    let (id, channel, file) = (image.id.clone(), image.channel.clone(), name.clone());
                    let (bytes, digest) = (stored.bytes, stored.digest);
                    manifest.push(ManifestRow { id, channel, file, header, bytes, digest });
                }
            }
            items.place_all(&files)?;
            write_manifest(&ImageSetOutput::from_path(folder), &manifest)?;
        }
        write_skipped(&outputs.skipped, &each.bad)
    }
}

impl Format {
    fn of_image(self) -> ImageFormat {
        match self {
            Format::Png => ImageFormat::Png,
            Format::Jpeg => ImageFormat::Jpeg,
        }
    }
}

impl ResizeImagesParams {
    /// The name of an image's file in a result.
    fn file_name(&self, image: &ImageFile) -> String {
        format!("{}_{}.{}", image.id, image.channel, self.format.of_image().extension())
    }

    /// The header of a result of this size; `depth` is its bits a sample.
    fn header(&self, size: u32, depth: u8) -> Header {
        Header { format: self.format.of_image(), width: size as usize, height: size as usize, channels: 1, depth }
    }
}

/// Resizes one image; the value is the bits a sample of the results.
struct Resize<'p> {
    params: &'p ResizeImagesParams,
    faint: FaintImages,
}

impl PerItem for Resize<'_> {
    type Item = ImageFile;
    type Value = u8;
    const UNIT: &'static str = "images";

    fn key(&self, image: &ImageFile) -> Value {
        let ResizeImagesParams { interpolation, format, quality, depth, reading, .. } = self.params;
        json!({
            "image": image.digest,
            "reading": reading.key(&image.channel),
            "sizes": self.params.all_sizes(),
            "interpolation": interpolation,
            "format": format,
            "quality": (*format == Format::Jpeg).then_some(quality),
            "depth": depth,
        })
    }

    fn compute(&self, image: &ImageFile, folder: &Path) -> Result<u8, StageError> {
        let params = self.params;
        let pixels = params.reading.decode(image)?;
        if params.depth == 8 {
            self.faint.see(&params.reading, &pixels);
        }
        let mut depth = 0;
        for size in params.all_sizes() {
            let resized = resize(&pixels, size as usize, size as usize, params.interpolation);
            let resized = if params.depth == 8 { resized.to_u8() } else { resized };
            depth = resized.depth();
            let path = folder.join(size.to_string());
            std::fs::write(&path, encode_as(params, &resized, image)?).map_err(StageError::io(&path))?;
        }
        Ok(depth)
    }
}

fn encode_as(params: &ResizeImagesParams, pixels: &Pixels, image: &ImageFile) -> Result<Vec<u8>, StageError> {
    let encoded = match params.format {
        Format::Png => encode::png(pixels),
        Format::Jpeg => encode::jpeg(pixels, params.quality),
    };
    encoded.map_err(|error| StageError::in_file(&image.label, error.to_string()))
}
